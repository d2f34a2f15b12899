"""The store's slots (phone/store.py) in an ESP32's NVS, and its marker in the file system.

    {"module": "drivers.nvs", "params": {"marker": "provisioned"}}

NVS writes an entry whole or not at all; a power cut can lose the entry that is being
written and no other (ESP-IDF, "NVS", section on atomicity).  That is what two slots need.

MicroPython's boot code erases all of NVS where it finds no free page or a newer format.  The
marker is a file, so that the loss of the records does not take along what tells that there
were any.  An update of the image writes the file system anew; the marker comes back with
the next start that finds a record.

NVS keeps the octets of a replaced or erased entry until their page is needed again, and a
stock build does not encrypt them: SECURITY.md says what that costs.
"""

import os
from builtins import open as _open_file

from phone.board import BoardError
from phone.store import MARKER, MAX_SLOT
from ras.compat import const, wipe

NAMESPACE = "ringkey"
_KEYS = ("slot0", "slot1")
_NOT_FOUND = -0x1102  # ESP_ERR_NVS_NOT_FOUND, as MicroPython raises it
_ENOENT = const(2)


def open(params: dict) -> "NVSSlots":  # noqa: A001  (every driver's entry is called open)
    """Return the slots; raises BoardError."""
    try:
        from esp32 import NVS
    except ImportError:
        raise BoardError("drivers.nvs: this MicroPython has no esp32.NVS")
    try:
        return NVSSlots(NVS(NAMESPACE), params.get("marker", "provisioned"))
    except OSError:
        raise BoardError("NVS cannot be opened: flash the board with ERASE=1")


class NVSSlots:
    """Slots 0 and 1 are blobs, slot 2 is a file; read, write and erase raise OSError."""

    def __init__(self, nvs: object, marker: str) -> None:
        self._nvs = nvs
        self._marker = marker

    def read(self, i: int) -> "bytes | None":
        """Return what is in slot i, or None."""
        if i == MARKER:
            return self._read_marker()
        buffer = bytearray(MAX_SLOT)
        try:
            length = self._nvs.get_blob(_KEYS[i], buffer)
            return bytes(memoryview(buffer)[:length])
        except OSError as error:
            if error.errno == _NOT_FOUND:
                return None
            raise
        finally:
            wipe(buffer)  # it held keys

    def write(self, i: int, data: bytes) -> None:
        """Put `data` into slot i, wholly and durably."""
        if i == MARKER:
            # What it holds does not matter, so neither does a half.
            with _open_file(self._marker, "wb") as file:
                file.write(data)
            return
        self._nvs.set_blob(_KEYS[i], data)
        self._nvs.commit()

    def erase(self, i: int) -> None:
        """Empty slot i, durably; no error where it was."""
        try:
            if i == MARKER:
                os.remove(self._marker)
                return
            self._nvs.erase_key(_KEYS[i])
        except OSError as error:
            if error.errno not in (_NOT_FOUND, _ENOENT):
                raise
            return
        self._nvs.commit()

    def _read_marker(self) -> "bytes | None":
        try:
            with _open_file(self._marker, "rb") as file:
                return file.read(1)
        except OSError as error:
            if error.errno == _ENOENT:
                return None
            raise
