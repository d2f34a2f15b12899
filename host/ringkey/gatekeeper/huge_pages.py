"""Huge pages for what the gatekeeper remembers (Linux; elsewhere nothing happens).

A registration touches some thirty places of memory.  With 100,000 phones they lie anywhere in 90 MB, and
finding out where each 4 KiB page is costs as much as reading it.  The interpreter asks for its memory 1 MiB
at a time and so gets small pages; MADV_COLLAPSE (Linux 6.1) has the kernel put those together that are there.
Nothing grows: only ranges whose small pages are nearly all in use are asked for.
"""

import asyncio
import ctypes
import mmap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ringkey.gatekeeper import libc

# s between two passes; each takes some milliseconds of a thread, and 1 ms for each huge page that is new.
PAUSE: Final = 10.0
# Datagrams without which nothing has changed enough since the last pass: an idle gatekeeper stays idle.
WORTH: Final = 1000
# Ranges that the kernel has no huge page for, after which a pass is over: looking for one is dear.
MAX_REFUSED: Final = 3
# Of eight parts of a range, how many are to be in use: the rest is what memory may grow by.
_USED, _PARTS = 7, 8
_MADV_COLLAPSE: Final = 25  # linux/mman.h
_SETTINGS: Final = Path("/sys/kernel/mm/transparent_hugepage")
_MAPS: Final = Path("/proc/self/maps")
# Beyond these nobody has huge pages: 32 MiB are those of small pages of 16 KiB.
_MAX_HUGE: Final = 64 << 20


def size(settings: Path = _SETTINGS) -> int:
    """Return the octets of a huge page; 0 where there are none, or the administrator wants none."""
    try:
        if "[never]" in (settings / "enabled").read_text():
            return 0
        found = int((settings / "hpage_pmd_size").read_text())
    except (OSError, ValueError):
        return 0
    return found if mmap.PAGESIZE < found <= _MAX_HUGE else 0


def regions(maps: str, huge: int) -> Iterator[tuple[int, int]]:
    """Yield (begin, end) of what huge pages could be in: private, written to, of no file, and no stack.

    maps: as /proc/PID/maps has it.  Both are multiples of `huge`, octets.
    """
    for line in maps.splitlines():
        place, flags, _offset, _device, inode, *name = line.split(maxsplit=5)
        if flags != "rw-p" or inode != "0" or (name and not name[0].startswith(("[heap]", "[anon"))):
            continue
        begin, end = (int(one, 16) for one in place.split("-"))
        begin, end = -(-begin // huge) * huge, end // huge * huge
        if begin < end:
            yield begin, end


class HugePages:
    """Asks the kernel for them, for this process.  there: whether it has any."""

    def __init__(self) -> None:
        self._huge = size()
        where = (ctypes.c_void_p, ctypes.c_size_t)
        self._madvise = libc.function(ctypes.CDLL, "madvise", *where, ctypes.c_int)
        self._mincore = libc.function(ctypes.CDLL, "mincore", *where, ctypes.c_char_p)
        self.there = bool(self._huge and self._madvise and self._mincore and _MAPS.exists())

    def collapse(self) -> int:
        """Ask for all that are worth it; return how many there are now.  Takes its time: for a thread."""
        try:
            maps = _MAPS.read_text() if self.there else ""
        except OSError:  # a machine without a descriptor left, say
            return 0
        found = refused = 0
        for begin, end in regions(maps, self._huge):
            for at in range(begin, end, self._huge):
                if not self._used(at):
                    continue
                if self._madvise(at, self._huge, _MADV_COLLAPSE) == 0:
                    found += 1
                    continue
                refused += 1
                if refused >= MAX_REFUSED:
                    return found
        return found

    def _used(self, at: int) -> bool:
        """Tell whether nearly all small pages of a range are in memory."""
        pages = self._huge // mmap.PAGESIZE
        there = ctypes.create_string_buffer(pages)
        if self._mincore(at, self._huge, there) != 0:
            return False
        return _PARTS * there.raw.count(1) >= _USED * pages

    async def keep(self, received: Callable[[], int]) -> None:
        """Ask now and then, for as long as datagrams come.  received: tells how many there were."""
        seen = 0
        while self.there:
            await asyncio.sleep(PAUSE)
            now = received()
            if now - seen >= WORTH:
                seen = now
                await asyncio.get_running_loop().run_in_executor(None, self.collapse)
