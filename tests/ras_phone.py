"""A phone that is the core's own endpoint on a socket, without MicroPython around it."""

import http.client
import secrets
import select
import socket
import ssl
import time

from ras import keyfile
from ras.endpoint import Endpoint
from ras.keys import authentication_key
from ras.record import Record
from tlspsk.client import PSKClient
from tlspsk.errors import RemoteAlert, RemoteProtocolError

PIN = "8675309123450"  # long, so that finding it in a log would be no accident
QUIET = 0.4  # s without an answer on the loopback, after all of a sample has been sent
SILENCE = 0.6  # s in which an answer on the loopback would have come


def now():
    return time.monotonic_ns() // 1_000_000


def fetch_keys(site, port, ext):
    """Return the KeyFile that the key server gives out for `ext`."""
    tls = ssl.create_default_context(cafile=str(site / "ca" / "root.crt"))
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=10)
    try:
        connection.request("GET", f"/keys/kkg.txt?ext={ext}")
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        return keyfile.decode(answer.read())
    finally:
        connection.close()


def record_of(keys, ext, pin=PIN):
    ka = authentication_key(keys.suite, keys.kg, pin)
    return Record(ext, pin, keys.suite, keys.g, keys.kg, keys.cvm, ka, ())


def answers(phone, sample):
    """Send all of a sample from a phone's socket; return the answers."""
    found = []
    for octets in sample:
        phone.socket.sendto(octets, phone.gatekeeper)
        while (data := phone.receive(0)) is not None:
            found.append(data)
    while (data := phone.receive(QUIET)) is not None:
        found.append(data)
    return found


class Phone:
    """An endpoint of the core on a UDP socket; `sent` and `heard` are all datagrams, in order."""

    def __init__(self, record, gatekeeper, host="127.0.0.1"):
        self.record = record
        self.gatekeeper = gatekeeper
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.endpoint = Endpoint(secrets.token_bytes, self.socket.getsockname())
        self.events = []
        self.sent = []
        self.heard = []

    def register(self, timeout=8):
        """Register and return the Registration, or None; `events` has what happened."""
        self.endpoint.register(self.record, (self.gatekeeper,), now())
        event = self.run(("registered", "refused", "no-answer"), timeout)
        return event[1] if event and event[0] == "registered" else None

    def run(self, names, timeout=8):
        """Work until an event of one of these names, and return it; None after `timeout` s."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for data, address in self.endpoint.datagrams_to_send():
                self.sent.append(data)
                self.socket.sendto(data, address)
            while (event := self.endpoint.next_event()) is not None:
                self.events.append(event)
                if event[0] in names:
                    return event
            if (data := self.receive(0.05)) is not None:
                self.heard.append(data)
                self.endpoint.receive_datagram(data, self.gatekeeper, now())
            self.endpoint.handle_timer(now())
        return None

    def flush(self):
        for data, address in self.endpoint.datagrams_to_send():
            self.socket.sendto(data, address)

    def receive(self, timeout):
        ready, _, _ = select.select([self.socket], [], [], timeout)
        return self.socket.recvfrom(65536)[0] if ready else None

    def exchange(self, data, timeout=SILENCE):
        """Send octets as they are; return the one answer, or None."""
        self.socket.sendto(data, self.gatekeeper)
        return self.receive(timeout)


class Line:
    """A signalling channel: the project's own TLS-PSK client on a TCP socket."""

    def __init__(self, registration):
        identity = registration.sid.hex().encode()
        self.client = PSKClient(identity, registration.ks, secrets.token_bytes)
        self.events = []
        self.socket = socket.create_connection(registration.signalling, 5)

    def open(self):
        self.client.start()
        self.wait_for("connected")
        return self

    def _pump(self):
        self.socket.sendall(self.client.data_to_send())
        while (event := self.client.next_event()) is not None:
            self.events.append(event)

    def wait_for(self, name):
        """Return the first event of that name, later ones than which stay for the next call."""
        while True:
            self._pump()
            for event in self.events:
                if event[0] == name:
                    self.events.remove(event)
                    return event
            data = self.socket.recv(65536)
            if data:
                self.client.receive(data)
            else:
                self.client.receive_eof()  # raises where no close_notify came before

    def send(self, data):
        self.client.send(data)
        self._pump()

    def closed(self):
        """Wait for the end; tell whether it came in good order, with a close_notify."""
        try:
            self.wait_for("closed")
            return True
        except (OSError, RemoteAlert, RemoteProtocolError):
            return False
