"""PINs in memory, for as long as nobody has changed the directory.

A log-in asks for its PIN twice.  Reading and unsealing it takes 0.1 ms, asking SQLite whether any
process has changed the file since (PRAGMA data_version) 3 µs; datagrams that were read in one turn
ask once.  What is in memory here is what the gatekeeper can unseal at any time with the key that it
holds, and Ka, which every registration holds; nothing of it is ever written.
"""

from ras.lookups import Lookup

from ringkey.gatekeeper.directory import Directory

# PINs in memory, 250 octets each: a site of the largest size that is measured
# (docs/gatekeeper-performance.md).  Beyond, the one that was read first goes.
MAX_PINS = 100_000


class Pins:
    """The PINs of a directory.  It belongs to the thread that opened the directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._version = -1
        self._turn: int | None = None
        # A PIN with the Kg it was asked for with last, so that their Ka need not be made each time.
        self._known: dict[str, Lookup] = {}

    def __repr__(self) -> str:
        return f"Pins({len(self._known)})"

    def get(self, ext: str) -> str | None:
        """Return the PIN of an extension that is there and enabled, else None; raises DirectoryError."""
        known = self._get(ext, None)
        return None if known is None else known.pin

    def with_key(self, ext: str, kg: bytes | None, turn: int | None = None) -> Lookup | None:
        """Return the Lookup of an extension that is there and enabled, else None; raises DirectoryError.

        kg: None where there is none; turn: a number that is the same for all that was read from the
        socket together, None for what stands on its own.
        """
        known = self._get(ext, turn)
        if known is None:
            return None
        if kg is not None and known.kg != kg:
            known = self._known[ext] = Lookup(kg=kg, pin=known.pin)
        return known

    def _get(self, ext: str, turn: int | None) -> Lookup | None:
        if turn is None or turn != self._turn:
            # The version first: whatever is committed after this is seen by the next turn at the latest.
            version = self._directory.version()
            self._turn = turn
            if version != self._version:
                self._known.clear()
                self._version = version
        known = self._known.get(ext)
        if known is not None:
            return known
        found = self._directory.get(ext)
        # Extensions that are not there are not kept: strangers can name any number of them.
        if found is None or not found.enabled:
            return None
        if len(self._known) >= MAX_PINS:
            del self._known[next(iter(self._known))]
        known = self._known[ext] = Lookup(pin=found.pin)
        return known

    def close(self) -> None:
        """Forget all of them."""
        self._known.clear()
        self._version = -1
        self._turn = None
