"""So many in so long, for each of many: the generic cell rate algorithm (ITU-T I.371), one number a key."""

import ipaddress
from collections import OrderedDict

# Keys that are remembered, some 150 octets each.  Whoever makes more comes from as many addresses;
# what is forgotten is the one that was quiet for longest.
MAX_KEYS = 20_000
# Seconds.  Sums of steps are rounded, by up to a microsecond where the caller's seconds count from 1970:
# that must not make the last one of a count wait.
_ROUNDED = 1e-3


class Limit:
    """At most `count` within `period` seconds for each key, and then evenly; count 0: no limit."""

    def __init__(self, count: int, period: float) -> None:
        self._count = count
        self._period = period
        # When a key would be back to nothing used, in the caller's seconds.
        self._until: OrderedDict[object, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def set(self, count: int) -> None:
        """Let `count` through from now on; what was used stays used."""
        self._count = count

    def wait(self, key: object, now: float) -> float:
        """Return the seconds that `key` has to wait, 0 where it may now; nothing is taken."""
        if not self._count:
            return 0.0
        step = self._period / self._count
        wait = max(0.0, self._until.get(key, now) - now) + step - self._period
        return wait if wait > _ROUNDED else 0.0

    def take(self, key: object, now: float) -> None:
        """Count one for `key`."""
        if not self._count:
            return
        self._until[key] = max(self._until.get(key, now), now) + self._period / self._count
        self._until.move_to_end(key)
        while len(self._until) > MAX_KEYS:
            self._until.popitem(last=False)


def network(source: str) -> str:
    """Return what stands for everybody who has the address `source`.

    An IPv4 address is one host; of IPv6 a single host has a /64 to choose from (RFC 4291).
    """
    if ":" not in source:
        return source
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return source
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return source
