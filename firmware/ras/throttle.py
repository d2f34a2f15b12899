"""Failed log-ins, counted per source and per (source network, EXT) (protocol.md section 5).

The seed: "If multiple unsuccessful login attempts are made from the same IP address, the
application server 30 must ignore them".  Counting per network and extension as well, and
never per extension alone, keeps one guessing address from locking out the real phone.
"""

from ras.replay import Recent

# Sources remembered at a time.  An attacker with more addresses than that pushes the
# oldest out, but has by then had as many guesses as addresses.
MAX_SOURCES = 8192


class Throttle:
    """limit: failures within `window` ms that are free; then a source is ignored for
    `first` ms, which doubles with each further failure up to `longest` ms.
    """

    def __init__(
        self, limit: int = 10, window: int = 900000, first: int = 30000, longest: int = 3600000
    ) -> None:
        self.limit = limit
        self.window = window
        self.first = first
        self.longest = longest
        # key -> [failures, time of the last one, ignored until]
        self._seen = Recent(MAX_SOURCES, None)

    def __len__(self) -> int:
        return len(self._seen)

    def ignores(self, key, now: int) -> bool:
        """Tell whether what comes from `key` is to be ignored."""
        entry = self._seen.get(key, now)
        return entry is not None and now < entry[2]

    def failed(self, key, now: int) -> None:
        """Count a failure of `key`."""
        entry = self._seen.get(key, now)
        # The window starts anew only when it and the last ban are both over, so that
        # waiting a ban out does not buy another `limit` free guesses.
        if entry is None or now - max(entry[1], entry[2]) > self.window:
            entry = [0, now, 0]
            self._seen.put(key, entry, now)
        entry[0] += 1
        entry[1] = now
        if entry[0] >= self.limit:
            entry[2] = now + min(self.first << min(entry[0] - self.limit, 20), self.longest)

    def succeeded(self, key, now: int) -> None:
        """Forget the failures of `key`."""
        entry = self._seen.get(key, now)
        if entry is not None:
            entry[0] = entry[2] = 0


def network_of(host: str) -> str:
    """Return the /24 of an IPv4 address or the /64 of an IPv6 one, as text."""
    if ":" not in host:
        return host[: host.rfind(".")]
    from ras.address import ip_octets

    return ip_octets(host.split("%", 1)[0])[:8].hex()
