"""From the pre-shared key to the record keys (RFC 5246 sections 5, 6.3, 8.1; RFC 4279; RFC 7627).

Secrets come back as bytearray, so that the caller can wipe them.
"""

from ras.compat import const
from ras.mac import digest, hmac_digest

MASTER = const(48)  # octets of the master secret
VERIFY = const(12)  # octets of verify_data in Finished
MAC_KEY = const(32)  # octets: HMAC-SHA256
ENC_KEY = const(16)  # octets: AES-128


def p_sha256(secret: bytes, seed: bytes, length: int) -> bytearray:
    """Return `length` octets of P_SHA256(secret, seed) (RFC 5246 section 5)."""
    out = bytearray()
    a = seed
    while len(out) < length:
        a = hmac_digest("sha256", secret, a)
        out.extend(hmac_digest("sha256", secret, a, seed))
    return out if len(out) == length else out[:length]


def prf(secret: bytes, label: bytes, seed: bytes, length: int) -> bytearray:
    """Return `length` octets of PRF(secret, label, seed), with SHA-256 (RFC 5246 section 5)."""
    return p_sha256(secret, label + seed, length)


def psk_premaster(key: bytes) -> bytearray:
    """Return the premaster secret of plain PSK (RFC 4279 section 2): as many zeros, then the key."""
    n = len(key)
    size = n.to_bytes(2, "big")
    out = bytearray(size)
    out.extend(bytes(n))
    out.extend(size)
    out.extend(key)
    return out


def master_secret(premaster: bytes, client_random: bytes, server_random: bytes) -> bytearray:
    """Return the 48 octets of RFC 5246 section 8.1, for a server without RFC 7627."""
    return prf(premaster, b"master secret", client_random + server_random, MASTER)


def extended_master_secret(premaster: bytes, transcript: bytes) -> bytearray:
    """Return the 48 octets of RFC 7627 section 4.

    transcript: all handshake messages, ClientHello up to ClientKeyExchange.
    """
    return prf(premaster, b"extended master secret", digest("sha256", transcript), MASTER)


def key_block(master: bytes, client_random: bytes, server_random: bytes) -> tuple:
    """Return (client MAC, server MAC, client AES, server AES) keys (RFC 5246 section 6.3)."""
    block = prf(master, b"key expansion", server_random + client_random, 2 * (MAC_KEY + ENC_KEY))
    enc = 2 * MAC_KEY
    keys = block[:MAC_KEY], block[MAC_KEY:enc], block[enc : enc + ENC_KEY], block[enc + ENC_KEY :]
    for i in range(len(block)):
        block[i] = 0
    return keys


def verify_data(master: bytes, label: bytes, transcript: bytes) -> bytearray:
    """Return the 12 octets of Finished (RFC 5246 section 7.4.9).

    label: b"client finished" or b"server finished"; transcript: all handshake messages before it.
    """
    return prf(master, label, digest("sha256", transcript), VERIFY)
