"""Time on the phone: monotonic milliseconds that never wrap, and a floor for the wall clock."""

import time

from ras.compat import const

try:
    from time import ticks_diff, ticks_ms
except ImportError:  # CPython, for tests

    def ticks_ms() -> int:
        """Return milliseconds of the monotonic clock."""
        return time.monotonic_ns() // 1000000

    def ticks_diff(a: int, b: int) -> int:
        """Return a - b."""
        return a - b


# An ESP32 counts seconds from 2000, the unix port from 1970.
_EPOCH_2000 = 946684800
_OFFSET = _EPOCH_2000 if time.gmtime(0)[0] == 2000 else 0


class Clock:
    """`now()` in milliseconds from its construction.

    time.ticks_ms wraps after 6 to 12 days; this adds up differences, so it must be asked
    at least once in that time, which the phone's keep-alives see to.
    """

    def __init__(self, ticks: object = ticks_ms, difference: object = ticks_diff) -> None:
        """Take the counter and its difference, for tests."""
        self._ticks = ticks
        self._difference = difference
        self._last = ticks()
        self._now = 0

    def now(self) -> int:
        """Return milliseconds that never decrease and never wrap."""
        ticks = self._ticks()
        passed = self._difference(ticks, self._last)
        if passed > 0:
            self._now += passed
            self._last = ticks
        return self._now


def wall() -> int:
    """Return the wall clock: seconds from 1970, UTC, whatever the platform counts from."""
    return int(time.time()) + _OFFSET


def _put(seconds: int) -> bool:
    """Set the wall clock to `seconds` (from 1970, UTC); tell whether it was.

    Where the clock is not ours to set (the unix port), nothing happens.
    """
    try:
        from machine import RTC
    except ImportError:
        return False
    t = time.gmtime(seconds - _OFFSET)
    RTC().datetime((t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0))
    return True


# s.  The life of a site's root certificate (host/ringkey/site/ca.py): no date beyond it is
# one on which this image could still be of use.
_ROOT_LIFE = const(20 * 366 * 86400)


class Wall:
    """The wall clock and how far it can be relied on, on a board whose clock is ours to set.

    Proven is what has certainly passed: the image's build time, then the Date of a key
    server whose certificate has verified, each plus what the monotonic clock has counted
    since.  Told is what somebody says who has proven nothing (SNTP).  The rule:

    - What is proven sets the clock, forward or, over what was only told, back.
    - What is told counts until a server has proven itself, and not after: the monotonic
      clock of a board loses seconds a day, a liar could take years.
    - It is not believed below what is proven (an old certificate would come to life
      again), nor beyond the life of the site's root certificate.
    - It replaces only the clock, never what is proven; so the next one that is told
      replaces it, and a lie outlives the liar by no more than a power cycle.

    What is left to a liar is to make certificates look expired while he is on the way: he
    could as well cut the wire.
    """

    def __init__(self, clock: Clock, built: int, read: object = wall, put: object = None) -> None:
        """Set the clock on to `built`, seconds from 1970, if it is behind; read, put: for tests."""
        self._clock = clock
        self._read = read
        self._put = _put if put is None else put
        self._built = built
        self._proven = built
        self._since = clock.now()
        self.is_proven = False
        if self._read() < built:
            self._put(built)

    def prove(self, utc: int) -> bool:
        """Take a date that is proven; tell whether the clock was set."""
        # A server's clock may be slow; what was proven before has passed all the same.
        utc = max(utc, self._least())
        self._proven = utc
        self._since = self._clock.now()
        self.is_proven = True
        # Its resolution is a second, and the answer has been on the way.
        return abs(self._read() - utc) > 2 and self._put(utc)

    def tell(self, utc: int) -> bool:
        """Take a date that nobody has proven; tell whether the clock was set."""
        if self.is_proven or not self._least() <= utc <= self._built + _ROOT_LIFE:
            return False
        return self._read() != utc and self._put(utc)

    def _least(self) -> int:
        return self._proven + (self._clock.now() - self._since) // 1000
