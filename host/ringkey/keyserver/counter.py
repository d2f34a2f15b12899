"""The counter of g on disk: no value is ever handed out twice, whatever happens to this process.

Values are reserved in blocks: the file says where the block ends before the first value of it is
handed out.  After a crash the rest of the block is lost, which costs nothing in 2^47 values; a
clean stop writes the exact value.

A file that was brought back from a back-up, or copied to another machine, would count over values
that are already out.  Two things give it away.  The lock file beside it says which inode the
counter file had and when that last changed (ctime), which no copy keeps, and which machine wrote
it.  Where either differs, counting goes on in a new range with a new random start.  A lost or
damaged file is never replaced unasked.
"""

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ras.generator import COUNTER_END, COUNTER_START_END

from ringkey import log
from ringkey.errors import UserError
from ringkey.site import files

# Values a crash may lose, and keys issued for each write to disk (some 5 ms on an SD card).
BLOCK = 256
# Restored back-ups that one file remembers.  More only means that phones of the oldest range
# fetch new keys once.
MAX_RANGES = 256
# Values kept free between two ranges: more than a key server issues in its life, at 30 a second
# for four years.
CLEARANCE = 1 << 32
VERSION = 1

Random = Callable[[int], int]
"""random(n): a whole number of at least 0 and below n that nobody can predict."""

_log = log.get("ringkey.keyserver.counter")


@dataclass(slots=True)
class _Range:
    """Values from start on; `end` is the first one that is not reserved."""

    start: int
    end: int


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
        _write(path, lock, server_id, [_new_range([], random)])
    finally:
        os.close(lock)


class Counter:
    """The counter, held by one process until `close()`.

    Opening it raises UserError: held by another process, lost, damaged, or open to others.
    """

    def __init__(self, path: Path, server_id: bytes, random: Random = secrets.randbelow) -> None:
        self._path = path
        self._server_id = server_id
        self._lock = _lock(path)
        try:
            if not path.exists():
                raise UserError(
                    f"the counter file {path} is lost: issuing without it could issue a g twice",
                    "ringkey keyserver new-counter",
                )
            owner, self._ranges = _parse(path, files.read_secret(path, "the counter file"))
            if owner != server_id:
                # What was issued under the old id is no longer this server's to judge.
                self._ranges = [_new_range([], random)]
                _log.warning("counter_of_other_server", file=str(path), was=owner.hex(), now=server_id.hex())
            elif _mark(path) != _read_mark(self._lock):
                self._ranges = [*self._ranges, _new_range(self._ranges, random)][-MAX_RANGES:]
                _log.warning(
                    "counter_range_begun",
                    file=str(path),
                    because="the file was copied, restored, or just being written in a crash",
                )
            self._next = self._ranges[-1].end
        except BaseException:
            os.close(self._lock)
            raise
        self._random = random

    def __repr__(self) -> str:
        return f"Counter({self._path.name})"

    @property
    def issued(self) -> int:
        """How many values are out, at most: crashes count for the rest of their block."""
        *old, current = self._ranges
        return sum(r.end - r.start for r in old) + self._next - current.start

    def take(self) -> int:
        """Return the next value, which will never be returned again.

        Raises OSError where the file cannot be written (nothing was issued then, and the next
        call tries again), UserError where the values are used up.
        """
        current = self._ranges[-1]
        if self._next >= current.end:
            self._reserve(current)
        value = self._next
        self._next += 1
        return value

    def was_issued(self, value: int) -> bool:
        """Tell whether `value` is out.

        Exact for this process and for those that stopped cleanly; values that a crash may have
        taken with it count as issued, since some of them may be out.
        """
        *old, current = self._ranges
        return current.start <= value < self._next or any(r.start <= value < r.end for r in old)

    def close(self) -> None:
        """Write the exact value and let go of the file; safe to call twice."""
        if self._lock < 0:
            return
        try:
            current = self._ranges[-1]
            if current.end != self._next:
                exact = _Range(current.start, self._next)
                _write(self._path, self._lock, self._server_id, [*self._ranges[:-1], exact])
        except OSError as e:
            # The file still says more than is out: values are lost, none is at risk.
            _log.warning("counter_not_written_at_stop", file=str(self._path), error=e.strerror)
        finally:
            os.close(self._lock)
            self._lock = -1

    def _reserve(self, current: _Range) -> None:
        if self._lock < 0:
            raise RuntimeError("the counter is closed")
        end = min(self._next + BLOCK, COUNTER_END)
        if end <= self._next:
            raise UserError(f"the counter in {self._path} is used up", "ringkey keyserver new-counter")
        _write(self._path, self._lock, self._server_id, [*self._ranges[:-1], _Range(current.start, end)])
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
        _write(path, lock, server_id, [_new_range([], random)])
    finally:
        os.close(lock)
    return aside


def _new_range(taken: list[_Range], random: Random) -> _Range:
    while True:
        start = random(COUNTER_START_END)
        # Far from the others on both sides, so that neither ever grows into the other.
        if all(start >= r.end + CLEARANCE or start + CLEARANCE <= r.start for r in taken):
            return _Range(start, start)


def _write(path: Path, lock: int, server_id: bytes, ranges: list[_Range]) -> None:
    body = {
        "version": VERSION,
        "server_id": server_id.hex(),
        "ranges": [[r.start, r.end] for r in ranges],
    }
    text = json.dumps({**body, "check": _check(body)}) + "\n"
    files.write(path, text.encode())
    # After a crash just here the mark is that of the file before: taken for a copy, and so safe.
    mark = _mark(path)
    os.pwrite(lock, mark, 0)
    os.ftruncate(lock, len(mark))
    os.fsync(lock)


def _parse(path: Path, data: bytes) -> tuple[bytes, list[_Range]]:
    try:
        body = json.loads(data)
        check = body.pop("check")
        if not hmac.compare_digest(check.encode(), _check(body).encode()) or body["version"] != VERSION:
            raise ValueError
        ranges = [_Range(start, end) for start, end in body["ranges"]]
        good = ranges and all(0 <= r.start <= r.end <= COUNTER_END for r in ranges)
        server_id = bytes.fromhex(body["server_id"])
    except (ValueError, KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise UserError(
            f"the counter file {path} is damaged: issuing on could issue a g twice",
            "ringkey keyserver new-counter",
        )
    return server_id, ranges


def _check(body: dict[str, object]) -> str:
    """Return a check sum, against a damaged disk; nobody who may write the file is kept out."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def _lock(path: Path) -> int:
    """Open the lock file and lock it for this process; raises UserError where another has it."""
    name = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.SECRET)
    except OSError as e:
        raise UserError(f"the counter's lock {name}: {e.strerror}", f"ls -la {path.parent}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise UserError(f"another key server is using {path}", "ringkey status") from None
    return descriptor


def _mark(path: Path) -> bytes:
    found = path.stat()
    machine = b""
    with contextlib.suppress(OSError):
        machine = Path("/etc/machine-id").read_bytes()
    return b"%d %d %s" % (found.st_ino, found.st_ctime_ns, hashlib.sha256(machine).hexdigest()[:16].encode())


def _read_mark(lock: int) -> bytes:
    return os.pread(lock, 256, 0)
