"""Invitations: a link that lets a user set a password, once, for a day."""

import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from ringkey.administration.accounts.tables import INVITATION, SECRET, SESSION, USER, Base, hashed
from ringkey.administration.roles import Role

# Seconds that a link works.
LIFE = 86_400
# Where the console takes it.
PATH = "/invite/"


@dataclass(frozen=True, slots=True)
class Invited:
    """Whom an invitation is for."""

    user: str
    role: Role
    expires: int


class Invitations:
    """The open invitations, at most one for each user."""

    def __init__(self, base: Base) -> None:
        self._base = base

    def make(self, user: str) -> tuple[str, int]:
        """Return (what stands after PATH in the link, until when it works); earlier ones work no more."""
        token = secrets.token_urlsafe(SECRET)
        now = self._base.now()
        with self._base.writing() as connection:
            over = sa.or_(INVITATION.c.user == user, INVITATION.c.expires <= now)
            connection.execute(sa.delete(INVITATION).where(over))
            connection.execute(
                sa.insert(INVITATION).values(hash=hashed(token), user=user, expires=now + LIFE)
            )
        return token, now + LIFE

    def find(self, token: str) -> Invited | None:
        """Return whom the link is for, None where it does not work (any more)."""
        query = (
            sa.select(INVITATION.c.user, INVITATION.c.expires, USER.c.role)
            .join(USER, USER.c.name == INVITATION.c.user)
            .where(INVITATION.c.hash == hashed(token), INVITATION.c.expires > self._base.now())
        )
        with self._base.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Invited(row.user, Role(row.role), row.expires)

    def accept(self, token: str, kept: str) -> Invited | None:
        """Set the password whose hash is `kept`, and end the link and all sessions of its user.

        None where the link does not work: two who use it at once are not both let in.
        """
        with self._base.writing() as connection:
            where = (INVITATION.c.hash == hashed(token), INVITATION.c.expires > self._base.now())
            row = connection.execute(
                sa.select(INVITATION.c.user, INVITATION.c.expires, USER.c.role)
                .join(USER, USER.c.name == INVITATION.c.user)
                .where(*where)
            ).one_or_none()
            if row is None:
                return None
            connection.execute(sa.delete(INVITATION).where(INVITATION.c.user == row.user))
            connection.execute(sa.delete(SESSION).where(SESSION.c.user == row.user))
            # Whoever has lost the password has often lost the phone with the second factor, too.
            values = {"password": kept, "totp": None, "totp_pending": None, "changed": self._base.now()}
            connection.execute(sa.update(USER).where(USER.c.name == row.user).values(**values))
        return Invited(row.user, Role(row.role), row.expires)
