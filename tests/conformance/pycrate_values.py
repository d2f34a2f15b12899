"""Values for the core's tables, made by hypothesis, and their form in pycrate."""

from hypothesis import strategies as st
from ras import aper, dotted

_WELL_KNOWN = st.sampled_from(
    ["0.0.8.2250.0.6", "2.25.273361958028179150373490966389896869464.1", "1.3.6.1.4.1.9"]
)
_OIDS = st.one_of(
    _WELL_KNOWN,
    st.builds(
        lambda first, second, rest: ".".join(str(arc) for arc in (first, second, *rest)),
        st.integers(0, 2),
        st.integers(0, 39),
        st.lists(st.integers(0, 2**40), max_size=5),
    ),
)
_BMP = st.characters(max_codepoint=0xFFFF, exclude_categories=("Cs",))
_IA5 = st.characters(max_codepoint=0x7E)  # pycrate takes DEL for no character


def _sizes(low, high, most):
    return low, min(low + most, high if high is not None else low + most)


def fields(flat):
    """Return the fields of a SEQUENCE's root: (name, type, MUST or MAY)."""
    return list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))


def pairs(flat):
    """Return alternatives or additions: (name, type)."""
    return list(zip((flat or ())[::2], (flat or ())[1::2], strict=True))


def values(kind):  # noqa: PLR0911, PLR0912  (one branch a kind)
    """Return a strategy for values of the table type `kind`."""
    k = kind[0]
    if k == aper.LATER:
        return values(aper.find(kind))
    if k == aper.NULL:
        return st.just(0)
    if k == aper.BOOLEAN:
        return st.booleans()
    if k == aper.OID:
        return _OIDS.map(dotted.octets)
    if k == aper.INTEGER:
        if kind[1] is None:
            return st.integers(-(2**31), 2**31 - 1)  # tshark reads no wider ones
        return st.integers(kind[1], kind[2])
    if k == aper.BITS:
        low, high = _sizes(kind[1], kind[2], 70)
        return st.integers(low, high).flatmap(lambda n: st.tuples(st.integers(0, 2**n - 1), st.just(n)))
    if k == aper.OCTETS:
        low, high = _sizes(kind[1], kind[2], 200)
        return st.binary(min_size=low, max_size=high)
    if k == aper.CHARS:
        low, high = _sizes(kind[1], kind[2], 140)
        alphabet = st.sampled_from(kind[4]) if kind[4] else _IA5 if kind[3] == 8 else _BMP
        return st.text(alphabet, min_size=low, max_size=high)
    if k == aper.ICV:
        return st.sampled_from((12, 16)).flatmap(lambda n: st.binary(min_size=n, max_size=n))
    if k == aper.SEQUENCE_OF:
        return st.lists(values(kind[1]), min_size=kind[2], max_size=2)
    if k == aper.CHOICE:
        known = [*pairs(kind[1]), *(a for a in pairs(kind[2]) if a[1] is not None)]
        return st.sampled_from(known).flatmap(
            lambda alternative: st.tuples(st.just(alternative[0]), values(alternative[1]))
        )
    required, optional = {}, {}
    for name, inner, may in fields(kind[1]):
        (optional if may else required)[name] = values(inner)
    for addition in pairs(kind[2]):
        if addition[1] is not None:
            optional[addition[0]] = values(addition[1])
    return st.fixed_dictionaries(required, optional=optional)


def to_pycrate(kind, value):
    """Return `value` in the form pycrate gives and takes."""
    if kind[0] == aper.LATER:
        kind = aper.find(kind)
    k = kind[0]
    if k == aper.OID:
        return tuple(int(arc) for arc in dotted.dotted(value).split("."))
    if k == aper.ICV:
        return (int.from_bytes(value, "big"), 8 * len(value))
    if k == aper.SEQUENCE_OF:
        return [to_pycrate(kind[1], item) for item in value]
    if k == aper.CHOICE:
        inner = dict(pairs(kind[1]) + pairs(kind[2]))
        return (value[0], to_pycrate(inner[value[0]], value[1]))
    if k == aper.SEQUENCE:
        inner = dict([(name, inner) for name, inner, _ in fields(kind[1])] + pairs(kind[2]))
        return {name: to_pycrate(inner[name], item) for name, item in value.items()}
    return value
