"""Datagrams in and out while the interpreter is kept: recvmmsg(2) and sendto(2), where they can be had.

A socket's own `recvfrom` and `sendto` give the interpreter away, for a microsecond each.  While the thread
that writes the state waits for it, each of those wakes the thread, which finds it taken again, nearly
always: an eighth of a gatekeeper's time.  These calls never wait, and keep it.  The thread has it when it has
waited for `SWITCH`.
"""

import ctypes
import socket
import struct
from collections.abc import Callable
from typing import Any

from ringkey.gatekeeper import bpf
from ringkey.gatekeeper.addresses import Address

# s that a thread waits before it is given the interpreter, for `sys.setswitchinterval`: a batch of the state
# wants it several times, and the answers of 60 phones wait for the batch.  Python's own 5 ms are too long for
# that; shorter brings nothing more.
SWITCH = 0.0003
# Datagrams that are read with a call.
MOST = 16
# Addresses whose text, or octets, are remembered, 300 octets each; when they are more, all are forgotten.
MAX_KNOWN = 1024
# The sockaddr_in of Linux: family, port, host, and nothing.
_PLACE = struct.Struct("=H2s4s8x")
_SAYS = 8  # its octets that are not nothing

Take = Callable[[bytes, Address], None]


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("length", ctypes.c_uint))


def _system(name: str, *arguments: Any) -> Any:
    """Return a function of the system that keeps the interpreter while it runs; None where there is none."""
    try:
        found = ctypes.PyDLL(None)[name]
    except (AttributeError, OSError, TypeError):
        return None
    found.argtypes = arguments
    found.restype = ctypes.c_ssize_t if name == "sendto" else ctypes.c_int
    return found


_RECEIVE = _system("recvmmsg", ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
_SEND = _system(
    *("sendto", ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int),
    *(ctypes.c_char_p, ctypes.c_uint32),
)
# Elsewhere a sockaddr_in is another one.
_LINUX = bpf.numbered_as_asm_generic()


def reader(sock: socket.socket, longest: int) -> "Reader | None":
    """Return what reads datagrams of up to `longest` octets; None where that can not be had."""
    if not _LINUX or _RECEIVE is None or sock.family != socket.AF_INET:
        return None
    return Reader(sock, longest)


def sender(sock: socket.socket) -> Callable[[bytes, Address], Any]:
    """Return what sends a datagram; the socket's own, which may raise OSError, where there is no other."""
    if not _LINUX or _SEND is None or sock.family != socket.AF_INET:
        return sock.sendto
    return Sender(sock)


class Reader:
    """Reads a socket of IPv4, MOST datagrams at a time."""

    def __init__(self, sock: socket.socket, longest: int) -> None:
        self._sock = sock
        self._longest = longest
        self._known: dict[bytes, Address] = {}
        # All of these are pointed to: they live as long as this does.
        self._octets = ctypes.create_string_buffer(MOST * longest)
        self._names = ctypes.create_string_buffer(MOST * _PLACE.size)
        self._vectors = (_Vector * MOST)()
        self._messages = (_Message * MOST)()
        for i in range(MOST):
            vector, header = self._vectors[i], self._messages[i].header
            vector.base = ctypes.addressof(self._octets) + i * longest
            vector.length = longest
            header.name = ctypes.addressof(self._names) + i * _PLACE.size
            header.name_length = _PLACE.size
            header.vectors = ctypes.addressof(vector)
            header.count = 1
        self._at = ctypes.addressof(self._messages)
        self._data = memoryview(self._octets).cast("B")
        self._places = memoryview(self._names).cast("B")
        self._lengths = memoryview(self._messages).cast("B").cast("I")
        word = self._lengths.itemsize
        self._first, self._step = _Message.length.offset // word, ctypes.sizeof(_Message) // word

    def read(self, take: Take) -> int:
        """Give what is there to `take`; return how many there were.

        An error of the network, which tells of a datagram that was sent, is passed over.
        """
        number = self._sock.fileno()
        if number < 0:
            return 0
        there: int = _RECEIVE(number, self._at, MOST, socket.MSG_DONTWAIT, None)
        data, places, lengths, known = self._data, self._places, self._lengths, self._known
        at, begin, name = self._first, 0, 0
        for _ in range(there):
            place = bytes(places[name : name + _SAYS])
            source = known.get(place)
            if source is None:
                source = self._source(place)
            take(bytes(data[begin : begin + lengths[at]]), source)
            at += self._step
            begin += self._longest
            name += _PLACE.size
        return max(0, there)

    def _source(self, place: bytes) -> Address:
        known = self._known
        if len(known) >= MAX_KNOWN:
            known.clear()
        found = known[place] = (socket.inet_ntoa(place[4:]), int.from_bytes(place[2:4], "big"))
        return found


class Sender:
    """Sends out of a socket of IPv4; what the network does not take now is lost, as datagrams are."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._known: dict[Address, bytes] = {}

    def __call__(self, data: bytes, address: Address) -> None:
        """Send a datagram."""
        place = self._known.get(address)
        if place is None:
            place = self._place(address)
        number = self._sock.fileno()
        if number >= 0:
            _SEND(number, data, len(data), socket.MSG_DONTWAIT, place, _PLACE.size)

    def _place(self, address: Address) -> bytes:
        known = self._known
        if len(known) >= MAX_KNOWN:
            known.clear()
        host, port = address
        found = known[address] = _PLACE.pack(socket.AF_INET, port.to_bytes(2, "big"), socket.inet_aton(host))
        return found
