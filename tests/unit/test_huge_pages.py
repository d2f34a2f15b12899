"""Huge pages: which ranges are asked for, and what the kernel then says of them."""

import asyncio
import ctypes
import mmap
import re
from pathlib import Path

import pytest
from ringkey.gatekeeper import huge_pages
from ringkey.gatekeeper.huge_pages import HugePages

MIB = 1 << 20
MAPS = """\
00400000-00c00000 r-xp 00000000 fd:01 77 /usr/bin/python3
00c00000-01400000 rw-p 00000000 00:00 0 [heap]
7f0000100000-7f0000b00000 rw-p 00000000 00:00 0
7f0001000000-7f0001400000 rw-p 00000000 00:00 0 [anon:cpython:pymalloc]
7f0002000000-7f0002800000 ---p 00000000 00:00 0
7f0003000000-7f0003800000 rw-s 00000000 00:05 0 /dev/zero (deleted)
7f0004000000-7f0004800000 rw-p 00000000 fd:01 78 /a file with blanks
7f0005100000-7f0005200000 rw-p 00000000 00:00 0
7ffc00000000-7ffc00800000 rw-p 00000000 00:00 0 [stack]
"""


def settings(tmp_path, enabled="always [madvise] never\n", octets=2 * MIB):
    (tmp_path / "enabled").write_text(enabled)
    (tmp_path / "hpage_pmd_size").write_text(f"{octets}\n")
    return tmp_path


def test_a_huge_page_is_as_large_as_the_kernel_says(tmp_path):
    assert huge_pages.size(settings(tmp_path)) == 2 * MIB
    assert huge_pages.size(settings(tmp_path, "[always] madvise never\n", 32 * MIB)) == 32 * MIB


def test_an_administrator_who_wants_none_has_none(tmp_path):
    assert huge_pages.size(settings(tmp_path, "always madvise [never]\n")) == 0


def test_a_kernel_without_them_has_none(tmp_path):
    assert huge_pages.size(tmp_path / "nowhere") == 0
    assert huge_pages.size(settings(tmp_path, octets=mmap.PAGESIZE)) == 0
    assert huge_pages.size(settings(tmp_path, octets=1 << 40)) == 0


def test_only_memory_of_this_process_alone_is_asked_for():
    assert [(hex(begin), hex(end)) for begin, end in huge_pages.regions(MAPS, 2 * MIB)] == [
        ("0xc00000", "0x1400000"),
        ("0x7f0000200000", "0x7f0000a00000"),
        ("0x7f0001000000", "0x7f0001400000"),
    ]


def huge_in(address):
    """Return the octets of huge pages in the mapping that an address is in."""
    for part in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        begin, end = (int(one, 16) for one in part.split(" ", 1)[0].split("-"))
        if begin <= address < end:
            return 1024 * int(re.search(r"AnonHugePages:\s+(\d+)", part)[1])
    raise AssertionError("it is not mapped")


@pytest.fixture
def pages():
    found = HugePages()
    if not found.there:
        pytest.skip("this kernel has no huge pages, or is told to give none")
    return found


def mapped(octets, own):
    """Return private memory and its address.  own: advice that makes it a mapping of its own."""
    memory = mmap.mmap(-1, octets, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(own)
    return memory, ctypes.addressof(ctypes.c_char.from_buffer(memory))


def test_what_is_in_use_is_put_together_and_what_is_not_stays_as_it_is(pages):
    full, at_full = mapped(8 * MIB, mmap.MADV_DONTDUMP)
    thin, at_thin = mapped(8 * MIB, mmap.MADV_DONTFORK)
    full.write(b"\x5a" * len(full))
    thin[0 : len(thin) : 16 * mmap.PAGESIZE] = b"\x5a" * (len(thin) // (16 * mmap.PAGESIZE))
    if huge_in(at_full) or huge_in(at_thin):
        pytest.skip("this kernel gives huge pages to who asks for none")
    if pages.collapse() == 0:
        pytest.skip("this kernel has no MADV_COLLAPSE, or no huge page to give")
    assert huge_in(at_full) >= 4 * MIB
    assert huge_in(at_thin) == 0
    assert full[:] == b"\x5a" * len(full)


def test_where_the_kernel_does_not_tell_nothing_is_asked_for(monkeypatch, tmp_path, pages):
    monkeypatch.setattr(huge_pages, "_MAPS", tmp_path / "nowhere")
    assert pages.collapse() == 0
    assert not HugePages().there


def test_nobody_looks_while_no_datagrams_come(monkeypatch, pages):
    monkeypatch.setattr(huge_pages, "PAUSE", 0.0)
    received = passes = 0

    async def scenario():
        nonlocal received
        asked: asyncio.Queue[None] = asyncio.Queue()
        came = asyncio.Event()
        loop = asyncio.get_running_loop()

        def how_many():
            asked.put_nowait(None)
            return received

        def collapse():
            nonlocal passes
            passes += 1
            loop.call_soon_threadsafe(came.set)

        async def asked_more():
            for _ in range(asked.qsize() + 10):
                await asyncio.wait_for(asked.get(), 5)

        monkeypatch.setattr(pages, "collapse", collapse)
        task = asyncio.create_task(pages.keep(how_many))
        await asked_more()
        assert passes == 0
        received = huge_pages.WORTH
        await asyncio.wait_for(came.wait(), 5)
        await asked_more()
        task.cancel()

    asyncio.run(scenario())
    assert passes == 1
