"""The key server's record: the audit trail and the register made from it, written by one thread.

What waits together is written together: one transaction of the register, one fsync of the trail,
for all of it (group commit).  Only when both have it is whoever waits told so; where either cannot
be written, nothing of the group is on record and nothing of it is issued.

Opening them, and what is written how: books.py.
"""

import asyncio
import json
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from ringkey import log
from ringkey.errors import UserError
from ringkey.keyserver import register
from ringkey.keyserver.books import Books, Plan, Unrecorded
from ringkey.keyserver.trail import Line

# What is written in one go: 100 KiB of lines, a tenth of a second on a Raspberry Pi.
MAX_GROUP = 256
# What may wait: two seconds' worth of a busy key server; who comes later is told to come again.
MAX_WAITING = 4096
# Seconds that the clock may be behind the latest line: what time servers correct at a start.
# Further back, lines and overlaps would be wrong, and certificates not valid yet.
CLOCK_BACK = 3600.0
# Lines a second about requests that were refused: whoever asks nonsense shall not fill the disk.
MAX_REFUSALS = 50

_T = TypeVar("_T")

_log = log.get("ringkey.keyserver.ledger")


@dataclass(slots=True)
class _Item:
    """An entry, a plan that makes one, or (read) a question to the register."""

    make: Callable[[sa.Connection], Any]
    done: "Future[Any] | None" = field(default=None, repr=False)
    question: bool = False
    anyway: bool = False  # even with the clock set back


class Ledger:
    """The record.  Between `start()` and `stop()` one thread owns both files.

    audit, register: their paths; clock: seconds since 1970.  revoked: every g that is; stream: name
    of this history; on_change: called in that thread after a change is on record.
    """

    def __init__(self, audit: Path, register_file: Path, clock: Callable[[], float] = time.time) -> None:
        self.revoked: set[bytes] = set()
        self.on_change: Callable[[], None] = lambda: None
        self._audit = audit
        self._clock = clock
        self._books = Books(audit, register_file, clock)
        self._queue: queue.Queue[_Item | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._refusals: tuple[int, int] = (0, 0)
        self._left_out = 0
        self._failing = ""

    def __repr__(self) -> str:
        return f"Ledger({self._audit.name}, {self._books.mark.n} lines)"

    # -- from any thread

    def start(self) -> None:
        """Open the record and begin to write; raises UserError, and then nothing is left open."""
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="ledger", daemon=True)
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            self._thread.join()
            self._thread = None
            raise

    def stop(self) -> None:
        """Write what waits and close; safe to call twice."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    @property
    def lines(self) -> int:
        """How many lines the trail has."""
        return self._books.mark.n

    @property
    def head(self) -> str:
        """The hash of the trail's last line."""
        return self._books.mark.hash

    @property
    def stream(self) -> str:
        """The name of this register's history."""
        return self._books.mark.stream

    @property
    def generations(self) -> list[int]:
        """The numbers of the generations that the trail has said last."""
        found: list[int] = json.loads(self._books.mark.generations)
        return found

    def now(self) -> float:
        """Return the time, never before the latest line's: an overlap that has ended has ended."""
        return max(self._clock(), self._books.mark.time)

    @property
    def trouble(self) -> str | None:
        """Why nothing can be put on record at the moment, as far as is known, or None."""
        return self._failing or self.clock_trouble

    def write(self, entry: "Line | Plan", *, anyway: bool = False) -> "Future[Line]":
        """Put an entry on record; the future has its line, or raises Unrecorded.

        anyway: even where the clock is set back.
        """
        make = entry if callable(entry) else lambda _connection: entry
        return self._put(_Item(make, Future(), anyway=anyway))

    async def record(self, entry: "Line | Plan") -> Line:
        """Put an entry on record, and return its line when it is there; raises Unrecorded."""
        return await asyncio.wrap_future(self.write(entry))

    def ask(self, question: "Callable[[sa.Connection], _T]") -> "Future[_T]":
        """Read from the register."""
        return self._put(_Item(question, Future(), question=True))

    def note(self, what: str, **fields: object) -> None:
        """Put something on record that nobody waits for; while that fails, it is only counted."""
        if self._queue.qsize() >= MAX_WAITING:
            self._left_out += 1
            return
        self._queue.put(_Item(lambda _connection: {"what": what, **fields}, anyway=True))

    def refusal(self, what: str, **fields: object) -> None:
        """Note a refusal, as long as there are not too many a second."""
        second = int(time.monotonic())
        counted = self._refusals[1] + 1 if self._refusals[0] == second else 1
        self._refusals = (second, counted)
        if counted > MAX_REFUSALS:
            self._left_out += 1
        else:
            self.note(what, **fields)

    def _put(self, item: _Item) -> "Future[Any]":
        done: Future[Any] = item.done or Future()
        if self._thread is None or self._queue.qsize() >= MAX_WAITING:
            done.set_exception(Unrecorded("too much waits to be put on record; try again in a moment"))
        else:
            self._queue.put(item)
        return done

    @property
    def clock_trouble(self) -> str | None:
        """Why the clock is not to be believed, or None."""
        behind = self._books.mark.time - self._clock()
        if behind <= CLOCK_BACK:
            return None
        return f"the clock is set back: it is {behind / 3600:.0f} hours behind what is on record already"

    # -- in the thread

    def _run(self, opened: "Future[None]") -> None:
        try:
            self._open()
        except BaseException as error:
            self._close()
            opened.set_exception(error)
            return
        opened.set_result(None)
        try:
            while self._serve():
                pass
        finally:
            self._close()

    def _serve(self) -> bool:
        """Write the next group; False when it was the last."""
        first = self._queue.get()
        group: list[_Item] = []
        item: _Item | None = first
        while item is not None:
            group.append(item)
            if len(group) >= MAX_GROUP:
                break
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
        if group:
            try:
                self._write(group)
            except Exception as error:
                # A bug of ours must not end the record for good.
                _log.exception("ledger_failed")
                self._refuse(group, f"an error of the key server's own ({type(error).__name__})")
        return item is not None

    def _write(self, group: list[_Item]) -> None:
        # Whoever has gone before it was written gets nothing; after that nobody can take it back.
        group = [i for i in group if i.done is None or i.done.set_running_or_notify_cancel()]
        for item in [i for i in group if i.question]:
            self._answer(item)
        group = [i for i in group if not i.question]
        trouble = self.clock_trouble
        if trouble is not None:
            refused = [i for i in group if not i.anyway]
            self._refuse(refused, trouble, "ringkey audit accept-clock")
            group = [i for i in group if i.anyway]
        if not group:
            return
        try:
            lines = self._commit(group)
        except UserError as error:
            self._fail(group, error.what, error.next_step)
        except (OSError, sa.exc.SQLAlchemyError) as error:
            self._fail(group, getattr(error, "strerror", None) or type(error).__name__)
        else:
            if any(line["what"] in register.CHANGES for line in lines):
                self.on_change()

    def _commit(self, group: list[_Item]) -> list[Line]:
        left_out = self._left_out
        more: list[Line] = [{"what": "left-out", "lines": left_out}] if left_out else []
        made, lines = self._books.commit([item.make for item in group], more)
        self._left_out -= left_out
        if any(line["what"] == "revoked" for line in lines):
            self.revoked = self._books.ask(register.all_revoked)
        if self._failing:
            _log.info("on_record_again")
            self._failing = ""
        for item, found in zip(group, made, strict=True):
            if item.done is None:
                continue
            if isinstance(found, UserError):
                item.done.set_exception(found)
            else:
                item.done.set_result(found)
        return lines

    def _answer(self, item: _Item) -> None:
        if item.done is None:
            return
        try:
            item.done.set_result(self._books.ask(item.make))
        except Exception as error:
            item.done.set_exception(error)

    def _fail(self, group: list[_Item], why: str, next_step: str | None = None) -> None:
        if self._failing != why:
            _log.error("not_on_record", reason=why, next_step=next_step)
        self._failing = why
        self._refuse(group, why, next_step)

    def _refuse(self, group: list[_Item], why: str, next_step: str | None = None) -> None:
        for item in group:
            if item.done is None:
                self._left_out += 1
            elif not item.done.done():
                item.done.set_exception(
                    Unrecorded(f"it cannot be put on record, and so is not done: {why}", next_step)
                )

    # -- opening and closing

    def _open(self) -> None:
        found = self._books.open()
        self.revoked = self._books.ask(register.all_revoked)
        for entry in found:
            self.note(**entry)

    def _close(self) -> None:
        while True:
            try:
                left = self._queue.get_nowait()
            except queue.Empty:
                break
            if left is not None:
                self._refuse([left], "the key server stops")
        self._books.close()
