"""The registrar's codec on a host: requests by their shape, answers from templates.

An answer's template is made of two that the core has encoded, which differ in every bit of what
changes from one phone to the next and in nothing else; so no offset is written down here.  One that
does not give, octet for octet, what the core gives is not used.
"""

from collections.abc import Callable
from hmac import compare_digest
from typing import Any

from ras import answers, build, codec, profile
from ras.keys import Suite
from ras.mac import hmac_digest
from ras.message import GCF, RCF, UCF, Message, encode_message

from ringkey.gatekeeper.addresses import Address
from ringkey.gatekeeper.digests import of_request
from ringkey.gatekeeper.shape_walk import LogIn
from ringkey.gatekeeper.shapes import Shape, Shaped, Shapes

# Templates kept: one for each kind of answer, suite, time to live that phones ask for, and address
# that phones reach this gatekeeper by.  When they are more, all are forgotten, and those in use are made
# again, 1 ms each.
MAX_TEMPLATES = 64
# Values that differ in every bit: requestSeqNum is coded less 1, texts as two octets a character.
_OCTETS = (0x55, 0xAA)
_NUMBERS = (0x5555 + 1, 0xAAAA + 1)
_LETTERS = ("\u5555", "\uaaaa")

Elements = dict[int, bytes]
Make = Callable[[int, str], dict[str, Any]]
_Span = tuple[int, int]


class HostCodec(codec.Codec):
    """As `ras.codec.Codec`, in a fraction of the time."""

    def __init__(self) -> None:
        self.shapes = Shapes()
        self._templates: dict[tuple[Any, ...], Template | None] = {}

    def decode(self, octets: bytes) -> Message:
        """Return the message; raises RemoteProtocolError."""
        return self.shapes.decode(octets)

    remembered = staticmethod(of_request)

    def verified(self, message: Message) -> None:
        """Learn its shape."""
        self.shapes.learn(message)

    # For the direct way (direct.py)

    def log_in(self, octets: bytes) -> tuple[Shape, LogIn] | None:
        """Return what a log-in says, where its shape is known and covers it, else None."""
        return self.shapes.log_in(octets)

    def template(self, what: tuple[Any, ...]) -> "Template | None":
        """Return the template of an answer, where there is one.

        what: the kind and what else `_answer` has in front, name of the suite, characters of the
        identifier, numbers of the elements as they are given.
        """
        return self._templates.get(what)

    # Of a message that was decoded by its shape all that is known already.

    def brief(self, message: Message) -> dict[str, Any]:
        """Return numbers, texts and flags."""
        return message.brief if isinstance(message, Shaped) else message.value

    def is_plain(self, message: Message) -> bool:
        """Tell whether it does not speak the profile; what does not has no shape."""
        return not isinstance(message, Shaped) and super().is_plain(message)

    def elements(self, message: Message) -> Elements:
        """Return the profile's elements; raises RemoteProtocolError."""
        return message.found if isinstance(message, Shaped) else super().elements(message)

    def suite_of(self, message: Message) -> Suite | None:
        """Return the suite; raises RemoteProtocolError."""
        return message.suite if isinstance(message, Shaped) else super().suite_of(message)

    def extension(self, message: Message) -> str:
        """Return EXT; raises RemoteProtocolError."""
        return (isinstance(message, Shaped) and message.ext) or super().extension(message)

    def verify(self, message: Message, suite: Suite, key: bytes) -> bool:
        """Tell whether `key` gives the message's integrity check value."""
        icv = message.icv
        if icv is None or icv[1] != suite.icv:
            return False
        begin, length = icv
        octets, end = message.octets, begin + length
        blank = octets[:begin] + bytes(length) + octets[end:]
        return compare_digest(hmac_digest(suite.name, key, blank)[:length], octets[begin:end])

    def gatekeeper_confirm(  # noqa: PLR0917 - as many as the message has fields
        self,
        number: int,
        ras: Address,
        others: tuple[Address, ...],
        elements: Elements,
        suite: Suite,
        key: bytes,
    ) -> bytes:
        """Return a GCF's octets."""
        return self._answer(
            (GCF, ras, others),
            lambda number, _: answers.gatekeeper_confirm(number, ras, others),
            number,
            "",
            elements,
            suite,
            key,
        )

    def registration_confirm(  # noqa: PLR0917 - as many as the message has fields
        self,
        number: int,
        identifier: str,
        signalling: Address,
        life: int,
        others: tuple[Address, ...],
        elements: Elements,
        suite: Suite,
        key: bytes,
    ) -> bytes:
        """Return an RCF's octets."""
        return self._answer(
            (RCF, signalling, life, others),
            lambda number, identifier: answers.registration_confirm(
                number, identifier, signalling, life, others
            ),
            number,
            identifier,
            elements,
            suite,
            key,
        )

    def unregistration_confirm(self, number: int, elements: Elements, suite: Suite, key: bytes) -> bytes:
        """Return a UCF's octets."""
        return self._answer(
            (UCF,), lambda number, _: build.unregistration_confirm(number), number, "", elements, suite, key
        )

    def _answer(  # noqa: PLR0917 - as many as the message has fields
        self,
        what: tuple[Any, ...],
        make: Make,
        number: int,
        identifier: str,
        elements: Elements,
        suite: Suite,
        key: bytes,
    ) -> bytes:
        shape = (*what, suite.name, len(identifier), tuple(elements))
        templates = self._templates
        if shape in templates:
            template = templates[shape]
            if template is not None:
                return template.fill(number, identifier, elements, key)
            return profile.seal(what[0], make(number, identifier), elements, suite, key)
        answer = profile.seal(what[0], make(number, identifier), elements, suite, key)
        template = _template(what[0], make, len(identifier), elements, suite)
        if template is not None and template.fill(number, identifier, elements, key) != answer:
            template = None
        if len(templates) >= MAX_TEMPLATES:
            templates.clear()
        templates[shape] = template
        return answer


class Template:
    """An answer's octets with the icv zero, and where in it the rest goes.  length: of the octets."""

    def __init__(  # noqa: PLR0917 - as many as the message has fields
        self,
        octets: bytes,
        number: _Span,
        text: _Span | None,
        elements: dict[int, _Span],
        icv: _Span,
        name: str,
    ) -> None:
        places = [*elements.values(), number, *([] if text is None else [text])]
        places.sort()
        # What stays, and between it None for what changes.
        self._pieces: list[bytes | None] = []
        last = 0
        for begin, end in places:
            self._pieces += [octets[last:begin], None]
            last = end
        self._pieces.append(octets[last:])
        at = {span: 2 * i + 1 for i, span in enumerate(places)}
        self._number = at[number]
        self._text = None if text is None else at[text]
        self._names = list(elements)
        self._places = [at[span] for span in elements.values()]
        self._icv = icv
        self._hash = name
        self.length = len(octets)

    def fill(self, number: int, identifier: str, elements: Elements, key: bytes) -> bytes:
        """Return the answer, signed with `key`."""
        return self.fill_in(number, identifier, tuple([elements[name] for name in self._names]), key)

    def fill_in(self, number: int, identifier: str, elements: tuple[bytes, ...], key: bytes) -> bytes:
        """As `fill`, with the elements in the order in which they were given to `_template`."""
        pieces: list[Any] = self._pieces.copy()
        pieces[self._number] = (number - 1).to_bytes(2, "big")
        if self._text is not None:
            pieces[self._text] = identifier.encode("utf-16-be")
        for i, at in enumerate(self._places):
            pieces[at] = elements[i]
        octets = b"".join(pieces)
        begin, end = self._icv
        return octets[:begin] + hmac_digest(self._hash, key, octets)[: end - begin] + octets[end:]


def _template(kind: str, make: Make, text: int, elements: Elements, suite: Suite) -> Template | None:
    """Return the template of a kind of answer; None where something of it has no place of its own."""

    def encoded(number: int, which: int, high: int | None) -> tuple[bytes, _Span]:
        value = make(_NUMBERS[number], _LETTERS[which] * text)
        # An element of the same value in both would have no place that can be seen.
        found = {name: bytes([_OCTETS[name == high]]) * len(octets) for name, octets in elements.items()}
        profile.seal(kind, value, found, suite, bytes(suite.key))
        octets, icv = encode_message(kind, value)
        if icv is None:
            raise ValueError(kind)
        return bytes(octets), (icv[0], icv[0] + icv[1])

    low, icv = encoded(0, 0, None)
    number = _span(low, encoded(1, 0, None)[0], 2)
    letters = _span(low, encoded(0, 1, None)[0], 2 * text) if text else None
    places = {name: _span(low, encoded(0, 0, name)[0], len(octets)) for name, octets in elements.items()}
    if number is None or (text and letters is None) or None in places.values():
        return None
    known = {name: place for name, place in places.items() if place is not None}
    return Template(low, number, letters, known, icv, suite.name)


def _span(one: bytes, other: bytes, length: int) -> _Span | None:
    differ = [i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    if not differ or differ != list(range(differ[0], differ[0] + length)):
        return None
    return differ[0], differ[0] + length
