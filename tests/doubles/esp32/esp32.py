"""Stands in for MicroPython's `esp32` on the unix port: NVS, an entry a file (README.md here)."""

import os

HEAP_DATA = 4

_NOT_FOUND = -0x1102
_looks = [0]
_STACK = 24576
_TOO_SHORT = -0x110C


def idf_heap_info(kind):
    """Return the system heap's one region, of which the interpreter's heap takes the most at the 8th look.

    It has as much more free at each look as any thread's stack that has ended: whoever waits for one
    need not wait.
    """
    assert kind == HEAP_DATA
    _looks[0] += 1
    largest = 50000 if _looks[0] < 8 else 12000
    return [(100000, largest + _STACK * _looks[0], largest, 4)]


class NVS:
    """A namespace."""

    def __init__(self, namespace):
        self._namespace = namespace

    def set_blob(self, key, data):
        """Write an entry; atomic, as on the chip."""
        path = self._path(key)
        with open(path + ".new", "wb") as file:
            file.write(data)
        os.rename(path + ".new", path)

    def get_blob(self, key, buffer):
        """Read an entry into `buffer`; return its length."""
        try:
            with open(self._path(key), "rb") as file:
                data = file.read()
        except OSError:
            raise OSError(_NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        if len(data) > len(buffer):
            raise OSError(_TOO_SHORT, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(data)] = data
        return len(data)

    def erase_key(self, key):
        """Remove an entry."""
        try:
            os.remove(self._path(key))
        except OSError:
            raise OSError(_NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")

    def commit(self):
        """All is there already."""

    def _path(self, key):
        assert len(self._namespace) <= 15 and len(key) <= 15
        return "nvs-%s-%s" % (self._namespace, key)
