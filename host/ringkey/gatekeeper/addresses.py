"""Addresses: as text, and by which one a phone reaches this gatekeeper (GCF and RCF tell it)."""

import ipaddress
import socket
import time
from functools import lru_cache

Address = tuple[str, int]

# Sources whose route is remembered: phones of a large site; asking the kernel again costs 20 µs.
_MAX_ROUTES = 4096
# Seconds until a route is asked for again: a laptop moves, a DHCP lease ends.
_ROUTE_LIFE = 60


class Addresses:
    """Called with a source's address: (RAS address, signalling address) for it, both numeric.

    listen: what the sockets are bound to; advertise: told to everybody, where it is given; ras_port,
    signalling_port: as phones reach them, which is not what they are bound to where a router
    forwards ports.
    """

    def __init__(self, listen: str, advertise: str | None, ras_port: int, signalling_port: int) -> None:
        if advertise is None and not ipaddress.ip_address(listen).is_unspecified:
            advertise = listen
        self._fixed = advertise
        self._ras_port = ras_port
        self._signalling_port = signalling_port

    def __call__(self, source: str) -> tuple[Address, Address]:
        """Return ((host, RAS port), (host, signalling port)) for the numeric address `source`."""
        host = self._fixed or _local_address(source, int(time.monotonic()) // _ROUTE_LIFE)
        return (host, self._ras_port), (host, self._signalling_port)


def place(address: Address) -> str:
    """Return an address as text for a log."""
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


@lru_cache(_MAX_ROUTES)
def _local_address(source: str, _age: int) -> str:
    """Return the address that this machine has towards `source`; no packet is sent."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((source, 9))
            return str(probe.getsockname()[0])
        except OSError:
            # No route back, so the answer will not arrive either.
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
