"""Q.931 messages as H.225.0 carries them, as far as a channel without calls needs them.

    octet 0      protocol discriminator, 0x08                  (Q.931 section 4.2)
    octet 1      octets of the call reference value, 1 or 2    (section 4.3)
    octets 2-    flag (1: to the side that chose the value), call reference value
    next octet   message type                                  (section 4.4)
    the rest     information elements                          (section 4.5)

H.225.0 (section 7.2) gives the User-user element a length of two octets; every other
variable length element has one.

A STATUS ENQUIRY is answered as Q.931 section 5.8.10 asks: with a STATUS that tells
the call state (null: there is no call here) and cause 30.  No other message is
answered yet: call signalling is to come, and until then a wrong answer would be worse
than Q.931's own time-out.
"""

from ras.compat import const
from ras.errors import RemoteProtocolError

STATUS_ENQUIRY = const(0x75)  # Q.931 table 4-2
STATUS = const(0x7D)

RESPONSE_TO_STATUS_ENQUIRY = const(30)  # cause: Q.850 table 1
STATE_NULL = const(0)  # call state U0 and N0: Q.931 section 4.5.7

_DISCRIMINATOR = const(0x08)
_FLAG = const(0x80)  # of the call reference: set in what goes to the side that chose the value
_EXTENSION = const(0x80)  # bit 8 of an octet: the last one of its group, or a single octet element
_CAUSE = const(0x08)
_CALL_STATE = const(0x14)
_USER_USER = const(0x7E)
# A basic rate interface has one octet of call reference, H.225.0 (section 7.2) two.
_MAX_REFERENCE = const(2)


class Message:
    """One decoded message.

    reference: the call reference value, an int, 0 being the global one; octets: how many
    octets it took, 1 or 2; answered: the flag, True in what goes to the side that chose
    the reference; kind: the message type; elements: tuple of (identifier, octets).
    """

    def __init__(
        self,
        reference: int,
        octets: int,
        answered: bool,
        kind: int,
        elements: "tuple[tuple[int, bytes], ...]",
    ) -> None:
        self.reference = reference
        self.octets = octets
        self.answered = answered
        self.kind = kind
        self.elements = elements

    def __repr__(self) -> str:
        return "Message(type=0x%02x, reference=%d)" % (self.kind, self.reference)


def decode(frame: bytes) -> Message:
    """Return the message in one TPKT frame's octets.

    Raises RemoteProtocolError unless every octet belongs to a well-formed message.
    """
    if len(frame) < 2 or frame[0] != _DISCRIMINATOR:
        raise RemoteProtocolError("Q.931: not a call control message")
    octets = frame[1]
    if not 1 <= octets <= _MAX_REFERENCE:
        raise RemoteProtocolError("Q.931: a call reference has 1 or 2 octets")
    at = 2 + octets
    if len(frame) <= at:
        raise RemoteProtocolError("Q.931: no message type")
    reference = int.from_bytes(frame[2:at], "big")
    flag = _FLAG << (8 * (octets - 1))
    kind = frame[at]
    if kind & _EXTENSION:
        raise RemoteProtocolError("Q.931: a message type is below 128")
    return Message(reference & ~flag, octets, bool(reference & flag), kind, _elements(frame, at + 1))


def encode(message: Message) -> bytes:
    """Return the octets of a message; its elements are written in the order given.

    Raises ValueError for an element that is too long for its length octets.
    """
    reference = message.reference
    if message.answered:
        reference |= _FLAG << (8 * (message.octets - 1))
    parts = [
        bytes([_DISCRIMINATOR, message.octets]),
        reference.to_bytes(message.octets, "big"),
        bytes([message.kind]),
    ]
    for identifier, value in message.elements:
        if identifier & _EXTENSION:
            parts.append(bytes([identifier]))
        elif identifier == _USER_USER:
            parts.append(bytes([identifier, len(value) >> 8, len(value) & 0xFF]) + value)
        else:
            parts.append(bytes([identifier, len(value)]) + value)
    return b"".join(parts)


def status_enquiry(reference: int = 0) -> bytes:
    """Return a STATUS ENQUIRY about a call reference of this side; 0 is the whole interface."""
    return encode(Message(reference, 2, False, STATUS_ENQUIRY, ()))


def answer(frame: bytes) -> "bytes | None":
    """Return what to send back for one frame of a channel without calls, or None for nothing.

    Raises RemoteProtocolError for a malformed message: the channel is to be closed, since
    what follows on it cannot be trusted either.  The answer to a STATUS ENQUIRY keeps its
    call reference and turns the flag round (Q.931 section 4.3).
    """
    message = decode(frame)
    if message.kind != STATUS_ENQUIRY:
        return None
    elements = (
        # Coding standard of the CCITT, location: the user's side (Q.850 figure 1).
        (_CAUSE, bytes([_EXTENSION, _EXTENSION | RESPONSE_TO_STATUS_ENQUIRY])),
        (_CALL_STATE, bytes([STATE_NULL])),
    )
    return encode(Message(message.reference, message.octets, not message.answered, STATUS, elements))


def _elements(frame: bytes, at: int) -> "tuple[tuple[int, bytes], ...]":
    found = []
    while at < len(frame):
        identifier = frame[at]
        at += 1
        if identifier & _EXTENSION:  # a single octet element
            found.append((identifier, b""))
            continue
        size = 2 if identifier == _USER_USER else 1
        length = int.from_bytes(frame[at : at + size], "big")
        end = at + size + length
        if at + size > len(frame) or end > len(frame):
            raise RemoteProtocolError("Q.931: an information element is cut off")
        found.append((identifier, bytes(frame[at + size : end])))
        at = end
    return tuple(found)
