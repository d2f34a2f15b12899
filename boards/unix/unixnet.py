"""The network of the unix board: it is simply there."""

import os
import socket
import sys
from builtins import open as _open_file

_TRIES = 8
_ANY = "0.0.0.0"


def open(params: dict) -> "Network":  # noqa: A001  (every driver's entry is called open)
    """Return the network."""
    return Network()


class Network:
    """What the host has."""

    def is_up(self) -> bool:
        """Tell that it is."""
        return True

    async def up(self, tell: object = None) -> None:
        """Return at once."""

    def address_towards(self, host: str) -> str:
        """Return the own IPv4 address that datagrams to `host` come from, or "0.0.0.0".

        MicroPython has no getsockname(): a UDP socket on a port of our own choice is
        connected, which sends nothing, and its address read from /proc/net/udp.
        """
        try:
            there = socket.getaddrinfo(host, 9, socket.AF_INET, socket.SOCK_DGRAM)[0][-1]
        except OSError:
            return _ANY
        for _ in range(_TRIES):
            port = 49152 + int.from_bytes(os.urandom(2), "big") % 16384
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                sock.bind(socket.getaddrinfo(_ANY, port)[0][-1])
                sock.connect(there)
                found = _local(port, socket.sockaddr(there)[1])
            except OSError:
                found = None
            finally:
                sock.close()
            if found:
                return found
        return _ANY


def _local(port: int, there: bytes) -> "str | None":
    """Return the local address of the UDP socket on `port` that is connected to the 4 octets `there`."""
    with _open_file("/proc/net/udp") as table:
        table.readline()
        for line in table:
            columns = line.split()
            local, remote = columns[1].split(":"), columns[2].split(":")
            if int(local[1], 16) == port and _octets(remote[0]) == there:
                return "%d.%d.%d.%d" % tuple(_octets(local[0]))
    return None


def _octets(text: str) -> bytes:
    """Return an address of /proc/net/udp: 32 bits, printed in the byte order of the machine."""
    octets = bytes.fromhex(text)
    return bytes(reversed(octets)) if sys.byteorder == "little" else octets
