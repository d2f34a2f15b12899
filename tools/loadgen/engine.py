"""Endpoints on sockets: each operation's exchange, its tries, and how long it took.

Many endpoints share a socket, as far apart as their requestSeqNum tells them, so that 100,000 need
no 100,000 descriptors; the sockets are on addresses of their own (127.0.0.0/8), so that a
gatekeeper's throttle sees many sources.
"""

import heapq
import random
import select
import socket
import time
from array import array
from collections import Counter
from collections.abc import Callable
from os import urandom

from ras.message import GCF, GRJ, RCF, RRJ, UCF

from loadgen.answers import Answers, Layout
from loadgen.keys import Keys
from loadgen.templates import Address, Requests

# As a phone does it (protocol.md section 6): three tries, the first wait in s, doubling, with up to
# a quarter of jitter.
TRIES = 3
FIRST_WAIT = 2.0
JITTER = 0.25
# Datagrams taken from one socket before the others have their turn.
_BATCH = 64
_BUFFER = 4 << 20

REGISTER, REFRESH, LEAVE, WRONG_PIN = "register", "refresh", "leave", "wrong-pin"
DONE, SILENCE, REFUSED = "done", "silence", "refused"


class Endpoint:
    """One simulated phone.  registered: it has an RCF that verified and has not left."""

    __slots__ = (
        *("began", "counter", "due", "identifier", "keys", "message", "number", "operation", "port"),
        *("re", "registered", "rg", "tries", "waits_for"),
    )

    def __init__(self, keys: Keys, port: "Port") -> None:
        self.keys = keys
        self.port = port
        self.registered = False
        self.operation = ""
        self.waits_for = ""
        self.counter = 0
        self.number = self.tries = 0
        self.began = self.due = 0.0
        self.message: bytes | bytearray = b""
        self.re = self.rg = self.identifier = b""


class Port:
    """A socket that talks to the gatekeeper, the endpoints that wait there by requestSeqNum."""

    def __init__(self, host: str, gatekeeper: Address, life: int) -> None:
        self._life = life
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self.socket.bind((host, 0))
        self.socket.connect(gatekeeper)
        self.socket.setblocking(False)
        self.address: Address = self.socket.getsockname()
        self.waiting: dict[int, Endpoint] = {}
        self.requests: dict[tuple[str, int], Requests] = {}
        self._number = random.randrange(65535)  # noqa: S311

    def number(self) -> int:
        """Return a requestSeqNum that nobody waits with."""
        while True:
            self._number = self._number % 65535 + 1
            if self._number not in self.waiting:
                return self._number

    def requests_for(self, keys: Keys) -> Requests:
        """Return what makes the requests of an endpoint with these keys here."""
        shape = (keys.suite.name, len(keys.ext))
        found = self.requests.get(shape)
        if found is None:
            found = self.requests[shape] = Requests(keys.suite, len(keys.ext), self.address, self._life)
        return found


class Figures:
    """What came of the operations: outcomes, milliseconds of those that were answered, tries."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.milliseconds: dict[str, array[float]] = {}
        self.retransmissions = 0
        self.lost = 0
        self.strange = 0

    def count(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one operation."""
        self.outcomes[operation, outcome] += 1
        if outcome == DONE:
            self.milliseconds.setdefault(operation, array("f")).append(1000 * seconds)

    def percentile(self, operation: str, share: float) -> float | None:
        """Return the milliseconds within which `share` (0 to 1) of an operation was answered."""
        found = sorted(self.milliseconds.get(operation, ()))
        return found[min(len(found) - 1, int(share * len(found)))] if found else None


class Engine:
    """All endpoints and their sockets.  on_done(endpoint, operation, outcome) hears of every end.

    loss: share of datagrams that are lost, each way; life: s, the timeToLive that they ask for.
    """

    def __init__(
        self,
        gatekeeper: Address,
        keys: list[Keys],
        *,
        sockets: int = 256,
        loss: float = 0.0,
        life: int = 300,
        on_done: Callable[[Endpoint, str, str], None] | None = None,
    ) -> None:
        self.loss = loss
        self.figures = Figures()
        self.on_done = on_done
        self.in_flight = 0
        self._answers = Answers()
        self._ports = [
            Port(f"127.{64 + i // 60000}.{i // 240 % 250}.{1 + i % 240}", gatekeeper, life)
            for i in range(max(1, min(sockets, len(keys))))
        ]
        self.endpoints = [Endpoint(one, self._ports[i % len(self._ports)]) for i, one in enumerate(keys)]
        self._poll = select.epoll()
        self._by_descriptor = {}
        for port in self._ports:
            self._poll.register(port.socket.fileno(), select.EPOLLIN)
            self._by_descriptor[port.socket.fileno()] = port
        self._timers: list[tuple[float, int, Endpoint]] = []
        self._count = 0

    def close(self) -> None:
        """Close all sockets."""
        self._poll.close()
        for port in self._ports:
            port.socket.close()

    def start(self, endpoint: Endpoint, operation: str) -> None:
        """Begin an operation of an endpoint that has none under way."""
        endpoint.operation = operation
        endpoint.began = time.monotonic()
        self.in_flight += 1
        if operation in (REGISTER, WRONG_PIN):
            endpoint.re = urandom(16)
            self._ask(endpoint, GCF)
        else:
            endpoint.counter += 1
            endpoint.re = endpoint.counter.to_bytes(8, "big") + urandom(8)
            self._ask(endpoint, RCF if operation == REFRESH else UCF)

    def turn(self, longest: float) -> None:
        """Wait up to `longest` s for something to happen, and do what it wants."""
        now = time.monotonic()
        timers = self._timers
        wait = min(longest, max(0.0, timers[0][0] - now)) if timers else longest
        for descriptor, _ in self._poll.poll(wait):
            self._read(self._by_descriptor[descriptor])
        now = time.monotonic()
        while timers and timers[0][0] <= now:
            due, _, endpoint = heapq.heappop(timers)
            if endpoint.due == due and endpoint.operation:
                self._again(endpoint)

    # Requests

    def _ask(self, endpoint: Endpoint, waits_for: str) -> None:
        port, keys = endpoint.port, endpoint.keys
        requests = port.requests_for(keys)
        number = endpoint.number = port.number()
        port.waiting[number] = endpoint
        ka, re, rg = keys.ka, endpoint.re, endpoint.rg
        if waits_for == GCF:
            wrong = endpoint.operation == WRONG_PIN
            key = urandom(len(ka)) if wrong else ka
            endpoint.message = requests.grq(number, keys.ext, keys.g, keys.cvm, re, key)
        elif endpoint.operation == REGISTER:
            endpoint.message = requests.rrq(number, keys.ext, keys.g, keys.cvm, re, rg, ka)
        elif waits_for == RCF:
            endpoint.message = requests.keep_alive(number, endpoint.identifier, re, rg, ka)
        else:
            endpoint.message = requests.urq(number, endpoint.identifier, re, rg, ka)
        endpoint.waits_for = waits_for
        endpoint.tries = 0
        self._send(endpoint)

    def _send(self, endpoint: Endpoint) -> None:
        wait: float = FIRST_WAIT * (1 << endpoint.tries)
        wait *= 1 + JITTER * random.random()  # noqa: S311
        endpoint.tries += 1
        endpoint.due = time.monotonic() + wait
        self._count += 1
        heapq.heappush(self._timers, (endpoint.due, self._count, endpoint))
        if self.loss and random.random() < self.loss:  # noqa: S311
            self.figures.lost += 1
            return
        try:
            endpoint.port.socket.send(endpoint.message)
        except (BlockingIOError, ConnectionRefusedError):
            self.figures.lost += 1

    def _again(self, endpoint: Endpoint) -> None:
        tries = 1 if endpoint.operation == WRONG_PIN else TRIES  # silence is what is expected
        if endpoint.tries >= tries:
            self._end(endpoint, SILENCE)
        else:
            self.figures.retransmissions += 1
            self._send(endpoint)

    def _end(self, endpoint: Endpoint, outcome: str) -> None:
        endpoint.port.waiting.pop(endpoint.number, None)
        operation, endpoint.operation = endpoint.operation, ""
        self.in_flight -= 1
        self.figures.count(operation, outcome, time.monotonic() - endpoint.began)
        if self.on_done is not None:
            self.on_done(endpoint, operation, outcome)

    # Answers

    def _read(self, port: Port) -> None:
        for _ in range(_BATCH):
            try:
                octets = port.socket.recv(2048)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue  # nobody listens just now
            if self.loss and random.random() < self.loss:  # noqa: S311
                self.figures.lost += 1
                continue
            layout = self._answers.layout(octets)
            endpoint = None if layout is None else port.waiting.get(Answers.number(octets, layout))
            if layout is None or endpoint is None or octets[slice(*layout.re)] != endpoint.re:
                self.figures.strange += 1  # a second answer, to a retransmission, or another's
                continue
            self._answer(endpoint, octets, layout)

    def _answer(self, endpoint: Endpoint, octets: bytes, layout: Layout) -> None:
        keys = endpoint.keys
        if layout.kind in (GRJ, RRJ):
            self._end(endpoint, REFUSED)
            return
        if layout.kind != endpoint.waits_for or not Answers.genuine(octets, layout, keys.suite.name, keys.ka):
            self.figures.strange += 1
            return
        del endpoint.port.waiting[endpoint.number]
        if layout.kind == GCF and layout.rg is not None:
            endpoint.rg = octets[slice(*layout.rg)]
            self._ask(endpoint, RCF)
            return
        if endpoint.operation == REGISTER and layout.identifier is not None:
            endpoint.identifier = octets[slice(*layout.identifier)]
            endpoint.counter = 0
            endpoint.registered = True
        elif endpoint.operation == LEAVE:
            endpoint.registered = False
        self._end(endpoint, DONE)
