"""Aligned PER (ITU-T X.691): values to octets and back, by tables of types.

A type is a tuple whose first item is its kind (see `h225.py` for many of them):

    (NULL,) (BOOLEAN,) (OID,)
    (INTEGER, low, high)        low and high None: unconstrained
    (BITS, low, high)           sizes in bits; high None: unconstrained
    (OCTETS, low, high)         sizes in octets; high None: unconstrained
    (CHARS, low, high, bits, alphabet)   bits a character in PER; alphabet None: all
    (SEQUENCE, fields, additions)        additions None: not extensible
    (SEQUENCE_OF, type, low, high)
    (CHOICE, alternatives, additions)
    (ICV,)                      the BIT STRING of an integrity check value
    (LATER, module, name)       a type that is seldom there: its module is loaded when it is

Fields, alternatives and additions are flat tuples, since a tuple for each would cost a
phone more heap than all the rest of the table (docs/memory.md): name, type, MUST or MAY
(OPTIONAL) for each field; name, type for each alternative and addition.  An addition of
None, None is one that is passed over: its octets are skipped and its value is left out.

Values: SEQUENCE a dict, CHOICE a tuple (name, value), SEQUENCE OF a list, BIT STRING a
tuple (number, bits), OCTET STRING and OBJECT IDENTIFIER (its contents octets) bytes,
strings str, NULL 0, ICV bytes.  An alternative that came after this version was
written decodes to (UNKNOWN, its number).

Nesting is as deep as the tables are, never as deep as the input is.
"""

from ras.compat import const
from ras.errors import LocalProtocolError, RemoteProtocolError
from ras.per import Reader, Writer

NULL = const(0)
BOOLEAN = const(1)
OID = const(2)
INTEGER = const(3)
BITS = const(4)
OCTETS = const(5)
CHARS = const(6)
SEQUENCE = const(7)
SEQUENCE_OF = const(8)
CHOICE = const(9)
ICV = const(10)
LATER = const(11)

MUST = const(0)
MAY = const(1)

UNKNOWN = "?"

# Entries of a SEQUENCE OF.  A RAS message lists a handful of aliases, addresses or
# tokens; without a limit, 4 KB of zero bits would unfold to thousands of objects.
MAX_ENTRIES = const(64)
# Extension additions of one SEQUENCE: RRQ of H.225.0 version 7 has 30.
MAX_ADDITIONS = const(64)


def decode(reader: Reader, kind: tuple) -> object:
    """Return the value of type `kind` that `reader` is at; raises RemoteProtocolError."""
    k = kind[0]
    if k == SEQUENCE:
        return _decode_sequence(reader, kind)
    if k == CHOICE:
        return _decode_choice(reader, kind)
    if k == OCTETS:
        low, high = kind[1], kind[2]
        n = _decode_size(reader, low, high)
        if low == high and n <= 2:
            return reader.bits(8 * n).to_bytes(n, "big")
        return reader.octets(n)
    if k == OID:
        n = reader.length()
        if n == 0:
            raise RemoteProtocolError("PER: empty OBJECT IDENTIFIER")
        return reader.octets(n)
    if k == BOOLEAN:
        return reader.bit() == 1
    if k == CHARS:
        return _decode_chars(reader, kind)
    if k == INTEGER:
        if kind[1] is None:
            n = reader.length()
            if n == 0:
                raise RemoteProtocolError("PER: empty INTEGER")
            value = int.from_bytes(reader.octets(n), "big")
            return value - (1 << (8 * n)) if value >> (8 * n - 1) else value
        return reader.constrained(kind[1], kind[2])
    if k == SEQUENCE_OF:
        n = _decode_size(reader, kind[2], kind[3])
        if n > MAX_ENTRIES:
            raise RemoteProtocolError("PER: list of over %d entries" % MAX_ENTRIES)
        return [decode(reader, kind[1]) for _ in range(n)]
    if k == BITS:
        low, high = kind[1], kind[2]
        n = _decode_size(reader, low, high)
        if not (low == high and n <= 16) and n:
            reader.align()
        return (reader.bits(n), n)
    if k == ICV:
        n = reader.length()
        if n & 7:
            raise RemoteProtocolError("PER: ICV is not whole octets")
        value = reader.octets(n >> 3)
        reader.icv = ((reader.position >> 3) - len(value), len(value))
        return value
    if k == LATER:
        return decode(reader, find(kind))
    return 0  # NULL


def find(kind: tuple) -> tuple:
    """Return the type that a LATER stands for."""
    return getattr(__import__(kind[1], None, None, (kind[2],)), kind[2])


def _decode_size(reader: Reader, low: int, high: "int | None") -> int:
    if high is None:
        n = reader.length()
        if n < low:
            raise RemoteProtocolError("PER: too short")
        return n
    return reader.constrained(low, high)


def _decode_chars(reader: Reader, kind: tuple) -> str:
    _, low, high, width, alphabet = kind
    n = _decode_size(reader, low, high)
    if not (n * width < 16 and low == high):
        reader.align()
    if width == 8:
        try:
            text = reader.octets(n).decode()
        except (UnicodeError, ValueError):
            raise RemoteProtocolError("PER: character out of range")
        if len(text) != n:  # it had octets of 0x80 and above, which IA5String has not
            raise RemoteProtocolError("PER: character out of range")
        return text
    out = []
    for _ in range(n):
        c = reader.bits(width)
        if alphabet is None:
            if 0xD800 <= c < 0xE000:  # half of a surrogate pair is no character
                c = 0xFFFD
            out.append(chr(c))
        elif c < len(alphabet):
            out.append(alphabet[c])
        else:
            raise RemoteProtocolError("PER: character out of range")
    return "".join(out)


def _decode_sequence(reader: Reader, kind: tuple) -> dict:
    _, fields, additions = kind
    extended = reader.bit() if additions is not None else 0
    optional = 0
    for i in range(2, len(fields), 3):
        optional += fields[i]
    present = reader.bits(optional)
    out = {}
    for i in range(0, len(fields), 3):
        if fields[i + 2]:
            optional -= 1
            if not (present >> optional) & 1:
                continue
        out[fields[i]] = decode(reader, fields[i + 1])
    if extended:
        count = reader.small() + 1
        if count > MAX_ADDITIONS:
            raise RemoteProtocolError("PER: over %d extensions" % MAX_ADDITIONS)
        bitmap = reader.bits(count)
        for i in range(count):
            if not (bitmap >> (count - 1 - i)) & 1:
                continue
            n = reader.length()
            inner = additions[2 * i + 1] if 2 * i < len(additions) else None
            if inner is None:
                reader.octets(n)
            else:
                out[additions[2 * i]] = _decode_open(reader, n, inner)
    return out


def _decode_choice(reader: Reader, kind: tuple) -> tuple:
    _, alternatives, additions = kind
    if additions is not None and reader.bit():
        number = reader.small()
        n = reader.length()
        inner = additions[2 * number + 1] if 2 * number < len(additions) else None
        if inner is not None:
            return (additions[2 * number], _decode_open(reader, n, inner))
        reader.octets(n)
        return (UNKNOWN, len(alternatives) // 2 + number)
    number = 2 * reader.constrained(0, len(alternatives) // 2 - 1)
    return (alternatives[number], decode(reader, alternatives[number + 1]))


def _decode_open(reader: Reader, n: int, kind: tuple) -> object:
    """Decode an open type of n octets; what a newer version put behind the value is skipped."""
    stop = reader.position + 8 * n
    if stop > reader.end:
        raise RemoteProtocolError("PER: truncated")
    end = reader.end
    reader.end = stop
    value = decode(reader, kind)
    reader.end = end
    reader.position = stop
    return value


def encode(writer: Writer, kind: tuple, value: object) -> None:
    """Append `value` as type `kind`; raises LocalProtocolError where it does not fit the type."""
    k = kind[0]
    if k == SEQUENCE:
        _encode_sequence(writer, kind, value)
    elif k == CHOICE:
        _encode_choice(writer, kind, value)
    elif k == OCTETS:
        low, high = kind[1], kind[2]
        _encode_size(writer, len(value), low, high)
        if low == high and len(value) <= 2:
            writer.bits(int.from_bytes(value, "big"), 8 * len(value))
        else:
            writer.octets(value)
    elif k == OID:
        writer.length(len(value))
        writer.octets(value)
    elif k == BOOLEAN:
        writer.bits(1 if value else 0, 1)
    elif k == CHARS:
        _encode_chars(writer, kind, value)
    elif k == INTEGER:
        if kind[1] is None:
            n = 1
            while not -(1 << (8 * n - 1)) <= value < 1 << (8 * n - 1):
                n += 1
            writer.length(n)
            writer.octets((value & ((1 << (8 * n)) - 1)).to_bytes(n, "big"))
        else:
            writer.constrained(value, kind[1], kind[2])
    elif k == SEQUENCE_OF:
        if len(value) > MAX_ENTRIES:
            raise LocalProtocolError("PER: list of over %d entries" % MAX_ENTRIES)
        _encode_size(writer, len(value), kind[2], kind[3])
        for item in value:
            encode(writer, kind[1], item)
    elif k == BITS:
        low, high = kind[1], kind[2]
        number, n = value
        _encode_size(writer, n, low, high)
        if not (low == high and n <= 16) and n:
            writer.free = 0
        writer.bits(number, n)
    elif k == ICV:
        writer.length(8 * len(value))
        writer.octets(value)
        writer.icv = (len(writer.data) - len(value), len(value))
    elif k == LATER:
        encode(writer, find(kind), value)


def _encode_size(writer: Writer, n: int, low: int, high: "int | None") -> None:
    if high is None:
        if n < low:
            raise LocalProtocolError("PER: too short")
        writer.length(n)
    else:
        writer.constrained(n, low, high)


def _encode_chars(writer: Writer, kind: tuple, value: str) -> None:
    _, low, high, width, alphabet = kind
    n = len(value)
    _encode_size(writer, n, low, high)
    if not (n * width < 16 and low == high):
        writer.free = 0
    for c in value:
        number = ord(c) if alphabet is None else alphabet.find(c)
        if not 0 <= number < (0x80 if width == 8 else 1 << width):
            raise LocalProtocolError("PER: character out of range")
        writer.bits(number, width)


def _encode_sequence(writer: Writer, kind: tuple, value: dict) -> None:
    _, fields, additions = kind
    bitmap = 0
    if additions is not None:
        for i in range(0, len(additions), 2):
            bitmap = bitmap << 1 | (additions[i] in value)
        writer.bits(1 if bitmap else 0, 1)
    for i in range(0, len(fields), 3):
        if fields[i + 2]:
            writer.bits(1 if fields[i] in value else 0, 1)
    for i in range(0, len(fields), 3):
        if fields[i] in value:
            encode(writer, fields[i + 1], value[fields[i]])
        elif not fields[i + 2]:
            raise LocalProtocolError("PER: %s is missing" % fields[i])
    if bitmap:
        writer.small(len(additions) // 2 - 1)
        writer.bits(bitmap, len(additions) // 2)
        for i in range(0, len(additions), 2):
            if additions[i] in value:
                _encode_open(writer, additions[i + 1], value[additions[i]])


def _encode_choice(writer: Writer, kind: tuple, value: tuple) -> None:
    _, alternatives, additions = kind
    name, inner = value
    for i in range(0, len(alternatives), 2):
        if alternatives[i] == name:
            if additions is not None:
                writer.bits(0, 1)
            writer.constrained(i // 2, 0, len(alternatives) // 2 - 1)
            encode(writer, alternatives[i + 1], inner)
            return
    for i in range(0, len(additions or ()), 2):
        if additions[i] == name:
            writer.bits(1, 1)
            writer.small(i // 2)
            _encode_open(writer, additions[i + 1], inner)
            return
    raise LocalProtocolError("PER: no alternative %s" % name)


def _encode_open(writer: Writer, kind: tuple, value: object) -> None:
    writer.free = 0
    start = len(writer.data)
    encode(writer, kind, value)
    writer.wrap(start)
