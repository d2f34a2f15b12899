"""g, the key generator: the identifier of one Kg (the seed, figure 2B; protocol.md section 2).

octets 0-5    the key server's own id
octets 6-9    device field: first 4 octets of SHA-256(EXT), or zero
octets 10-15  counter, big-endian
"""

from ras.compat import const
from ras.keys import NONCE, ext_digits
from ras.mac import digest

SERVER_ID = const(6)  # octets
DEVICE = const(4)  # octets
COUNTER = const(6)  # octets
COUNTER_END = 1 << (8 * COUNTER)  # the counter is below this
COUNTER_START_END = COUNTER_END >> 1  # its random start is below this: the lower half

NO_SERVER = bytes(SERVER_ID)  # server id of a g that a phone chose by itself
NO_DEVICE = bytes(DEVICE)  # device field of a g whose request named no extension


def device_field(ext: "str | None") -> bytes:
    """Return the 4 octets that tie a g to an extension; zeros for None."""
    if ext is None:
        return NO_DEVICE
    return digest("sha256", ext_digits(ext))[:DEVICE]


def pack(server_id: bytes, ext: "str | None", counter: int) -> bytes:
    """Return the 16 octets of g; raises ValueError for a field out of its range."""
    if len(server_id) != SERVER_ID:
        raise ValueError("a key server's id has %d octets" % SERVER_ID)
    if not 0 <= counter < COUNTER_END:
        raise ValueError("the counter of g is used up")
    return server_id + device_field(ext) + counter.to_bytes(COUNTER, "big")


def unpack(g: bytes) -> "tuple[bytes, bytes, int]":
    """Return (server id, device field, counter) of g; raises ValueError unless 16 octets."""
    if len(g) != NONCE:
        raise ValueError("g has %d octets" % NONCE)
    return g[:SERVER_ID], g[SERVER_ID:-COUNTER], int.from_bytes(g[-COUNTER:], "big")


def fits(g: bytes, ext: str) -> bool:
    """Tell whether g may belong to `ext`: its device field is that extension's, or zero."""
    field = unpack(g)[1]
    return field == NO_DEVICE or field == device_field(ext)
