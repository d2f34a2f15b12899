"""Handshake messages (RFC 5246 section 7.4) cut out of records: also after the handshake one may come."""

from ras.compat import const
from tlspsk.errors import DECODE_ERROR, RemoteProtocolError

HELLO_REQUEST = const(0)

# Octets of one message.  The longest honest one is a ServerKeyExchange with an identity
# hint; OpenSSL's are 256 octets at most.  A phone keeps all messages until Finished.
MAX_MESSAGE = const(1024)

NAMES = {
    0: "HelloRequest",
    2: "ServerHello",
    12: "ServerKeyExchange",
    14: "ServerHelloDone",
    20: "Finished",
}


class Messages:
    """Cuts handshake messages out of record payloads: fragmented, coalesced or both."""

    def __init__(self) -> None:
        self._in = b""

    def receive(self, fragment: bytes) -> None:
        """Take the payload of one handshake record."""
        self._in += fragment

    def partial(self) -> bool:
        """Tell whether a message has begun and not ended."""
        return len(self._in) > 0

    def next(self):
        """Return the next (type, body, whole message), or None until more has come.

        Raises RemoteProtocolError for a message over MAX_MESSAGE octets.
        """
        if len(self._in) < 4:
            return None
        size = self._in[1] << 16 | self._in[2] << 8 | self._in[3]
        if size > MAX_MESSAGE:
            raise RemoteProtocolError(DECODE_ERROR, "handshake message too long")
        if len(self._in) < 4 + size:
            return None
        whole = self._in[: 4 + size]
        self._in = self._in[4 + size :]
        return whole[0], whole[4:], whole
