"""Answers read by their layout: the core decodes the first of each, later ones are sliced.

An answer counts only where its ICV is right; a slice at a wrong place would not have that.
"""

import hmac
from dataclasses import dataclass

from ras import profile
from ras.errors import RemoteProtocolError
from ras.message import KINDS, RCF, decode_message, table_of

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the fields of one shape of answer lie; identifier and sid only in an RCF that has them."""

    kind: str
    number: Span
    re: Span
    rg: Span | None
    identifier: Span | None
    icv: Span | None


class Answers:
    """Reads answers; `layouts` are those learned so far, by their first octet and their length."""

    def __init__(self) -> None:
        self.layouts: dict[tuple[int, int], Layout | None] = {}

    def layout(self, octets: bytes) -> Layout | None:
        """Return the layout of an answer; None where it is none that an endpoint waits for."""
        key = (octets[0] if octets else -1, len(octets))
        if key not in self.layouts:
            self.layouts[key] = _learn(octets)
        return self.layouts[key]

    @staticmethod
    def number(octets: bytes, layout: Layout) -> int:
        """Return the requestSeqNum."""
        return int.from_bytes(octets[layout.number[0] : layout.number[1]], "big") + 1

    @staticmethod
    def genuine(octets: bytes, layout: Layout, hash_name: str, ka: bytes) -> bool:
        """Tell whether the ICV is the one that `ka` gives."""
        if layout.icv is None:
            return False
        begin, end = layout.icv
        blank = bytearray(octets)
        blank[begin:end] = bytes(end - begin)
        return hmac.compare_digest(hmac.digest(ka, blank, hash_name)[: end - begin], octets[begin:end])


def _learn(octets: bytes) -> Layout | None:
    try:
        message = decode_message(octets)
        if message.kind not in KINDS:
            return None
        found = profile.elements(message)
    except (RemoteProtocolError, KeyError):
        return None
    # Before the number, which is the first component: 1 + 5 bits of RasMessage's choice, 1 for
    # extensions, and 1 for each component that may be missing; it begins an octet.
    _, fields, _ = table_of(message.kind)
    at = (6 + 1 + sum(fields[2::3]) + 7) // 8
    rg = found.get(profile.RG)
    identifier = message.value.get("endpointIdentifier") if message.kind == RCF else None
    icv = message.icv
    return Layout(
        message.kind,
        (at, at + 2),
        _place(octets, found[profile.RE]),
        None if rg is None else _place(octets, rg),
        None if identifier is None else _place(octets, identifier.encode("utf-16-be")),
        None if icv is None else (icv[0], icv[0] + icv[1]),
    )


def _place(octets: bytes, value: bytes) -> Span:
    at = octets.index(value)
    return at, at + len(value)
