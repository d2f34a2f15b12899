"""The counter of g on disk: no value is ever handed out twice, whatever happens to this process.

Values are reserved in blocks: the file says where the block ends before the first value of it is
handed out.  After a crash the rest of the block is lost, which costs nothing in 2^47 values; a
clean stop writes the exact value.

A file that was brought back from a back-up, or came with a copied or cloned disk, would count over
values that are already out.  So counting goes on only where continuity.py proves that the file
is the one this machine wrote last; everywhere else a new range begins at a new random start.  A
lost or damaged file is never replaced unasked.

Each range belongs to one generation of Km, so that an old g still tells its own.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ras.generator import COUNTER_END, COUNTER_START_END

from ringkey import log
from ringkey.errors import UserError
from ringkey.keyserver import continuity
from ringkey.site import files

# Values a crash may lose, and keys issued for each write to disk (some 5 ms on an SD card).
BLOCK = 256
# Ranges that one file remembers: one for each reboot, crash or restore after which keys were
# issued, and for each generation.  More only means that phones of the oldest range fetch
# new keys once.
MAX_RANGES = 1024
# Values kept free between two ranges: more than a key server issues in its life, at 30 a second
# for four years.
CLEARANCE = 1 << 32
VERSION = 2

Random = Callable[[int], int]
"""random(n): a whole number of at least 0 and below n that nobody can predict."""

_log = log.get("ringkey.keyserver.counter")


@dataclass(slots=True)
class _Range:
    """Values from start on, of one generation; `end` is the first one that is not reserved."""

    start: int
    end: int
    generation: int = 1


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep every key server from starting meanwhile; raises UserError where one is running."""
    lock = _lock(path)
    try:
        yield
    finally:
        os.close(lock)


def latest(path: Path) -> tuple[int, bool]:
    """Return the last generation that the counter file knows, and whether a key was ever issued.

    Raises UserError for one that is lost or damaged.
    """
    if not path.exists():
        raise _lost(path)
    ranges = _parse(path, files.read_secret(path, "the counter file"))[2]
    return max(r.generation for r in ranges), any(r.end > r.start for r in ranges)


def create(path: Path, server_id: bytes, random: Random = secrets.randbelow) -> None:
    """Write a first counter file, its start random in the lower half of the range.

    Raises UserError where there is one already, or where a service is using it.
    """
    lock = _lock(path)
    try:
        if path.exists():
            raise UserError(
                f"{path} is there already; a second counter could issue a g again", "ringkey status"
            )
        _write(path, server_id, [_new_range([], 1, random)])
    finally:
        os.close(lock)


class Counter:
    """The counter, held by one process until `close()`.

    Opening it raises UserError: held by another process, lost, damaged, or open to others.
    """

    def __init__(self, path: Path, server_id: bytes, random: Random = secrets.randbelow) -> None:
        self._path = path
        self._server_id = server_id
        self._random = random
        self._lock = _lock(path)
        self._old: list[_Range] = []
        self._current: _Range | None = None
        self._next = 0
        try:
            self._open()
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self) -> None:
        if not self._path.exists():
            raise _lost(self._path)
        files.sweep(self._path)
        owner, nonce, ranges = _parse(self._path, files.read_secret(self._path, "the counter file"))
        proven = continuity.claim(self._path, nonce)
        if owner != self._server_id:
            # What was issued under the old id is no longer this server's to judge.
            _log.warning(
                "counter_of_other_server",
                file=str(self._path),
                was=owner.hex(),
                now=self._server_id.hex(),
            )
        elif proven:
            *self._old, self._current = ranges
            self._next = self._current.end
        else:
            self._old = ranges
            if not any(r.end > r.start for r in ranges):
                return  # none of it is out: nothing to say
            _log.info(
                "counter_range_begins",
                file=str(self._path),
                because="this machine does not remember having written the file: it was rebooted, or the "
                "file was restored, copied, or just being written in a crash",
            )

    def __repr__(self) -> str:
        return f"Counter({self._path.name})"

    @property
    def issued(self) -> int:
        """How many values are out, at most: crashes count for the rest of their block."""
        current = 0 if self._current is None else self._next - self._current.start
        return sum(r.end - r.start for r in self._old) + current

    def take(self, generation: int = 1) -> int:
        """Return the next value, which will never be returned again.

        generation: the one of Km that it is for.  Raises OSError where the file cannot be written
        (nothing was issued then, and the next call tries again), UserError where the values
        are used up.
        """
        if self._lock < 0:
            raise RuntimeError("the counter is closed")
        current = self._current
        if current is None or current.generation != generation:
            current = self._begin(generation)
        elif self._next >= current.end:
            self._reserve(current)
        value = self._next
        self._next += 1
        return value

    def generation_of(self, value: int) -> int | None:
        """Return the generation that `value` was issued for, None where it is not out.

        Exact for this process and for those that stopped cleanly; values that a crash may have
        taken with it count as issued, since some of them may be out.
        """
        current = self._current
        if current is not None and current.start <= value < self._next:
            return current.generation
        return next((r.generation for r in self._old if r.start <= value < r.end), None)

    def close(self) -> None:
        """Write the exact value and let go of the file; safe to call twice."""
        if self._lock < 0:
            return
        try:
            current = self._current
            if current is not None:
                exact = _Range(current.start, self._next, current.generation)
                _write(self._path, self._server_id, [*self._old, exact])
        except OSError as e:
            # The file still says more than is out: values are lost, none is at risk.
            _log.warning("counter_not_written_at_stop", file=str(self._path), error=e.strerror)
        finally:
            os.close(self._lock)
            self._lock = -1

    def _begin(self, generation: int) -> _Range:
        """Begin a new range, its first block reserved; raises OSError."""
        old = self._old
        if self._current is not None and self._next > self._current.start:
            old = [*old, _Range(self._current.start, self._next, self._current.generation)]
        old = old[-(MAX_RANGES - 1) :]
        new = _new_range(old, generation, self._random)
        new.end = new.start + BLOCK
        _write(self._path, self._server_id, [*old, new])
        self._old, self._current, self._next = old, new, new.start
        return new

    def _reserve(self, current: _Range) -> None:
        end = min(self._next + BLOCK, COUNTER_END)
        if end <= self._next:
            raise UserError(f"the counter in {self._path} is used up", "ringkey keyserver new-counter")
        _write(self._path, self._server_id, [*self._old, _Range(current.start, end, current.generation)])
        current.end = end


def renew(path: Path, server_id: bytes, random: Random = secrets.randbelow) -> Path | None:
    """Start anew after the file was lost or damaged; a file that is there is put aside, never erased.

    Returns where it was put.  Phones whose g the new counter does not know fetch new keys by
    themselves.  Raises UserError where a service is using the counter.
    """
    lock = _lock(path)
    try:
        aside = None
        if path.exists():
            aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.old")
            path.rename(aside)
        _write(path, server_id, [_new_range([], 1, random)])
    finally:
        os.close(lock)
    return aside


def _new_range(taken: list[_Range], generation: int, random: Random) -> _Range:
    while True:
        start = random(COUNTER_START_END)
        # Far from the others on both sides, so that neither ever grows into the other.
        if all(start >= r.end + CLEARANCE or start + CLEARANCE <= r.start for r in taken):
            return _Range(start, start, generation)


def _write(path: Path, server_id: bytes, ranges: list[_Range]) -> None:
    nonce = secrets.token_bytes(continuity.NONCE)
    body = {
        "version": VERSION,
        "server_id": server_id.hex(),
        "nonce": nonce.hex(),
        "ranges": [[r.start, r.end, r.generation] for r in ranges],
    }
    text = json.dumps({**body, "check": _check(body)}) + "\n"
    files.write(path, text.encode())
    # After a crash just here memory has the nonce of the file before: nothing is proven, and so safe.
    continuity.remember(path, nonce)


def _lost(path: Path) -> UserError:
    return UserError(
        f"the counter file {path} is lost: issuing without it could issue a g twice",
        "ringkey keyserver new-counter",
    )


def _parse(path: Path, data: bytes) -> tuple[bytes, bytes, list[_Range]]:
    try:
        body = json.loads(data)
        check = body.pop("check")
        if not hmac.compare_digest(check.encode(), _check(body).encode()):
            raise ValueError
        # Version 1 had no generations, and no nonce: it goes on in a new range.
        ranges = [_Range(*one) for one in body["ranges"]]
        good = ranges and all(0 <= r.start <= r.end <= COUNTER_END for r in ranges)
        good = good and body["version"] in (1, VERSION)
        server_id, nonce = bytes.fromhex(body["server_id"]), bytes.fromhex(body.get("nonce", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise UserError(
            f"the counter file {path} is damaged: issuing on could issue a g twice",
            "ringkey keyserver new-counter",
        )
    return server_id, nonce, ranges


def _check(body: dict[str, object]) -> str:
    """Return a check sum, against a damaged disk; nobody who may write the file is kept out."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def _lock(path: Path) -> int:
    """Open the lock file and lock it for this process; raises UserError where another has it."""
    try:
        return files.lock_beside(path)
    except BlockingIOError:
        raise UserError(f"another key server is using {path}", "ringkey status") from None
    except OSError as e:
        raise UserError(f"the counter's lock {path}.lock: {e.strerror}", f"ls -la {path.parent}") from None
