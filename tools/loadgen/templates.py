"""Requests from templates: the core encodes each shape once, after that octets are patched in place.

Where a field lies is found by encoding two messages that differ in nothing else, in every bit
of it; so no offset is written down here, and a change of the encoder is followed by itself.
"""

import hmac
from collections.abc import Callable
from typing import Any

from ras import build, profile
from ras.keys import CVM, NONCE, Suite
from ras.message import GRQ, RRQ, URQ, encode_message

Address = tuple[str, int]
Span = tuple[int, int]

# Two values of each field that differ in all their bits.  Digits are coded as 3 to 12 in four
# bits (H.225.0, AliasAddress), so 5 and 2 are 1000 and 0101: all but one bit, which is no matter.
_LOW, _HIGH = 0x55, 0xAA
_NUMBERS = (0x5555 + 1, 0xAAAA + 1)  # requestSeqNum is coded less 1
_DIGITS = ("2", "5")


class TemplateError(Exception):
    """A field does not lie in one run of octets of its own: the encoder is another than was thought."""


class Template:
    """One shape of a message: its octets, and the (begin, end) of each field that changes.

    `make(fields)` builds its value and elements from a dict of fields.
    """

    def __init__(
        self,
        kind: str,
        suite: Suite,
        make: Callable[[dict[str, Any]], tuple[dict[str, Any], dict[int, bytes]]],
        fields: dict[str, tuple[Any, Any, int]],
    ) -> None:
        low = {name: pair[0] for name, pair in fields.items()}
        self._suite = suite
        self._make = make
        self._kind = kind
        self.octets, self.icv = self._encode(low)
        self.spans: dict[str, Span] = {}
        for name, (_, high, length) in fields.items():
            self.spans[name] = self._span(name, self._encode({**low, name: high})[0], length)

    def _encode(self, fields: dict[str, Any]) -> tuple[bytes, Span]:
        value, elements = self._make(fields)
        # As `profile.seal` does it, which does not tell where the ICV lies.
        profile.seal(self._kind, value, elements, self._suite, bytes(self._suite.key))
        octets, icv = encode_message(self._kind, value)
        if icv is None:
            raise TemplateError(f"{self._kind} has no ICV")
        return bytes(octets), (icv[0], icv[0] + icv[1])

    def _span(self, name: str, other: bytes, length: int) -> Span:
        differ = [i for i, (a, b) in enumerate(zip(self.octets, other, strict=True)) if a != b]
        if not differ or differ != list(range(differ[0], differ[0] + length)):
            raise TemplateError(f"{self._kind}: {name} is not {length} octets in one place")
        return differ[0], differ[0] + length


def _octets(length: int) -> tuple[bytes, bytes, int]:
    return bytes([_LOW]) * length, bytes([_HIGH]) * length, length


def digits(template: bytes, span: Span, ext: str) -> bytes:
    """Return the octets of `span` with the dialled digits `ext`, four bits each; what else is there stays."""
    nibbles = [3 + int(digit) for digit in ext]
    if len(nibbles) % 2:
        nibbles.append(template[span[1] - 1] & 15)
    return bytes(a << 4 | b for a, b in zip(nibbles[::2], nibbles[1::2], strict=True))


class Requests:
    """Signed requests of endpoints with EXTs of one length that hear RAS at one address.

    ras: (host, port); life: s, the timeToLive asked for; identifier: its length in characters.
    All of the messages are `bytearray`s that the caller may change.
    """

    def __init__(self, suite: Suite, ext_length: int, ras: Address, life: int = 300) -> None:
        self.suite = suite
        self._ras = ras
        self._life = life
        self._hash = suite.name
        self._keep: dict[tuple[str, int], Template] = {}
        common: dict[str, tuple[Any, Any, int]] = {
            "number": (*_NUMBERS, 2),
            "ext": (_DIGITS[0] * ext_length, _DIGITS[1] * ext_length, (ext_length + 1) // 2),
            "g": _octets(NONCE),
            "cvm": _octets(CVM),
            "re": _octets(NONCE),
        }
        self._grq = Template(GRQ, suite, self._grq_value, common)
        self._rrq = Template(RRQ, suite, self._rrq_value, {**common, "rg": _octets(NONCE)})

    def grq(self, number: int, ext: str, g: bytes, cvm: bytes, re: bytes, ka: bytes) -> bytearray:  # noqa: PLR0917 - as many as the message has fields
        """Return a GRQ."""
        template = self._grq
        octets = self._common(template, number, ext, g, cvm, re)
        return self._sign(octets, template.icv, ka)

    def rrq(self, number: int, ext: str, g: bytes, cvm: bytes, re: bytes, rg: bytes, ka: bytes) -> bytearray:  # noqa: PLR0917 - as many as the message has fields
        """Return a full RRQ."""
        template = self._rrq
        octets = self._common(template, number, ext, g, cvm, re)
        begin, end = template.spans["rg"]
        octets[begin:end] = rg
        return self._sign(octets, template.icv, ka)

    def keep_alive(self, number: int, identifier: bytes, re: bytes, rg: bytes, ka: bytes) -> bytearray:
        """Return an RRQ with keepAlive; identifier: as RCF has it, two octets a character."""
        return self._of_registration(RRQ, number, identifier, re, rg, ka)

    def urq(self, number: int, identifier: bytes, re: bytes, rg: bytes, ka: bytes) -> bytearray:
        """Return a URQ."""
        return self._of_registration(URQ, number, identifier, re, rg, ka)

    def _common(  # noqa: PLR0917 - as many as the message has fields
        self, template: Template, number: int, ext: str, g: bytes, cvm: bytes, re: bytes
    ) -> bytearray:
        octets = bytearray(template.octets)
        spans = template.spans
        begin, end = spans["number"]
        octets[begin:end] = (number - 1).to_bytes(2, "big")
        begin, end = spans["ext"]
        octets[begin:end] = digits(template.octets, spans["ext"], ext)
        begin, end = spans["g"]
        octets[begin:end] = g
        begin, end = spans["cvm"]
        octets[begin:end] = cvm
        begin, end = spans["re"]
        octets[begin:end] = re
        return octets

    def _sign(self, octets: bytearray, icv: Span, ka: bytes) -> bytearray:
        begin, end = icv  # its bits are zero in the template
        octets[begin:end] = hmac.digest(ka, octets, self._hash)[: end - begin]
        return octets

    def _of_registration(  # noqa: PLR0917 - as many as the message has fields
        self, kind: str, number: int, identifier: bytes, re: bytes, rg: bytes, ka: bytes
    ) -> bytearray:
        template = self._keep.get((kind, len(identifier)))
        if template is None:
            template = self._keep[kind, len(identifier)] = self._keeping(kind, len(identifier))
        octets = bytearray(template.octets)
        spans = template.spans
        begin, end = spans["number"]
        octets[begin:end] = (number - 1).to_bytes(2, "big")
        begin, end = spans["identifier"]
        octets[begin:end] = identifier
        begin, end = spans["re"]
        octets[begin:end] = re
        begin, end = spans["rg"]
        octets[begin:end] = rg
        return self._sign(octets, template.icv, ka)

    def _keeping(self, kind: str, length: int) -> Template:
        return Template(
            kind,
            self.suite,
            self._keep_alive_value if kind == RRQ else self._urq_value,
            {
                "number": (*_NUMBERS, 2),
                # A BMPString: U+5555 and U+AAAA differ in every bit.
                "identifier": ("\u5555" * (length // 2), "\uaaaa" * (length // 2), length),
                "re": _octets(NONCE),
                "rg": _octets(NONCE),
            },
        )

    # Values, as a phone builds them (ras/endpoint.py)

    def _grq_value(self, fields: dict[str, Any]) -> tuple[dict[str, Any], dict[int, bytes]]:
        value = build.gatekeeper_request(fields["number"], fields["ext"], self._ras)
        return value, {profile.G: fields["g"], profile.CVM_ID: fields["cvm"], profile.RE: fields["re"]}

    def _rrq_value(self, fields: dict[str, Any]) -> tuple[dict[str, Any], dict[int, bytes]]:
        value = build.registration_request(fields["number"], fields["ext"], self._ras, self._ras, self._life)
        elements = self._grq_value(fields)[1]
        return value, {**elements, profile.RG: fields["rg"]}

    def _keep_alive_value(self, fields: dict[str, Any]) -> tuple[dict[str, Any], dict[int, bytes]]:
        value = build.keep_alive(fields["number"], fields["identifier"], self._ras, self._ras, self._life)
        return value, {profile.RE: fields["re"], profile.RG: fields["rg"]}

    def _urq_value(self, fields: dict[str, Any]) -> tuple[dict[str, Any], dict[int, bytes]]:
        value = build.unregistration_request(fields["number"], fields["identifier"], self._ras, None)
        return value, {profile.RE: fields["re"], profile.RG: fields["rg"]}
