"""The record layer of TLS 1.2 (RFC 5246 section 6) for AES-128-CBC with encrypt-then-MAC (RFC 7366).

Works for either side; tests use it as the server too.  Every refusal is a
RemoteProtocolError with its alert.
"""

from ras.aes import BLOCK, cbc_decrypt, cbc_encrypt_in_place
from ras.compat import compare_digest, const, wipe
from ras.mac import hmac_digest
from tlspsk.errors import (
    BAD_RECORD_MAC,
    DECODE_ERROR,
    PROTOCOL_VERSION,
    RECORD_OVERFLOW,
    UNEXPECTED_MESSAGE,
    LocalProtocolError,
    RemoteProtocolError,
)

CHANGE_CIPHER_SPEC = const(20)
ALERT = const(21)
HANDSHAKE = const(22)
APPLICATION_DATA = const(23)

HEADER = const(5)  # octets: type, version, length
_MAC = const(32)  # octets: HMAC-SHA256, not truncated

# RFC 5246 section 6.2.1.  What a server may send that did not agree to less.
MAX_PLAINTEXT = const(2**14)
# What we ask for instead (RFC 6066 section 4): a phone that has 140 KB of heap can find
# 2 KB in one piece far longer than 16 KB, and signalling messages are shorter still.  The
# limit on what we send, and on what we accept before the server has answered: a PSK
# flight is some hundred octets.
SMALL_PLAINTEXT = const(2**11)
# What protection adds at most: IV, 256 octets of padding (RFC 5246 section 6.2.3.2), MAC.
# Tighter than that section's general 2048, since there is only one suite.
MAX_EXPANSION = BLOCK + 256 + _MAC
# Records under one key.  Still a small int on a 32-bit MicroPython, and with 2 KB a
# record 2**37 AES blocks: far from CBC's birthday bound of 2**64.  A signalling
# channel never gets there.
MAX_RECORDS = const(2**30 - 1)
# Records in a row that carry nothing (empty data, warnings, HelloRequest): a peer that
# sends more only keeps the phone awake.  OpenSSL's limit for empty ones.
MAX_IDLE_RECORDS = const(32)

_VERSION = b"\x03\x03"
_BAD = "record does not verify"  # one text for MAC and padding: no oracle


class _Keys:
    """Keys and sequence number of one direction."""

    def __init__(self, mac: bytearray, enc: bytearray) -> None:
        self.mac = mac
        self.enc = enc
        self.seq = 0

    def tag(self, kind: int, fragment: bytes) -> bytes:
        # RFC 7366 section 3: seq || type || version || length of IV and ciphertext || both
        head = self.seq.to_bytes(8, "big") + bytes((kind,)) + _VERSION + len(fragment).to_bytes(2, "big")
        return hmac_digest("sha256", self.mac, head, fragment)

    def wipe(self) -> None:
        wipe(self.mac)
        wipe(self.enc)


class RecordLayer:
    """Octets to records and back.

    random: callable(n) -> n octets nobody can predict, for the IVs.
    """

    def __init__(self, random) -> None:
        self._random = random
        self._in = b""
        self._read = None
        self._write = None
        self._idle = 0
        self._wiped = False
        self.limit = SMALL_PLAINTEXT  # octets of plaintext accepted in one record

    def protect_read(self, mac: bytearray, enc: bytearray) -> None:
        """Expect every further record under these keys (32 and 16 octets), which become ours to wipe."""
        self._read = _Keys(mac, enc)

    def protect_write(self, mac: bytearray, enc: bytearray) -> None:
        """Send every further record under these keys (32 and 16 octets), which become ours to wipe."""
        self._write = _Keys(mac, enc)

    def wipe(self) -> None:
        """Forget the keys and what has been received; nothing can be read or sent any more."""
        for keys in (self._read, self._write):
            if keys is not None:
                keys.wipe()
        self._in = b""
        self._wiped = True

    def receive(self, data: bytes) -> None:
        """Take octets from the transport, cut anywhere."""
        self._in = self._in + data if self._in else bytes(data)

    def next_record(self):
        """Return the next (type, plaintext), or None until more octets have come.

        Raises RemoteProtocolError for a record that is malformed, too long or not authentic.
        """
        if len(self._in) < HEADER or self._wiped:
            return None
        kind, major, minor = self._in[0], self._in[1], self._in[2]
        if kind < CHANGE_CIPHER_SPEC or kind > APPLICATION_DATA:
            raise RemoteProtocolError(UNEXPECTED_MESSAGE, "record type " + str(kind))
        # A server that cannot do 1.2 says so in a record of its own version.
        if major != 3 or (minor != 3 and (self._read is not None or kind != ALERT)):
            raise RemoteProtocolError(PROTOCOL_VERSION, "record of another protocol version")
        size = self._in[3] << 8 | self._in[4]
        if size > self.limit + (0 if self._read is None else MAX_EXPANSION):
            raise RemoteProtocolError(RECORD_OVERFLOW, "record longer than agreed")
        if len(self._in) < HEADER + size:
            return None
        fragment = self._in[HEADER : HEADER + size]
        self._in = self._in[HEADER + size :]
        if self._read is not None:
            fragment = self._open(kind, fragment)
        if not fragment and kind != APPLICATION_DATA:  # RFC 5246 section 6.2.1
            raise RemoteProtocolError(DECODE_ERROR, "empty record")
        return kind, fragment

    def idle(self) -> None:
        """Count a record that carried nothing; raises RemoteProtocolError for too many in a row."""
        self._idle += 1
        if self._idle > MAX_IDLE_RECORDS:
            raise RemoteProtocolError(UNEXPECTED_MESSAGE, "too many records that carry nothing")

    def busy(self) -> None:
        """Note a record that carried something, which ends the row of idle ones."""
        self._idle = 0

    def encode(self, kind: int, payload: bytes) -> bytes:
        """Return the payload (at most SMALL_PLAINTEXT octets) as one record.

        Raises LocalProtocolError after wipe(), and for data when MAX_RECORDS have been sent: open a
        new connection then.
        """
        if self._wiped:  # never a record under keys of zeros
            raise LocalProtocolError("keys are gone")
        if len(payload) > SMALL_PLAINTEXT:
            raise LocalProtocolError("payload longer than a record")
        if self._write is not None:
            return self._seal(kind, payload)
        return bytes((kind,)) + _VERSION + len(payload).to_bytes(2, "big") + payload

    def _seal(self, kind: int, payload: bytes) -> bytearray:
        keys = self._write
        # An alert still goes out: each answers a record of the peer's, whose number is limited too.
        if keys.seq >= MAX_RECORDS and kind == APPLICATION_DATA:
            raise LocalProtocolError("all records of this connection are used")
        pad = BLOCK - 1 - len(payload) % BLOCK
        size = BLOCK + len(payload) + pad + 1  # IV and ciphertext
        # One buffer for the whole record, encrypted in place: a phone has no room for copies.
        out = bytearray(HEADER + size + _MAC)
        out[0] = kind
        out[1:3] = _VERSION
        out[3:5] = (size + _MAC).to_bytes(2, "big")
        iv = self._random(BLOCK)
        start = HEADER + BLOCK
        out[HEADER:start] = iv
        out[start : start + len(payload)] = payload
        for i in range(start + len(payload), HEADER + size):
            out[i] = pad
        view = memoryview(out)
        cbc_encrypt_in_place(keys.enc, iv, view[start : HEADER + size])
        view[HEADER + size :] = keys.tag(kind, view[HEADER : HEADER + size])
        keys.seq += 1
        return out

    def _open(self, kind: int, fragment: bytes) -> bytes:
        keys = self._read
        if keys.seq >= MAX_RECORDS:
            raise RemoteProtocolError(UNEXPECTED_MESSAGE, "all records of this connection are used")
        # The MAC first (RFC 7366 section 3): nothing unauthentic is ever decrypted.
        end = len(fragment) - _MAC
        if end < 2 * BLOCK or end % BLOCK:  # an IV and a block at least
            raise RemoteProtocolError(BAD_RECORD_MAC, _BAD)
        view = memoryview(fragment)
        if not compare_digest(keys.tag(kind, view[:end]), fragment[end:]):
            raise RemoteProtocolError(BAD_RECORD_MAC, _BAD)
        keys.seq += 1
        plain = cbc_decrypt(keys.enc, fragment[:BLOCK], view[BLOCK:end])
        pad = plain[-1]
        keep = len(plain) - pad - 1
        # Authentic padding that is wrong is the peer's bug and no oracle; it is refused the
        # same way all the same, so that nobody has to prove that again.
        if keep < 0 or plain[keep:] != bytes((pad,)) * (pad + 1):
            raise RemoteProtocolError(BAD_RECORD_MAC, _BAD)
        if keep > self.limit:
            raise RemoteProtocolError(RECORD_OVERFLOW, "record longer than agreed")
        return plain[:keep]
