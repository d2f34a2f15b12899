"""PINs in memory, until somebody has changed the directory.

A log-in asks for its PIN twice.  Reading and unsealing it takes 0.1 ms, asking SQLite whether any
process has changed the file since (PRAGMA data_version) 3 µs, and more where a thread takes the
interpreter meanwhile.  Datagrams that were read in one turn ask once, in a crowd those of 10 ms
(flow.py), and the answer to a look-up is then one entry of one table: the record of the phone
(phone_records.py), which has its key, PIN and Ka.  PINs of extensions without one are here.
"""

import math

from ras.lookups import Lookup

from ringkey.gatekeeper.directory import Directory
from ringkey.gatekeeper.phone_records import PhoneRecords

# PINs of extensions whose phone has not proven it yet, 150 octets each: as many as there may be look-ups
# under way, many times over.  Beyond, the one that was read first goes.
MAX_PINS = 4096


class Pins:
    """The PINs of a directory.  It belongs to the thread that opened the directory."""

    def __init__(self, directory: Directory, records: PhoneRecords | None = None) -> None:
        self._directory = directory
        self._records = PhoneRecords() if records is None else records
        self._version = -1
        self._stamp = 1  # of the state of the directory that was seen last: PINs of others are not good
        self._turn: int | None = None
        self._unproven: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Pins({len(self._unproven)})"

    def ready(
        self, ext: str, g: bytes, cvm: bytes | None, turn: int | None, oldest: float = -math.inf
    ) -> Lookup | None:
        """Return what is known of an extension with this key, if that is all there is to know.

        oldest: the key is to have been asked for since (s, monotonic).  It is not where the directory has
        changed since, or the key was forgotten.
        """
        if turn is None or turn != self._turn or cvm is None:
            return None
        return self._records.lookup(ext, g, cvm, self._stamp, oldest)

    def get(self, ext: str, turn: int | None = None) -> str | None:
        """Return the PIN of an extension that is there and enabled, else None; raises DirectoryError.

        turn: a number that is the same for all that was read from the socket together, None for what
        stands on its own.
        """
        if turn is None or turn != self._turn:
            # The version first: whatever is committed after this is seen by the next turn at the latest.
            version = self._directory.version()
            self._turn = turn
            if version != self._version:
                self._unproven.clear()
                self._stamp += 1
                self._version = version
        pin = self._unproven.get(ext) or self._records.pin(ext, self._stamp)
        if pin is not None:
            return pin
        found = self._directory.get(ext)
        # Extensions that are not there are not kept: strangers can name any number of them.
        if found is None or not found.enabled:
            self._records.forget_pin(ext)
            return None
        if self._records.set_pin(ext, found.pin, self._stamp):
            return found.pin
        if len(self._unproven) >= MAX_PINS:
            del self._unproven[next(iter(self._unproven))]
        self._unproven[ext] = found.pin
        return found.pin

    def proven(self, ext: str) -> None:
        """Hear that a phone has proven its PIN: it goes where its key is."""
        pin = self._unproven.get(ext)
        if pin is not None and self._records.set_pin(ext, pin, self._stamp):
            del self._unproven[ext]

    def close(self) -> None:
        """Forget all of them."""
        self._unproven.clear()
        self._records.forget_pins()
        self._version = -1
        self._turn = None
