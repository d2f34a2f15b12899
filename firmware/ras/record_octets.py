"""A Record as octets, which is how a store keeps it.

    octet   version, 1
    octet   arc of the suite (keys.Suite.arc)
    octet + text    EXT, then PIN likewise
    16, suite.key, 3, suite.key octets    g, Kg, CVm, Ka
    octet   number of gatekeepers; for each: octet + host, 2 octets port

Where it lies, its serial number and its checksum are the store's affair (phone/store.py).
"""

from ras.compat import const
from ras.errors import RemoteProtocolError
from ras.keys import CVM, MAX_EXT, MAX_PIN, NONCE, SUITES, digits
from ras.record import MAX_GATEKEEPERS, Record

_VERSION = const(1)
_MAX_HOST = const(255)  # octets, as in hostport.py
# The longest record there is: what a slot must hold, a little over 2 KB.
MAX_RECORD = 2 + 1 + MAX_EXT + 1 + MAX_PIN + NONCE + 32 + CVM + 32 + 1 + MAX_GATEKEEPERS * (3 + _MAX_HOST)


def encode(record: Record) -> bytes:
    """Return the record's octets; raises ValueError, which shows no value, for a field out of range."""
    suite = record.suite
    out = bytearray((_VERSION, suite.arc))
    _put_text(out, digits(record.ext, "extension", MAX_EXT))
    _put_text(out, digits(record.pin, "PIN", MAX_PIN))
    for what, value, octets in (
        ("g", record.g, NONCE),
        ("Kg", record.kg, suite.key),
        ("CVm", record.cvm, CVM),
        ("Ka", record.ka, suite.key),
    ):
        if len(value) != octets:
            raise ValueError("record: %s has %d octets, not %d" % (what, len(value), octets))
        out.extend(value)
    if len(record.gatekeepers) > MAX_GATEKEEPERS:
        raise ValueError("record: over %d gatekeepers" % MAX_GATEKEEPERS)
    out.append(len(record.gatekeepers))
    for host, port in record.gatekeepers:
        name = host.encode()
        if not 1 <= len(name) <= _MAX_HOST or not 1 <= port <= 65535:
            raise ValueError("record: a gatekeeper's address")
        _put_text(out, name)
        out.append(port >> 8)
        out.append(port & 0xFF)
    return bytes(out)


def decode(data: bytes) -> Record:
    """Return the Record of these octets.

    Raises RemoteProtocolError for anything but one whole record and nothing after it:
    what lies in a store may have been written by another release, or by nobody.
    """
    reader = _Reader(data)
    if reader.octet() != _VERSION:
        raise RemoteProtocolError("record: its version is not %d" % _VERSION)
    arc = reader.octet()
    suite = None
    for known in SUITES.values():
        if known.arc == arc:
            suite = known
    if suite is None:
        raise RemoteProtocolError("record: unknown suite")
    ext = reader.digits("extension", MAX_EXT)
    pin = reader.digits("PIN", MAX_PIN)
    g = reader.take(NONCE)
    kg = reader.take(suite.key)
    cvm = reader.take(CVM)
    ka = reader.take(suite.key)
    count = reader.octet()
    if count > MAX_GATEKEEPERS:
        raise RemoteProtocolError("record: over %d gatekeepers" % MAX_GATEKEEPERS)
    gatekeepers = []
    for _ in range(count):
        host = reader.text()
        port = reader.octet() << 8 | reader.octet()
        if not host or not port:
            raise RemoteProtocolError("record: a gatekeeper's address")
        gatekeepers.append((host, port))
    if reader.at != len(data):
        raise RemoteProtocolError("record: octets after its end")
    return Record(ext, pin, suite, g, kg, cvm, ka, tuple(gatekeepers))


def _put_text(out: bytearray, text: bytes) -> None:
    out.append(len(text))
    out.extend(text)


class _Reader:
    """Takes octets off the front; raises RemoteProtocolError where there are none left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._data):
            raise RemoteProtocolError("record: ends too early")
        part = bytes(self._data[self.at : end])
        self.at = end
        return part

    def octet(self) -> int:
        return self.take(1)[0]

    def text(self) -> str:
        try:
            return self.take(self.octet()).decode()
        except (UnicodeError, ValueError):
            raise RemoteProtocolError("record: not a text")

    def digits(self, what: str, longest: int) -> str:
        text = self.text()
        try:
            digits(text, what, longest)
        except ValueError:
            raise RemoteProtocolError("record: its " + what)
        return text
