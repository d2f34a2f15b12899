"""The accounts' database: its tables, and a transaction of it."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from ringkey.administration.accounts.errors import (
    AccountsBusyError,
    AccountsFormatError,
    AccountsUnavailableError,
)
from ringkey.administration.accounts.migrations import HEAD
from ringkey.database import Kind, open_engine, translated, writing

# Seconds to wait for another process that writes; the console answers nobody else meanwhile.
PATIENCE = 2.0
# Octets of what opens a door: a cookie, a link, a token.
SECRET = 32

KIND = Kind(
    "database of accounts",
    "ringkey.administration.accounts",
    HEAD,
    AccountsUnavailableError,
    AccountsBusyError,
    AccountsFormatError,
)

_metadata = sa.MetaData()
USER = sa.Table(
    "user",
    _metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("role", sa.Integer, nullable=False),
    sa.Column("password", sa.String),
    sa.Column("totp", sa.LargeBinary),
    sa.Column("totp_pending", sa.LargeBinary),
    sa.Column("totp_step", sa.Integer, nullable=False),
    sa.Column("created", sa.Integer, nullable=False),
    sa.Column("changed", sa.Integer, nullable=False),
)
SESSION = sa.Table(
    "session",
    _metadata,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column("user", sa.String, nullable=False),
    sa.Column("created", sa.Integer, nullable=False),
    sa.Column("seen", sa.Integer, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("agent", sa.String, nullable=False),
)
INVITATION = sa.Table(
    "invitation",
    _metadata,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column("user", sa.String, nullable=False),
    sa.Column("expires", sa.Integer, nullable=False),
)
TOKEN = sa.Table(
    "token",
    _metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("role", sa.Integer, nullable=False),
    sa.Column("author", sa.String, nullable=False),
    sa.Column("created", sa.Integer, nullable=False),
    sa.Column("expires", sa.Integer, nullable=False),
)


class Base:
    """The open database; belongs to the thread that opened it.

    Everything that uses it raises AccountsUnavailableError (or AccountsBusyError) where the file cannot
    be read or written; then nothing was changed.  clock: seconds since 1970.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self.path = path
        self._clock = clock
        self._engine = open_engine(KIND, path, PATIENCE)

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def now(self) -> int:
        """Return the time, seconds since 1970."""
        return int(self._clock())

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection that sees what was committed last."""
        with translated(KIND, self.path), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection in a transaction: committed at the end, rolled back on an error."""
        with translated(KIND, self.path), writing(self._engine) as connection:
            yield connection


def hashed(secret: str) -> bytes:
    """Return what is kept of a secret of SECRET random octets: no salt is needed, nobody can guess one."""
    return hashlib.sha256(secret.encode()).digest()
