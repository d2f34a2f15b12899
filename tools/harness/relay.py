"""The fault kit: relays between phones and servers, which do to the traffic what they are told.

    relay.ras.drop("GCF")                  the next one
    relay.ras.corrupt("RCF", times=None)   every one
    rule = relay.ras.hold("RRQ"); rule.wait(); phone.power_cut(); relay.ras.release()
    with relay.blackout(): …               the phone has lost its network

UDP for RAS, TCP for signalling and key files, one thread for all of them.  The same seed gives
the same faults.  The gatekeeper must tell phones the relays' ports: advertise_port and
advertise_signalling_port in ringkey.toml.
"""

import asyncio
import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from harness import faults
from harness.errors import HarnessError
from harness.faults import DOWN, UP, Address, Datagram, Rule
from harness.pcap import Pcap
from harness.tcprelay import TcpRelay
from harness.watched import Watched

T = TypeVar("T")

RAS, SIGNALLING, FILES = 1719, 1300, 8443  # the ports they have by right, for the capture
_REORDERED = 0.5  # s that a datagram is held back for a later one to overtake it

Told = Callable[[Datagram, str], None]


class Network:
    """All that lies between the phones and the servers: `ras` (UDP), `signalling` and `files` (TCP).

    host: where the relays listen; told(datagram, fate): called in the relays' thread with each
    datagram as it comes, before anything is done to it; say(text): with what TCP connections do.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        seed: int = 1,
        *,
        ports: tuple[int, int, int] = (0, 0, 0),
        told: Told | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()
        self.seed = seed
        self._rng = random.Random(seed)  # noqa: S311 - faults are to be the same the next time
        say = say or (lambda _text: None)
        try:
            self.ras = self.call(UdpRelay.open(host, ports[0], self._rng, told or (lambda _d, _f: None)))
            self.signalling = self.call(TcpRelay.open(host, ports[1], "signalling", SIGNALLING, say))
            self.files = self.call(TcpRelay.open(host, ports[2], "key server", FILES, say))
        except OSError as error:
            raise HarnessError(f"the relays cannot listen on {host}: {error.strerror}") from None

    def call(self, coroutine: Any) -> Any:
        """Run a coroutine in the relays' thread; return what it returns."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def reseed(self, what: str) -> None:
        """Begin the randomness of the faults anew, by the seed and a text such as a test's name."""
        self._rng.seed(f"{self.seed} {what}")

    def record(self, path: Path | None) -> None:
        """Write what is delivered from now on into a capture file; None: no more."""
        old = self.ras.pcap
        self.ras.pcap = self.signalling.pcap = self.files.pcap = None if path is None else Pcap(path)
        if old is not None:
            old.close()

    @contextlib.contextmanager
    def blackout(self) -> Iterator[None]:
        """Let nothing through in either direction, as a phone that has lost its Wi-Fi sees it."""
        rule = self.ras.drop(None, times=None)
        for relay in (self.signalling, self.files):
            relay.stall()
        try:
            yield
        finally:
            self.ras.forget(rule)
            for relay in (self.signalling, self.files):
                relay.go_on()

    def clear(self) -> None:
        """Take all faults away, and let go of what is held."""
        self.ras.clear()
        for relay in (self.signalling, self.files):
            relay.clear()

    def close(self) -> None:
        """Stop; may be called again."""
        if self._thread.is_alive():
            self.record(None)
            for relay in (self.ras, self.signalling, self.files):
                self.call(relay.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(20)
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


class UdpRelay:
    """Datagrams between phones, on `port`, and the gatekeeper, at `to`.

    Each phone gets a socket of its own towards the gatekeeper, so that to the gatekeeper they are
    different sources, too.  passed: what came, before any fault.
    """

    def __init__(self, rng: random.Random, told: Told) -> None:
        self.to: Address | None = None
        self.pcap: Pcap | None = None
        self.passed: Watched[Datagram] = Watched()
        self._rng = rng
        self._told = told
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._held: list[tuple[Datagram, bytes]] = []
        self._overtaken: list[tuple[Datagram, bytes]] = []
        self._front: asyncio.DatagramTransport
        self._ups: dict[Address, asyncio.DatagramTransport] = {}
        self._loop = asyncio.get_running_loop()
        self.host, self.port = "", 0

    @classmethod
    async def open(cls, host: str, port: int, rng: random.Random, told: Told) -> "UdpRelay":
        """Listen on a port, 0 for any free one.  Raises OSError."""
        relay = cls(rng, told)
        relay._front, _ = await relay._loop.create_datagram_endpoint(
            lambda: _Protocol(relay._from_phone), local_addr=(host, port)
        )
        relay.host, relay.port = relay._front.get_extra_info("sockname")[:2]
        return relay

    # -- faults.  Each takes a kind of faults.KINDS (None: any), and what Rule takes.

    def drop(self, kind: str | None, **which: Any) -> Rule:
        """Lose it."""
        return self._add(Rule("drops", faults.drop, kind, **which))

    def delay(self, kind: str | None, seconds: float, **which: Any) -> Rule:
        """Deliver it later."""
        return self._add(Rule(f"delays by {seconds:g} s", faults.delay(seconds), kind, **which))

    def double(self, kind: str | None, after: float = 0.0, **which: Any) -> Rule:
        """Deliver it twice."""
        return self._add(Rule("doubles", faults.double(after), kind, **which))

    def corrupt(self, kind: str | None, **which: Any) -> Rule:
        """Flip one bit of it."""
        return self._add(Rule("corrupts", faults.corrupt, kind, **which))

    def replace(self, kind: str | None, data: Callable[[Datagram], bytes | None], **which: Any) -> Rule:
        """Deliver what data(datagram) returns instead, in the relays' thread."""
        return self._add(Rule("replaces", faults.replace(data), kind, **which))

    def watch(self, kind: str | None, **which: Any) -> Rule:
        """Do nothing to it: for the rule's wait()."""
        return self._add(Rule("sees", faults.watch, kind, **which))

    def hold(self, kind: str | None, **which: Any) -> Rule:
        """Keep it until `release`."""

        def act(datagram: Datagram, _rng: random.Random) -> list[faults.Delivery]:
            self._held.append((datagram, datagram.data))
            return []

        return self._add(Rule("holds", act, kind, **which))

    def reorder(self, kind: str | None, **which: Any) -> Rule:
        """Let the next datagram of the same direction overtake it, if one comes soon."""

        def act(datagram: Datagram, _rng: random.Random) -> list[faults.Delivery]:
            self._overtaken.append((datagram, datagram.data))
            self._loop.call_later(_REORDERED, self._let_pass, None)
            return []

        return self._add(Rule("reorders", act, kind, **which))

    def release(self) -> None:
        """Deliver what is held, in its order."""
        self._loop.call_soon_threadsafe(self._release)

    def forget(self, rule: Rule) -> None:
        """Take one rule away."""
        with self._lock, contextlib.suppress(ValueError):
            self._rules.remove(rule)

    def clear(self) -> None:
        """Take all rules away; what is held is lost."""
        with self._lock:
            self._rules.clear()
            self._held.clear()

    # -- datagrams of the harness's own making

    def inject(self, data: bytes, client: Address) -> None:
        """Send octets to a phone, as if from the gatekeeper."""
        self._loop.call_soon_threadsafe(
            self._deliver, Datagram(DOWN, faults.kind_of(data), data, client), data
        )

    def replay(self, datagram: Datagram, *, elsewhere: bool = False) -> None:
        """Send a datagram that has passed once more; elsewhere: from another source address."""
        if elsewhere and datagram.way == UP:
            asyncio.run_coroutine_threadsafe(self._from_elsewhere(datagram.data), self._loop).result(20)
        else:
            self._loop.call_soon_threadsafe(self._deliver, datagram, datagram.data)

    def last(self, kind: str, client: Address | None = None) -> Datagram:
        """Return the last datagram of that kind that came; raises HarnessError where none did."""
        for datagram in reversed(list(self.passed)):
            if datagram.kind == kind and client in (None, datagram.client):
                return datagram
        raise HarnessError(f"the relay: no {kind} has come yet")

    async def close(self) -> None:
        """Stop."""
        for transport in (self._front, *self._ups.values()):
            transport.close()
        await asyncio.sleep(0)

    # -- inside, in the relays' thread

    def _add(self, rule: Rule) -> Rule:
        with self._lock:
            self._rules.append(rule)
        return rule

    def _from_phone(self, data: bytes, client: Address) -> None:
        self._take(Datagram(UP, faults.kind_of(data), data, client))

    def _take(self, datagram: Datagram) -> None:
        with self._lock:
            rule = next((r for r in self._rules if r.takes(datagram, self._rng)), None)
        self._told(datagram, "" if rule is None or rule.name == "sees" else rule.name)
        deliveries = [(0.0, datagram.data)] if rule is None else rule.act(datagram, self._rng)
        self.passed.add(datagram)
        for after, data in deliveries:
            if after:
                self._loop.call_later(after, self._deliver, datagram, data)
            else:
                self._deliver(datagram, data)
        if deliveries:
            self._let_pass(datagram.way)

    def _deliver(self, datagram: Datagram, data: bytes) -> None:
        pcap, server = self.pcap, (self.host, RAS)
        if datagram.way == DOWN:
            self._front.sendto(data, datagram.client)
            if pcap is not None:
                pcap.udp(server, datagram.client, data)
            return
        if pcap is not None:
            pcap.udp(datagram.client, server, data)
        transport = self._ups.get(datagram.client)
        if transport is None:
            self._loop.create_task(self._first(datagram.client, data))
        elif self.to is not None:
            transport.sendto(data, self.to)

    async def _first(self, client: Address, data: bytes) -> None:
        if client not in self._ups:
            self._ups[client] = await self._towards(lambda answer, _source: self._answer(answer, client))
        if self.to is not None:
            self._ups[client].sendto(data, self.to)

    def _answer(self, data: bytes, client: Address) -> None:
        self._take(Datagram(DOWN, faults.kind_of(data), data, client))

    async def _towards(self, received: Callable[[bytes, Address], None]) -> asyncio.DatagramTransport:
        # Not connected: a gatekeeper that is down must look as it does to a phone, by its silence.
        transport, _ = await self._loop.create_datagram_endpoint(
            lambda: _Protocol(received), local_addr=(self.host, 0), family=socket.AF_INET
        )
        return transport

    async def _from_elsewhere(self, data: bytes) -> None:
        address: Address = ("", 0)
        transport = await self._towards(lambda answer, _source: self._answer(answer, address))
        address = transport.get_extra_info("sockname")[:2]
        self._ups[address] = transport
        if self.to is not None:
            transport.sendto(data, self.to)

    def _let_pass(self, way: str | None) -> None:
        """Deliver what was overtaken; way None: all of it, since nothing came."""
        for one in [o for o in self._overtaken if way in (None, o[0].way)]:
            self._overtaken.remove(one)
            self._deliver(*one)

    def _release(self) -> None:
        held, self._held = self._held, []
        for one in held:
            self._deliver(*one)


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, Address], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._received(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """Pass over an ICMP error: it is a datagram that is lost."""
