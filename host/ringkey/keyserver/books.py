"""The audit trail and the register made from it, opened together and written together.

The trail is what counts.  The register is taken in from it at a start: the rest of it after a
crash, all of it where the register was lost, damaged, or is another one's.  Belongs to one thread.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from ringkey import log
from ringkey.database import translated, writing
from ringkey.errors import UserError
from ringkey.keyserver import register
from ringkey.keyserver.register import KIND, ForeignRegister, Mark
from ringkey.keyserver.trail import FIRST, Line, Place, Prepared, Trail, TrailError, check, pieces, read
from ringkey.site import files

# Seconds that a write waits for another process that holds the register.
PATIENCE = 1.0
# Lines taken in at a time when the register is made from the trail.
_REPLAY = 5000

_T = TypeVar("_T")
Plan = Callable[[sa.Connection], Line]
"""Looks at the register and returns the entry to write: {"what": …, …}; may raise UserError."""

_log = log.get("ringkey.keyserver.books")


class Unrecorded(UserError):
    """It could not be put on record, and so was not done."""


class Books:
    """Both files.  audit, path: of trail and register; mark: how far the register has the trail."""

    def __init__(self, audit: Path, path: Path, clock: Callable[[], float]) -> None:
        self.mark = Mark(0, FIRST, 0.0, Place(1, 0), "", "[]")
        self._audit = audit
        self._path = path
        self._clock = clock
        self._trail = Trail(audit)
        self._engine: sa.Engine | None = None
        self._behind = False
        self._lock = -1

    def open(self) -> list[Line]:
        """Open both, and bring the register up to the trail; returns what is to be noted about it.

        Raises UserError: another process has them, the trail is damaged or unreadable.
        """
        self._lock = hold(self._audit)
        try:
            self._trail.open()
            self._engine = self._open_register()
            self.mark = self.ask(register.read_mark)
            if not self._continues():
                _log.warning("register_made_anew", file=str(self._path), because="it is another trail's")
                with self._writing() as connection:
                    register.forget(connection)
                    self.mark = register.read_mark(connection)
            self._catch_up(self._missing())
            if self.mark.n > self._trail.n:
                self._note_gap()
        except OSError as error:
            raise Unrecorded(
                f"the audit trail {self._audit} cannot be opened: {error.strerror}",
                f"ls -la {self._audit.parent}",
            ) from None
        if not self._trail.healed:
            return []
        _log.warning("audit_trail_healed", octets=self._trail.healed)
        return [{"what": "healed", "octets": self._trail.healed}]

    def close(self) -> None:
        """Let go of both; safe to call twice."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        self._trail.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def ask(self, question: Callable[[sa.Connection], _T]) -> _T:
        """Return what `question` reads from the register; raises UserError."""
        with translated(KIND, self._path), self._open_engine().connect() as connection:
            return question(connection)

    def commit(self, plans: list[Plan], more: list[Line]) -> "tuple[list[Line | UserError], list[Line]]":
        """Write one entry for each plan, then `more`; all of them or none.

        Returns the line of each plan, or the UserError with which it refused, and all lines.
        Raises UserError, and then nothing was written.
        """
        if self._behind:
            self._catch_up(self._missing())
        made: list[Line | UserError] = []
        mark = self.mark
        with self._writing() as connection:
            for plan in plans:
                try:
                    made.append(plan(connection))
                except UserError as error:
                    made.append(error)
            entries = [entry for entry in made if not isinstance(entry, UserError)]
            prepared = self._trail.prepare([*entries, *more], self._clock())
            if prepared.lines:
                mark = register.apply(connection, prepared.lines, mark, self._trail.place)
                self._write(prepared)
                self._behind = True  # until the register has it too
                mark = replace(mark, place=self._trail.place)
                register.write_mark(connection, mark)
        self._behind = False
        self.mark = mark
        following = iter(prepared.lines)
        return [one if isinstance(one, UserError) else next(following) for one in made], prepared.lines

    def _write(self, prepared: Prepared) -> None:
        try:
            self._trail.write(prepared)
        except OSError as error:
            raise Unrecorded(
                f"the audit trail {self._audit} cannot be written: {error.strerror}",
                f"df -h {self._audit.parent}",
            ) from None

    def _open_engine(self) -> sa.Engine:
        if self._engine is None:
            raise Unrecorded("the record is closed")
        return self._engine

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with translated(KIND, self._path), writing(self._open_engine()) as connection:
            yield connection

    def _open_register(self) -> sa.Engine:
        try:
            return register.open_register(self._path, PATIENCE)
        except ForeignRegister as error:
            if error.next_step is not None:
                raise  # of a newer ringkey: nothing is wrong with it
            aside = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}.damaged")
            for suffix in ("", "-wal", "-shm"):
                name = self._path.with_name(self._path.name + suffix)
                if name.exists():
                    name.rename(aside.with_name(aside.name + suffix))
            _log.warning("register_made_anew", because=error.what, aside=str(aside))
            return register.open_register(self._path, PATIENCE)

    def _continues(self) -> bool:
        """Tell whether the trail goes on from where the register has taken it in."""
        mark = self.mark
        if mark.n > self._trail.n or mark.n == 0:
            return True
        if mark.n == self._trail.n:
            return mark.hash == self._trail.head
        try:
            following = next(read(self._audit, mark.place), None)
        except OSError:
            return False
        line = None if following is None else check(following[1])
        return line is not None and line["prev"] == mark.hash

    def _missing(self) -> Iterator[Line]:
        """Yield the trail's lines that the register has not taken in."""
        if self.mark.n >= self._trail.n:
            return
        for where, raw in read(self._audit, self.mark.place):
            line = check(raw)
            if line is None:
                raise TrailError(f"{self._audit.parent}/{where}: changed or damaged", "ringkey audit verify")
            yield line

    def _catch_up(self, lines: Iterator[Line]) -> None:
        waiting: list[Line] = []
        more = True
        while more:
            line = next(lines, None)
            more = line is not None
            if line is not None:
                waiting.append(line)
            if waiting and (not more or len(waiting) >= _REPLAY):
                with self._writing() as connection:
                    self.mark = register.apply(connection, waiting, self.mark, self._trail.place)
                waiting = []
        self._behind = False

    def _note_gap(self) -> None:
        """Say on the trail that it lacks lines: one brought back alone, or its end cut off."""
        entry = {"what": "gap", "first": self._trail.n + 1, "last": self.mark.n, "was": self.mark.hash}
        # Their numbers are not used again.
        prepared = self._trail.prepare([entry], self._clock(), (self.mark.n, self._trail.head))
        self._trail.write(prepared)
        self._catch_up(iter(prepared.lines))
        _log.warning("audit_trail_gap", first=entry["first"], last=entry["last"], file=str(self._audit))


def renew(audit: Path, register_file: Path) -> list[Path]:
    """Begin another trail where the one that is there is damaged; returns where that was put.

    It begins with the number and the hash that the register has last.  Raises UserError.
    """
    lock = hold(audit)
    trail = Trail(audit)
    engine = register.open_register(register_file, PATIENCE)
    try:
        tag = secrets.token_hex(4)
        aside = []
        for name in [*pieces(audit), *([audit] if audit.exists() else [])]:
            aside.append(name.with_name(f"{name.name}.{tag}.old"))
            name.rename(aside[-1])
        trail.open()
        with translated(KIND, register_file), writing(engine) as connection:
            mark = register.read_mark(connection)
            prepared = trail.prepare([{"what": "begun"}], time.time(), (mark.n, mark.hash))
            trail.write(prepared)
            register.apply(connection, prepared.lines, mark, trail.place)
    except OSError as error:
        raise Unrecorded(f"{audit}: {error.strerror}", f"ls -la {audit.parent}") from None
    finally:
        engine.dispose()
        trail.close()
        os.close(lock)
    return aside


def hold(audit: Path) -> int:
    """Lock the record for this process; raises UserError where another has it."""
    try:
        return files.lock_beside(audit)
    except BlockingIOError:
        raise Unrecorded(f"another process is writing to {audit}", "ringkey status") from None
    except OSError as error:
        raise Unrecorded(f"{audit}.lock: {error.strerror}", f"ls -la {audit.parent}") from None
