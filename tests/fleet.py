"""Many phones on sockets of their own: the core's Endpoint, told what to do, and what came of it.

Their time stands still while the gatekeeper is away (`Fleet.paused`): how long a process takes to start
on this machine is not what the tests are about.
"""

import contextlib
import secrets
import select
import socket
import threading
import time
from http.client import HTTPSConnection

from keyserver_client import trusting
from ras import build, keyfile, profile
from ras.endpoint import Endpoint
from ras.message import RRQ, decode_message
from ras_phone import record_of

WINDOW = 32  # phones that are busy at one time
FETCHERS = 4

IDLE, REGISTER, KEEP, LEAVE = "idle", "register", "keep", "leave"


def fetch_all(site, port, exts, pin):
    """Return ext -> Record, fetched over a few connections."""
    context = trusting(site / "ca" / "root.crt")
    found = {}

    def fetch(some):
        connection = HTTPSConnection("localhost", port, context=context, timeout=30)
        for ext in some:
            connection.request("GET", f"/keys/kkg.txt?ext={ext}")
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            found[ext] = record_of(keyfile.decode(body), ext, pin)
        connection.close()

    threads = [threading.Thread(target=fetch, args=(exts[i::FETCHERS],)) for i in range(FETCHERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(exts)
    return found


class Phone:
    """One phone.

    there: the gatekeeper has told it that it is registered, and not that it is not any more; doing: what it
    asks for; surely_gone: it was told that it is not registered.
    """

    def __init__(self, record, gatekeeper):
        self.record = record
        self.gatekeeper = gatekeeper
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.endpoint = Endpoint(secrets.token_bytes, self.socket.getsockname())
        self.doing = IDLE
        self.there = False
        self.surely_gone = True
        self.again = 0  # registrations that came to an end which nobody asked for
        self.last = None  # (identifier, Rg) of the registration
        self.sent = []

    def register(self, now):
        self.doing, self.surely_gone = REGISTER, False
        self.endpoint.register(self.record, (self.gatekeeper,), now)

    def keep_alive(self, _now):
        """Say that it is still there, before it is due."""
        self.doing = KEEP
        self.endpoint.handle_timer(self.endpoint.get_timer())

    def leave(self, now):
        self.doing, self.surely_gone, self.there = LEAVE, False, False
        self.endpoint.log_out(now)

    def take(self, event, answered):
        """Take an event; answered: it came of a datagram, not of a timer."""
        name = event[0]
        if name == "registered":
            self.last = (event[1].identifier, self.endpoint._rg)
            self.there, self.doing = True, IDLE
        elif name == "refreshed":
            self.doing = IDLE
        elif name == "left":
            self.there, self.surely_gone, self.doing = False, answered, IDLE
        elif name in ("ended", "no-answer", "refused"):
            self.there, self.surely_gone, self.doing = False, answered, IDLE
            self.again += 1

    def forged_keep_alive(self):
        """Return the octets of a keepAlive within the registration that it had last."""
        identifier, rg = self.last
        address = self.endpoint.address
        value = build.keep_alive(77, identifier, address, address, 300)
        elements = {profile.RE: (1 << 40).to_bytes(8, "big") + secrets.token_bytes(8), profile.RG: rg}
        return profile.seal(RRQ, value, elements, self.record.suite, self.record.ka)


class Fleet:
    """All of them."""

    def __init__(self, records, gatekeeper):
        self.phones = [Phone(record, gatekeeper) for record in records]
        self.by_fd = {phone.socket.fileno(): phone for phone in self.phones}
        self.poll = select.epoll()
        for fd in self.by_fd:
            self.poll.register(fd, select.EPOLLIN)
        self.lost = 0  # ms
        self.due = 0
        self.done = 0

    def close(self):
        self.poll.close()
        for phone in self.phones:
            phone.socket.close()

    def now(self):
        return time.monotonic_ns() // 1_000_000 - self.lost

    @contextlib.contextmanager
    def paused(self):
        begun = self.now()
        yield
        self.lost += self.now() - begun

    def start(self, phone, what):
        what(phone, self.now())
        self.work(phone, answered=False)

    def busy(self):
        return [phone for phone in self.phones if phone.doing != IDLE]

    def work(self, phone, *, answered):
        while (event := phone.endpoint.next_event()) is not None:
            phone.take(event, answered)
            if phone.doing == IDLE:
                self.done += 1
        for data, address in phone.endpoint.datagrams_to_send():
            phone.sent.append(data)
            with contextlib.suppress(OSError):  # nobody listens while the gatekeeper is away
                phone.socket.sendto(data, address)

    def step(self, timeout=0.02):
        """Take what has come, and do what is due."""
        for fd, _ in self.poll.poll(timeout):
            phone = self.by_fd[fd]
            with contextlib.suppress(OSError):
                while True:
                    data, source = phone.socket.recvfrom(65536)
                    phone.endpoint.receive_datagram(data, source, self.now())
            self.work(phone, answered=True)
        now = self.now()
        if now - self.due > 100:
            self.due = now
            for phone in self.phones:
                timer = phone.endpoint.get_timer()
                if timer is not None and timer <= now:
                    phone.endpoint.handle_timer(now)
                    self.work(phone, answered=False)

    def run(self, chosen, what, limit=300):
        """Let each of the chosen phones do something, and wait until all have done it."""
        waiting = list(chosen)
        end = time.monotonic() + limit
        while waiting or self.busy():
            assert time.monotonic() < end, f"{len(waiting)} not begun, {len(self.busy())} busy"
            for _ in range(min(len(waiting), WINDOW - len(self.busy()))):
                self.start(waiting.pop(), what)
            self.step()

    def answers(self, datagrams, wait=0.6):
        """Send (phone, octets), from a socket of nobody's; return the kinds of the answers."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.setblocking(False)
            for phone, data in datagrams:
                stranger.sendto(data, phone.gatekeeper)
            kinds, end = [], time.monotonic() + wait
            while (left := end - time.monotonic()) > 0:
                if select.select([stranger], [], [], left)[0]:
                    kinds.append(decode_message(stranger.recv(65536)).kind)
            return kinds
