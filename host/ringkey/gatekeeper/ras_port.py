"""RAS on UDP: datagrams and time in and out of `ras.registrar`, and its look-ups answered.

IPv4; an address is (host, port) throughout, so that a second socket for IPv6 needs no other code.
"""

import asyncio
import errno
import socket
import struct
from collections.abc import Callable

from ras.lookups import Lookup
from ras.registrar import Registrar

from ringkey import log
from ringkey.errors import UserError
from ringkey.gatekeeper import many
from ringkey.gatekeeper.addresses import Address
from ringkey.gatekeeper.ear import Ear
from ringkey.gatekeeper.flow import Event, Flow, now
from ringkey.gatekeeper.lookup_queue import LookupQueue
from ringkey.gatekeeper.lookups import Lookups
from ringkey.gatekeeper.observed import Observed
from ringkey.gatekeeper.state.keeper import State
from ringkey.gatekeeper.steering import Steering, dropped

MULTICAST = ("224.0.1.41", 1718)  # H.225.0 appendix IV: gatekeeper discovery
# Look-ups that wait for the key server or are asked there, less than the registrar has room for.  At
# 500 a second the last one waits a second; beyond, strangers are left to their next try.
MAX_TASKS = 512
# Of those, asked for at one time: as many as the key client puts into one request (batches.MAX_BATCH).
ASKED = 128


class RasPort:
    """The port.  on_event takes each of the registrar's events; look-ups are answered here.

    state: what answers wait for; observed: counts what comes and goes.
    """

    def __init__(
        self,
        registrar: Registrar,
        lookups: Lookups,
        on_event: Callable[[Event], None],
        state: State | None = None,
        observed: Observed | None = None,
    ) -> None:
        self._registrar = registrar
        registrar.at_once = lookups.memory.look
        self._lookups = lookups
        self._log = log.get("ringkey.gatekeeper.ras")
        self._ear: Ear | None = None
        self._strangers: Ear | None = None
        self._multicast: Ear | None = None
        self._steering: Steering | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due_at: int | None = None
        self._queue = LookupQueue(ASKED)
        self._stopping = False
        noticed = None if state is None else state.noticed
        self._flow = Flow(
            registrar, lookups.memory, on_event, self._look_up, self._ignore, observed or Observed(), noticed
        )
        self._take = self._flow.take

    async def start(self, host: str, port: int) -> None:
        """Open the port; port 0 takes a free one.  Raises UserError where it cannot be had."""
        sock = udp_port(host, port)
        self._steering = Steering(sock)
        self._ear = Ear(sock, self._take, self._turn_over)
        if self._steering.strangers is not None:
            self._strangers = Ear(self._steering.strangers, self._take, self._turn_over)
        self._flow.sender, self._flow.phone_at = many.sender(sock), self._steering.phone_at
        for held in self._registrar.held():
            self._steering.phone_at(held.source[0])

    async def join_multicast(self, host: str) -> None:
        """Hear GRQs to the discovery group too; a failure is a warning in the log.

        host: the interface's address, or 0.0.0.0 for the one that the default route names.  Answers
        go out of the RAS port itself.
        """
        sock = group_port(host)
        if sock is not None:
            self._multicast = Ear(sock, self._take, self._turn_over)

    async def stop(self) -> None:
        """Close the port; look-ups under way are given up."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        await self._queue.stop()
        if self._steering is not None:
            self._steering.close()
        for ear in self._ears():
            ear.close()
        self._multicast = self._strangers = self._ear = None
        self._flow.sender = None

    @property
    def address(self) -> Address:
        """The (host, port) that the port is bound to."""
        if self._ear is None:
            raise RuntimeError("not started")
        return self._ear.address

    @property
    def received(self) -> int:
        """How many datagrams there were."""
        return self._flow.received

    @property
    def sources_ignored(self) -> int:
        """How many addresses the kernel drops datagrams of now."""
        return 0 if self._ear is None else self._ear.ignored

    def dropped(self) -> dict[str, float]:
        """Return how many datagrams the kernel has dropped, of "phones" and "strangers"."""
        if self._ear is None:
            return {}
        return dropped(self._ear, [ear for ear in self._ears() if ear is not self._ear])

    def end_registration(self, ext: str, reason: str) -> bool:
        """End a registration with a URQ to the phone; tell whether there was one.

        reason: an UnregRequestReason of H.225.0.  From here on the directory is asked anew: what was
        changed there before must not be in force for a log-in that comes after this end.
        """
        self._flow.begin_anew()
        there = self._registrar.end_registration(ext, reason, now())
        self._flow.work()
        self._arm()
        return there

    def _turn_over(self) -> None:
        """What was there to be read together is done."""
        self._flow.turn_over()
        self._arm()

    def _ignore(self, host: str, seconds: float) -> None:
        """Have the kernel drop an address."""
        for ear in self._ears():
            ear.ignore(host, seconds)

    def _ears(self) -> list[Ear]:
        return [ear for ear in (self._multicast, self._strangers, self._ear) if ear is not None]

    def _look_up(self, event: Event) -> None:
        _, ticket, ext, g, _, _, cvm, source, phone = event
        self._queue.put(
            source[0],
            lambda: self._ask(ticket, ext, g, cvm),
            lambda: self._provide(ticket, Lookup(available=False)),
            phone=phone,
            limit=MAX_TASKS,
        )

    async def _ask(self, ticket: int, ext: str, g: bytes, cvm: bytes) -> bool:
        """Look up and hand on; tell whether the key server refused."""
        answer = Lookup(available=False)
        try:
            answer = await self._lookups.ask(ext, g, cvm)
        except Exception as error:
            # A bug of ours.  Its text may hold anything, its type does not.
            self._log.error("lookup_failed", ext=ext, reason=type(error).__name__)
        finally:
            # Whatever happened: a ticket that is never answered is a place lost for good.
            self._provide(ticket, answer)
            self._flow.work()
            self._arm()
        return answer.available and answer.kg is None

    def _provide(self, ticket: int, answer: Lookup) -> None:
        try:
            self._registrar.provide(ticket, answer, now())
        except Exception as error:  # as with a datagram: flow.py
            self._flow.fault(error)

    def _arm(self) -> None:
        due = None if self._stopping else self._registrar.get_timer()
        if due == self._due_at:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due_at = due
        if due is not None:
            wait = max(0, due - now()) / 1000
            self._timer = asyncio.get_running_loop().call_later(wait, self._due)

    def _due(self) -> None:
        self._due_at = self._timer = None
        self._registrar.handle_timer(now())
        self._flow.work()
        self._arm()


def udp_port(host: str, port: int) -> socket.socket:
    """Return a socket bound to a UDP port, 0 for a free one.  Raises UserError where it cannot be had."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        taken = error.errno == errno.EADDRINUSE
        raise UserError(
            f"cannot open UDP port {port} of {host} for RAS: {error.strerror}",
            f"ss -lunp 'sport = :{port}'" if taken else "ip address",
        ) from None
    return sock


def group_port(host: str) -> socket.socket | None:
    """Return a socket that hears the discovery group; a failure is a warning in the log, and None."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        # Others on this machine may listen to the group as well.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(MULTICAST)
        member = struct.pack("4s4s", socket.inet_aton(MULTICAST[0]), socket.inet_aton(host))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    except OSError as error:
        sock.close()
        log.get("ringkey.gatekeeper.ras").warning(
            "no_multicast",
            group=f"{MULTICAST[0]}:{MULTICAST[1]}",
            reason=error.strerror or str(error),
            effect="phones find this gatekeeper only by an address that they are given",
        )
        return None
    return sock
