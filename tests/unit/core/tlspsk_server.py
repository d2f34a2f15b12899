"""A TLS-PSK server for tests, without I/O, that can be told to misbehave.

It shares the record layer and the PRF with the client under test, so it proves the
client's decisions and not its arithmetic: that is what the recorded OpenSSL sessions
in test_tlspsk_client.py and tests/conformance are for.
"""

from tlspsk import handshake, messages, prf, record
from tlspsk.client import PSKClient

from support import Random

IDENTITY = b"00112233445566778899aabbccddeeff"
KEY = bytes(range(32))
SERVER_RANDOM = bytes(range(100, 132))

FRAGMENT = b"\x00\x01\x00\x01\x03"
ETM = b"\x00\x16\x00\x00"
EMS = b"\x00\x17\x00\x00"
RENEGOTIATION = b"\xff\x01\x00\x01\x00"
ALL = FRAGMENT + ETM + EMS + RENEGOTIATION


def server_hello(extensions=ALL, version=b"\x03\x03", session=b"", suite=b"\x00\xae", compression=b"\x00"):
    """Return a ServerHello as a handshake message."""
    body = version + SERVER_RANDOM + bytes((len(session),)) + session + suite + compression
    if extensions is not None:
        body += len(extensions).to_bytes(2, "big") + extensions
    return handshake.message(handshake.SERVER_HELLO, body)


def plain(kind, payload):
    """Return an unprotected record."""
    return bytes((kind, 3, 3)) + len(payload).to_bytes(2, "big") + payload


DONE = handshake.message(handshake.SERVER_HELLO_DONE, b"")


class Server:
    """One connection.  `hello` and `key_exchange` are handshake messages; None leaves one out."""

    def __init__(self, key=KEY, hello=None, key_exchange=None, ems=True):
        self.key = key
        self.hello = hello or server_hello(ALL if ems else FRAGMENT + ETM + RENEGOTIATION)
        self.key_exchange = key_exchange
        self.ems = ems
        self.records = record.RecordLayer(Random(2))
        self.messages = messages.Messages()
        self.transcript = b""
        self.identity = None
        self.seen = []  # (type, payload) of what the client sent, in order
        self.master = None

    def flight(self):
        """Return the handshake messages of the first flight, after the ClientHello."""
        parts = [self.hello]
        if self.key_exchange is not None:
            parts.append(self.key_exchange)
        parts.append(DONE)
        return b"".join(parts)

    def receive(self, data):
        """Take what the client sent; derive keys on the way."""
        self.records.receive(data)
        while True:
            item = self.records.next_record()
            if item is None:
                return
            kind, payload = item
            self.seen.append((kind, bytes(payload)))
            if kind == record.HANDSHAKE:
                self.messages.receive(payload)
                self._messages()
            elif kind == record.CHANGE_CIPHER_SPEC:
                self.records.protect_read(*self.client_keys)

    def _messages(self):
        while True:
            item = self.messages.next()
            if item is None:
                return
            kind, body, whole = item
            if kind == handshake.CLIENT_HELLO:
                self.client_random = body[2:34]
                self.transcript = whole + self.flight()
            elif kind == handshake.CLIENT_KEY_EXCHANGE:
                self.identity = body[2:]
                self.transcript += whole
                self._derive()
            else:
                want = prf.verify_data(self.master, b"client finished", self.transcript)
                assert body == bytes(want)
                self.transcript += whole

    def _derive(self):
        premaster = prf.psk_premaster(self.key)
        if self.ems:
            self.master = prf.extended_master_secret(premaster, self.transcript)
        else:
            self.master = prf.master_secret(premaster, self.client_random, SERVER_RANDOM)
        cm, sm, ce, se = prf.key_block(self.master, self.client_random, SERVER_RANDOM)
        self.client_keys = cm, ce
        self.server_keys = sm, se

    def finished(self):
        """Return the Finished message."""
        verify = prf.verify_data(self.master, b"server finished", self.transcript)
        return handshake.message(handshake.FINISHED, bytes(verify))

    def change_cipher_spec(self):
        """Return the record, and protect all that comes after it."""
        out = self.records.encode(record.CHANGE_CIPHER_SPEC, b"\x01")
        self.records.protect_write(*self.server_keys)
        return out

    def last_flight(self):
        """Return ChangeCipherSpec and Finished."""
        return self.change_cipher_spec() + self.records.encode(record.HANDSHAKE, self.finished())


def client(key=KEY):
    """Return a client that has started."""
    c = PSKClient(IDENTITY, key, Random(1))
    c.start()
    return c


def greeted(server=None):
    """Return (client, server) after the ClientHello has reached the server."""
    c = client()
    s = server or Server()
    s.receive(c.data_to_send())
    return c, s


def keyed(server=None):
    """Return (client, server) before the server's ChangeCipherSpec."""
    c, s = greeted(server)
    c.receive(plain(record.HANDSHAKE, s.flight()))
    s.receive(c.data_to_send())
    return c, s


def connected(server=None):
    """Return (client, server) after the handshake."""
    c, s = keyed(server)
    c.receive(s.last_flight())
    event = c.next_event()
    assert event == ("connected", "TLS_PSK_WITH_AES_128_CBC_SHA256"), event
    return c, s
