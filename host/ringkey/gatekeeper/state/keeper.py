"""Keeps registrations, throttle, keys and what was answered on disk, in batches (docs/gatekeeper-state.md).

The event loop collects, one thread writes.  While a batch is written the next one collects; what
tells a phone that something was done waits for the batch that has it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from ras.registrar import Registrar

from ringkey import log
from ringkey.errors import UserError
from ringkey.gatekeeper.answers import Found, Status
from ringkey.gatekeeper.errors import StateForeignError
from ringkey.gatekeeper.state import restore, rows, ticks
from ringkey.gatekeeper.state.collector import Collector
from ringkey.gatekeeper.state.noticed import Noticed
from ringkey.gatekeeper.state.restore import Keys, Left, Usable
from ringkey.gatekeeper.state.store import Loaded, Store
from ringkey.gatekeeper.state.sweep import Sweep
from ringkey.gatekeeper.state.waiting import Waiting

# Seconds that a batch collects, unless FULL registrations have changed before.  A phone that comes
# alone waits this long for its RCF; each commit is one fsync, some milliseconds of a flash card
# and some of its life.
LINGER = 0.025
FULL = 32
# Seconds for which an answer waits for a disk that is slow, at most: a phone asks again after 2.
HOLD = 1.0
# And an administrator, who can wait longer than a phone.
SETTLE = 5.0
# Seconds until failures that were counted are written.
TICK = 1.0
# Seconds between two marks of the clocks: a clock that was set before that has no say in a life.
MARK = 30.0
# Seconds until a file that could not be written is tried anew.
RETRY = 5.0


class State:
    """The state at `path`, sealed under the PIN key's octets `key`.

    `start`, `keys`, `put_back`, and all is kept from then on until `stop`.  Nothing here raises for a
    file that cannot be read or written: the gatekeeper goes on in memory, and says so.  trouble: why
    nothing is kept now, else ""; commits: batches written.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._store = Store(path, key)
        self._thread = ThreadPoolExecutor(1, "state")
        self._log = log.get("ringkey.gatekeeper.state")
        self._loaded = Loaded()
        self._shift = 0
        # What it hears of events, and what answers wait for.
        self.noticed = Noticed(self._arm, lambda: Waiting(asyncio.get_running_loop(), HOLD))
        self._marked = 0
        self._linger: asyncio.TimerHandle | None = None
        self._soon = False
        self._counts_due = False
        self._writing: asyncio.Task[None] | None = None
        self._ticking: asyncio.Task[None] | None = None
        self.trouble = ""
        self.commits = 0

    def __repr__(self) -> str:
        return f"State({self._path})"

    # Start and stop

    async def start(self) -> None:
        """Open the file and read what the run before has left."""
        loop = asyncio.get_running_loop()
        try:
            self._loaded = await loop.run_in_executor(self._thread, self._open)
            self.noticed.on_disk = True
        except Exception as error:
            self._fail(error)
            await loop.run_in_executor(self._thread, self._discard)
        self._shift = ticks.shift_after(self._loaded.moment, ticks.moment())

    def keys(self) -> Keys:
        """Return the keys and statuses that the run before has left."""
        return restore.keys(self._loaded)

    def put_back(self, registrar: Registrar, usable: Usable, keys: Callable[[], Keys]) -> Left:
        """Put what was left into a new registrar, and keep what it does from now on.

        usable: returns those registrations that may go on; keys: tells all there is of keys, at any time.
        """
        loaded, self._loaded = self._loaded, Loaded()
        left, gone = restore.restore(loaded, ticks.moment(self._shift), registrar, usable)
        self.noticed.collector = Collector(registrar, keys, set(loaded.failures))
        rows = self.noticed.collector.registrations
        rows.update({name: registrar.registration(name) for name in gone})
        rows.update({one.ext: one for one in registrar.held() if one.ext not in loaded.registrations})
        self._ticking = asyncio.create_task(self._tick(), name="state")
        if left.broken:
            # They go for good: a PIN key that is put back later must not bring them back.
            self._log.warning("state_partly_unreadable", rows=left.broken, path=str(self._path))
        if left.broken or loaded.older or Sweep.overdue(self._store.octets, registrar.count()):
            self._write(whole=True)
        else:
            self._arm()
        self._log.info("state_read", **left.counts())
        return left

    async def stop(self) -> None:
        """Write what there is, and close the file."""
        if self._ticking is not None:
            self._ticking.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticking
        while self._writing is not None:
            await asyncio.wait([self._writing])
        if self.noticed.on_disk and self.noticed.collector is not None:
            self._counts_due = True
            self._write()
            if self._writing is not None:
                await asyncio.wait([self._writing])
        self.noticed.on_disk = False
        if self._linger is not None:
            self._linger.cancel()
        if self.noticed.waiting is not None:
            self.noticed.waiting.release()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
        self._thread.shutdown()

    # What is to be kept

    def keep_key(self, key: rows.Key, found: Found | None) -> None:
        """Keep a device key; None: forget it."""
        if self.noticed.collector is not None:
            self.noticed.collector.key(key, found)
            self._arm()

    def keep_statuses(self, statuses: dict[str, Status]) -> None:
        """Keep what the key servers said last."""
        if self.noticed.collector is not None:
            self.noticed.collector.statuses(statuses)
            self._arm()

    async def settled(self) -> None:
        """Wait until the changes so far are on the disk, but not for longer than SETTLE."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE):
                if self._writing is not None:
                    await asyncio.wait([self._writing])
                self._write()  # or the next one is being written already, and has them
                if self._writing is not None:
                    await asyncio.wait([self._writing])

    # Batches

    def _arm(self) -> None:
        """See to it that what there is will be written."""
        if self.noticed.collector is None:
            return
        if not self.noticed.on_disk:
            self.noticed.collector.forget()
        elif self._writing is None:
            if len(self.noticed.collector.registrations) >= FULL:
                # Not at once: the answers to this one are still to come.
                if not self._soon:
                    self._soon = True
                    asyncio.get_running_loop().call_soon(self._write)
            elif self._linger is None:
                self._linger = asyncio.get_running_loop().call_later(LINGER, self._write)

    def _write(self, *, whole: bool = False) -> None:
        """Begin to write a batch, unless one is being written."""
        self._soon = False
        if self.noticed.collector is None or self._writing is not None or not self.noticed.on_disk:
            return
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        now = ticks.moment(self._shift)
        self._marked = now.mono
        counts, self._counts_due = self._counts_due, False
        batch = self.noticed.collector.batch(now, whole=whole, failures=counts, octets=self._store.octets)
        waiting, self.noticed.waiting = self.noticed.waiting, None
        self.noticed.writing = True
        self._writing = asyncio.create_task(
            self._written(partial(self._store.apply, batch), waiting), name="state batch"
        )

    async def _written(self, work: Callable[[], None], waiting: Waiting | None) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except Exception as error:
            self._fail(error)
            await asyncio.get_running_loop().run_in_executor(self._thread, self._discard)
        else:
            self.commits += 1
            if self.trouble:
                self._log.warning("state_kept_again", path=str(self._path))
                self.trouble = ""
        finally:
            self._writing = None
            self.noticed.writing = False
            if waiting is not None:
                waiting.release()
        if not self.noticed.on_disk and self.noticed.waiting is not None:
            # Of answers that came while a file was still there that does not know what they say.
            waiting, self.noticed.waiting = self.noticed.waiting, None
            waiting.release()
        collector = self.noticed.collector
        if collector is not None and (collector.pending or self.noticed.waiting is not None):
            self._arm()

    async def _tick(self) -> None:
        """Write what can wait a second; try anew where nothing could be written."""
        again = 0.0
        while True:
            await asyncio.sleep(TICK)
            if self.noticed.collector is None:
                continue
            if self.noticed.on_disk:
                again = 0.0
                if self.noticed.collector.counted or ticks.moment().mono - self._marked >= 1000 * MARK:
                    # With the next batch where one is being written, however many follow each other.
                    self._counts_due = True
                    self._write()
                continue
            self.noticed.collector.forget()
            again += TICK
            if again >= RETRY and self._writing is None:
                again = 0.0
                await self._try_again()

    # Trouble

    async def _try_again(self) -> None:
        """Open the file once more, and write all there is."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        except Exception as error:
            self._fail(error)
        else:
            self.noticed.on_disk = True
            self._write(whole=True)

    def _open(self) -> Loaded:
        """Open and read the file; one that cannot be read is set aside.  In the thread."""
        try:
            self._store.open()
            return self._store.load()
        except StateForeignError as error:
            aside = self._store.set_aside()
            self._log.error(
                "state_set_aside",
                reason=error.what,
                aside=str(aside),
                effect="what was kept is lost: phones register again, as after the first start",
            )
            self._store.open()
            return Loaded()

    def _discard(self) -> None:
        """Remove a file that says no longer what is so: it could bring ended registrations back."""
        if not self._store.discard():
            self._log.error(
                "state_not_removed",
                path=str(self._path),
                effect="a restart brings back registrations that have ended since",
                next_step=f"rm {self._path}*",
            )

    def _fail(self, error: Exception) -> None:
        """Go on in memory."""
        self.noticed.on_disk = False
        if self.noticed.collector is not None:
            self.noticed.collector.forget()
        # Of a bug of ours: its text may hold anything, its type does not.
        reason = error.what if isinstance(error, UserError) else type(error).__name__
        if reason != self.trouble:
            self._log.error(
                "state_not_kept",
                reason=reason,
                next_step=error.next_step if isinstance(error, UserError) else None,
                effect="the gatekeeper goes on in memory: after a restart every phone registers again",
            )
        self.trouble = reason
