"""A record of the journal as octets: what a batch tells of registrations and of verified requests.  No I/O.

The records in their order are the state: of each registration the last that any of them says counts.

    octet             version, 1
    octet             1 where the nonces are all there are, else 0
    8 octets each     ticks, monotonic clock, wall clock: the moment, ms
    octet + octets    the machine's start
    4 octets          how many registrations follow
      octet + octets    EXT
      2 octets + octets the registration (ras.kept); none: it has ended
    to the end
      octet             the kind of request
      octet + octets    Re
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from ras.message import GRQ, RRQ

from ringkey.gatekeeper.state.ticks import Moment

Nonces = list[tuple[str, bytes]]
_VERSION: Final = 1
_KINDS: Final = (GRQ, RRQ)
_HEAD: Final = struct.Struct(">BBqqqB")
_COUNT: Final = struct.Struct(">I")
_LENGTH: Final = struct.Struct(">H")


@dataclass(slots=True)
class Record:
    """What one says.  registrations: octets by EXT, None for one that has ended; nonces: (kind, Re), oldest
    first; base: they are all there are.
    """

    moment: Moment
    registrations: dict[str, bytes | None] = field(default_factory=dict, repr=False)
    nonces: Nonces = field(default_factory=list, repr=False)
    base: bool = False


def pack(
    moment: Moment,
    registrations: Mapping[str, bytes | None],
    nonces: Sequence[tuple[str, bytes]],
    *,
    base: bool = False,
) -> bytes:
    """Return a record as octets.  They hold keys."""
    boot = moment.boot.encode()
    parts = [_HEAD.pack(_VERSION, base, moment.ticks, moment.mono, moment.wall, len(boot)), boot]
    parts.append(_COUNT.pack(len(registrations)))
    for ext, octets in registrations.items():
        name = ext.encode()
        body = octets or b""
        parts += (bytes((len(name),)), name, _LENGTH.pack(len(body)), body)
    parts += [_head(kind, len(re)) + re for kind, re in nonces]
    return b"".join(parts)


def unpack(octets: bytes) -> Record:
    """Return the record of these octets; raises ValueError."""
    try:
        version, base, ticks, mono, wall, length = _HEAD.unpack_from(octets)
        if version != _VERSION:
            raise ValueError("a record of no known version")
        at = _HEAD.size + length
        found = Record(Moment(ticks, mono, wall, octets[_HEAD.size : at].decode()), base=bool(base))
        (count,) = _COUNT.unpack_from(octets, at)
        at += _COUNT.size
        for _ in range(count):
            end = at + 1 + octets[at]
            (length,) = _LENGTH.unpack_from(octets, end)
            body = end + _LENGTH.size
            found.registrations[octets[at + 1 : end].decode()] = octets[body : body + length] or None
            at = body + length
        while at < len(octets):
            kind, end = _KINDS[octets[at]], at + 2 + octets[at + 1]
            found.nonces.append((kind, octets[at + 2 : end]))
            at = end
    except (struct.error, IndexError):
        raise ValueError("a record is cut off") from None
    if at != len(octets):
        raise ValueError("a record is cut off")
    return found


@lru_cache(8)
def _head(kind: str, length: int) -> bytes:
    return bytes((_KINDS.index(kind), length))
