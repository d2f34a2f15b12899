"""Which of N workers a message belongs to: a function of what it says, and of nothing else.

By its extension; or by the endpointIdentifier, or the Re of a URQ, which a worker has drawn so that
they say whose they are.
"""

import os
from collections.abc import Callable
from functools import lru_cache

from ras import profile
from ras.errors import RemoteProtocolError
from ras.generator import device_field
from ras.keys import ext_digits
from ras.message import GRQ, RRQ, UCF, URQ, Message

from ringkey.gatekeeper.shapes import Shaped

# What a message is found by: one of these, and a text.
EXT, IDENTIFIER, MARK = "ext", "identifier", "mark"
Key = tuple[str, str]
Random = Callable[[int], bytes]

# Octets that the registrar draws for an identifier, and for the second half of a URQ's Re; it draws
# no other 8 (a test holds it to that).
_MARKED = 8
# Where in Re those begin.
_MARK_AT = 8
# Extensions whose worker is remembered: the default of max_registrations, some 100 octets each.
_MAX_KNOWN = 20_000


def how_many(workers: int) -> int:
    """Return the number of workers that a setting means: 0 is one for each processor."""
    if workers:
        return workers
    # Of those that this process may use, where the system says which.
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


def key_of(message: Message) -> Key | None:
    """Return what a message to a gatekeeper is found by; None where it says nothing of that kind."""
    if isinstance(message, Shaped):
        return _key_of_shaped(message)
    kind, value = message.kind, message.value
    if kind == GRQ or (kind == RRQ and not value.get("keepAlive")):
        return _extension(value.get("endpointAlias" if kind == GRQ else "terminalAlias", ()))
    if kind in (RRQ, URQ):
        identifier = value.get("endpointIdentifier")
        return None if identifier is None else (IDENTIFIER, identifier)
    if kind == UCF:
        try:
            return MARK, profile.elements(message)[profile.RE][_MARK_AT:].hex()
        except RemoteProtocolError:
            return None
    return None


def shard_of(key: Key, shards: int) -> int | None:
    """Return the number of the worker that a key belongs to, from 0; None where it is none of ours."""
    what, text = key
    if what == EXT:
        return of_extension(text, shards)
    try:
        # int() takes signs, blanks and digits of all scripts; what a worker has drawn is plain hex.
        return bytes.fromhex(text[:2])[0] % shards
    except (ValueError, IndexError):
        return None


@lru_cache(_MAX_KNOWN)
def of_extension(ext: str, shards: int) -> int:
    """Return the worker of an extension: what ties a g to it (protocol.md section 2), modulo `shards`."""
    return int.from_bytes(device_field(ext), "big") % shards


def marked(random: Random, shard: int, shards: int) -> Random:
    """Return `random` with a worker's mark in whatever the registrar gives out to be found by again.

    Of those 64 bits up to 5 are then not random; neither of the two is a secret.
    """

    def draw(n: int) -> bytes:
        octets = random(n)
        if n != _MARKED:
            return octets
        first = octets[0] - octets[0] % shards + shard
        return bytes((first if first <= 0xFF else first - shards,)) + octets[1:]

    return draw


def _key_of_shaped(message: Shaped) -> Key | None:
    """Return the same from what a shape knows already."""
    kind = message.kind
    if kind == GRQ or (kind == RRQ and not message.brief.get("keepAlive")):
        return (EXT, message.ext) if message.ext else None
    if kind in (RRQ, URQ):
        identifier = message.brief.get("endpointIdentifier")
        return None if identifier is None else (IDENTIFIER, identifier)
    return (MARK, message.found[profile.RE][_MARK_AT:].hex()) if kind == UCF else None


def _extension(aliases: list[tuple[str, str]]) -> Key | None:
    """Return the extension that `ras.registrar` reads: the first dialledDigits, or none at all."""
    for kind, value in aliases:
        if kind == "dialledDigits":
            try:
                ext_digits(value)
            except ValueError:
                return None
            return EXT, value
    return None
