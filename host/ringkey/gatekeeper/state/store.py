"""The state's SQLite file: read once at the start, then written in batches.

Registrations and nonces are a journal, a row a batch (journal.py); the rest has a row for each thing.
Everything here runs in the one thread that opened the file.  The usual batch is one statement, any other a
few, however much it has (statements.py).
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from ras import registrar

from ringkey.database import Kind, open_engine, translated
from ringkey.gatekeeper.errors import StateBusyError, StateForeignError, StateUnavailableError
from ringkey.gatekeeper.state import journal, rows, statements
from ringkey.gatekeeper.state.migrations import HEAD
from ringkey.gatekeeper.state.sealing import BrokenSealError, StateSealer
from ringkey.gatekeeper.state.statements import Execute, delete, put
from ringkey.gatekeeper.state.ticks import Moment
from ringkey.site import files

KIND = Kind(
    "state of the gatekeeper",
    "ringkey.gatekeeper.state",
    HEAD,
    StateUnavailableError,
    StateBusyError,
    StateForeignError,
)
# Seconds to wait for another process that has the file; answers do not wait as long (keeper.py).
PATIENCE = 2.0
# Answers kept for requests that come again after a restart: at 1,000 a second those of 4 s, which is
# when a phone asks for the first time again.  They take 2 MB.
MAX_ANSWERS = 4096
# Nonces read back: as many as a registrar has of each kind.
MAX_NONCES = 2 * registrar.MAX_NONCES
# Registrations of one record where all there are are written: 100 KB.
_OF_A_RECORD = 512
# Records that go with one batch at the most, once nothing of them is wanted: it shall not wait for it.
_GONE_AT_ONCE = 64
_TABLES = ("journal", "registration", "device_key", "nonce", "answer", "failure", "note")
_MOMENT = "moment"
_CACHE = 128  # KiB of pages in memory, in place of 2 MB: those that one batch writes
_LENGTH = 4  # octets that say how long one of several is
Failure = tuple[int, int, int]


@dataclass(slots=True)
class Batch:
    """What is to be written together; None is a row that goes.

    whole: all that there was goes first; all_failures: all of those do.  registrations by extension,
    keys by what names them, notes by name: octets that are sealed here.  nonces: (kind, Re); base: they are
    all there are; answers: octets; failures: key -> (failures, last, until).

    begins, ends: a sweep (sweep.py) begins with this batch, has told everything with this one.
    """

    moment: Moment
    whole: bool = False
    base: bool = False
    begins: bool = False
    ends: bool = False
    all_failures: bool = False
    registrations: dict[str, bytes | None] = field(default_factory=dict, repr=False)
    keys: dict[bytes, bytes | None] = field(default_factory=dict, repr=False)
    nonces: list[tuple[str, bytes]] = field(default_factory=list, repr=False)
    answers: list[bytes] = field(default_factory=list, repr=False)
    failures: dict[str, Failure] = field(default_factory=dict, repr=False)
    notes: dict[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def usual(self) -> bool:
        """Tell whether it is a record and answers, and nothing else."""
        return not (self.whole or self.all_failures or self.keys or self.failures or self.notes)


@dataclass(slots=True)
class Loaded:
    """What the run before has left.  broken: rows that did not open under this key.

    registrations by extension; by identifier those that a version before 0002 has written.  older: there are
    rows of a version before this one, which want to be written anew.
    """

    moment: Moment | None = None
    older: bool = False
    registrations: dict[str, bytes] = field(default_factory=dict, repr=False)
    keys: dict[bytes, bytes] = field(default_factory=dict, repr=False)
    nonces: list[tuple[str, bytes]] = field(default_factory=list, repr=False)
    answers: list[bytes] = field(default_factory=list, repr=False)
    failures: dict[str, Failure] = field(default_factory=dict, repr=False)
    notes: dict[str, bytes] = field(default_factory=dict, repr=False)
    broken: int = 0


class Store:
    """The file at `path`.  Its methods raise StateError.

    octets: of the journal, less what is about to go.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._sealer = StateSealer(key)
        self._engine: sa.Engine | None = None
        # The engine's only one: what SQLAlchemy does with a statement costs more than the statement.
        self._connection: sqlite3.Connection | None = None
        self._answer = 0
        # Numbers of records: of the next, of the oldest, where the sweep began, below which they go.
        self._next = self._oldest = self._swept = self._gone = 0
        self._before = 0  # octets from before the sweep
        self.octets = 0

    def open(self) -> None:
        """Open the file; make it where it is not there."""
        self.close()
        engine = open_engine(KIND, self._path, PATIENCE)
        try:
            with translated(KIND, self._path), engine.connect() as connection:
                # What was sealed in a page that is free now is overwritten when the page is used again.
                connection.exec_driver_sql("PRAGMA secure_delete=FAST")
                # Nothing is read after the start: pages that were written are of no more use in memory.
                connection.exec_driver_sql(f"PRAGMA cache_size=-{_CACHE}")
                found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
                driver = _driver(connection)
                statements.prepare(driver)
            if found != "ok":
                raise StateForeignError(f"{self._path} is damaged: {found}")
        except BaseException:
            engine.dispose()
            raise
        self._engine, self._connection = engine, driver
        self._next = self._oldest = self._swept = self._gone = self.octets = 0

    def load(self) -> Loaded:
        """Return what is in the file."""
        found = Loaded()
        with translated(KIND, self._path), self._opened().connect() as connection:

            def select(statement: str) -> Sequence[Any]:
                return connection.exec_driver_sql(statement).all()

            for name, sealed in select("SELECT name, sealed FROM note"):
                self._open(found, _row("note", name), sealed, partial(found.notes.__setitem__, name))
            if _MOMENT in found.notes:
                with suppress(ValueError):
                    found.moment = Moment.decode(found.notes.pop(_MOMENT))
            for name, sealed in select("SELECT identifier, sealed FROM registration"):
                take = partial(found.registrations.__setitem__, name)
                self._open(found, _row("registration", name), sealed, take)
            found.nonces = [(kind, re) for kind, re in select("SELECT kind, re FROM nonce ORDER BY n")]
            found.older = bool(found.registrations or found.nonces)
            self._read(found, connection.exec_driver_sql("SELECT n, sealed FROM journal ORDER BY n"))
            for name, sealed in select("SELECT name, sealed FROM device_key ORDER BY rowid"):
                self._open(found, _row("key", name), sealed, partial(found.keys.__setitem__, name))
            for n, sealed in select("SELECT n, sealed FROM answer ORDER BY n"):
                together = self._answers(n, sealed)
                found.broken += together is None
                self._answer = n + len(together or ("",))
                found.answers += together or ()
            found.answers = found.answers[-MAX_ANSWERS:]
            for key, failures, last, until in select(
                "SELECT key, failures, last, until FROM failure ORDER BY rowid"
            ):
                found.failures[key] = (failures, last, until)
        if found.moment is None:
            # Times without the time they are of.
            found.broken += len(found.registrations) + len(found.answers) + len(found.failures)
            found.registrations, found.answers, found.failures = {}, [], {}
        return found

    def _answers(self, n: int, sealed: bytes) -> list[bytes] | None:
        """Return the answers of a row, None where it does not open."""
        for name in ("replies", "answers", "answer"):  # 0004 on, 0002, 0001 with one in each row
            with suppress(BrokenSealError):
                plain = self._sealer.open(_row(name, str(n)), sealed)
                if name == "replies":
                    return split(plain)
                return [rows.reply_of(one) for one in (split(plain) if name == "answers" else [plain])]
        return None

    def _read(self, found: Loaded, records: Iterable[Any]) -> None:
        """Read the journal.

        A record that does not open, or is not there, may have said that a registration has ended: of
        those before it none is taken for what it says, and what was said after it counts.
        """
        wanted = None
        for n, sealed in records:
            if wanted is None:
                self._oldest = n
            elif n != wanted:
                found.broken += 1 + len(found.registrations)
                found.registrations.clear()
            wanted = self._next = n + 1
            self.octets += len(sealed)
            try:
                record = journal.unpack(self._sealer.open(_row("journal", str(n)), sealed))
            except (BrokenSealError, ValueError):
                found.broken += 1 + len(found.registrations)
                found.registrations.clear()
                continue
            found.moment = record.moment
            for ext, octets in record.registrations.items():
                # The one that was told last is the last one: the order is that of its age.
                found.registrations.pop(ext, None)
                if octets is not None:
                    found.registrations[ext] = octets
            if record.base:
                found.nonces.clear()
            found.nonces += record.nonces
            if len(found.nonces) > 2 * MAX_NONCES:
                del found.nonces[:-MAX_NONCES]
        del found.nonces[:-MAX_NONCES]

    def apply(self, batch: Batch) -> None:
        """Write a batch, all of it or nothing; it is on the disk when this returns."""
        seal = self._sealer.seal
        first = self._next
        records = [
            (n, seal(_row("journal", str(n)), plain)) for n, plain in enumerate(_records(batch), first)
        ]
        # One seal and one row for all of them: none is wanted without the others.
        n, count = self._answer, len(batch.answers)
        replies = seal(_row("replies", str(n)), join(batch.answers)) if count else None
        swept = first if batch.begins else self._swept
        gone = swept if batch.ends else self._gone
        oldest = first if batch.whole else max(self._oldest, min(gone, self._oldest + _GONE_AT_ONCE))
        # The oldest first: what a record says goes before what a later one says of the same.
        below = oldest if oldest > self._oldest and not batch.whole else None
        row = (*records[-1], below, n, replies, n + count - MAX_ANSWERS)
        connection = self._connection
        if connection is None:
            raise self._closed()
        with translated(KIND, self._path):
            if batch.usual:
                statements.write(connection, row)
            else:
                with statements.transaction(connection) as execute:
                    self._write_others(execute, batch, records[:-1])
                    statements.write(connection, row)
        self._answer += count
        if batch.whole:
            self.octets = 0
        elif batch.begins:
            self._before = self.octets
        self.octets += sum(len(sealed) for _, sealed in records) - (self._before if batch.ends else 0)
        self._next = first + len(records)
        self._swept, self._gone, self._oldest = swept, gone, oldest

    def _write_others(self, execute: Execute, batch: Batch, records: list[tuple[int, bytes]]) -> None:
        """Write what few batches have."""
        seal = self._sealer.seal
        if batch.whole:
            for table in _TABLES:
                execute(f"DELETE FROM {table}")  # noqa: S608 - names of ours
        elif batch.all_failures:
            execute("DELETE FROM failure")
        put(execute, "journal", "n, sealed", records)
        delete(execute, "device_key", "name", [name for name, plain in batch.keys.items() if plain is None])
        keys = [
            (name, seal(_row("key", name), plain)) for name, plain in batch.keys.items() if plain is not None
        ]
        put(execute, "device_key", "name, sealed", keys)
        failures = [(key, *entry) for key, entry in batch.failures.items()]
        put(execute, "failure", "key, failures, last, until", failures)
        notes = [(name, seal(_row("note", name), plain)) for name, plain in batch.notes.items()]
        put(execute, "note", "name, sealed", notes)

    def close(self) -> None:
        """Close the file; safe at any time, and twice."""
        engine, self._engine, self._connection = self._engine, None, None
        if engine is not None:
            engine.dispose()

    def discard(self) -> bool:
        """Remove the file: what it says is not true any more.  Return whether it is gone."""
        with suppress(sa.exc.SQLAlchemyError):
            self.close()
        for name in _names(self._path):
            with suppress(OSError):
                name.unlink()
        with suppress(OSError):
            files.sync_directory(self._path.parent)
        return not self._path.exists()

    def set_aside(self) -> Path:
        """Give the file another name, for whoever wants to find out what happened to it; return that."""
        self.close()
        aside = self._path.with_name(f"{self._path.name}.damaged")
        for old, new in zip(_names(self._path), _names(aside), strict=True):
            with suppress(FileNotFoundError):
                new.unlink()
            with suppress(FileNotFoundError):
                old.rename(new)
        return aside

    def _opened(self) -> sa.Engine:
        if self._engine is None:
            raise self._closed()
        return self._engine

    def _closed(self) -> StateUnavailableError:
        return StateUnavailableError(f"the {KIND.what} {self._path} is closed")

    def _open(self, found: Loaded, row: bytes, sealed: bytes, take: Callable[[bytes], None]) -> None:
        try:
            take(self._sealer.open(row, sealed))
        except BrokenSealError:
            found.broken += 1


def _row(table: str, name: str | bytes) -> bytes:
    return table.encode() + b":" + (name if isinstance(name, bytes) else name.encode())


def _names(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + end) for end in ("", "-wal", "-shm"))


def _records(batch: Batch) -> list[bytes]:
    """Return the records of a batch: one, but where all there is is written."""
    if not batch.whole:
        return [journal.pack(batch.moment, batch.registrations, batch.nonces, base=batch.base)]
    records = [journal.pack(batch.moment, {}, batch.nonces, base=True)]
    there = iter(batch.registrations.items())
    while part := dict(islice(there, _OF_A_RECORD)):
        records.append(journal.pack(batch.moment, part, ()))
    return records


def join(parts: list[bytes]) -> bytes:
    """Return octets that `split` takes apart again."""
    return b"".join([len(part).to_bytes(_LENGTH, "big") + part for part in parts])


def split(octets: bytes) -> list[bytes]:
    """Return what was joined."""
    parts, at = [], 0
    while at < len(octets):
        begin = at + _LENGTH
        at = begin + int.from_bytes(octets[at:begin], "big")
        parts.append(octets[begin:at])
    return parts


def _driver(connection: sa.Connection) -> sqlite3.Connection:
    found = connection.connection.driver_connection
    if not isinstance(found, sqlite3.Connection):
        raise TypeError("no SQLite")
    return found
