"""The key file `kkg.txt` (protocol.md section 3), as the key server writes and a phone reads it."""

from ras.errors import RemoteProtocolError
from ras.keys import CVM, NONCE, SUITES, Suite

VERSION = 1
# A key file is some 250 octets; the rest is room for comments and many gatekeepers.
MAX_FILE = 4096
# A phone tries each in turn, 14 s each: more would only keep its user waiting.
MAX_GATEKEEPERS = 8
# Octets: RFC 1035 section 2.3.4 allows 255 for a name.
_MAX_HOST = 255


class KeyFile:
    """What a phone gets from the key server.

    suite: Suite; g, kg, cvm: bytes; gatekeepers: tuple of (host, port), in order of
    preference.
    """

    def __init__(
        self,
        suite: Suite,
        g: bytes,
        kg: bytes,
        cvm: bytes,
        gatekeepers: "tuple[tuple[str, int], ...]",
    ) -> None:
        self.suite = suite
        self.g = g
        self.kg = kg
        self.cvm = cvm
        self.gatekeepers = gatekeepers

    def __repr__(self) -> str:
        return "KeyFile(%s, g=%s, cvm=%s)" % (self.suite.name, self.g.hex(), self.cvm.hex())


def encode(keys: KeyFile) -> str:
    """Return the key file's text."""
    lines = [
        "VERSION %d" % VERSION,
        "SUITE " + keys.suite.name,
        "G " + keys.g.hex(),
        "KG " + keys.kg.hex(),
        "CVM " + keys.cvm.hex(),
    ]
    for host, port in keys.gatekeepers:
        lines.append("GATEKEEPER " + join_address(host, port))
    return "\n".join(lines) + "\n"


def decode(text: bytes) -> KeyFile:
    """Return the KeyFile in `text`.

    Raises RemoteProtocolError, which names the line that is wrong but shows no value.
    """
    if len(text) > MAX_FILE:
        raise RemoteProtocolError("key file: over %d octets" % MAX_FILE)
    found: "dict[str, str]" = {}
    gatekeepers: "list[tuple[str, int]]" = []
    try:
        lines = bytes(text).decode().split("\n")
    except (UnicodeError, ValueError):
        raise RemoteProtocolError("key file: not a text")
    for line in lines:
        line = line.strip()
        if not line or line[0] == "#":
            continue
        parts = line.split(None, 1)
        name = parts[0]
        value = parts[1] if len(parts) == 2 else ""
        if name == "GATEKEEPER":
            if len(gatekeepers) < MAX_GATEKEEPERS:
                gatekeepers.append(split_address(value))
        elif name in _NAMES:
            if name in found:
                raise RemoteProtocolError("key file: %s twice" % name)
            found[name] = value
    for name in _NAMES:
        if name not in found:
            raise RemoteProtocolError("key file: no %s" % name)
    if found["VERSION"] != str(VERSION):
        raise RemoteProtocolError("key file: its VERSION is not %d" % VERSION)
    suite = SUITES.get(found["SUITE"])
    if suite is None:
        raise RemoteProtocolError("key file: unknown SUITE")
    return KeyFile(
        suite,
        _hex("G", found["G"], NONCE),
        _hex("KG", found["KG"], suite.key),
        _hex("CVM", found["CVM"], CVM),
        tuple(gatekeepers),
    )


def split_address(text: str, default_port: int = 0) -> "tuple[str, int]":
    """Return (host, port) of "host:port" or "[v6]:port"; raises RemoteProtocolError.

    With a `default_port` the port may be missing.
    """
    if text[:1] == "[":
        end = text.find("]")
        host, rest = text[1:end], text[end + 1 :]
        if end < 0 or (rest and rest[0] != ":"):
            raise RemoteProtocolError("not host:port")
        port = rest[1:]
    else:
        colon = text.rfind(":")
        host, port = (text[:colon], text[colon + 1 :]) if colon >= 0 else (text, "")
    if not 1 <= len(host) <= _MAX_HOST or " " in host:
        raise RemoteProtocolError("not host:port")
    if not port and default_port:
        return host, default_port
    number = int(port) if port.isdigit() and len(port) <= 5 else 0
    if not 1 <= number <= 65535:
        raise RemoteProtocolError("not host:port: its port is not 1 to 65535")
    return host, number


def join_address(host: str, port: int) -> str:
    """Return "host:port", an IPv6 address in brackets."""
    return "[%s]:%d" % (host, port) if ":" in host else "%s:%d" % (host, port)


_NAMES = ("VERSION", "SUITE", "G", "KG", "CVM")


def _hex(name: str, value: str, octets: int) -> bytes:
    if len(value) == 2 * octets:
        try:
            return bytes.fromhex(value)
        except ValueError:
            pass
    raise RemoteProtocolError("key file: %s is not %d octets in hex" % (name, octets))
