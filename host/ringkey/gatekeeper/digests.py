"""What a request is remembered by, once it has an answer: a digest of it and of where it came from.

The request itself would take ten times that, in memory and in the state.
"""

from hashlib import blake2b

from ringkey.gatekeeper.addresses import Address

# A request with the digest of another one's is not to be found: 2^120 tries, where 2^60 may find two of the
# sender's own, of which the second then gets the answer to the first.  One octet more takes 16 of memory.
OCTETS = 15
_MADE = 16  # of which those are the first, as versions before had all of them


def of_request(source: Address, octets: bytes) -> bytes:
    """Return the digest.  It is in files: one that is made in another way wants another form of state."""
    # A host has no space, so nothing that comes from elsewhere reads the same.
    return blake2b(b"%b %d %b" % (source[0].encode(), source[1], octets), digest_size=_MADE).digest()[:OCTETS]
