"""What of a gatekeeper outlives its process: as octets, and put back into a new registrar.

Without I/O.  A time in octets is the core's own plus `shift`, ms: whoever keeps them gives a shift
that lets time go on where the process before left it (docs/gatekeeper-state.md).

    octet           version, 2; in 1 there is no software
    octet           arc of the suite (keys.Suite.arc)
    octet + octets  identifier, EXT, g, SID, CVm, Ka, Ks, Rg, host, software, each
    2 octets        port
    8 octets each   heard, sent, expires, since
"""

from ras.compat import const
from ras.held import Held, octets_of, software
from ras.keys import CVM, NONCE, SUITES

_VERSION = const(2)
_TEXTS = const(10)
_NUMBERS = const(2 + 4 * 8)
_OCTETS = [bytes((i,)) for i in range(256)]


def watch(registrar) -> None:
    """Let a registrar note, from now on, what `exchanges` and `failures` tell."""
    registrar.news = []
    for table in registrar.attempts.tables().values():
        table.changed = set()


def exchanges(registrar, now: int) -> list:
    """Return and forget the requests that were verified: [(kind, Re, key, answer)].

    key: what the codec remembers the request by.  Re is None where a counter of the registration takes its
    place; answer is None where there is none to give again.
    """
    found = [(kind, re, key, registrar._answers.get(key, now) or None) for kind, re, key in registrar.news]
    registrar.news.clear()
    return found


def nonces(registrar) -> list:
    """Return all (kind, Re) that are not to come again, oldest Re first."""
    return registrar._nonces.pairs()


def answered(registrar) -> list:
    """Return the answers that may be asked for again, oldest first, as `put_back` takes them."""
    return [(key, answer, when) for when, key, answer in registrar._answers.timed()]


def counted(registrar) -> bool:
    """Tell whether `failures` has anything to tell."""
    return any(table.changed for table in registrar.attempts.tables().values())


def counters(registrar) -> int:
    """Return how many counters there are."""
    return sum([len(table) for table in registrar.attempts.tables().values()])


def failures(registrar) -> dict:
    """Return and forget what has changed of the counters: (table, key) -> (failures, last, until)."""
    found = {}
    for name, table in registrar.attempts.tables().items():
        for key in table.changed:
            entry = table.entry(key)
            if entry is not None:
                found[name, key] = entry
        table.changed.clear()
    return found


def all_failures(registrar) -> dict:
    """Return all counters there are, as `failures` does."""
    found = {}
    for name, table in registrar.attempts.tables().items():
        for key, entry in table.entries().items():
            found[name, key] = entry
    return found


def put_back(registrar, held: "list[Held]", nonces: list, answered: list, failed: list) -> None:
    """Put back what was kept, into a registrar that has heard nothing yet.

    nonces: (kind, Re), oldest first; answered: (key, answer, when), oldest first, when in the
    core's time; failed: ((table, key), (failures, last, until)).
    """
    for one in held:
        registrar._registrations.put_back(one)
        registrar.remember(one, 0)
    for kind, re in nonces:
        registrar._nonces.add(kind, re)
    for key, answer, when in answered:
        registrar._answers.put(key, answer, when)
    tables = registrar.attempts.tables()
    for (name, key), entry in failed:
        if name in tables:
            tables[name].put_back(key, entry)


def pack(held: Held, shift: int) -> bytes:
    """Return a registration as octets.  They hold its keys."""
    identifier, sid, g, rg, ka, ks = held.parts()
    identifier, ext = identifier.hex().encode(), held.ext.encode()
    host, port = held.source
    host = host.encode()
    words = held.software.encode()
    octet, cvm = _OCTETS, held.cvm
    return b"".join(
        (
            octet[_VERSION],
            octet[held.suite.arc],
            octet[len(identifier)],
            identifier,
            octet[len(ext)],
            ext,
            octet[len(g)],
            g,
            octet[len(sid)],
            sid,
            octet[len(cvm)],
            cvm,
            octet[len(ka)],
            ka,
            octet[len(ks)],
            ks,
            octet[len(rg)],
            rg,
            octet[len(host)],
            host,
            octet[len(words)],
            words,
            # All numbers at once: each call costs as much as the shifts of all of them.
            (
                port << 256
                | held.heard << 192
                | held.sent << 128
                | held.expires + shift << 64
                | held.since + shift
            ).to_bytes(_NUMBERS, "big"),
        )
    )


def unpack(octets: bytes, shift: int) -> Held:
    """Return the registration of these octets; raises ValueError for anything else."""
    suite = None
    for one in SUITES.values():
        if len(octets) > 1 and 1 <= octets[0] <= _VERSION and octets[1] == one.arc:
            suite = one
    if suite is None:
        raise ValueError("a registration of no known version")
    parts = []
    at = 2
    for _ in range(_TEXTS - (octets[0] == 1)):
        if at >= len(octets):
            raise ValueError("a registration is cut off")
        end = at + 1 + octets[at]
        parts.append(octets[at + 1 : end])
        at = end
    if len(octets) != at + _NUMBERS:
        raise ValueError("a registration is cut off, or something follows it")
    identifier, ext, g, sid, cvm, ka, ks, rg = parts[:8]
    sizes = [len(one) for one in (g, sid, rg, cvm, ka, ks)]
    if sizes != [NONCE, NONCE, NONCE, CVM, suite.key, suite.key] or not octets_of(identifier.decode()):
        raise ValueError("a registration with a part of another length")
    port = int.from_bytes(octets[at : at + 2], "big")
    numbers = [int.from_bytes(octets[i : i + 8], "big") for i in range(at + 2, len(octets), 8)]
    source = (parts[8].decode(), port)
    held = Held(ext.decode(), suite, source, sid, g, rg, ka, ks, cvm, octets_of(identifier.decode()))
    held.software = software(parts[9] if len(parts) == _TEXTS else b"", b"")
    held.heard, held.sent = numbers[:2]
    held.expires = numbers[2] - shift
    held.since = numbers[3] - shift
    return held
