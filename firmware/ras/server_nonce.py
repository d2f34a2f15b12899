"""Rg: a keyed function of the exchange that it is for, so nothing is kept between GCF and RRQ.

protocol.md section 2.  Only the gatekeeper that made one checks it, so which function it is, is its own
affair: BLAKE2s with a key (RFC 7693 section 2.9) where there is one, a third of an HMAC's time.
"""

from ras.keys import NONCE
from ras.mac import hmac_digest

try:
    from hashlib import blake2s as _blake2s
except ImportError:
    _blake2s = None  # type: ignore[assignment,misc]


def server_nonce(key: bytes, source: "tuple[str, int]", ext: str, g: bytes, re: bytes, span: int) -> bytes:
    """Return the Rg of 16 octets; key: 32 octets that nobody else knows, span: the time it is made in."""
    text = "%d %s %d %s " % (span, source[0], source[1], ext)
    octets = text.encode() + g + re
    if _blake2s is not None:
        return _blake2s(octets, digest_size=NONCE, key=key).digest()
    return hmac_digest("sha256", key, octets)[:NONCE]
