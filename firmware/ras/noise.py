"""Sources that are not even decoded: what they send is noise, or flows without end (protocol.md section 5).

Noise is every message that no phone in order sends: malformed, replayed, under a wrong key, of
nobody.  Decoding one costs a hundred times what it costs to count it.
"""

from ras.compat import const
from ras.replay import Recent
from ras.throttle import Throttle

# A phone's own retransmissions are no noise, so this much of it in a minute is none of a phone's.
NOISE = const(100)
# What an address may make with all its ports together, in multiples of that.
PORTS = const(10)
# Noise in one second, of all sources together, that is a flood; then one is enough of each.
FLOOD = const(200)
# Octets for which a datagram counts once more: what it costs to decode one grows with its length.
_MORE = const(256)
_MINUTE = const(60000)  # ms; the window, and the longest time for which a source is not decoded
_FIRST = const(2000)  # ms; doubles
# Answers without a signature, such as a GRJ 3, that one source is sent in ten seconds: phones behind
# one router whose keys became obsolete together still get them; a forged source is not flooded.
UNSIGNED = const(200)
_TEN = const(10000)
_MAX_SOURCES = const(8192)  # of each; the oldest goes
# Addresses, and (host, port), that have proven a PIN; see attempts.MAX_PROVEN.
MAX_PHONES = const(40000)


class Noise:
    """Counts by (host, port), and in larger numbers by address: a device that is out of order does not make
    its neighbours behind one router unheard, a thousand ports do not make a source a thousand.  A phone
    that has proven its PIN answers for its own (host, port) alone.
    """

    def __init__(self, limit: int = NOISE, unsigned: int = UNSIGNED, flood: int = FLOOD) -> None:
        self._ports = Throttle(limit, _MINUTE, _FIRST, _MINUTE, _MAX_SOURCES)
        self._hosts = Throttle(limit * PORTS, _MINUTE, _FIRST, _MINUTE, _MAX_SOURCES)
        self._flood = Throttle(1, _MINUTE, _FIRST, _MINUTE, _MAX_SOURCES)
        self._unsigned = Throttle(unsigned, _TEN, _TEN, _TEN, _MAX_SOURCES)
        self._phones = Recent(MAX_PHONES, None)
        self._flooded = flood
        self._second = self._made = 0

    def ignores(self, source: "tuple[str, int]", now: int) -> bool:
        """Tell whether datagrams of this source are not to be decoded now."""
        if now >= self._ports.until and now >= self._flood.until and now >= self._hosts.until:
            return False
        if self._ports.ignores(source, now) or self._flood.ignores(source, now):
            return True
        if self._phones.get(source, now):
            return False
        return self._hosts.ignores(source[0], now) or self._flood.ignores(source[0], now)

    def made(self, source: "tuple[str, int]", octets: int, now: int) -> int:
        """Count one of so many octets; return for how many ms all of its address will be ignored, 0 for not.

        It is 0 where a phone is at that address.
        """
        if now // 1000 != self._second:
            self._second, self._made = now // 1000, 0
        weight = 1 + octets // _MORE
        self._made += weight
        phones = self.phones_at(source[0], now)
        self._ports.failed(source, now, weight)
        ban = 0
        if not self._phones.get(source, now):
            ban = self._hosts.failed(source[0], now, weight)
        if self._made > self._flooded:
            ban = max(ban, self._flood.failed(source if phones else source[0], now))
        return 0 if phones else ban

    def unsigned(self, source: "tuple[str, int]", now: int) -> bool:
        """Count an answer that nobody signs; tell whether it may go out."""
        if self._unsigned.ignores(source[0], now):
            return False
        self._unsigned.failed(source[0], now)
        return True

    def proven(self, source, now: int):
        """Remember that a phone has proven its PIN from here.

        Return the source as it is remembered: who keeps that has no second object of each, some 160 octets.
        """
        known = self._phones.get(source, now)
        if known is None:
            known = source
            self._phones.put(source, source, now)
        if self._phones.get(source[0], now) is None:
            self._phones.put(source[0], True, now)
        return known

    def phones_at(self, host: str, now: int) -> bool:
        """Tell whether any phone has proven its PIN from this address."""
        return self._phones.get(host, now) is not None
