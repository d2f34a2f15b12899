"""How a shape is learned: the decoder's way through one message, written down as functions (shapes.py).

The walk goes through a message as `ras.aper` does, notes which bits said what is where, and writes Python
that slices the values out of any message in which those bits are the same.
"""

from collections.abc import Callable
from typing import Any

from ras import aper, profile
from ras.errors import RemoteProtocolError
from ras.keys import MAX_EXT, Suite
from ras.message import GRQ, RRQ, Message, table_of
from ras.oids import PROFILE
from ras.per import Reader

Values = dict[str, Any]
Icv = tuple[int, int] | None
# The profile's elements, the values that are numbers, texts and flags, and EXT ("" where there is none).
Parts = tuple[dict[int, bytes], Values, str]
# Of a log-in: EXT, g, CVm, Re, Rg (b"" in a GRQ), requestSeqNum, the life that it asks for, 0 for none, and
# an RRQ's productId and versionId, b"" for none.
LogIn = tuple[str, bytes, bytes, bytes, bytes, int, int, bytes, bytes]
# Which bits make the shape, and what they are; the suite; functions of a message's octets: its Parts, its
# value, its LogIn (None where it is no log-in).  They give None for what is not covered.
Learned = tuple[
    int,
    int,
    Suite | None,
    Callable[[bytes], Parts | None],
    Callable[[bytes], Values | None],
    Callable[[bytes], LogIn | None] | None,
]


def learn(message: Message) -> Learned | None:
    """Return what is to be known of the shape of a genuine message; None for what has none."""
    tracker = _Tracker(bytes(message.octets))
    tracker.bits(1 + 5)  # RasMessage: no message of the extension, and which of the root
    walk = _Walk(tracker)
    tree = walk.value(table_of(message.kind))
    try:
        suite, found = profile.suite_of(message), profile.elements(message)
        ext = walk.extension(tree, message)
        parts = walk.function(walk.parts(tree, message, ext))
        is_log_in = message.kind == GRQ or (message.kind == RRQ and not message.value.get("keepAlive"))
        # What is not signed or names no extension is the reference's.
        log_in = walk.function(walk.log_in(tree, message, ext)) if suite and ext and is_log_in else None
    except (RemoteProtocolError, KeyError):
        return None  # none of the profile's: seldom, and nothing to be fast for
    values = walk.function(str(tree))
    # The walk goes the decoder's way a second time; if they part, the decoder is right.
    if values(tracker.data) != message.value or tracker.icv != message.icv:
        return None
    given = parts(tracker.data)
    if given is None or given[0] != found:
        return None
    mask = int.from_bytes(tracker.structure, "big")
    wanted = int.from_bytes(tracker.data, "big") & mask
    return mask, wanted, suite, parts, values, log_in


class _Dict(dict[str, Any]):
    """Expressions by name; as text the expression of the dict of them."""

    def __str__(self) -> str:
        return "{" + ", ".join(f"{name!r}: {value}" for name, value in self.items()) + "}"


class _List(list[Any]):
    """Expressions; as text the expression of the list of them."""

    def __str__(self) -> str:
        return "[" + ", ".join(map(str, self)) + "]"


class _Pair(tuple[Any, ...]):
    """A name and the expression of its value; as text the expression of the two."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"({self[0]!r}, {self[1]})"


class _Tracker(Reader):
    """A reader that notes in `structure` which bits were read; `free` takes octets out again."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.structure = bytearray(len(data))

    def bit(self) -> int:
        return self.bits(1)

    def bits(self, n: int) -> int:
        for at in range(self.position, min(self.position + n, self.end)):
            self.structure[at >> 3] |= 0x80 >> (at & 7)
        return int(super().bits(n))

    def octets(self, n: int) -> bytes:
        found = bytes(super().octets(n))
        end = self.position >> 3
        self.structure[end - n : end] = b"\xff" * n
        return found

    def free(self, n: int) -> tuple[int, int]:
        """Say that the last n octets read are a value; return (begin, end) of them."""
        end = self.position >> 3
        self.structure[end - n : end] = bytes(n)
        return end - n, end


class _Walk:
    """Goes through a message as `aper.decode` does, and writes down Python that builds its value.

    In that text are names of our own tables and numbers; never anything out of a message.
    """

    def __init__(self, reader: _Tracker) -> None:
        self._reader = reader
        self._lines: list[str] = []
        self._constants: dict[str, Any] = {"_TEXT": _NIBBLES}

    def parts(self, tree: _Dict, message: Message, ext: str) -> str:
        """Return the expression of the Parts of a message with the value `tree`.

        ext: that of its extension.  Raises KeyError where what says which element is which is no part of
        the shape.
        """
        found = self._elements(tree, message)
        elements = ", ".join(f"{number}: {found[number]}" for number in profile.elements(message))
        flat = _Dict({name: value for name, value in tree.items() if isinstance(value, str)})
        return f"({{{elements}}}, {flat}, {ext or repr('')})"

    def log_in(self, tree: _Dict, message: Message, ext: str) -> str:
        """Return the expression of the LogIn; as `parts`."""
        found = self._elements(tree, message)
        wanted = [found[number] for number in (profile.G, profile.CVM_ID, profile.RE)]
        wanted.append(found[profile.RG] if message.kind == RRQ else repr(b""))
        vendor = tree.get("endpointVendor", {})
        names = (vendor.get(name, repr(b"")) for name in ("productId", "versionId"))
        numbers = (tree["requestSeqNum"], tree.get("timeToLive", "0"))
        return f"({', '.join((ext, *wanted, *numbers, *names))})"

    def extension(self, tree: _Dict, message: Message) -> str:
        """Return the expression of EXT, nothing for none; what is no extension is not covered."""
        for kind, value in tree.get("endpointAlias" if message.kind == GRQ else "terminalAlias", ()):
            if kind == "dialledDigits":
                # Digits of a dial that no extension has, and too many of them, are the reference's.
                self._lines.append(f"if not ({value}.isdigit() and len({value}) <= {MAX_EXT}): return None")
                return str(value)
        return ""

    def _elements(self, tree: _Dict, message: Message) -> dict[int, str]:
        tokens = [one["tokenOID"] for one in message.value["tokens"]]
        found = {}
        for entry in tree["tokens"][tokens.index(PROFILE)].get("profileInfo", ()):
            number = self._constants[entry["elementID"]]
            # Whichever has another form than an element's makes no elements, and so no shape.
            if "element" in entry and entry["element"][0] == "octets":
                found[number] = entry["element"][1]
        return found

    def function(self, expression: str) -> Callable[[bytes], Any]:
        """Return the function of a message's octets whose result is `expression`."""
        body = "\n".join(f"    {line}" for line in (*self._lines, f"return {expression}"))
        space = dict(self._constants)
        exec(f"def values(d):\n{body}\n", space)  # noqa: S102 - see above what the text consists of
        found: Callable[[bytes], Any] = space["values"]
        return found

    def value(self, kind: tuple[Any, ...]) -> Any:  # noqa: PLR0911 - one for each type of value
        """Return the expression of the value of type `kind` that the reader is at: a text, or those above."""
        k, reader = kind[0], self._reader
        if k == aper.LATER:
            return self.value(aper.find(kind))
        if k == aper.SEQUENCE:
            return self._sequence(kind)
        if k == aper.CHOICE:
            return self._choice(kind)
        if k == aper.SEQUENCE_OF:
            n = self._size(kind[2], kind[3])
            return _List([self.value(kind[1]) for _ in range(n)])
        if k == aper.OCTETS and not (kind[1] == kind[2] and kind[1] <= 2):
            n = self._size(kind[1], kind[2])
            reader.octets(n)
            return self._slice(n)
        if k == aper.ICV:
            n = len(aper.decode(reader, kind))  # type: ignore[arg-type]
            return self._slice(n)
        if k == aper.INTEGER and kind[1] is not None and kind[2] - kind[1] > 0xFF:
            return self._number(kind[1], kind[2])
        if k == aper.CHARS and not (kind[1] == kind[2] and kind[1] * kind[3] < 16):
            text = self._text(kind)
            if text is not None:
                return text
        # The rest is part of the shape: object identifiers, flags, numbers of elements.
        return self._constant(aper.decode(reader, kind))

    def _constant(self, value: object) -> str:
        name = f"c{len(self._constants)}"
        self._constants[name] = value
        return name

    def _slice(self, n: int) -> str:
        begin, end = self._reader.free(n)
        return f"d[{begin}:{end}]"

    def _size(self, low: int, high: int | None) -> int:
        return int(aper._decode_size(self._reader, low, high))

    def _variable(self, expression: str, covered: str) -> str:
        name = f"v{len(self._lines)}"
        self._lines.append(f"{name} = {expression}")
        self._lines.append(f"if not ({covered.format(name)}): return None")
        return name

    def _number(self, low: int, high: int) -> str:
        reader = self._reader
        span = high - low
        # From 64K on, bits before the octets say how many there are; those stay part of the shape.
        most = (span.bit_length() + 7) >> 3
        counting = 0 if span <= 0xFFFF else (most - 1).bit_length()
        first = (reader.position + counting + 7) >> 3
        reader.constrained(low, high)
        n = (reader.position >> 3) - first
        begin, end = reader.free(n)
        expression = f"int.from_bytes(d[{begin}:{end}], 'big') + {low}"
        # No line for what fits whatever the octets are.
        if (1 << 8 * n) - 1 + low <= high:
            return expression
        return self._variable(expression, f"{{}} <= {high}")

    def _text(self, kind: tuple[Any, ...]) -> str | None:
        _, low, high, width, alphabet = kind
        reader = self._reader
        if width == 16 and alphabet is None:
            n = self._size(low, high)
            reader.align()
            reader.octets(2 * n)
            begin, end = reader.free(2 * n)
            # Halves of surrogate pairs are the reference's to replace.
            self._lines.append(f"try: t{begin} = d[{begin}:{end}].decode('utf-16-be')")
            self._lines.append("except UnicodeDecodeError: return None")
            return self._variable(f"t{begin}", f"len({{}}) == {n}")
        if width == 4 and alphabet == _DIGITS:
            n = self._size(low, high)
            reader.align()
            reader.octets(n // 2)
            begin, end = reader.free(n // 2)
            if n % 2:
                # The rest of the last octet is of what follows, so it is noted half.
                at = reader.position
                reader.bits(4)
                reader.structure[at >> 3] &= 0x0F
                end += 1
            digits = f"[:{n}]" if n % 2 else ""
            return self._variable(f"d[{begin}:{end}].hex(){digits}.translate(_TEXT)", "'?' not in {}")
        return None

    def _sequence(self, kind: tuple[Any, ...]) -> _Dict:
        _, fields, additions = kind
        reader = self._reader
        extended = reader.bit() if additions is not None else 0
        optional = sum(fields[2::3])
        present = reader.bits(optional)
        parts = _Dict()
        for name, inner, may in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
            if may:
                optional -= 1
                if not present >> optional & 1:
                    continue
            parts[name] = self.value(inner)
        if extended:
            count = reader.small() + 1
            bitmap = reader.bits(count)
            for i in range(count):
                if bitmap >> (count - 1 - i) & 1:
                    n = reader.length()
                    found = additions[2 * i + 1] if 2 * i < len(additions) else None
                    expression = self._open(n, found)
                    if expression is not None:
                        parts[additions[2 * i]] = expression
        return parts

    def _choice(self, kind: tuple[Any, ...]) -> Any:
        _, alternatives, additions = kind
        reader = self._reader
        if additions is not None and reader.bit():
            number = reader.small()
            n = reader.length()
            inner = additions[2 * number + 1] if 2 * number < len(additions) else None
            expression = self._open(n, inner)
            if expression is None:
                return self._constant((aper.UNKNOWN, len(alternatives) // 2 + number))
            return _Pair((additions[2 * number], expression))
        number = 2 * reader.constrained(0, len(alternatives) // 2 - 1)
        return _Pair((alternatives[number], self.value(alternatives[number + 1])))

    def _open(self, n: int, kind: tuple[Any, ...] | None) -> Any:
        """An open type of n octets; None where it is passed over."""
        reader = self._reader
        if kind is None:
            reader.octets(n)
            reader.free(n)
            return None
        stop, end = reader.position + 8 * n, reader.end
        if stop > end:
            raise RemoteProtocolError("PER: truncated")
        reader.end = stop
        expression = self.value(kind)
        reader.end, reader.position = end, stop
        return expression


_DIGITS = "#*,0123456789"
# A hex digit of the coded text -> the character; those beyond the alphabet are not covered.
_NIBBLES = str.maketrans("0123456789abcdef", _DIGITS + "???")
