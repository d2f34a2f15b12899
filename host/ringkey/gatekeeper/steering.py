"""The RAS port as two sockets: one for datagrams from where phones are, one for all others.

A flood then fills a buffer that phones have no use for, from however many addresses it comes or says
that it comes, and phones are read in turns with it.  The kernel tells them apart, by the source
address, before a datagram has a place in either (SO_ATTACH_REUSEPORT_CBPF, Linux; elsewhere there is one
socket for all).
"""

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress

from ringkey.gatekeeper import bpf
from ringkey.gatekeeper.ear import Ear

# Networks that are told apart, from single addresses upwards: a program of fewer than bpf.LONGEST
# instructions.  Where there are more, larger ones take their place.
MAX_NETWORKS = 1536
# Bits by which they are made larger at a time.
_STEP = 4
# Addresses remembered only so that most datagrams need no look at networks.
_MAX_SEEN = 4096
# Seconds between two programs: one takes 3 ms to make, in which nobody is heard.
EVERY = 1.0
# Networks that are compared one after the other, at the ends of the search: halving those too would take
# more instructions than a program may have.
_LEAF = 8
# The sockets by number, in the order in which they are bound.
_PHONES, _STRANGERS = 0, 1


class Steering:
    """Makes `sock`, which is bound to the port, the phones' one.

    strangers: the other socket, None where there is one for all; whoever reads both closes both.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._networks: set[int] = set()
        self._bits = 32
        self._seen: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._changed = False
        self.strangers = _beside(sock)

    @property
    def networks(self) -> int:
        """How many networks phones are in, of so many as are told apart."""
        return len(self._networks)

    def close(self) -> None:
        """Make no more programs."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._changed = False

    def phone_at(self, host: str) -> None:
        """Hear that a phone has proven its PIN from an IPv4 address."""
        if host in self._seen or self.strangers is None:
            return
        if len(self._seen) >= _MAX_SEEN:
            self._seen.clear()
        self._seen.add(host)
        network = _number(host) >> 32 - self._bits
        if network in self._networks:
            return
        self._networks.add(network)
        while len(self._networks) > MAX_NETWORKS:
            self._bits -= _STEP
            self._networks = {one >> _STEP for one in self._networks}
        self._changed = True
        if self._timer is None:
            self._steer()

    def _steer(self) -> None:
        """Have the kernel know what has changed; then not again for a while."""
        self._timer = None
        if self._changed and self._sock.fileno() >= 0:
            self._changed = False
            with suppress(OSError):  # the program before stays
                bpf.choose_by(self._sock, program(self._networks, self._bits))
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._steer)


def dropped(phones: Ear, strangers: Iterable[Ear]) -> dict[str, float]:
    """Return how many datagrams the kernel has dropped, by whose they would have been."""
    return {"phones": phones.dropped, "strangers": sum(ear.dropped for ear in strangers)}


def program(networks: set[int], bits: int) -> list[bpf.Instruction]:
    """Return a program that answers _PHONES for a source in one of these networks, else _STRANGERS.

    networks: the first `bits` bits of their addresses, as numbers.
    """
    shift = 32 - bits
    found = [bpf.LOAD_SOURCE]
    if shift:
        found.append(bpf.both((1 << 32) - (1 << shift)))
    return found + _search(sorted(one << shift for one in networks))


def _search(numbers: list[int]) -> list[bpf.Instruction]:
    """Return instructions that look for what is loaded in a sorted list: by halves, as deep as it takes."""
    if len(numbers) <= _LEAF:
        found: list[bpf.Instruction] = []
        for number in numbers:
            found += [(bpf.EQUAL, 0, 1, number), bpf.answer(_PHONES)]
        return [*found, bpf.answer(_STRANGERS)]
    middle = len(numbers) // 2
    low, high = _search(numbers[:middle]), _search(numbers[middle:])
    return [(bpf.AT_LEAST, 0, 1, numbers[middle]), bpf.skip(len(low)), *low, *high]


def _number(host: str) -> int:
    return int.from_bytes(socket.inet_aton(host), "big")


def _beside(sock: socket.socket) -> socket.socket | None:
    """Return another socket of the same port, to which all datagrams come for now; None where there is none.

    Bound first without SO_REUSEPORT, the port is ours alone: a second gatekeeper finds it taken as ever.
    """
    option = getattr(socket, "SO_REUSEPORT", None)
    if option is None or not bpf.numbered_as_asm_generic():
        return None
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        for one in (sock, other):
            one.setsockopt(socket.SOL_SOCKET, option, 1)
        other.bind(sock.getsockname())
        bpf.choose_by(sock, program(set(), 32))
    except OSError:
        other.close()
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, option, 0)
        return None
    return other
