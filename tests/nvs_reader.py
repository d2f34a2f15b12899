"""A reader of NVS partitions, written from ESP-IDF's document of the format ("NVS Partition
Structure", nvs_flash.rst) and not from the generator that it checks.
"""

import struct
import zlib

_PAGE = 4096
_ENTRY = 32
_STATES = {0xFFFFFFFE: "active", 0xFFFFFFFC: "full", 0xFFFFFFFF: "uninitialised"}
_U8, _STRING, _BLOB_DATA, _BLOB_INDEX = 0x01, 0x21, 0x42, 0x48


def _crc(data):
    return zlib.crc32(data, 0xFFFFFFFF)


def _entries(page):
    """Yield (header, the octets that follow it) of each entry that is marked as written."""
    state, _, version = struct.unpack_from("<IIB", page)
    if _STATES[state] == "uninitialised":
        assert page == b"\xff" * _PAGE
        return
    assert version == 0xFE
    assert _crc(page[4:28]) == struct.unpack_from("<I", page, 28)[0]
    i = 0
    while i < 126:
        written = page[32 + i // 4] >> (i % 4 * 2) & 3
        if written == 3:
            i += 1
            continue
        assert written == 2
        header = page[64 + i * _ENTRY :][:_ENTRY]
        span = header[2]
        assert _crc(header[:4] + header[8:]) == struct.unpack_from("<I", header, 4)[0]
        yield header, page[64 + (i + 1) * _ENTRY :][: (span - 1) * _ENTRY]
        i += span


def read_nvs(data):
    """Return (namespace, name) -> octets of a partition's blobs and texts; asserts all checksums."""
    namespaces, chunks, sizes, found = {}, {}, {}, {}
    for at in range(0, len(data), _PAGE):
        for header, more in _entries(data[at : at + _PAGE]):
            space, kind, _, chunk = header[:4]
            name = header[8:24].split(b"\0")[0].decode()
            if space == 0:
                assert kind == _U8
                namespaces[header[24]] = name
            elif kind in (_BLOB_DATA, _STRING):
                size, _, crc = struct.unpack_from("<HHI", header, 24)
                assert _crc(more[:size]) == crc
                chunks[space, name, 0 if kind == _STRING else chunk] = more[:size]
                if kind == _STRING:
                    sizes[space, name] = (size, 1, 0)
            elif kind == _BLOB_INDEX:
                sizes[space, name] = struct.unpack_from("<IBB", header, 24)
            else:
                raise AssertionError(f"an entry of type {kind:#x}")
    for (space, name), (size, count, start) in sizes.items():
        value = b"".join(chunks[space, name, start + i] for i in range(count))
        assert len(value) == size
        found[namespaces[space], name] = value
    return found
