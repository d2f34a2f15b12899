"""A UDP socket under MicroPython's asyncio, with addresses as (host, port) and the host as text."""

import asyncio
import os
import socket

from phone import aio
from ras.compat import const

# A RAS message of the profile has 100 to 300 octets; what is longer is cut by the socket
# and then malformed.  (An ESP32 cannot take more than one Ethernet frame anyhow.)
MAX_DATAGRAM = const(1472)  # octets

# The dynamic ports of RFC 6335 section 6.
_FIRST_PORT = const(49152)
_PORTS = const(16384)
_TRIES = const(32)

try:
    from socket import sockaddr as _sockaddr  # the unix port, where addresses are opaque octets
except ImportError:
    _sockaddr = None

# A phone talks to a handful of gatekeepers.
_MAX_CACHE = const(16)


class DatagramSocket:
    """A bound socket.  port: its own UDP port, chosen at random, since there is no getsockname()."""

    def __init__(self) -> None:
        """Bind a high port that is free; raises OSError after a number of tries."""
        self._resolved = {}
        self.port = 0
        last = None
        for _ in range(_TRIES):
            port = _FIRST_PORT + int.from_bytes(os.urandom(2), "big") % _PORTS
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                sock.setblocking(False)
                sock.bind(socket.getaddrinfo("0.0.0.0", port)[0][-1])
            except OSError as error:
                sock.close()
                last = error
                continue
            self._sock = sock
            self.port = port
            return
        raise last

    async def receive(self) -> "tuple[bytes, tuple[str, int]]":
        """Wait for a datagram; return (data, (host, port)).

        MicroPython has no recvfrom_into(): each datagram is a new object of its own length.
        """
        while True:
            await aio.readable(self._sock)
            try:
                data, source = self._sock.recvfrom(MAX_DATAGRAM)
            except OSError:
                # Not there after all, or an ICMP error about something sent before: a
                # datagram that is lost, which the state machines see to.
                await asyncio.sleep_ms(0)
                continue
            return data, address(source)

    def send(self, data: bytes, destination: "tuple[str, int]") -> bool:
        """Send one datagram, at once or not at all; tell whether it left.

        A full queue or a missing route is a datagram that is lost.  The first datagram to
        a name blocks while it is looked up.
        """
        try:
            self._sock.sendto(data, self._resolve(destination))
        except OSError:
            self._resolved.pop(destination, None)  # it may have moved
            return False
        return True

    def resolve(self, destination: "tuple[str, int]") -> "tuple[str, int]":
        """Return `destination` with its host as a number, which is what answers come from; raises OSError."""
        return address(self._resolve(destination))

    def close(self) -> None:
        """Give the port back."""
        self._sock.close()

    def _resolve(self, destination: "tuple[str, int]") -> object:
        found = self._resolved.get(destination)
        if found is None:
            if len(self._resolved) >= _MAX_CACHE:
                self._resolved.clear()
            host, port = destination
            found = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)[0][-1]
            self._resolved[destination] = found
        return found


def address(raw: object) -> "tuple[str, int]":
    """Return (host, port) of an address as the socket module gives it."""
    if isinstance(raw, tuple):
        return raw[0], raw[1]
    _, host, port = _sockaddr(raw)[:3]
    return "%d.%d.%d.%d" % (host[0], host[1], host[2], host[3]), port
