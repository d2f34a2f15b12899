"""Datagrams in and out, several to a call, and the interpreter kept meanwhile.

A socket's own `recvfrom` and `sendto` give the interpreter away, for a microsecond each.  While the thread
that writes the state waits for it, each of those wakes the thread, which finds it taken again, nearly
always: an eighth of a gatekeeper's time.  These calls never wait, and keep it.  The thread has it when it has
waited for `SWITCH`.  Where the system has no such calls (many_calls.py), a socket does it itself.
"""

import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from ringkey.gatekeeper import many_calls
from ringkey.gatekeeper.many_calls import Messages

# s that a thread waits before it is given the interpreter, for `sys.setswitchinterval`: a batch of the state
# wants it several times, and the answers of 60 phones wait for the batch.  Python's own 5 ms are too long for
# that; shorter brings nothing more.
SWITCH = 0.0003
# Datagrams of a call.
MOST: Final = 16
# Octets of one that goes out: no answer is larger than 1.5 times a request that was read whole.
LONGEST_OUT: Final = 3072
# Addresses whose text, or octets, are remembered, 300 octets each; when they are more, all are forgotten.
MAX_KNOWN = 1024
_PLACE: Final = struct.Struct("=H2s4s8x")
_SIZE: Final = 16  # of it
_SAYS: Final = 8  # its octets that are not nothing
_NOW: Final = int(getattr(socket, "MSG_DONTWAIT", 0))

Take = Callable[[bytes, Any], None]


def reader(sock: socket.socket, longest: int) -> "Reader | None":
    """Return what reads datagrams of up to `longest` octets; None where that can not be had."""
    if not many_calls.LINUX or many_calls.RECEIVE is None or sock.family != socket.AF_INET:
        return None
    return Reader(sock, longest)


def sender(sock: socket.socket) -> "Sender":
    """Return what sends datagrams."""
    if not many_calls.LINUX or many_calls.SEND is None or sock.family != socket.AF_INET:
        return Sender(sock)
    return ManySender(sock)


class Reader:
    """Reads a socket of IPv4, MOST datagrams at a time."""

    def __init__(self, sock: socket.socket, longest: int) -> None:
        self._sock = sock
        self._longest = longest
        self._known: dict[bytes, Any] = {}
        self._receive: Any = many_calls.RECEIVE
        self._room = Messages(MOST, longest)

    def read(self, take: Take) -> int:
        """Give what is there to `take`; return how many there were.

        An error of the network, which tells of a datagram that was sent, is passed over.
        """
        number = self._sock.fileno()
        if number < 0:
            return 0
        room, known, longest = self._room, self._known, self._longest
        there: int = self._receive(number, room.at(0), MOST, _NOW, None)
        data, places, came = room.octets, room.places, room.came
        at, begin, name = room.first, 0, 0
        for _ in range(there):
            place = bytes(places[name : name + _SAYS])
            source = known.get(place)
            if source is None:
                source = self._source(place)
            take(bytes(data[begin : begin + came[at]]), source)
            at += room.step
            begin += longest
            name += _SIZE
        return max(0, there)

    def _source(self, place: bytes) -> Any:
        known = self._known
        if len(known) >= MAX_KNOWN:
            known.clear()
        # Any: compiled, a tuple of a known form would be another object each time.
        found: Any = (socket.inet_ntoa(place[4:]), int.from_bytes(place[2:4], "big"))
        known[place] = found
        return found


class Sender:
    """Sends out of a socket; what the network does not take now is lost, as datagrams are."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, data: bytes, address: Any) -> None:
        """Send a datagram, at the next `flush` at the latest."""
        try:  # noqa: SIM105 - what suppress costs is a tenth of what sending does
            self._sock.sendto(data, address)
        except OSError:
            pass

    def flush(self) -> None:
        """Send what waits."""


class ManySender(Sender):
    """As its base, up to MOST datagrams of IPv4 with a call."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._known: dict[Any, bytes] = {}
        self._call: Any = many_calls.SEND
        self._room = Messages(MOST, LONGEST_OUT)
        self._count = 0

    def send(self, data: bytes, address: Any) -> None:
        """Send a datagram, at the next `flush` at the latest."""
        length = len(data)
        if length > LONGEST_OUT:
            self.flush()
            super().send(data, address)
            return
        place = self._known.get(address)
        if place is None:
            place = self._place(address)
        room, i = self._room, self._count
        begin, name = i * LONGEST_OUT, i * _SIZE
        room.octets[begin : begin + length] = data
        room.places[name : name + _SIZE] = place
        room.goes[2 * i + 1] = length
        self._count = i + 1
        if self._count == MOST:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        count, at = self._count, 0
        if not count:
            return
        self._count = 0
        number = self._sock.fileno()
        while number >= 0 and at < count:
            sent: int = self._call(number, self._room.at(at), count - at, _NOW)
            # It stops at one that the network does not take, which is lost.
            at += max(1, sent)

    def _place(self, address: Any) -> bytes:
        known = self._known
        if len(known) >= MAX_KNOWN:
            known.clear()
        host, port = address
        found = _PLACE.pack(socket.AF_INET, port.to_bytes(2, "big"), socket.inet_aton(host))
        known[address] = found
        return found
