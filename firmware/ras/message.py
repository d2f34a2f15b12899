"""A RAS message as octets and as values; where its integrity check value lies."""

from ras.aper import LATER, UNKNOWN, decode, encode, find
from ras.compat import compare_digest, const
from ras.errors import LocalProtocolError, RemoteProtocolError
from ras.keys import Suite, integrity_check_value
from ras.per import Reader, Writer

# Octets.  One frame of Ethernet less IP and UDP headers: a longer answer is cut into
# fragments, which small stacks lose; a longer request comes from no endpoint.
MAX_MESSAGE = const(1472)

# The alternatives of RasMessage that are of use here, by number.  The rest of the 25 of the
# root and all of the extension are messages for which an XRS is the answer.
KINDS = ("GRQ", "GCF", "GRJ", "RRQ", "RCF", "RRJ", "URQ", "UCF")
GRQ, GCF, GRJ, RRQ, RCF, RRJ, URQ, UCF = KINDS
XRS = "XRS"
# Those of the rest that ask for an answer, ARQ, BRQ, DRQ, LRQ and IRQ: by number, how many
# OPTIONAL components their root has.
_REQUESTS = {9: 7, 12: 2, 15: 1, 18: 2, 21: 2}
_XRS = const(24)  # unknownMessageResponse, the last of the root
_ROOT = const(25)

# The module that has the type of a kind.
_WHERE = {
    GRQ: "ras.h225_discovery",
    GCF: "ras.h225_discovery",
    GRJ: "ras.h225_reject",
    RRQ: "ras.h225_registration",
    RCF: "ras.h225_registration",
    RRJ: "ras.h225_reject",
    URQ: "ras.h225_end",
    UCF: "ras.h225_end",
    XRS: "ras.h225_end",
}
_tables: dict = {}  # kind: its type, once there was one


class Message:
    """A decoded message.

    kind: its short name, "GRQ" to "UCF", "XRS", or UNKNOWN; value: dict as its table
    says (for UNKNOWN {"requestSeqNum": …} if it asks for an answer, else {}); octets:
    as received; icv: (offset, length) of its integrity check value in octets, or None.
    """

    def __init__(self, kind: str, value: dict, octets: bytes, icv: "tuple[int, int] | None") -> None:
        self.kind = kind
        self.value = value
        self.octets = octets
        self.icv = icv

    def __repr__(self) -> str:
        return "Message(%s, %d octets)" % (self.kind, len(self.octets))


def table_of(kind: str) -> tuple:
    """Return the type of a kind of message; its module is loaded with the first one of that kind."""
    table = _tables.get(kind)
    if table is None:
        table = _tables[kind] = find((LATER, _WHERE[kind], kind))
    return table


def forget(*kinds: str) -> None:
    """Let the types of these kinds go, until one of them is needed again."""
    for kind in kinds:
        _tables.pop(kind, None)


def decode_message(octets: bytes, kinds: "tuple | None" = None) -> Message:
    """Decode one datagram (H.225.0 section 7.6).

    kinds: those that the caller takes, None for all; any other comes back as UNKNOWN with no
    value, and nothing is loaded for it.

    Octets behind the message are left alone, as X.691 section 11.1 lets an encoder pad.
    Raises RemoteProtocolError where it is no RAS message, is cut off, or has a value out
    of its range.
    """
    if len(octets) > MAX_MESSAGE:
        raise RemoteProtocolError("RAS: over %d octets" % MAX_MESSAGE)
    reader = Reader(octets)
    if reader.bit():  # a message of the extension, such as RIP
        return Message(UNKNOWN, {}, octets, None)
    number = reader.constrained(0, _ROOT - 1)
    if number < len(KINDS):
        kind = KINDS[number]
    elif number == _XRS:
        kind = XRS
    else:
        return Message(UNKNOWN, _number_of_stranger(reader, number), octets, None)
    if kinds is not None and kind not in kinds:
        return Message(UNKNOWN, {}, octets, None)
    value = decode(reader, table_of(kind))
    return Message(kind, value, octets, reader.icv)  # type: ignore[arg-type]


def _number_of_stranger(reader: Reader, number: int) -> dict:
    """Return the requestSeqNum, the first component of every message, of a request we do not know."""
    optional = _REQUESTS.get(number)
    if optional is None:
        return {}
    reader.bits(1 + optional)
    return {"requestSeqNum": reader.constrained(1, 65535)}


def encode_message(kind: str, value: dict) -> "tuple[bytearray, tuple[int, int] | None]":
    """Encode a message; return its octets and where its ICV lies, if it has one.

    Raises LocalProtocolError where a value does not fit its type.
    """
    writer = Writer()
    writer.bits(0, 1)
    if kind == XRS:
        number = _XRS
    elif kind in KINDS:
        number = KINDS.index(kind)
    else:
        raise LocalProtocolError("RAS: no message %s" % kind)
    writer.constrained(number, 0, _ROOT - 1)
    encode(writer, table_of(kind), value)
    if len(writer.data) > MAX_MESSAGE:
        raise LocalProtocolError("RAS: over %d octets" % MAX_MESSAGE)
    return writer.data, writer.icv


def sign(octets: bytearray, icv: "tuple[int, int]", suite: Suite, key: bytes) -> None:
    """Write the integrity check value of an encoded message in place (protocol.md section 4)."""
    offset, length = icv
    octets[offset : offset + length] = bytes(length)
    octets[offset : offset + length] = integrity_check_value(suite, key, octets)


def verify(message: Message, suite: Suite, key: bytes) -> bool:
    """Tell whether the message's integrity check value is the one `key` gives."""
    if message.icv is None or message.icv[1] != suite.icv:
        return False
    offset, length = message.icv
    blank = bytearray(message.octets)
    blank[offset : offset + length] = bytes(length)
    wanted = integrity_check_value(suite, key, blank)
    return compare_digest(wanted, bytes(message.octets[offset : offset + length]))
