"""What is remembered of a phone that has proven its PIN: its key, its PIN and their Ka, in one object.

There are as many as registrations.  A tuple for the name of a key, an answer of the key server, a look-up,
the time and their tables take 620 octets of memory; the same in one bytes object takes 170.  What a record
holds is what the gatekeeper can have at any time from the key server and out of its directory, and Ka, which
each registration holds; nothing of it is written from here.

    8 octets        stamp: which state of the directory the PIN is of; 0: neither PIN nor Ka follow
    16 octets       g
    octet + octets  CVm
    octet           arc of the suite (keys.Suite.arc)
    6 octets        when the key was asked for, ms; 0: it is not known
    octets          Kg and, with a PIN, Ka: as long as the suite's keys are
    the rest        PIN
"""

import math
from collections.abc import Iterator
from typing import Final

from ras.keys import NONCE, SUITES, authentication_key
from ras.lookups import Lookup

from ringkey.gatekeeper.answers import Found

_STAMP: Final = 8
_TIME: Final = 6
_NO_PIN: Final = bytes(_STAMP)
_AT_CVM: Final = _STAMP + NONCE
_OCTETS: Final = tuple(bytes((n,)) for n in range(256))
_OF_ARC: Final = {suite.arc: suite for suite in SUITES.values()}


class PhoneRecords:
    """The records, one for each extension: of the key that a phone has proven last."""

    def __init__(self) -> None:
        self._records: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"PhoneRecords({len(self._records)})"

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    # -- keys

    def put(self, ext: str, g: bytes, found: Found, asked: float) -> None:
        """Remember a key whose name has the CVm of its answer.

        asked: when it was asked for (s, monotonic), -inf where that is not known.  The PIN stays with the key
        that it has come to, and goes where this is another one.
        """
        cvm, kg, suite = found.cvm, found.kg, found.suite
        head = b"".join((g, _OCTETS[len(cvm)], cvm, _OCTETS[suite.arc]))
        when = 0 if asked == -math.inf else max(1, int(asked * 1000))
        tail = b"".join((when.to_bytes(_TIME, "big"), kg))
        old = self._records.get(ext)
        stamp, pin = _NO_PIN, b""
        if old is not None and old.startswith(head, _STAMP):
            after = _STAMP + len(head) + _TIME
            if old.startswith(kg, after):
                stamp, pin = old[:_STAMP], old[after + len(kg) :]
        self._records[ext] = b"".join((stamp, head, tail, pin))

    def has(self, ext: str, g: bytes, cvm: bytes | None) -> bool:
        """Tell whether this key is the one that is there of an extension."""
        record = self._records.get(ext)
        return record is not None and cvm is not None and record.startswith(_named(g, cvm), _STAMP)

    def get(self, ext: str) -> tuple[bytes, Found, float] | None:
        """Return g, the key and when it was asked for (s, monotonic; -inf: not known), or None."""
        record = self._records.get(ext)
        if record is None:
            return None
        at = _AT_CVM + 1 + record[_AT_CVM]
        suite = _OF_ARC[record[at]]
        begin = at + 1 + _TIME
        found = Found(record[begin : begin + suite.key], suite, record[_AT_CVM + 1 : at])
        return record[_STAMP:_AT_CVM], found, _asked(record, at + 1)

    def take(self, ext: str) -> bool:
        """Forget an extension; tell whether it was there."""
        return self._records.pop(ext, None) is not None

    def clear(self) -> None:
        """Forget all."""
        self._records.clear()

    # -- PINs

    def set_pin(self, ext: str, pin: str, stamp: int) -> bool:
        """Remember the PIN of an extension, and Ka; stamp: 1 or more; tell whether there is a key for it."""
        record = self._records.get(ext)
        if record is None:
            return False
        at = _AT_CVM + 1 + record[_AT_CVM]
        suite = _OF_ARC[record[at]]
        begin = at + 1 + _TIME
        kg = record[begin : begin + suite.key]
        ka = authentication_key(suite, kg, pin)
        head = record[_STAMP : begin + suite.key]
        self._records[ext] = b"".join((stamp.to_bytes(_STAMP, "big"), head, ka, pin.encode()))
        return True

    def pin(self, ext: str, stamp: int) -> str | None:
        """Return the PIN of an extension if it is of this state of the directory, else None."""
        record = self._records.get(ext)
        if record is None or record[:_STAMP] != stamp.to_bytes(_STAMP, "big"):
            return None
        at = _AT_CVM + 1 + record[_AT_CVM]
        return record[at + 1 + _TIME + 2 * _OF_ARC[record[at]].key :].decode()

    def forget_pin(self, ext: str) -> None:
        """Forget the PIN of an extension, and Ka."""
        record = self._records.get(ext)
        if record is not None and record[:_STAMP] != _NO_PIN:
            at = _AT_CVM + 1 + record[_AT_CVM]
            self._records[ext] = _NO_PIN + record[_STAMP : at + 1 + _TIME + _OF_ARC[record[at]].key]

    def forget_pins(self) -> None:
        """Forget all PINs and Ka."""
        for ext in self._records:
            self.forget_pin(ext)

    def lookup(self, ext: str, g: bytes, cvm: bytes, stamp: int, oldest: float) -> Lookup | None:
        """Return what is known of an extension with this key, its PIN and Ka, else None.

        stamp: the state of the directory; oldest: the key is to have been asked for since (s, monotonic).
        """
        record = self._records.get(ext)
        if record is None or not record.startswith(stamp.to_bytes(_STAMP, "big") + _named(g, cvm)):
            return None
        at = _AT_CVM + 1 + len(cvm)
        if oldest != -math.inf and _asked(record, at + 1) < oldest:
            return None
        key = _OF_ARC[record[at]].key
        begin = at + 1 + _TIME
        middle = begin + key
        end = middle + key
        return Lookup(0, record[begin:middle], record[end:].decode(), (), True, record[middle:end])


def _named(g: bytes, cvm: bytes) -> bytes:
    return b"".join((g, _OCTETS[len(cvm)], cvm))


def _asked(record: bytes, at: int) -> float:
    when = int.from_bytes(record[at : at + _TIME], "big")
    return when / 1000 if when else -math.inf
