"""Types of H.235.0 that RAS messages carry (ITU-T H.235.0, annex A), as tables for `aper.py`."""

from ras.aper import (
    BITS,
    BOOLEAN,
    CHARS,
    CHOICE,
    INTEGER,
    OCTETS,
    OID,
    SEQUENCE,
    SEQUENCE_OF,
)

_IDENTIFIER = (CHARS, 1, 128, 16, None)
_OCTETS = (OCTETS, 0, None)

H221_NON_STANDARD = (
    SEQUENCE,
    (
        ("t35CountryCode", (INTEGER, 0, 255)),
        ("t35Extension", (INTEGER, 0, 255)),
        ("manufacturerCode", (INTEGER, 0, 65535)),
    ),
    (),
)

# H.225.0's and H.235's NonStandardParameter have the same encoding in every message
# seen; H.235's own has an OBJECT IDENTIFIER only.
NON_STANDARD_H235 = (
    SEQUENCE,
    (("nonStandardIdentifier", (OID,)), ("data", _OCTETS)),
    None,
)

_DH_SET = (
    SEQUENCE,
    (
        ("halfkey", (BITS, 0, 2048)),
        ("modSize", (BITS, 0, 2048)),
        ("generator", (BITS, 0, 2048)),
    ),
    (),
)

_PARAMS = (
    SEQUENCE,
    (("ranInt", (INTEGER, None, None), True), ("iv8", (OCTETS, 8, 8), True)),
    (("iv16", None), ("iv", None), ("clearSalt", None)),
)

_ELEMENT = (
    CHOICE,
    (
        ("octets", _OCTETS),
        ("integer", (INTEGER, None, None)),
        ("bits", (BITS, 0, None)),
        ("name", (CHARS, 0, None, 16, None)),
        ("flag", (BOOLEAN,)),
    ),
    (),
)

PROFILE_ELEMENT = (
    SEQUENCE,
    (
        ("elementID", (INTEGER, 0, 255)),
        ("paramS", _PARAMS, True),
        ("element", _ELEMENT, True),
    ),
    (),
)

CLEAR_TOKEN = (
    SEQUENCE,
    (
        ("tokenOID", (OID,)),
        ("timeStamp", (INTEGER, 1, 4294967295), True),
        ("password", _IDENTIFIER, True),
        ("dhkey", _DH_SET, True),
        ("challenge", (OCTETS, 8, 128), True),
        ("random", (INTEGER, None, None), True),
        (
            "certificate",
            (SEQUENCE, (("type", (OID,)), ("certificate", _OCTETS)), ()),
            True,
        ),
        ("generalID", _IDENTIFIER, True),
        ("nonStandard", NON_STANDARD_H235, True),
    ),
    (
        ("eckasdhkey", None),
        ("sendersID", _IDENTIFIER),
        ("h235Key", None),
        ("profileInfo", (SEQUENCE_OF, PROFILE_ELEMENT, 0, None)),
    ),
)
