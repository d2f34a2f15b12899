"""Time on the phone: monotonic milliseconds that never wrap, and a floor for the wall clock."""

import time

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


def keep_floor(seconds: int) -> bool:
    """Set the wall clock on to `seconds` (from 1970, UTC) if it is behind; tell whether it was set.

    A board without a battery believes it is 2000-01-01, and every certificate starts in
    the future.  What is known to have passed (the image's build time, the Date of a server
    that has proven itself) moves the clock on, never back.  Where the clock is not ours
    to set (the unix port), nothing happens.
    """
    if wall() >= seconds:
        return False
    try:
        from machine import RTC
    except ImportError:
        return False
    t = time.gmtime(seconds - _OFFSET)
    RTC().datetime((t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0))
    return True
