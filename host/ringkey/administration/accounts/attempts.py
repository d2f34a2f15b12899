"""Failed log-ins, by name and by source: some are free, then each costs a wait that doubles.

In memory, since whoever can restart the console needs no password.  An attempt counts as
failed from its beginning, so that a hundred at once are a hundred, and a success takes it back.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

# Attempts without a wait: a person who mistypes.
FREE = 5
# Seconds: the first wait, and the longest.
FIRST = 1.0
LONGEST = 900.0
# Seconds after the last attempt in which a count is forgotten.
FORGET = 3600.0
# Names and sources counted at a time; those seen longest ago are forgotten for others.
MAX_COUNTED = 10_000


@dataclass(slots=True)
class _Count:
    failed: int = 0
    until: float = 0.0
    last: float = 0.0


class Attempts:
    """clock: seconds from any origin, never backwards."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counts: OrderedDict[tuple[str, str], _Count] = OrderedDict()

    def begin(self, name: str, source: str) -> float:
        """Return 0.0 and count an attempt, or the seconds to wait before one may be made."""
        now = self._clock()
        counts = [self._count(key, now) for key in _keys(name, source)]
        wait = max(count.until - now for count in counts)
        if wait > 0:
            return wait
        for count in counts:
            count.failed += 1
            count.last = now
            if count.failed >= FREE:
                # An exponent with a limit: 2 ** 5000 is no float.
                count.until = now + min(LONGEST, FIRST * 2 ** min(count.failed - FREE, 20))
        return 0.0

    def succeeded(self, name: str, source: str) -> None:
        """Forget what was counted for both."""
        for key in _keys(name, source):
            self._counts.pop(key, None)

    def undone(self, name: str, source: str) -> None:
        """Take back one attempt that was never looked at."""
        for key in _keys(name, source):
            if (count := self._counts.get(key)) is not None and count.failed:
                count.failed -= 1

    def _count(self, key: tuple[str, str], now: float) -> _Count:
        count = self._counts.get(key)
        if count is None or now - count.last > FORGET:
            count = self._counts[key] = _Count(last=now)
            while len(self._counts) > MAX_COUNTED:
                self._counts.popitem(last=False)
        self._counts.move_to_end(key)
        return count


def _keys(name: str, source: str) -> tuple[tuple[str, str], tuple[str, str]]:
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address):
            # Whoever has one address of IPv6 has the 2^64 of its network.
            source = str(ipaddress.ip_network((address, 64), strict=False))
    except ValueError:
        pass  # no address: it is counted as it stands
    return ("name", name), ("source", source)
