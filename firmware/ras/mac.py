"""HMAC (RFC 2104) with SHA-1 and SHA-256, which MicroPython does not have."""

import hashlib

_BLOCK = 64  # octets: the block of SHA-1 and of SHA-256 alike (RFC 2104 section 2: B)
_HASHES = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}

try:
    # For each `hmac.digest` OpenSSL 3 looks for its implementation anew, which takes longer than the
    # hashing; an HMAC object of the same OpenSSL comes without, but the wrapper around it in `hmac`
    # costs as much.
    from _hashlib import hmac_new as _new
except ImportError:
    _new = None  # type: ignore[assignment]
try:
    from hmac import digest as _native
except ImportError:
    _native = None  # type: ignore[assignment]


def digest(name: str, *parts: "bytes | bytearray | memoryview") -> bytes:
    """Return the hash `name` ("sha1" or "sha256") of the parts one after the other."""
    h = _HASHES[name]()
    for part in parts:
        h.update(part)
    return h.digest()


def hmac_digest(name: str, key: "bytes | bytearray", *parts: "bytes | bytearray | memoryview") -> bytes:
    """Return HMAC(key, parts joined) in full length: 20 octets for "sha1", 32 for "sha256".

    The parts are not joined first, so that a phone need not copy a message to sign it.
    """
    if _new is not None:
        return _new(key, parts[0] if len(parts) == 1 else b"".join(parts), name).digest()
    if _native is not None:
        return _native(key, parts[0] if len(parts) == 1 else b"".join(parts), name)
    if len(key) > _BLOCK:
        key = digest(name, key)
    pad = bytearray(_BLOCK)
    for i in range(_BLOCK):
        pad[i] = (key[i] if i < len(key) else 0) ^ 0x36
    inner = digest(name, pad, *parts)
    for i in range(_BLOCK):
        pad[i] ^= 0x36 ^ 0x5C
    return digest(name, pad, inner)
