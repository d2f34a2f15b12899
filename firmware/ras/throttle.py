"""Counts of what went wrong, by whom; who is over the limit is ignored for a while (protocol.md section 5).

The seed: "If multiple unsuccessful login attempts are made from the same IP address, the
application server 30 must ignore them".  What is counted by which key: attempts.py, noise.py.
"""

from ras.replay import Recent

# Keys remembered at a time.  An attacker with more addresses than that pushes the oldest out, but
# has by then had as many guesses as addresses; what is no stranger's has tables of its own.
MAX_SOURCES = 8192


class Throttle:
    """limit: failures within `window` ms that are free; then a key is ignored for
    `first` ms, which doubles with each further failure up to `longest` ms.
    """

    def __init__(
        self,
        limit: int = 10,
        window: int = 900000,
        first: int = 30000,
        longest: int = 3600000,
        keys: int = MAX_SOURCES,
    ) -> None:
        self.limit = limit
        self.window = window
        self.first = first
        self.longest = longest
        self._keys = keys
        # key -> [failures, time of the last one, ignored until]
        self._seen = Recent(keys, None)
        self.until = 0  # from then on nobody is ignored, as things stand
        self.changed: "set | None" = None  # a set of keys, where somebody keeps the counters (kept.py)

    def __len__(self) -> int:
        return len(self._seen)

    def another(self, limit: int, keys: int) -> "Throttle":
        """Return an empty one with the same times."""
        return Throttle(limit, self.window, self.first, self.longest, keys)

    def ignores(self, key, now: int) -> bool:
        """Tell whether what comes from `key` is to be ignored."""
        if now >= self.until:
            return False
        entry = self._seen.get(key, now)
        return entry is not None and now < entry[2]

    def failures(self, key, now: int) -> int:
        """Return how many failures of `key` still count."""
        if not len(self._seen):
            return 0
        entry = self._seen.get(key, now)
        return 0 if entry is None or self._over(entry, now) else entry[0]

    def failed(self, key, now: int, weight: int = 1) -> int:
        """Count a failure of `key`, as `weight` ones; return for how many ms it is ignored, 0 for not."""
        entry = self._seen.get(key, now)
        if entry is None or self._over(entry, now):
            entry = [0, now, 0]
            self._seen.put(key, entry, now)
        entry[0] += weight
        entry[1] = now
        self._note(key)
        if entry[0] < self.limit:
            return 0
        ban = min(self.first << min(entry[0] - self.limit, 20), self.longest)
        entry[2] = now + ban
        self.until = max(self.until, entry[2])
        return ban

    def succeeded(self, key, now: int) -> None:
        """Forget the failures of `key`."""
        if not len(self._seen):
            return
        entry = self._seen.get(key, now)
        if entry is not None:
            entry[0] = entry[2] = 0
            self._note(key)

    def _note(self, key) -> None:
        """Let a key be among those that have changed, of which there are never many more than keys."""
        changed = self.changed
        if changed is None:
            return
        changed.add(key)
        if len(changed) > 2 * self._keys:
            self.changed = {one for one in changed if self._seen.get(one, 0) is not None}

    def entry(self, key) -> "tuple[int, int, int] | None":
        """Return (failures, time of the last one, ignored until) of `key`, or None."""
        entry = self._seen.get(key, 0)
        return None if entry is None else tuple(entry)

    def entries(self) -> dict:
        """Return all of them."""
        return {key: self.entry(key) for key in self._seen.keys()}

    def put_back(self, key, entry: "tuple[int, int, int]") -> None:
        """Set what `entry` has told; keys come back oldest first."""
        self._seen.put(key, list(entry), 0)
        self.until = max(self.until, entry[2])

    def _over(self, entry: list, now: int) -> bool:
        # The window starts anew only when it and the last ban are both over, so that
        # waiting a ban out does not buy another `limit` free guesses.
        return now - max(entry[1], entry[2]) > self.window


def network_of(host: str) -> str:
    """Return the /24 of an IPv4 address or the /64 of an IPv6 one, as text."""
    if ":" not in host:
        return host[: host.rfind(".")]
    from ras.address import ip_octets

    return ip_octets(host.split("%", 1)[0])[:8].hex()
