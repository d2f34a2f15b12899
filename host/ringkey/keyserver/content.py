"""What can be sent, whole or in part: octets in memory, a file, either of them sealed for one device."""

import hashlib
from typing import Protocol

from ras import sealedfile
from ras.errors import LocalProtocolError
from ras.keys import Suite, file_key
from ras.sealedfile import CHUNK, HEADER, Sealer

# Octets read at a time while a file is hashed.
_PIECE = 1 << 18


class ContentError(Exception):
    """It is there and cannot be sent; the text is for the log."""


class Changed(ContentError):
    """It changed while it was being sent."""


class Content(Protocol):
    """size: octets; etag: the same only for the same octets (strong, RFC 9110 section 8.8.1), without
    quotes; modified: seconds from 1970, or None.
    """

    size: int
    etag: str
    modified: float | None

    def read(self, offset: int, count: int) -> bytes:
        """Return octets that are there; may block.  Raises ContentError, OSError."""

    def close(self) -> None:
        """Let go of what is behind it; once."""


class Octets:
    """A Content in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.modified: float | None = None
        self.etag = hashlib.sha256(data).hexdigest()[:32]

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` octets from `offset` on."""
        return self._data[offset : offset + count]

    def close(self) -> None:
        """Nothing is behind it."""


class Sealed:
    """A Content sealed under Kf of `name` for the device with `kg` (protocol.md section 8).

    content: becomes this one's to close; digest: of it, by the suite's hash.  Any range is sealed
    from the chunks that it touches alone.  Raises ContentError where it is too large.
    """

    def __init__(self, content: Content, digest: bytes, suite: Suite, kg: bytes, name: str) -> None:
        try:
            self._sealer = Sealer(suite, file_key(suite, kg, name), digest, content.size)
        except LocalProtocolError as e:
            raise ContentError(f"{name}: {e}") from None
        self._content = content
        self.size = sealedfile.sealed_length(content.size)
        # The header has the nonce, which is a function of key and content, and so is all the rest.
        self.etag = self._sealer.header[-16:].hex()
        self.modified = content.modified

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` octets from `offset` on; raises as the content does."""
        end = offset + count
        first = max(0, offset - HEADER) // sealedfile.SEALED_CHUNK
        out = bytearray(self._sealer.header if offset < HEADER else b"")
        start = 0 if offset < HEADER else sealedfile.chunk_place(first)
        index = first
        while start + len(out) < end:
            at = index * CHUNK
            out += self._sealer.chunk(index, self._content.read(at, min(CHUNK, self._content.size - at)))
            index += 1
        return bytes(out[offset - start : end - start])

    def close(self) -> None:
        """Close the content."""
        self._content.close()


def digest(content: Content, suite: Suite) -> bytes:
    """Return the digest of a whole content by the suite's hash; reads all of it, and blocks."""
    found = hashlib.new(suite.name)
    for offset in range(0, content.size, _PIECE):
        found.update(content.read(offset, min(_PIECE, content.size - offset)))
    return found.digest()
