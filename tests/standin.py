"""A stand-in for a MicroPython base: valid headers, checksums, hashes and partition table; no code.

Written from ESP-IDF's documents (app_image_format, partition-tables) and not with the tools that
it is a test for.
"""

import hashlib
import struct

BANNER = b"3.4.0; MicroPython v1.26.1 on 2025-09-11\0"
# mcu: (chip id, offset of the bootloader, an address in its RAM, one in its mapped flash)
CHIPS = {
    "esp32": (0, 0x1000, 0x40080000, 0x3F400020),
    "esp32s3": (9, 0x0, 0x40378000, 0x3C000020),
    "esp32c3": (5, 0x0, 0x40380000, 0x3C000020),
}
BOARDS = {"esp32_generic": "esp32", "esp32_generic_s3": "esp32s3", "esp32_generic_c3": "esp32c3"}
# ports/esp32/partitions-4MiBplus.csv of MicroPython
TABLE = (
    ("nvs", 1, 2, 0x9000, 0x6000),
    ("phy_init", 1, 1, 0xF000, 0x1000),
    ("factory", 0, 0, 0x10000, 0x1F0000),
)


def image(chip_id, segments):
    """Return an application or bootloader image of these (address, octets)."""
    out = bytearray(struct.pack("<BBBBI", 0xE9, len(segments), 2, 0x20, segments[0][0]))
    out += struct.pack("<BBBBHBHH4xB", 0xEE, 0, 0, 0, chip_id, 0, 0, 0xFFFF, 1)
    checksum = 0xEF
    for address, data in segments:
        assert len(data) % 4 == 0
        out += struct.pack("<II", address, len(data)) + data
        for octet in data:
            checksum ^= octet
    out += bytes(15 - len(out) % 16) + bytes([checksum])
    return bytes(out) + hashlib.sha256(out).digest()


def table(entries=TABLE, *, md5=True):
    """Return a partition table of these (name, type, sub-type, offset, size)."""
    out = b"".join(
        struct.pack("<2sBBII16sI", b"\xaa\x50", kind, subtype, offset, size, name.encode(), 0)
        for name, kind, subtype, offset, size in entries
    )
    if md5:
        out += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(out, usedforsecurity=False).digest()
    return out.ljust(0xC00, b"\xff")


def base(mcu, *, entries=TABLE, application=None, table_=None, banner=BANNER):
    """Return the file of a base for a chip; the parts can be replaced by others."""
    chip_id, bootloader_at, ram, flash = CHIPS[mcu]
    filler = hashlib.shake_128(mcu.encode()).digest(8192)
    if application is None:
        # What esptool looks for in the first segment, ESP-IDF's esp_app_desc_t.
        description = struct.pack(
            "<II8x32s32s16s16s32s32s80x", 0xABCD5432, 0, b"", b"", b"", b"", b"v5.4", b""
        )
        text = description + banner.ljust(256, b"\0")
        application = image(chip_id, [(flash, text + filler), (ram, filler[:4096])])
    out = bytearray(image(chip_id, [(ram, filler)]))
    out = out.ljust(0x8000 - bootloader_at, b"\xff") + (table(entries) if table_ is None else table_)
    start = next(offset for _, kind, _, offset, _ in entries if kind == 0) - bootloader_at
    return bytes(out.ljust(start, b"\xff") + application)
