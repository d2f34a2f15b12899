"""HMAC of a whole message (RFC 2104), as fast as this interpreter has it.

OpenSSL 3 finds its implementation anew for each `hmac.digest`, which takes longer than the hashing; an object
of the interpreter's own HMAC, from the same OpenSSL, comes without that, in half the time.  The wrapper that
the standard library has around it costs as much again, so it is taken from where the library itself takes it.
"""

import hmac
from typing import Any

try:
    import _hashlib

    _new: Any = _hashlib.hmac_new
except (ImportError, AttributeError):  # an interpreter without OpenSSL, or another one than CPython
    _new = None


def hmac_of(key: bytes, octets: bytes, name: str) -> bytes:
    """Return HMAC(key, octets) in full length; name: "sha1" or "sha256"."""
    if _new is None:
        return hmac.digest(key, octets, name)
    found: bytes = _new(key, octets, name).digest()
    return found
