"""Rg: a keyed function of the exchange that it is for, so nothing is kept between GCF and RRQ.

protocol.md section 2.  Only the gatekeeper that made one checks it, so which function it is, is its own
affair: BLAKE2s with a key (RFC 7693 section 2.9) where there is one, a third of an HMAC's time.
"""

from ras.compat import compare_digest, const
from ras.keys import NONCE
from ras.mac import hmac_digest

try:
    from hashlib import blake2s as _blake2s
except ImportError:
    _blake2s = None  # type: ignore[assignment,misc]


# ms for which an Rg is good, at least; at most twice that.  A phone's three tries of RRQ
# take 14 s and more, and need not all succeed.
RG_SPAN = const(16000)


class ServerNonces:
    """Those of one gatekeeper.  key: 32 octets that nobody else knows."""

    def __init__(self, key: bytes) -> None:
        self.key = key

    def __repr__(self) -> str:
        return "ServerNonces()"

    def make(self, source: "tuple[str, int]", ext: str, g: bytes, re: bytes, now: int) -> bytes:
        """Return the Rg of an exchange."""
        return server_nonce(self.key, source, ext, g, re, now // RG_SPAN)

    def is_ours(self, rg: bytes, source: "tuple[str, int]", ext: str, g: bytes, re: bytes, now: int) -> bool:
        """Tell whether this Rg was made for the exchange, lately."""
        span = now // RG_SPAN
        return compare_digest(rg, server_nonce(self.key, source, ext, g, re, span)) or compare_digest(
            rg, server_nonce(self.key, source, ext, g, re, span - 1)
        )


def server_nonce(key: bytes, source: "tuple[str, int]", ext: str, g: bytes, re: bytes, span: int) -> bytes:
    """Return the Rg of 16 octets; key: 32 octets that nobody else knows, span: the time it is made in."""
    text = "%d %s %d %s " % (span, source[0], source[1], ext)
    octets = text.encode() + g + re
    if _blake2s is not None:
        return _blake2s(octets, digest_size=NONCE, key=key).digest()
    return hmac_digest("sha256", key, octets)[:NONCE]
