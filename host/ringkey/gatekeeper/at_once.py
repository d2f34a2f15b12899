"""Look-ups whose answer is in memory: nearly all of them, so this part is compiled."""

import math
from collections.abc import Callable

from ras.lookups import Lookup

from ringkey.gatekeeper.observed import Observed
from ringkey.gatekeeper.pins import Pins

Otherwise = Callable[[str, bytes, bytes | None], Lookup | None]
Prove = Callable[[bytes, str, bytes | None], None]


class AtOnce:
    """otherwise: asked for what the records of phones do not have; None from it is for the key server;
    prove: told of g, EXT and CVm of a key that is proven.

    turn: a number that is the same while what was read from the socket together is worked through (and for
    some ms longer in a crowd, see flow.py), and None at all other times; oldest: when a key was asked for at
    the earliest that is still good, in this turn (s, monotonic); judge: has the last word on each answer
    that is found, where there is one.
    """

    def __init__(self, pins: Pins, observed: Observed, otherwise: Otherwise, prove: Prove) -> None:
        self.turn: int | None = None
        self.oldest = math.inf
        self.judge: Callable[[bytes, Lookup], Lookup] | None = None
        self._pins = pins
        self._observed = observed
        self._otherwise = otherwise
        self._prove = prove

    def look(self, ext: str, g: bytes, cvm: bytes | None = None) -> Lookup | None:
        """Return the answer where it is in memory, else None."""
        found = self._pins.ready(ext, g, cvm, self.turn, self.oldest)
        if found is not None:
            self._observed.from_memory()
        else:
            found = self._otherwise(ext, g, cvm)
        if found is not None and self.judge is not None:
            return self.judge(g, found)
        return found

    def proven(self, g: bytes, ext: str, cvm: bytes) -> None:
        """Hear that a phone has registered with this key: it and its PIN stay before those of strangers."""
        self._prove(g, ext, cvm)
        self._pins.proven(ext)
