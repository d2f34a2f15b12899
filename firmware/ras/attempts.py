"""Whose log-ins are looked at: failures by source, network, extension and key (protocol.md section 5).

A guess at a PIN needs a Kg to make an ICV with, and each Kg has a g that the key server gave out
for that extension.  So an extension that is being guessed at, from however many addresses, stays
open for two: for a phone that has proven its PIN with this g from this address before, which has
counters of its own; and for a g that has not failed yet, which is heard once.
"""

from ras.compat import const
from ras.held import Held
from ras.replay import Erasable
from ras.throttle import Throttle, network_of

# Failures at one extension, from anywhere, in multiples of a source's limit: nobody's fingers come
# near, and a guesser with a thousand addresses has no more guesses than ten of them had.
EVERYWHERE = const(10)
# Extensions and g that have failed in a comparison.  Strangers can not fill these without keys that
# the key server has given out; 400 octets each.
MAX_EXTENSIONS = const(8192)
MAX_KEYS = const(8192)
# Phones that have proven their PIN, with address and g, and are not registered: of one that is, its
# registration says so, however many there are.
MAX_PROVEN = const(20000)


class Attempts:
    """throttle: counts by source and by (source network, EXT); its limits hold for the rest as well."""

    def __init__(self, throttle: Throttle) -> None:
        self._strangers = throttle
        self._extensions = throttle.another(EVERYWHERE * throttle.limit, MAX_EXTENSIONS)
        self._keys = throttle.another(throttle.limit, MAX_KEYS)
        self._phones = throttle.another(throttle.limit, MAX_PROVEN)
        self._held_of = _nobody
        self._proven = Erasable(MAX_PROVEN)  # (host, EXT, g) -> the port it came from last

    # What is known of a registered phone is in its Held.

    def look_at(self, held_of) -> None:
        """Ask `held_of(ext)`, a Held or None, for what registered phones have proven."""
        self._held_of = held_of

    def registered(self, held) -> None:
        """Hear that a phone has registered, and is to be found there."""
        if len(self._proven):
            self._proven.take((held.proven[0], held.ext, held.g))

    def left(self, held) -> None:
        """Hear that a registration has ended; its phone is still one that has proven its PIN."""
        self._proven.put((held.proven[0], held.ext, held.g), held.proven[1], 0)

    def _held(self, source, ext: str, g: bytes):
        """Return the registration of the phone that has proven this there, or None."""
        held: "Held | None" = self._held_of(ext)
        return held if held is not None and held.g == g and held.proven[0] == source[0] else None

    def tables(self) -> "dict[str, Throttle]":
        """Return the counters, by what they count by: to be kept (kept.py)."""
        return {
            "stranger": self._strangers,
            "extension": self._extensions,
            "key": self._keys,
            "phone": self._phones,
        }

    def own(self, source, ext: str, g: bytes, now: int):
        """Return what a phone that has proven its PIN is counted by, None for a stranger.

        Its address and port where it has proven it from there last: a neighbour behind the same
        router is somebody else.  Its address where it has another port now, as after a power cut.
        """
        return self.own_beside(self._held_of(ext), source, ext, g, now)

    def own_beside(self, held: "Held | None", source, ext: str, g: bytes, now: int):
        """As `own`, for whoever has the registration of `ext` already."""
        if held is not None and held.g == g and held.proven[0] == source[0]:
            if held.proven[1] == source[1]:
                return (source, ext, g)
            return (source[0], ext, g)
        port = self._proven.get((source[0], ext, g), now)
        if port is None:
            return None
        return (source if port == source[1] else source[0], ext, g)

    def proven(self, source: "tuple[str, int]", ext: str, g: bytes, now: int) -> bool:
        """Tell whether a phone has proven the PIN of `ext` with this g from this address."""
        return self.own(source, ext, g, now) is not None

    def refused(self, source: "tuple[str, int]", ext: str, g: bytes, now: int) -> "str | None":
        """Return why this log-in is to be ignored, or None."""
        return self.refused_as(self.own(source, ext, g, now), source, ext, g, now)

    def _refused_stranger(self, source: "tuple[str, int]", ext: str, g: bytes, now: int) -> "str | None":
        if self._strangers.ignores(source[0], now):
            return "throttled source"
        if not self._keys.failures((ext, g), now):
            return None
        if self._strangers.ignores((network_of(source[0]), ext), now):
            return "throttled source network for this extension"
        if self._extensions.ignores(ext, now):
            return "throttled extension for this key"
        return None

    def failed(self, source: "tuple[str, int]", ext: str, g: bytes, compared: bool, now: int) -> None:
        """Count a failure; compared: an ICV was compared under the Kg of g, and was wrong."""
        own = self.own(source, ext, g, now)
        if own is not None:
            self._phones.failed(own, now)
            return
        self._strangers.failed(source[0], now)
        self._strangers.failed((network_of(source[0]), ext), now)
        if compared:
            self._keys.failed((ext, g), now)
            self._extensions.failed(ext, now)

    def succeeded(self, source: "tuple[str, int]", ext: str, g: bytes, now: int) -> None:
        """Remember that the PIN was proven; only the counter that it came by begins anew."""
        self.succeeded_as(self.own(source, ext, g, now), source, ext, g, now)

    # For whoever has `own` already.

    def refused_as(self, own, source: "tuple[str, int]", ext: str, g: bytes, now: int) -> "str | None":
        """As `refused`."""
        if own is not None:
            return "throttled phone" if self._phones.ignores(own, now) else None
        return self._refused_stranger(source, ext, g, now)

    def succeeded_as(self, own, source: "tuple[str, int]", ext: str, g: bytes, now: int) -> None:
        """As `succeeded`."""
        if own is not None:
            self._phones.succeeded(own, now)
        if own is None or own[0] != source:
            held = self._held(source, ext, g)
            if held is not None:
                held.proven = source
            else:
                self._proven.put((source[0], ext, g), source[1], now)


def _nobody(__ext: str):
    return None
