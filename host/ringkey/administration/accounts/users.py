"""Users: a name, a role, a password; there is always an administrator."""

import re
from dataclasses import dataclass

import sqlalchemy as sa

from ringkey.administration.accounts import passwords
from ringkey.administration.accounts.errors import AccountError
from ringkey.administration.accounts.passwords import Passwords
from ringkey.administration.accounts.tables import INVITATION, SESSION, USER, Base
from ringkey.administration.roles import Role

# Lower case, so that "Ann" and "ann" are not two; short enough for a line of the record.
NAME = r"[a-z0-9][a-z0-9._-]{0,31}"
_NAME = re.compile(NAME)
# A site's administrators and operators, not its phones; a list of them is one page.
MAX_USERS = 500


@dataclass(frozen=True, slots=True)
class User:
    """One user; times are seconds since 1970.

    password: there is one (else only an invitation lets the user in); totp: a second factor is wanted;
    sessions: how many are open; seen: when one of them was last; invited: until when an invitation is good,
    None where there is none.
    """

    name: str
    role: Role
    password: bool
    totp: bool
    created: int
    changed: int
    sessions: int = 0
    seen: int | None = None
    invited: int | None = None


def check_name(name: str) -> str:
    """Return `name`; raises AccountError where it will not do."""
    if _NAME.fullmatch(name) is None:
        raise AccountError(
            "a user's name has 1 to 32 of a-z, 0-9, dot, underscore, minus, and begins with a letter or digit"
        )
    return name


class Users:
    """The users of the site."""

    def __init__(self, base: Base, passwords: Passwords) -> None:
        self._base = base
        self._passwords = passwords

    def get(self, name: str) -> User | None:
        """Return the user, or None."""
        query = sa.select(USER).where(USER.c.name == name)
        with self._base.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _user(row)

    def list(self) -> tuple[User, ...]:
        """Return all users by name."""
        now = self._base.now()
        of_user = SESSION.c.user == USER.c.name
        sessions = sa.select(sa.func.count()).where(of_user).scalar_subquery()
        seen = sa.select(sa.func.max(SESSION.c.seen)).where(of_user).scalar_subquery()
        invited = (
            sa.select(sa.func.max(INVITATION.c.expires))
            .where(INVITATION.c.user == USER.c.name, INVITATION.c.expires > now)
            .scalar_subquery()
        )
        more = (sessions.label("sessions"), seen.label("seen"), invited.label("invited"))
        query = sa.select(USER, *more).order_by(USER.c.name)
        with self._base.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(_user(row, row.sessions, row.seen, row.invited) for row in rows)

    def kept(self, name: str) -> str | None:
        """Return the hash of the user's password, None where there is no user or no password."""
        query = sa.select(USER.c.password).where(USER.c.name == name)
        with self._base.reading() as connection:
            found: str | None = connection.execute(query).scalar_one_or_none()
        return found

    def add(self, name: str, role: Role, kept: str | None) -> User:
        """Add a user; kept: hash of a password.  Raises AccountError where the name is taken or no name."""
        check_name(name)
        now = self._base.now()
        with self._base.writing() as connection:
            if connection.execute(sa.select(sa.func.count()).select_from(USER)).scalar_one() >= MAX_USERS:
                raise AccountError(f"there are {MAX_USERS} users already", "ringkey user list")
            if _there(connection, name):
                raise AccountError(f"there is a user {name} already", f"ringkey user password {name}")
            connection.execute(
                sa.insert(USER).values(
                    name=name, role=role, password=kept, totp_step=0, created=now, changed=now
                )
            )
        return User(name, role, kept is not None, False, now, now)

    def set_role(self, name: str, role: Role) -> None:
        """Change the role, which ends the user's sessions.

        Raises AccountError where there is no such user, or no administrator would be left.
        """
        with self._base.writing() as connection:
            _must_be_there(connection, name)
            connection.execute(
                sa.update(USER).where(USER.c.name == name).values(role=role, changed=self._base.now())
            )
            _must_have_administrator(connection, name)
            connection.execute(sa.delete(SESSION).where(SESSION.c.user == name))

    def set_password(self, name: str, kept: str) -> None:
        """Change the password (its hash is given), which ends the user's sessions and invitations.

        Raises AccountError where there is no such user.
        """
        with self._base.writing() as connection:
            _must_be_there(connection, name)
            values = {"password": kept, "changed": self._base.now()}
            connection.execute(sa.update(USER).where(USER.c.name == name).values(**values))
            connection.execute(sa.delete(SESSION).where(SESSION.c.user == name))
            connection.execute(sa.delete(INVITATION).where(INVITATION.c.user == name))

    def rehash(self, name: str, old: str, kept: str) -> None:
        """Replace the hash `old` of the same password by one with today's parameters."""
        where = (USER.c.name == name, USER.c.password == old)
        with self._base.writing() as connection:
            connection.execute(sa.update(USER).where(*where).values(password=kept))

    def remove(self, name: str) -> None:
        """Remove a user with sessions and invitations.

        Raises AccountError where there is no such user, or no administrator would be left.
        """
        with self._base.writing() as connection:
            _must_be_there(connection, name)
            connection.execute(sa.delete(USER).where(USER.c.name == name))
            _must_have_administrator(connection, name)
            connection.execute(sa.delete(SESSION).where(SESSION.c.user == name))
            connection.execute(sa.delete(INVITATION).where(INVITATION.c.user == name))

    async def check_password(self, name: str, password: str) -> bool:
        """Tell whether it is the user's password; as much work for a user that there is not."""
        kept = self.kept(name)
        good = await self._passwords.verify(kept, password)
        if good and kept is not None and self._passwords.outdated(kept):
            self.rehash(name, kept, await self._passwords.make(password))
        return good

    async def make_password(self, name: str, password: str) -> str:
        """Return the hash of a new password; raises AccountError where it will not do."""
        passwords.check(password, name)
        return await self._passwords.make(password)


def _user(
    row: sa.Row[tuple[object, ...]], sessions: int = 0, seen: int | None = None, invited: int | None = None
) -> User:
    return User(
        row.name,
        Role(row.role),
        row.password is not None,
        row.totp is not None,
        row.created,
        row.changed,
        sessions,
        seen,
        invited,
    )


def _there(connection: sa.Connection, name: str) -> bool:
    query = sa.select(sa.literal(1)).select_from(USER).where(USER.c.name == name)
    return connection.execute(query).first() is not None


def _must_be_there(connection: sa.Connection, name: str) -> None:
    if not _there(connection, name):
        raise AccountError(f"there is no user {name}", "ringkey user list")


def _must_have_administrator(connection: sa.Connection, name: str) -> None:
    query = sa.select(sa.literal(1)).select_from(USER).where(USER.c.role == Role.ADMINISTRATOR)
    if connection.execute(query).first() is None:
        raise AccountError(
            f"{name} is the only administrator; make another one first", "ringkey user invite --help"
        )
