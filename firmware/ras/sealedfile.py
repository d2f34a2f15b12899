"""A file sealed for one device under Kf of its name (protocol.md section 8).

    header: "RKF1" || suite, 1 octet || 3 octets zero || length, 4 octets || nonce, 16 octets
    then for each CHUNK octets of the content: AES-128-CBC of them, tag (16 octets)

Encrypt-then-MAC, a chunk at a time: a phone opens a firmware image with one chunk in memory, an
octet that was changed is noticed within its own chunk, and nothing unauthentic is ever decrypted.
A tag covers the header, hence the length, and the chunk's number: no chunk can be moved, left out
or taken from another file.  The name and g are in Kf.

The nonce is computed from Kf and the content (as in SIV, RFC 5297), so the same content always
seals to the same octets: a phone can resume a sealed file by a range, and no generator that
fails can repeat a nonce over two contents.  What shows is when two versions are the same.
"""

from ras.aes import BLOCK, cbc_decrypt, cbc_encrypt_in_place
from ras.compat import compare_digest, const
from ras.errors import LocalProtocolError, RemoteProtocolError
from ras.keys import Suite
from ras.mac import digest, hmac_digest

MAGIC = b"RKF1"
HEADER = const(28)  # octets
TAG = const(16)  # octets: a forger has one try in 2^128 at each
# Octets of content in one chunk: a phone with 100 KB of heap finds that in one piece, and it is
# a sector of the flash that firmware goes to.
CHUNK = const(4096)
SEALED_CHUNK = const(CHUNK + TAG)  # octets, of every chunk but the last
# Octets.  The largest flash of an ESP32 board; also what a small int of 31 bits can address.
MAX_CONTENT = const(1 << 24)
KF = const(16)  # octets of Kf at least: suite sha1's

_NONCE = const(16)
# Labels of what is derived from Kf; all of one length, none a beginning of another.
_NONCE_LABEL = b"ringkey-seal-non"
_ENC_LABEL = b"ringkey-seal-enc"
_MAC_LABEL = b"ringkey-seal-mac"
_IV_LABEL = b"ringkey-seal-iv "
_BAD = "sealed file: does not verify"  # one text, wherever it fails to


def sealed_length(length: int) -> int:
    """Return how many octets a content of `length` octets has when sealed."""
    whole, rest = divmod(length, CHUNK)
    size = HEADER + whole * SEALED_CHUNK
    return size + (_padded(rest) + TAG if rest else 0)


def chunks_of(length: int) -> int:
    """Return the number of chunks of a content of `length` octets."""
    return (length + CHUNK - 1) // CHUNK


def chunk_place(index: int) -> int:
    """Return where in the sealed file chunk `index`, from 0, begins."""
    return HEADER + index * SEALED_CHUNK


class _Keys:
    """What both sides derive from Kf and the header."""

    def __init__(self, suite: Suite, kf: bytes, header: bytes) -> None:
        nonce = header[HEADER - _NONCE :]
        self._hash = suite.name
        self.header = header
        self.enc = hmac_digest(suite.name, kf, _ENC_LABEL, nonce)[:BLOCK]
        self._mac = hmac_digest(suite.name, kf, _MAC_LABEL, nonce)
        self._iv = hmac_digest(suite.name, kf, _IV_LABEL, nonce)

    def iv(self, index: int) -> bytes:
        # A PRF of the chunk's number: nobody without Kf can tell it beforehand, as CBC wants it.
        return hmac_digest(self._hash, self._iv, index.to_bytes(4, "big"))[:BLOCK]

    def tag(self, index: int, ciphertext: bytes) -> bytes:
        return hmac_digest(self._hash, self._mac, self.header, index.to_bytes(4, "big"), ciphertext)[:TAG]


class Sealer:
    """Seals one content, any chunk of it at any time.

    suite: Suite; kf: `keys.file_key(...)` of the file's name; content: its digest by the suite's
    hash; length: its octets.  header: HEADER octets.  Raises LocalProtocolError for over MAX_CONTENT.
    """

    def __init__(self, suite: Suite, kf: bytes, content: bytes, length: int) -> None:
        if length > MAX_CONTENT:
            raise LocalProtocolError("over %d octets cannot be sealed" % MAX_CONTENT)
        nonce = _nonce(suite, kf, length, content)
        self.header = MAGIC + bytes((suite.arc, 0, 0, 0)) + length.to_bytes(4, "big") + nonce
        self.length = length
        self._keys = _Keys(suite, kf, self.header)

    def __repr__(self) -> str:
        return "Sealer(%d octets)" % self.length

    def chunk(self, index: int, plain: bytes) -> bytearray:
        """Return chunk `index`, sealed; plain: its octets of the content, CHUNK but for the last."""
        size = _padded(len(plain))
        out = bytearray(size + TAG)
        out[: len(plain)] = plain
        view = memoryview(out)
        cbc_encrypt_in_place(self._keys.enc, self._keys.iv(index), view[:size])
        out[size:] = self._keys.tag(index, view[:size])
        return out


class Opener:
    """Opens a sealed file chunk by chunk, in order.

    header: its first HEADER octets.  length: octets of the content; left: octets not opened yet.
    Raises RemoteProtocolError for what is no header of this suite.  The length is proven by the
    first chunk that opens, that of an empty file by its nonce.
    """

    def __init__(self, suite: Suite, kf: bytes, header: bytes) -> None:
        header = bytes(header)
        if len(header) != HEADER or header[:4] != MAGIC:
            raise RemoteProtocolError("sealed file: not one")
        if header[4] != suite.arc or header[5:8] != b"\0\0\0":
            raise RemoteProtocolError("sealed file: of another suite or version")
        length = int.from_bytes(header[8:12], "big")
        if length > MAX_CONTENT:
            raise RemoteProtocolError("sealed file: over %d octets" % MAX_CONTENT)
        if not length and not compare_digest(_nonce(suite, kf, 0, digest(suite.name)), header[-_NONCE:]):
            raise RemoteProtocolError(_BAD)
        self.length = self.left = length
        self._keys = _Keys(suite, kf, header)
        self._index = 0
        self._failed = False

    def __repr__(self) -> str:
        return "Opener(%d of %d octets left)" % (self.left, self.length)

    @property
    def next_size(self) -> int:
        """How many octets the next sealed chunk has; 0 when all are opened."""
        here = min(self.left, CHUNK)
        return _padded(here) + TAG if here else 0

    def skip(self, chunks: int) -> None:
        """Go on after `chunks` chunks that an earlier session has opened and kept."""
        if self._index or chunks < 0 or chunks > chunks_of(self.length):
            raise LocalProtocolError("no such chunk to go on from")
        self._index = chunks
        self.left = max(0, self.length - chunks * CHUNK)

    def chunk(self, sealed: bytes) -> bytes:
        """Return the content of the next chunk, `next_size` octets sealed.

        Raises RemoteProtocolError, once and for all: nothing opens after a chunk that did not.
        """
        size = self.next_size
        if self._failed or not size or len(sealed) != size:
            self._failed = True
            raise RemoteProtocolError(_BAD)
        view = memoryview(sealed)
        end = size - TAG
        if not compare_digest(self._keys.tag(self._index, view[:end]), bytes(view[end:])):
            self._failed = True
            raise RemoteProtocolError(_BAD)
        plain = cbc_decrypt(self._keys.enc, self._keys.iv(self._index), view[:end])
        keep = min(self.left, CHUNK)
        self._index += 1
        self.left -= keep
        return plain if len(plain) == keep else plain[:keep]


def seal(suite: Suite, kf: bytes, content: bytes) -> bytes:
    """Return a whole content sealed; raises LocalProtocolError for over MAX_CONTENT."""
    sealer = Sealer(suite, kf, digest(suite.name, content), len(content))
    out = [sealer.header]
    for index in range(chunks_of(len(content))):
        out.append(sealer.chunk(index, content[index * CHUNK : (index + 1) * CHUNK]))
    return b"".join(out)


def unseal(suite: Suite, kf: bytes, data: bytes) -> bytes:
    """Return the content of a whole sealed file; raises RemoteProtocolError."""
    opener = Opener(suite, kf, data[:HEADER])
    at = HEADER
    out = []
    while opener.left:
        size = opener.next_size
        out.append(opener.chunk(data[at : at + size]))
        at += size
    if at != len(data):
        raise RemoteProtocolError("sealed file: more octets than it says")
    return b"".join(out)


def _padded(length: int) -> int:
    return (length + BLOCK - 1) // BLOCK * BLOCK


def _nonce(suite: Suite, kf: bytes, length: int, content: bytes) -> bytes:
    return hmac_digest(suite.name, kf, _NONCE_LABEL, length.to_bytes(4, "big"), content)[:_NONCE]
