"""PINs in memory, for as long as nobody has changed the directory.

A log-in asks for its PIN twice.  Reading and unsealing it takes 0.1 ms, asking SQLite whether any
process has changed the file since (PRAGMA data_version) 3 µs.  What is in memory here is what the
gatekeeper can unseal at any time with the key that it holds; nothing of it is ever written.
"""

from ringkey.gatekeeper.directory import Directory

# PINs in memory, 250 octets each: a site of the largest size that is measured
# (docs/gatekeeper-performance.md).  Beyond, the one that was read first goes.
MAX_PINS = 100_000


class Pins:
    """The PINs of a directory.  It belongs to the thread that opened the directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._version = -1
        self._pins: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Pins({len(self._pins)})"

    def get(self, ext: str) -> str | None:
        """Return the PIN of an extension that is there and enabled, else None; raises DirectoryError."""
        # The version first: whatever is committed after this is seen by the next call at the latest.
        version = self._directory.version()
        if version != self._version:
            self._pins.clear()
            self._version = version
        pin = self._pins.get(ext)
        if pin is not None:
            return pin
        found = self._directory.get(ext)
        # Extensions that are not there are not kept: strangers can name any number of them.
        if found is None or not found.enabled:
            return None
        if len(self._pins) >= MAX_PINS:
            del self._pins[next(iter(self._pins))]
        self._pins[ext] = found.pin
        return found.pin

    def close(self) -> None:
        """Forget all of them."""
        self._pins.clear()
        self._version = -1
