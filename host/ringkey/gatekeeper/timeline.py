"""A phone's time line in few octets: what has become of it lately, the youngest first.

A list of objects takes 450 octets for a phone that has registered once, this takes 64: for 10,000 phones
that is a quarter of what the gatekeeper has of them.

    6 octets        when, ms since 1970
    octet           what: its place in WHATS
    octet           ms until the answer to the second request, of BOTH and AGAIN; else 0
    octet + octets  detail
    octet + octets  more

One entry after the other.  A log-in in order is one of them, and stands for the four that people read.
"""

from collections.abc import Iterator
from typing import Final

from ras.keys import SUITES

from ringkey.gatekeeper.events import GREETED, LOGGED_IN, REPLACED

# A log-in in order, GRQ to RCF: of a phone that was not registered, and of one that was, at the same address.
BOTH, AGAIN = "log-in", "log-in again"
WHATS = (
    "request",
    "compared",
    "confirmed",
    "refused",
    "registered",
    "ended",
    "dropped",
    "channel-open",
    "channel-closed",
    GREETED,
    LOGGED_IN,
    BOTH,
    AGAIN,
)
# Entries that are shown of one phone: three log-ins with everything that belongs to them.
MAX_ENTRIES = 16
# Octets of a line below which nobody looks for entries that are not shown any more: eight log-ins.
UNTIDY = 256
# Octets of a text; those there are, are the gatekeeper's own, and shorter.
_LONGEST: Final = 255

Entry = tuple[float, str, str, str]
"""(seconds since 1970, what, and up to two things more that there are to say, "" for none)."""

_TIME: Final = 6
_HEAD: Final = _TIME + 2
_OCTETS: Final = tuple(bytes((n,)) for n in range(256))
_CODES: Final = {what: _OCTETS[n] for n, what in enumerate(WHATS)}
# How many that are read an entry of each kind stands for, at the least.
_SHOWN: Final = tuple({GREETED: 3, BOTH: 4, AGAIN: 5}.get(what, 1) for what in WHATS)
_ARCS: Final = {name: str(suite.arc) for name, suite in SUITES.items()}
_NAMES: Final = {arc: name for name, arc in _ARCS.items()}


def together(began: float, where: str, ended: float, here: str, there: str) -> str | None:
    """Return BOTH or AGAIN where a GREETED and the LOGGED_IN after it are one entry, else None.

    began, ended: when they were; where: a GREETED's place; here, there: what a LOGGED_IN says.
    """
    if where != here or (there and there != here) or not 0 <= _ms(ended) - _ms(began) <= _LONGEST:
        return None
    return AGAIN if there else BOTH


def add(  # noqa: PLR0917 - what an entry has
    line: bytes, at: float, what: str, detail: str, more: str, ended: float = 0.0
) -> bytes:
    """Return a line with one entry more; at: seconds since 1970; what: one of WHATS.

    ended: of BOTH and AGAIN, when the second request had its answer.
    """
    when = _ms(at)
    between = 0
    a, b = detail.encode()[:_LONGEST], more.encode()[:_LONGEST]
    if what in (GREETED, BOTH, AGAIN):
        b = _ARCS[more].encode()
    if ended:
        between = _ms(ended) - when
    parts = (
        when.to_bytes(_TIME, "big"),
        _CODES[what],
        _OCTETS[between],
        _OCTETS[len(a)],
        a,
        _OCTETS[len(b)],
        b,
        line,
    )
    found = b"".join(parts)
    return found if len(found) < UNTIDY else _tidied(found)


def _ms(at: float) -> int:
    return int(at * 1000 + 0.5)


def entries(line: bytes) -> list[Entry]:
    """Return what people read, oldest first, MAX_ENTRIES at the most."""
    found: list[Entry] = []
    for one in _read(line):
        found.extend(reversed(_apart(*one)))
        if len(found) >= MAX_ENTRIES:
            break
    del found[MAX_ENTRIES:]
    found.reverse()
    return found


def _read(line: bytes) -> Iterator[tuple[float, float, str, str, str]]:
    """Yield each entry of a line, the youngest first: when it began and ended, what, and the two texts."""
    at = 0
    while at < len(line):
        when = int.from_bytes(line[at : at + _TIME], "big")
        what, between = WHATS[line[at + _TIME]], line[at + _TIME + 1]
        at += _HEAD
        texts = []
        for _ in range(2):
            end = at + 1 + line[at]
            texts.append(line[at + 1 : end].decode(errors="replace"))
            at = end
        yield when / 1000, (when + between) / 1000, what, texts[0], texts[1]


def _apart(began: float, at: float, what: str, detail: str, more: str) -> list[Entry]:
    """Return the entries that one of a line stands for, oldest first."""
    found: list[Entry] = []
    if what in (GREETED, BOTH, AGAIN):
        found += [
            (began, "request", detail, ""),
            (began, "compared", _NAMES.get(more, more), ""),
            (began, "confirmed", "", ""),
        ]
    if what in (LOGGED_IN, AGAIN) and (more or what == AGAIN):
        found.append((at, "ended", REPLACED, ""))
    if what in (BOTH, AGAIN):
        found.append((at, "registered", detail, ""))
    elif what == LOGGED_IN:
        found.append((at, "registered", detail, more))
    elif what != GREETED:
        found.append((at, what, detail, more))
    return found


def _tidied(line: bytes) -> bytes:
    """Return a line without the oldest entries that are not shown any more."""
    at = shown = 0
    while at < len(line) and shown < MAX_ENTRIES:
        shown += _SHOWN[line[at + _TIME]]
        at += _HEAD
        at += 1 + line[at]
        at += 1 + line[at]
    return line[:at]
