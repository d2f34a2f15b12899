"""Tokens of the API: for scripts; each with a role and an end, only its SHA-256 kept."""

import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from ringkey.administration.accounts.errors import AccountError
from ringkey.administration.accounts.tables import SECRET, TOKEN, Base, hashed
from ringkey.administration.roles import Role

# By it a secret scanner knows one that was committed by mistake.
PREFIX = "rk_"
# Characters of a token's name, for people.
MAX_NAME = 64
MAX_TOKENS = 200
# Days.
LIFE = 365
MAX_LIFE = 3650
_DAY = 86_400
_ID = 4  # octets


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret; times are seconds since 1970."""

    id: str
    name: str
    role: Role
    author: str
    created: int
    expires: int


class Tokens:
    """The tokens of the site."""

    def __init__(self, base: Base) -> None:
        self._base = base

    def add(self, name: str, role: Role, author: str, days: int = LIFE) -> tuple[Token, str]:
        """Return a new token and its secret, which nobody can be told again; raises AccountError."""
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
            raise AccountError(f"a token's name has 1 to {MAX_NAME} characters that can be seen")
        secret = PREFIX + secrets.token_urlsafe(SECRET)
        now = self._base.now()
        made = Token(secrets.token_hex(_ID), name, role, author, now, now + days * _DAY)
        with self._base.writing() as connection:
            connection.execute(sa.delete(TOKEN).where(TOKEN.c.expires <= now))
            if connection.execute(sa.select(sa.func.count()).select_from(TOKEN)).scalar_one() >= MAX_TOKENS:
                raise AccountError(f"there are {MAX_TOKENS} tokens already", "ringkey token list")
            row = {field: getattr(made, field) for field in Token.__slots__}
            connection.execute(sa.insert(TOKEN).values(hash=hashed(secret), **row))
        return made, secret

    def find(self, secret: str) -> Token | None:
        """Return the token of this secret, None where there is none or its time is over."""
        with self._base.reading() as connection:
            where = (TOKEN.c.hash == hashed(secret), TOKEN.c.expires > self._base.now())
            row = connection.execute(sa.select(TOKEN).where(*where)).one_or_none()
        return None if row is None else _token(row)

    def list(self) -> tuple[Token, ...]:
        """Return all tokens, those that are over too, the newest first."""
        with self._base.reading() as connection:
            rows = connection.execute(sa.select(TOKEN).order_by(TOKEN.c.created.desc(), TOKEN.c.id)).all()
        return tuple(_token(row) for row in rows)

    def remove(self, name: str) -> Token:
        """Remove the token of this id, and return it; raises AccountError where there is none."""
        with self._base.writing() as connection:
            row = connection.execute(sa.select(TOKEN).where(TOKEN.c.id == name)).one_or_none()
            if row is None:
                raise AccountError(f"there is no token {name}", "ringkey token list")
            connection.execute(sa.delete(TOKEN).where(TOKEN.c.id == name))
        return _token(row)


def _token(row: sa.Row[tuple[object, ...]]) -> Token:
    return Token(row.id, row.name, Role(row.role), row.author, row.created, row.expires)
