"""A service's SQLite file: opened, brought to the newest version, its errors given names.

Write-ahead log, so that a service reads while the command line writes, or the other way round; a read sees
what was committed last.  Reads run on their own, writes in one `BEGIN IMMEDIATE`: two
writers wait for each other instead of failing halfway.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ringkey.errors import UserError

_WRITE = "ringkey_write"  # execution option: this connection's transaction is for writing
# Prepared statements kept, in place of 128: those of one kind of work.  One that puts 100 rows takes 14 KB,
# and each number of rows has its own.
_STATEMENTS = 16


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of database.

    what: for people, such as "directory of extensions"; package: the one that has its
    `migrations`, and head: the newest of those; the errors that are raised: unavailable (disk
    full, permissions, a disk that fails), busy (another process held it for too long), foreign
    (the file is damaged, of a newer ringkey, or something else).
    """

    what: str
    package: str
    head: str
    unavailable: type[UserError]
    busy: type[UserError]
    foreign: type[UserError]


class _Foreign(Exception):
    """The file is another one: what it is, and what to type."""

    def __init__(self, what: str, next_step: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step


def open_engine(kind: Kind, path: Path, patience: float) -> sa.Engine:
    """Return an engine for the database at `path`, made (0600) or migrated as needed.

    The engine has one connection and belongs to the thread that opened it.  patience:
    seconds to wait for another process that is writing.  Raises the errors of `kind`.
    """
    with translated(kind, path):
        with suppress(FileExistsError):
            # SQLite would make it with the umask's mode; its -wal and -shm take over this one.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path)),
            poolclass=sa.StaticPool,
            # None: sqlite3 begins no transactions of its own accord; _begin below does.
            connect_args={"timeout": patience, "isolation_level": None, "cached_statements": _STATEMENTS},
            hide_parameters=True,  # an error's text shows no sealed PIN either
        )
        sa.event.listen(engine, "connect", _prepare)
        sa.event.listen(engine, "begin", _begin)
        try:
            _migrate(kind, engine, path)
        except BaseException:
            engine.dispose()
            raise
        return engine


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Give a connection in a write transaction: committed at the end, rolled back on an error."""
    with engine.connect() as connection:
        connection.execution_options(**{_WRITE: True})
        with connection.begin():
            yield connection


@contextmanager
def translated(kind: Kind, path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into the errors of `kind`, which say what to do."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise _named(kind, path, error.orig) from None
    except sqlite3.Error as error:
        raise _named(kind, path, error) from None
    except OSError as error:
        raise kind.unavailable(
            f"the {kind.what} {path} cannot be opened: {error.strerror}", f"ls -ld {path.parent}"
        ) from None


def _prepare(connection: Any, _record: object) -> None:
    # NORMAL: in WAL mode a power cut can lose the last commits, never the file's integrity;
    # FULL keeps them: an administrator who was told "added" finds the extension there.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "trusted_schema=OFF"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    if connection.get_execution_options().get(_WRITE):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _version(kind: Kind, connection: sa.Connection) -> str | None:
    tables = set(sa.inspect(connection).get_table_names())
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise _Foreign(f"is a database, but no {kind.what}; put it aside")
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _migrate(kind: Kind, engine: sa.Engine, path: Path) -> None:
    try:
        with engine.connect() as connection:
            if _version(kind, connection) == kind.head:
                return
        with writing(engine) as connection:
            # Once more: another process may have migrated it while we waited for the lock.
            version = _version(kind, connection)
            if version != kind.head:
                _upgrade(kind, connection, version)
    except _Foreign as error:
        raise kind.foreign(f"{path} {error.what}", error.next_step) from None


def _upgrade(kind: Kind, connection: sa.Connection, version: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    # By package, not by path: a "%" in a path would be taken for an interpolation.
    config.set_main_option("script_location", f"{kind.package}:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise _Foreign(
            f"was written by a newer ringkey: its version is {version}, this one knows up to {kind.head}",
            "python -m pip install --upgrade ringkey",
        )
    command.upgrade(config, "head")


# Primary result codes of SQLite (sqlite.org/rescode.html), what they mean to a person, and what to type.
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_CAUSES = {
    sqlite3.SQLITE_FULL: ("the disk is full", "df -h {}"),
    sqlite3.SQLITE_IOERR: ("the disk does not read or write as it should", "df -h {}"),
    sqlite3.SQLITE_READONLY: ("it is read-only for this user", "ls -la {}"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened by this user", "ls -la {}"),
    sqlite3.SQLITE_PERM: ("it cannot be opened by this user", "ls -la {}"),
}


def _named(kind: Kind, path: Path, error: BaseException | None) -> UserError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY:
        return kind.busy(f"another process is writing to {path}; nothing was changed, try again in a moment")
    if code in _DAMAGED:
        return kind.foreign(f"{path} is damaged, or no {kind.what}; put it aside and bring back a copy of it")
    name = getattr(error, "sqlite_errorname", "it does not answer")
    cause, next_step = _CAUSES.get(code, (name, "ls -la {}"))
    return kind.unavailable(
        f"{kind.what} {path}: {cause}; nothing was changed", next_step.format(path.parent)
    )
