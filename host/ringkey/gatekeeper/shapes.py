"""Requests decoded by their shape: what the decoder found out once need not be found out again.

All phones of one firmware send messages that differ in nothing but values: the same fields at the
same places.  The first of each shape is decoded bit by bit (ras.aper) and leaves behind which bits
said what is where, and a function that slices the values out of any message in which those bits are
the same.  That takes a thirtieth of the time.

Only a request that has proved its key is learned from, so that strangers can not fill the table.
The reference stays `decode_message`; whatever a shape does not cover goes there, and a test holds
both to the same values for every bit of a message flipped.
"""

from collections.abc import Callable

from ras.keys import Suite
from ras.message import KINDS, Message, decode_message

from ringkey.gatekeeper import shape_walk
from ringkey.gatekeeper.shape_walk import Icv, LogIn, Parts, Values

# Shapes kept: a dozen for each firmware of phone (EXTs of several lengths, keep-alives, log-outs).
# When they are more, all are forgotten, and those in use are learned again, 1 ms each.
MAX_SHAPES = 256
# Of them, how many messages of one length may have: they are tried in turn, 0.3 µs each.
MAX_OF_ONE_LENGTH = 8


class Shaped(Message):
    """A message that was decoded by its shape.

    found: its elements, as `profile.elements` gives them; brief: of its value what is no list, neither
    pair; ext: its extension, "" for none; suite: as `profile.suite_of` gives it.
    """

    __slots__ = ("_values", "brief", "ext", "found", "icv", "kind", "octets", "suite")

    def __init__(self, shape: "Shape", octets: bytes, parts: Parts) -> None:
        self.kind = shape.kind
        self.octets = octets
        self.icv = shape.icv
        self.suite = shape.suite
        self.found, self.brief, self.ext = parts
        self._values = shape.values

    @property
    def value(self) -> Values:  # type: ignore[override]
        """All of the value; made when it is asked for, which a message in order is not."""
        found = self._values(self.octets)
        if found is None:
            raise RuntimeError("a shape that covers less of a message than its parts")
        return found


class Shape:
    """What is known of one shape.

    mask: the bits that make it; wanted: what they are; parts, values, log_in: None for what is not covered;
    log_in itself is None where the message is no log-in.
    """

    __slots__ = ("icv", "kind", "log_in", "mask", "parts", "suite", "values", "wanted")

    def __init__(  # noqa: PLR0917 - as many as there are
        self,
        mask: int,
        wanted: int,
        kind: str,
        icv: Icv,
        suite: Suite | None,
        parts: Callable[[bytes], Parts | None],
        values: Callable[[bytes], Values | None],
        log_in: Callable[[bytes], LogIn | None] | None,
    ) -> None:
        self.mask = mask
        self.wanted = wanted
        self.kind = kind
        self.icv = icv
        self.suite = suite
        self.parts = parts
        self.values = values
        self.log_in = log_in


class Shapes:
    """The shapes that were learned."""

    def __init__(self) -> None:
        self._by_length: dict[int, list[Shape]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def decode(self, octets: bytes) -> Message:
        """Return what `decode_message` returns, and raise what it raises."""
        return self.known(octets) or decode_message(octets)

    def known(self, octets: bytes) -> "Shaped | None":
        """Return the message where its shape is known and covers it, else None."""
        shapes = self._by_length.get(len(octets))
        if shapes is not None:
            number = int.from_bytes(octets, "big")
            for shape in shapes:
                if number & shape.mask == shape.wanted:
                    parts = shape.parts(octets)
                    if parts is None:
                        break
                    return Shaped(shape, octets, parts)
        return None

    def log_in(self, octets: bytes) -> "tuple[Shape, LogIn] | None":
        """Return what is in a log-in where its shape is known and covers it, else None."""
        shapes = self._by_length.get(len(octets))
        if shapes is not None:
            number = int.from_bytes(octets, "big")
            for shape in shapes:
                if number & shape.mask == shape.wanted:
                    found = None if shape.log_in is None else shape.log_in(octets)
                    return None if found is None else (shape, found)
        return None

    def learn(self, message: Message) -> None:
        """Learn from a message that came in and was found genuine."""
        if isinstance(message, Shaped) or message.kind not in KINDS:
            return
        shapes = self._by_length.get(len(message.octets), [])
        if self._count >= MAX_SHAPES:
            self._by_length.clear()
            self._count, shapes = 0, []
        found = shape_walk.learn(message)
        if found is not None:
            mask, wanted, suite, parts, values, log_in = found
            shape = Shape(mask, wanted, message.kind, message.icv, suite, parts, values, log_in)
            if len(shapes) >= MAX_OF_ONE_LENGTH:
                shapes.pop(0)
                self._count -= 1
            shapes.append(shape)
            self._by_length[len(message.octets)] = shapes
            self._count += 1
