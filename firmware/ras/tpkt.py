"""TPKT frames (RFC 1006 section 6): call signalling in the octets of a stream."""

from ras.compat import const
from ras.errors import LocalProtocolError, RemoteProtocolError

HEADER = const(4)  # octets: version, reserved, length of the whole frame
VERSION = const(3)
MAX_PAYLOAD = const(0xFFFF - HEADER)  # octets: the length field has 16 bits


def encode(payload: bytes) -> bytes:
    """Return the payload as one frame; raises LocalProtocolError over MAX_PAYLOAD octets."""
    if len(payload) > MAX_PAYLOAD:
        raise LocalProtocolError("payload longer than a TPKT frame")
    return bytes((VERSION, 0)) + (HEADER + len(payload)).to_bytes(2, "big") + payload


class Deframer:
    """Cuts payloads out of a stream.

    limit: octets of the longest payload taken.  It bounds what a peer can make this end
    keep: one frame.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in = b""
        self._bad = False

    def receive(self, data: bytes) -> "list[bytes]":
        """Return the payloads that are complete with these octets, in order.

        An empty payload, which H.323 devices send to keep a connection alive, is b"".
        Raises RemoteProtocolError for a wrong version or a length below 4 or over the limit,
        and for all that comes after it: the frames of a stream cannot be found again.
        """
        self._in += data
        payloads = []
        at = 0
        while len(self._in) - at >= HEADER:
            size = self._in[at + 2] << 8 | self._in[at + 3]
            # The reserved octet is the sender's to set to zero, not ours to judge.
            if self._bad or self._in[at] != VERSION or size < HEADER or size - HEADER > self._limit:
                self._bad = True
                self._in = b""
                raise RemoteProtocolError("not a TPKT frame of at most %d octets" % self._limit)
            if len(self._in) - at < size:
                break
            payloads.append(self._in[at + HEADER : at + size])
            at += size
        self._in = self._in[at:]
        return payloads
