"""What Wi-Fi and Ethernet have in common: bringing the network up, again and again, and noticing its loss.

A Link tries for as long as it takes: at once, then after waits that double up to LONGEST,
each with up to half of itself on top at random, so that the phones of a house do not all
come back in the same moment when its power does.
"""

import asyncio
import os

from ras.compat import const

FIRST = const(1000)  # ms, the first wait
# ms.  An access point takes a minute or two to start; once it is there, nobody should have
# to wait much longer for the phone.
LONGEST = const(30000)
POLL = const(250)  # ms between looks whether it is up, or still is: MicroPython has no event for it

_NOWHERE = "0.0.0.0"


class Backoff:
    """The waits between attempts.  random: `random(n) -> bytes`."""

    def __init__(self, random: object = os.urandom, first: int = FIRST, longest: int = LONGEST) -> None:
        self._random = random
        self._first = first
        self._longest = longest
        self._wait = 0

    def reset(self) -> None:
        """Begin anew: the last attempt has succeeded."""
        self._wait = 0

    def next(self) -> int:
        """Return ms to wait before the next attempt."""
        self._wait = min(2 * self._wait, self._longest) if self._wait else self._first
        return self._wait + (int.from_bytes(self._random(2), "big") * (self._wait // 2) >> 16)


class Link:
    """A network interface; the one who derives from it says how it is tried (`attempt`).

    nic: MicroPython's interface, with isconnected() and ifconfig(); params: "poll_ms",
    "first_ms", "longest_ms".
    """

    def __init__(self, nic: object, params: dict) -> None:
        self.nic = nic
        self.poll_ms = params.get("poll_ms", POLL)
        self._backoff = Backoff(os.urandom, params.get("first_ms", FIRST), params.get("longest_ms", LONGEST))

    # -- phone/board.py's face

    def is_up(self) -> bool:
        """Tell whether there is a link and an address."""
        nic = self.nic
        return nic.isconnected() and nic.ifconfig()[0] != _NOWHERE

    def address_towards(self, host: str) -> str:
        """Return the own IPv4 address: the interface has one, wherever `host` is."""
        return self.nic.ifconfig()[0]

    async def up(self, tell: object = None) -> None:
        """Try until the network is up; tell(word) after each attempt that failed.

        One caller at a time.
        """
        self._backoff.reset()
        while not self.is_up():
            try:
                reason = await self.attempt()
            except OSError:
                reason = "network-failed"  # the driver is in a state that it does not take this in
            if reason is None and self.is_up():
                return
            if tell is not None:
                tell(reason or "network-failed")
            await self._pause(self._backoff.next())

    async def lost(self) -> None:
        """Return when the network is up no longer."""
        while self.is_up():
            await asyncio.sleep_ms(self.poll_ms)

    # -- for those who derive from it

    async def attempt(self) -> "str | None":
        """Try once; return None, or a word of phone/words.py.  May raise OSError."""
        raise NotImplementedError

    async def until_up(self, limit: int) -> bool:
        """Wait up to `limit` ms; tell whether the network is up."""
        waited = 0
        while not self.is_up():
            if waited >= limit:
                return False
            await asyncio.sleep_ms(self.poll_ms)
            waited += self.poll_ms
        return True

    async def _pause(self, wait: int) -> None:
        """Wait, but not beyond the moment when the network is up by itself."""
        await self.until_up(wait)
