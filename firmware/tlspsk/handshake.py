"""Handshake messages (RFC 5246 section 7.4), built and parsed.

Needed only while a handshake is on (see negotiation.py).  Whether a message may come now is
not decided here but in states.py.
"""

from ras.compat import const
from tlspsk.errors import (
    DECODE_ERROR,
    HANDSHAKE_FAILURE,
    ILLEGAL_PARAMETER,
    PROTOCOL_VERSION,
    UNSUPPORTED_EXTENSION,
    RemoteProtocolError,
)
from tlspsk.record import MAX_PLAINTEXT, SMALL_PLAINTEXT

CLIENT_HELLO = const(1)
SERVER_HELLO = const(2)
SERVER_KEY_EXCHANGE = const(12)
SERVER_HELLO_DONE = const(14)
CLIENT_KEY_EXCHANGE = const(16)
FINISHED = const(20)

_SUITE = const(0x00AE)  # TLS_PSK_WITH_AES_128_CBC_SHA256, RFC 5487
SUITE_NAME = "TLS_PSK_WITH_AES_128_CBC_SHA256"

RANDOM = const(32)  # octets of a hello's random
# Octets of an identity and a key that every implementation takes (RFC 4279 section 5.3).
MAX_IDENTITY = const(128)
MAX_KEY = const(64)

_SCSV = const(0x00FF)  # TLS_EMPTY_RENEGOTIATION_INFO_SCSV, RFC 5746
_MAX_FRAGMENT_LENGTH = const(1)  # extensions: RFC 6066
_ENCRYPT_THEN_MAC = const(22)  # RFC 7366
_EXTENDED_MASTER_SECRET = const(23)  # RFC 7627
_RENEGOTIATION_INFO = const(0xFF01)  # RFC 5746
_FRAGMENT_2048 = b"\x03"  # RFC 6066 section 4: 2^11, SMALL_PLAINTEXT

# The extensions that we offer (RFC 5746's in the form of the SCSV), so the only ones that
# a server may answer with (RFC 5246 section 7.4.1.4).
_OFFERED = (_MAX_FRAGMENT_LENGTH, _ENCRYPT_THEN_MAC, _EXTENDED_MASTER_SECRET, _RENEGOTIATION_INFO)


def message(kind: int, body: bytes) -> bytes:
    """Return a handshake message with its header."""
    return bytes((kind,)) + len(body).to_bytes(3, "big") + body


def _vector(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def client_hello(random: bytes) -> bytes:
    """Return the ClientHello: one suite, no session to resume; random is 32 octets."""
    suites = _SUITE.to_bytes(2, "big") + _SCSV.to_bytes(2, "big")
    extensions = b""
    for kind, data in (
        (_MAX_FRAGMENT_LENGTH, _FRAGMENT_2048),
        (_ENCRYPT_THEN_MAC, b""),
        (_EXTENDED_MASTER_SECRET, b""),
    ):
        extensions += kind.to_bytes(2, "big") + _vector(data)
    body = b"\x03\x03" + random + b"\x00" + _vector(suites) + b"\x01\x00" + _vector(extensions)
    return message(CLIENT_HELLO, body)


def client_key_exchange(identity: bytes) -> bytes:
    """Return the ClientKeyExchange of plain PSK (RFC 4279 section 2)."""
    return message(CLIENT_KEY_EXCHANGE, _vector(identity))


class ServerHello:
    """What a server chose.

    random: 32 octets; extended_master_secret: RFC 7627 agreed; limit: octets of plaintext
    that it may send in one record.
    """

    def __init__(self, body: bytes) -> None:
        """Parse and judge; raises RemoteProtocolError for what we did not offer or do not take."""
        if len(body) < 2 + RANDOM + 1:
            raise RemoteProtocolError(DECODE_ERROR, "ServerHello too short")
        if body[:2] != b"\x03\x03":
            raise RemoteProtocolError(PROTOCOL_VERSION, "server does not speak TLS 1.2")
        self.random = body[2 : 2 + RANDOM]
        # The session id names a session to resume later; we never do.
        at = 2 + RANDOM + 1 + body[2 + RANDOM]
        if body[2 + RANDOM] > 32 or len(body) < at + 3:
            raise RemoteProtocolError(DECODE_ERROR, "ServerHello malformed")
        if (body[at] << 8 | body[at + 1]) != _SUITE or body[at + 2] != 0:
            raise RemoteProtocolError(ILLEGAL_PARAMETER, "server chose what was not offered")
        extensions = _extensions(body[at + 3 :])
        if _ENCRYPT_THEN_MAC not in extensions:
            raise RemoteProtocolError(HANDSHAKE_FAILURE, "server has no encrypt-then-MAC (RFC 7366)")
        # Without it another's handshake could be put before ours; a server with RFC 7366
        # is younger than RFC 5746 and has no reason to lack it.
        if _RENEGOTIATION_INFO not in extensions:
            raise RemoteProtocolError(HANDSHAKE_FAILURE, "server has no secure renegotiation (RFC 5746)")
        for kind, want in (
            (_ENCRYPT_THEN_MAC, b""),
            (_EXTENDED_MASTER_SECRET, b""),
            (_MAX_FRAGMENT_LENGTH, _FRAGMENT_2048),
            (_RENEGOTIATION_INFO, b"\x00"),
        ):
            if extensions.get(kind, want) != want:
                raise RemoteProtocolError(ILLEGAL_PARAMETER, "ServerHello extension " + str(kind))
        self.extended_master_secret = _EXTENDED_MASTER_SECRET in extensions
        self.limit = SMALL_PLAINTEXT if _MAX_FRAGMENT_LENGTH in extensions else MAX_PLAINTEXT


def _extensions(data: bytes) -> dict:
    if not data:  # the whole block may be absent
        return {}
    if len(data) < 2 or (data[0] << 8 | data[1]) != len(data) - 2:
        raise RemoteProtocolError(DECODE_ERROR, "extensions malformed")
    found = {}
    at = 2
    while at < len(data):
        if len(data) < at + 4:
            raise RemoteProtocolError(DECODE_ERROR, "extensions malformed")
        kind = data[at] << 8 | data[at + 1]
        end = at + 4 + (data[at + 2] << 8 | data[at + 3])
        if len(data) < end:
            raise RemoteProtocolError(DECODE_ERROR, "extensions malformed")
        if kind not in _OFFERED:
            raise RemoteProtocolError(UNSUPPORTED_EXTENSION, "ServerHello extension " + str(kind))
        if kind in found:
            raise RemoteProtocolError(ILLEGAL_PARAMETER, "ServerHello extension given twice")
        found[kind] = data[at + 4 : end]
        at = end
    return found


def check_server_key_exchange(body: bytes) -> None:
    """Check the form of an identity hint (RFC 4279 section 2); what it says is not used.

    The identity is fixed by the registration, so a hint cannot help to choose one.
    """
    if len(body) < 2 or (body[0] << 8 | body[1]) != len(body) - 2:
        raise RemoteProtocolError(DECODE_ERROR, "ServerKeyExchange malformed")
