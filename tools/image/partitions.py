"""The partition table of a base, and where in the flash things go because of it.

The table's format is ESP-IDF's (components/partition_table/gen_esp32part.py): entries of 32
octets; after the last one an MD5 over all of them, and blank flash.
"""

import hashlib
import itertools
import struct
from dataclasses import dataclass

# Where in the flash the table is: ESP-IDF's default, and MicroPython's for every chip here.
OFFSET = 0x8000
SIZE = 0xC00  # octets; the rest of the 4 KiB sector is for signatures
SECTOR = 0x1000  # octets; what can be erased

APP, DATA = 0, 1
OTADATA, NVS, NVS_KEYS = 0, 2, 4  # sub-types of DATA

_ENTRY = struct.Struct("<2sBBII16sI")
_MAGIC = b"\xaa\x50"
_MD5 = b"\xeb\xeb" + b"\xff" * 14
_END = b"\xff" * _ENTRY.size


@dataclass(frozen=True, slots=True)
class Partition:
    """An entry of the table; offset and size in octets of flash."""

    name: str
    type: int
    subtype: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The first octet behind it."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Layout:
    """The partitions that an image fills.

    files: the file system, at the end of the flash; otadata: what selects among several
    applications, None where there is one; encrypted: the table has a partition for NVS keys,
    so what is in NVS is the chip's own secret.
    """

    nvs: Partition
    application: Partition
    files: Partition
    otadata: Partition | None
    encrypted: bool
    all: tuple[Partition, ...]


def parse(table: bytes) -> list[Partition]:
    """Return the entries of a table; raises ValueError, with words for a person."""
    found: list[Partition] = []
    for at in range(0, min(len(table), SIZE) - _ENTRY.size + 1, _ENTRY.size):
        entry = table[at : at + _ENTRY.size]
        if entry == _END:
            break
        if entry.startswith(_MD5):
            if hashlib.md5(table[:at], usedforsecurity=False).digest() != entry[16:]:
                raise ValueError("its checksum is wrong: the file is damaged")
            continue
        magic, kind, subtype, offset, size, name, _flags = _ENTRY.unpack(entry)
        if magic != _MAGIC:
            raise ValueError("there is none" if not found else f"its entry {len(found)} is damaged")
        found.append(Partition(name.split(b"\0")[0].decode("ascii", "replace"), kind, subtype, offset, size))
    if not found:
        raise ValueError("there is none")
    return found


def layout(partitions: list[Partition], flash: int) -> Layout:
    """Return where things go in a flash of `flash` octets; raises ValueError, with words for a person.

    The file system is the partition named vfs; where the table has none, MicroPython makes one
    at start-up, from the end of the last partition to the end of the flash (ports/esp32/main.c).
    """
    by_offset = sorted(partitions, key=lambda p: p.offset)
    for before, after in itertools.pairwise(by_offset):
        if before.end > after.offset:
            raise ValueError(f"its partitions {before.name} and {after.name} overlap")
    if by_offset[0].offset < OFFSET + SECTOR:
        raise ValueError(f"its partition {by_offset[0].name} lies on the table itself")
    if by_offset[-1].end > flash:
        raise ValueError(f"it goes to {by_offset[-1].end:#x}, and the flash to {flash:#x}")

    def first(kind: int, subtype: int | None = None, name: str | None = None) -> Partition | None:
        for p in by_offset:
            if p.type == kind and subtype in (None, p.subtype) and name in (None, p.name):
                return p
        return None

    # The name is part of it: esp32.NVS and the Wi-Fi driver open the default partition, "nvs".
    nvs, application = first(DATA, NVS, "nvs"), first(APP)
    if nvs is None or application is None:
        raise ValueError(f"it has no partition for {'NVS' if nvs is None else 'the application'}")
    if first(DATA, name="ffat") is not None and first(DATA, name="vfs") is None:
        raise ValueError("its file system is FAT (partition ffat): take a base without TinyUF2")
    files = first(DATA, name="vfs") or Partition(
        "vfs", DATA, 0x81, by_offset[-1].end, flash - by_offset[-1].end
    )
    if files.offset % SECTOR or files.size < 2 * SECTOR:
        raise ValueError("it leaves no room for a file system")
    return Layout(
        nvs,
        application,
        files,
        first(DATA, OTADATA),
        first(DATA, NVS_KEYS) is not None,
        tuple(by_offset),
    )
