"""PINs in memory, each with the key that its phone has used last, until somebody has changed either.

A log-in asks for its PIN twice.  Reading and unsealing it takes 0.1 ms, asking SQLite whether any
process has changed the file since (PRAGMA data_version) 3 µs; datagrams that were read in one turn
ask once, and the answer to a look-up is then one entry of one table.  What is in memory here is what
the gatekeeper can unseal at any time with the key that it holds, and Ka, which every registration
holds; nothing of it is ever written.
"""

from collections.abc import Iterable

from ras.lookups import Lookup

from ringkey.gatekeeper.directory import Directory
from ringkey.gatekeeper.key_cache import Key

# PINs in memory, 290 octets each: a site of the largest size that is measured
# (docs/gatekeeper-performance.md).  Beyond, the one that was read first goes.
MAX_PINS = 100_000


class Known(Lookup):
    """A PIN, and the Kg that it was asked for with last, so that their Ka need not be made each time.

    g, ext, cvm: what that Kg is the key of, g None where it is to be asked for once more; asked: when it was
    (s).  They are the objects that the memory of keys has: a registration keeps no other ones.
    """

    __slots__ = ("asked", "cvm", "ext", "g")

    def __init__(self, pin: str, kg: bytes | None = None) -> None:
        super().__init__(kg=kg, pin=pin)
        self.g: bytes | None = None
        self.ext = ""
        self.cvm: bytes | None = None
        self.asked = 0.0


class Pins:
    """The PINs of a directory.  It belongs to the thread that opened the directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._version = -1
        self._turn: int | None = None
        self._known: dict[str, Known] = {}

    def __repr__(self) -> str:
        return f"Pins({len(self._known)})"

    def get(self, ext: str) -> str | None:
        """Return the PIN of an extension that is there and enabled, else None; raises DirectoryError."""
        known = self._get(ext, None)
        return None if known is None else str(known.pin)

    def ready(self, ext: str, g: bytes, cvm: bytes | None, turn: int | None, oldest: float) -> Known | None:
        """Return what is known of an extension with this key, if that is all there is to know.

        oldest: the key is to have been asked for since (s, monotonic).  It is not where the directory has
        changed since, or the key was forgotten (`forget`).
        """
        if turn is None or turn != self._turn:
            return None
        known = self._known.get(ext)
        if known is None or known.g != g or known.cvm != cvm or known.asked < oldest:
            return None
        return known

    def hold(self, known: Known, key: Key, asked: float) -> None:
        """Remember whose key it is that `known` has, and when it was asked for."""
        known.g, known.ext, known.cvm = key
        known.asked = asked

    def forget(self, exts: Iterable[str]) -> None:
        """Let the keys of extensions be asked for again: they are no longer what they were."""
        for ext in exts:
            known = self._known.get(ext)
            if known is not None:
                known.g = None

    def with_key(self, ext: str, kg: bytes | None, turn: int | None = None) -> Known | None:
        """Return the Lookup of an extension that is there and enabled, else None; raises DirectoryError.

        kg: None where there is none; turn: a number that is the same for all that was read from the
        socket together, None for what stands on its own.
        """
        known = self._get(ext, turn)
        if known is None:
            return None
        if kg is not None and known.kg != kg:
            known = self._known[ext] = Known(str(known.pin), kg)
        return known

    def _get(self, ext: str, turn: int | None) -> Known | None:
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
        known = self._known[ext] = Known(found.pin)
        return known

    def close(self) -> None:
        """Forget all of them."""
        self._known.clear()
        self._version = -1
        self._turn = None
