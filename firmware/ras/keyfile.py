"""The key file `kkg.txt` (protocol.md section 3), as the key server writes and a phone reads it."""

from ras.address import join_address
from ras.compat import const
from ras.errors import RemoteProtocolError
from ras.hostport import split_address
from ras.keys import CVM, NONCE, SUITES, Suite
from ras.record import MAX_GATEKEEPERS

VERSION = const(1)
# A key file is some 250 octets; the rest is room for comments and many gatekeepers.
MAX_FILE = const(4096)


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


_NAMES = ("VERSION", "SUITE", "G", "KG", "CVM")


def _hex(name: str, value: str, octets: int) -> bytes:
    if len(value) == 2 * octets:
        try:
            return bytes.fromhex(value)
        except ValueError:
            pass
    raise RemoteProtocolError("key file: %s is not %d octets in hex" % (name, octets))
