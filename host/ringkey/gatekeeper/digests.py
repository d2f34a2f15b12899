"""What a request is remembered by, once it has an answer: a digest of it and of where it came from.

The request itself would take ten times that, in memory and in the state.
"""

from hashlib import blake2b

from ringkey.gatekeeper.addresses import Address

# A request with the digest of another one's is not to be found: 2^128 tries, where 2^64 may find two of the
# sender's own, of which the second then gets the answer to the first.
_OCTETS = 16


def of_request(source: Address, octets: bytes) -> bytes:
    """Return the digest.  It is in files: one that is made in another way wants another form of state."""
    # A host has no space, so nothing that comes from elsewhere reads the same.
    return blake2b(b"%b %d %b" % (source[0].encode(), source[1], octets), digest_size=_OCTETS).digest()
