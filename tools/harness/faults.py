"""What a relay does to datagrams: rules, each with whom it concerns and what happens to them.

No I/O and no clock: a rule turns one datagram into what is to be delivered, and when.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from ras import profile
from ras.errors import RemoteProtocolError
from ras.message import RCF, RRQ, decode_message

from harness import patience
from harness.errors import HarnessError

UP, DOWN = "up", "down"  # towards the gatekeeper, towards the phone
ALIVE = "-alive"  # behind RRQ and RCF: those of a keepAlive
UNKNOWN = "?"
# Octets 0 and 1 of a RasMessage say which one it is; a flipped bit there makes another message.
_KINDS = ("GRQ", "GCF", "GRJ", "RRQ", "RCF", "RRJ", "URQ", "UCF")
KINDS = (*_KINDS, RRQ + ALIVE, RCF + ALIVE)

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Datagram:
    """One datagram at a relay.  way: UP or DOWN; kind: of KINDS, or UNKNOWN; client: the phone's address."""

    way: str
    kind: str
    data: bytes
    client: Address


Delivery = tuple[float, bytes]  # s from now, octets


class Rule:
    """Concerns datagrams of `kind` (None: any) going `way` (None: both) for which `where` holds.

    The first `skip` of them pass, the next `times` (None: all) are given to `act`, each with
    probability `chance`; what is left passes.  hits: what it has acted upon.
    """

    def __init__(
        self,
        name: str,
        act: Callable[[Datagram, random.Random], list[Delivery]],
        kind: str | None = None,
        *,
        way: str | None = None,
        skip: int = 0,
        times: int | None = 1,
        chance: float = 1.0,
        where: Callable[[Datagram], bool] | None = None,
    ) -> None:
        if kind is not None and kind not in KINDS:
            raise HarnessError(f"no message {kind!r}: there are {', '.join(KINDS)}")
        self.name = name
        self.hits: list[Datagram] = []
        self._act = act
        self._kind = kind
        self._way = way
        self._skip = skip
        self._times = times
        self._chance = chance
        self._where = where
        self._hit = threading.Condition()

    def __repr__(self) -> str:
        return f"{self.name} {self._kind or 'any'}"

    def takes(self, datagram: Datagram, rng: random.Random) -> bool:
        """Tell whether it concerns this one now; counts it."""
        if self._kind not in (None, datagram.kind) or self._way not in (None, datagram.way):
            return False
        if self._where is not None and not self._where(datagram):
            return False
        if self._skip:
            self._skip -= 1
            return False
        if self._times is not None and len(self.hits) >= self._times:
            return False
        return self._chance >= 1.0 or rng.random() < self._chance

    def act(self, datagram: Datagram, rng: random.Random) -> list[Delivery]:
        """Return what is delivered instead of the datagram."""
        deliveries = self._act(datagram, rng)
        with self._hit:
            self.hits.append(datagram)
            self._hit.notify_all()
        return deliveries

    def wait(self, timeout: float = 20.0, count: int = 1) -> Datagram:
        """Wait until it has acted `count` times; return the last of them.  Raises HarnessError."""
        with self._hit:
            if not self._hit.wait_for(lambda: len(self.hits) >= count, patience.seconds(timeout)):
                raise HarnessError(f"the relay: {self}: {len(self.hits)} of {count} within {timeout:g} s")
            return self.hits[count - 1]


def drop(_datagram: Datagram, _rng: random.Random) -> list[Delivery]:
    """Deliver nothing."""
    return []


def watch(datagram: Datagram, _rng: random.Random) -> list[Delivery]:
    """Deliver it as it is: for a rule that only counts."""
    return [(0.0, datagram.data)]


def delay(seconds: float) -> Callable[[Datagram, random.Random], list[Delivery]]:
    """Deliver it later."""
    return lambda datagram, _rng: [(seconds, datagram.data)]


def double(after: float = 0.0) -> Callable[[Datagram, random.Random], list[Delivery]]:
    """Deliver it, and once more `after` seconds."""
    return lambda datagram, _rng: [(0.0, datagram.data), (after, datagram.data)]


def corrupt(datagram: Datagram, rng: random.Random) -> list[Delivery]:
    """Flip one bit behind those that say which message it is."""
    at = rng.randrange(16, 8 * len(datagram.data)) if len(datagram.data) > 2 else 0
    data = bytearray(datagram.data)
    data[at >> 3] ^= 0x80 >> (at & 7)
    return [(0.0, bytes(data))]


def replace(data: Callable[[Datagram], bytes | None]) -> Callable[[Datagram, random.Random], list[Delivery]]:
    """Deliver what `data` makes of it; None: nothing."""

    def act(datagram: Datagram, _rng: random.Random) -> list[Delivery]:
        made = data(datagram)
        return [] if made is None else [(0.0, made)]

    return act


def kind_of(data: bytes) -> str:
    """Return the kind of a datagram: its short name, with ALIVE behind those of a keepAlive."""
    number = data[0] >> 2 if data else len(_KINDS)
    if number >= len(_KINDS):
        return UNKNOWN
    kind = _KINDS[number]
    try:
        if kind == RRQ and decode_message(data).value.get("keepAlive"):
            return kind + ALIVE
        if kind == RCF and profile.SID not in profile.elements(decode_message(data)):
            return kind + ALIVE
    except RemoteProtocolError:
        pass  # it says what it is, and is not; whoever gets it will find out
    return kind
