"""RAS on UDP: datagrams and time in and out of `ras.registrar`, and its look-ups answered.

IPv4; an address is (host, port) throughout, so that a second socket for IPv6 needs no other code.
"""

import asyncio
import errno
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ras.errors import LocalProtocolError
from ras.registrar import Lookup, Registrar

from ringkey import log
from ringkey.errors import UserError
from ringkey.gatekeeper.addresses import Address, place
from ringkey.gatekeeper.lookups import Lookups
from ringkey.gatekeeper.observed import Observed

Event = tuple[Any, ...]

MULTICAST = ("224.0.1.41", 1718)  # H.225.0 appendix IV: gatekeeper discovery
# Look-ups at the key server at one time, each a task.  At 2 ms each that is 100,000 a second;
# beyond, phones are left to their next try.
MAX_TASKS = 256
# Octets of the socket's buffer: 5,000 GRQs of a site that gets its power back, with their overhead.
_BUFFER = 4 << 20


class RasPort:
    """The port.  on_event takes each of the registrar's events; look-ups are answered here.

    observed: counts what comes and goes.
    """

    def __init__(
        self,
        registrar: Registrar,
        lookups: Lookups,
        on_event: Callable[[Event], None],
        observed: Observed | None = None,
    ) -> None:
        self._observed = observed or Observed()
        self._registrar = registrar
        self._lookups = lookups
        self._on_event = on_event
        self._log = log.get("ringkey.gatekeeper.ras")
        self._transport: asyncio.DatagramTransport | None = None
        self._multicast: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.received = 0

    async def start(self, host: str, port: int) -> None:
        """Open the port; port 0 takes a free one.  Raises UserError where it cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_datagram_endpoint(
                lambda: _Protocol(self), local_addr=(host, port), family=socket.AF_INET
            )
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise UserError(
                f"cannot open UDP port {port} of {host} for RAS: {error.strerror}",
                f"ss -lunp 'sport = :{port}'" if taken else "ip address",
            ) from None
        sock: socket.socket = self._transport.get_extra_info("socket")
        with suppress(OSError):  # the kernel gives what it allows
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)

    async def join_multicast(self, host: str) -> None:
        """Hear GRQs to the discovery group too; a failure is a warning in the log.

        host: the interface's address, or 0.0.0.0 for the one that the default route names.  Answers
        go out of the RAS port itself.
        """
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            # Others on this machine may listen to the group as well.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            sock.bind(MULTICAST)
            member = struct.pack("4s4s", socket.inet_aton(MULTICAST[0]), socket.inet_aton(host))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            loop = asyncio.get_running_loop()
            self._multicast, _ = await loop.create_datagram_endpoint(lambda: _Protocol(self), sock=sock)
        except OSError as error:
            sock.close()
            self._log.warning(
                "no_multicast",
                group=f"{MULTICAST[0]}:{MULTICAST[1]}",
                reason=error.strerror or str(error),
                effect="phones find this gatekeeper only by an address that they are given",
            )

    async def stop(self) -> None:
        """Close the port; look-ups under way are given up."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for transport in (self._multicast, self._transport):
            if transport is not None:
                transport.close()
        await asyncio.sleep(0)  # transports close their sockets in the loop's next round

    @property
    def address(self) -> Address:
        """The (host, port) that the port is bound to."""
        if self._transport is None:
            raise RuntimeError("not started")
        host, port = self._transport.get_extra_info("sockname")[:2]
        return host, port

    def end_registration(self, ext: str, reason: str) -> bool:
        """End a registration with a URQ to the phone; tell whether there was one.

        reason: an UnregRequestReason of H.225.0.
        """
        there = self._registrar.end_registration(ext, reason, _now())
        self._work()
        return there

    def _datagram(self, data: bytes, source: Address) -> None:
        self.received += 1
        self._observed.came(data)
        try:
            self._registrar.receive_datagram(data, source, _now())
        except LocalProtocolError as error:
            # A bug of ours, which one datagram must not make everybody's outage.
            self._log.error("registrar_failed", source=place(source), reason=str(error))
        self._work()

    def _work(self) -> None:
        """Carry out what the registrar wants, until it wants nothing more."""
        while (event := self._registrar.next_event()) is not None:
            self._on_event(event)
            if event[0] == "lookup":
                self._look_up(event[1], event[2], event[3], event[6])
        if self._transport is not None and not self._transport.is_closing():
            for data, address in self._registrar.datagrams_to_send():
                self._transport.sendto(data, address)
                self._observed.went(data)
        self._arm()

    def _look_up(self, ticket: int, ext: str, g: bytes, cvm: bytes) -> None:
        answer = self._lookups.at_once(ext, g, cvm)
        if answer is None and len(self._tasks) >= MAX_TASKS:
            answer = Lookup(available=False)
        if answer is not None:
            self._provide(ticket, answer)
            return
        task = asyncio.create_task(self._ask(ticket, ext, g, cvm), name="look-up")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, ticket: int, ext: str, g: bytes, cvm: bytes) -> None:
        answer = Lookup(available=False)
        try:
            answer = await self._lookups.ask(ext, g, cvm)
        except Exception as error:
            # A bug of ours.  Its text may hold anything, its type does not.
            self._log.error("lookup_failed", ext=ext, reason=type(error).__name__)
        finally:
            # Whatever happened: a ticket that is never answered is a place lost for good.
            self._provide(ticket, answer)
            self._work()

    def _provide(self, ticket: int, answer: Lookup) -> None:
        try:
            self._registrar.provide(ticket, answer, _now())
        except LocalProtocolError as error:
            self._log.error("registrar_failed", reason=str(error))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._registrar.get_timer()
        if due is not None and not self._stopping:
            wait = max(0, due - _now()) / 1000
            self._timer = asyncio.get_running_loop().call_later(wait, self._due)

    def _due(self) -> None:
        self._registrar.handle_timer(_now())
        self._work()


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, port: RasPort) -> None:
        self._port = port

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._port._datagram(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """Pass over an ICMP error: a phone that has gone is found by its time-out."""


def _now() -> int:
    return time.monotonic_ns() // 1_000_000
