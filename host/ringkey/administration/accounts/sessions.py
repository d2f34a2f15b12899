"""Sessions: a random cookie, of which only the SHA-256 is kept, and how long it is good."""

import base64
import hmac
import secrets
from dataclasses import dataclass
from hashlib import sha256

import sqlalchemy as sa

from ringkey.administration.accounts.tables import SECRET, SESSION, USER, Base, hashed
from ringkey.administration.roles import Role

# Sessions of one user; the one seen longest ago ends for the next.  A few browsers, and those that were
# closed without a log-out.
MAX_SESSIONS = 20
# Characters kept of a browser's own name, and of an address (IPv6 with a zone).
MAX_AGENT = 120
MAX_SOURCE = 64
# Seconds: how exactly `seen` is kept, since each change is a write to the disk.
_SEEN = 60
# Octets of a session's id in lists: enough to tell 20 of them apart, no use as a cookie.
_ID = 8


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds that a session lasts: idle without a request, and in all."""

    idle: int = 30 * 60
    total: int = 12 * 3600


@dataclass(frozen=True, slots=True)
class Session:
    """An open session; hash: of its cookie; csrf is made from the cookie, and so not kept."""

    hash: bytes
    user: str
    role: Role
    created: int
    seen: int
    source: str
    agent: str

    @property
    def id(self) -> str:
        """What names the session in lists."""
        return self.hash[:_ID].hex()


def csrf_of(cookie: str) -> str:
    """Return the CSRF token that belongs to a cookie; nobody without the cookie can make it."""
    made = hmac.digest(cookie.encode(), b"ringkey console csrf", sha256)
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


class Sessions:
    """The open sessions of all users."""

    def __init__(self, base: Base, times: Times) -> None:
        self._base = base
        self.times = times

    def begin(self, user: str, source: str, agent: str) -> str:
        """Open a session and return its cookie."""
        cookie = secrets.token_urlsafe(SECRET)
        now = self._base.now()
        with self._base.writing() as connection:
            connection.execute(sa.delete(SESSION).where(self._over(now)))
            of_user = sa.select(SESSION.c.hash).where(SESSION.c.user == user)
            extra = of_user.order_by(SESSION.c.seen.desc()).offset(MAX_SESSIONS - 1)
            connection.execute(sa.delete(SESSION).where(SESSION.c.hash.in_(extra)))
            connection.execute(
                sa.insert(SESSION).values(
                    hash=hashed(cookie),
                    user=user,
                    created=now,
                    seen=now,
                    source=source[:MAX_SOURCE],
                    agent=agent[:MAX_AGENT],
                )
            )
        return cookie

    def find(self, cookie: str, *, touch: bool = True) -> Session | None:
        """Return the session of this cookie, None where there is none or its time is over.

        touch: it was used, and so is not idle.
        """
        return self.find_hash(hashed(cookie), touch=touch)

    def find_hash(self, digest: bytes, *, touch: bool = False) -> Session | None:
        """Do the same for the hash of a cookie."""
        now = self._base.now()
        query = (
            sa.select(SESSION, USER.c.role)
            .join(USER, USER.c.name == SESSION.c.user)
            .where(SESSION.c.hash == digest, ~self._over(now))
        )
        with self._base.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        if touch and now - row.seen >= min(_SEEN, self.times.idle // 2):
            with self._base.writing() as connection:
                connection.execute(sa.update(SESSION).where(SESSION.c.hash == digest).values(seen=now))
        return _session(row)

    def of(self, user: str) -> tuple[Session, ...]:
        """Return the user's open sessions, the latest first."""
        query = (
            sa.select(SESSION, USER.c.role)
            .join(USER, USER.c.name == SESSION.c.user)
            .where(SESSION.c.user == user, ~self._over(self._base.now()))
            .order_by(SESSION.c.seen.desc())
        )
        with self._base.reading() as connection:
            return tuple(_session(row) for row in connection.execute(query))

    def end(self, digest: bytes) -> None:
        """End the session of this hash, if there is one."""
        with self._base.writing() as connection:
            connection.execute(sa.delete(SESSION).where(SESSION.c.hash == digest))

    def _over(self, now: int) -> sa.ColumnElement[bool]:
        # In the future: a clock that was set back must not lengthen a session.
        return sa.or_(
            SESSION.c.seen <= now - self.times.idle,
            SESSION.c.created <= now - self.times.total,
            SESSION.c.created > now + _SEEN,
        )


def _session(row: sa.Row[tuple[object, ...]]) -> Session:
    return Session(row.hash, row.user, Role(row.role), row.created, row.seen, row.source, row.agent)
