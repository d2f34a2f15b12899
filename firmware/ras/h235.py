"""Types of H.235.0 that RAS messages carry (ITU-T H.235.0, annex A), as tables for `aper.py`."""

from ras.aper import (
    BITS,
    BOOLEAN,
    CHARS,
    CHOICE,
    INTEGER,
    LATER,
    MAY,
    MUST,
    OCTETS,
    OID,
    SEQUENCE,
    SEQUENCE_OF,
)

IDENTIFIER_TYPE = (CHARS, 1, 128, 16, None)
OCTETS_TYPE = (OCTETS, 0, None)
OID_TYPE = (OID,)
BOOLEAN_TYPE = (BOOLEAN,)

_OCTET = (INTEGER, 0, 255)
INTEGER_TYPE = (INTEGER, None, None)
_RARE = "ras.h225_rare"

# fmt: off
H221_NON_STANDARD = (
    SEQUENCE,
    (
        "t35CountryCode", _OCTET, MUST,
        "t35Extension", _OCTET, MUST,
        "manufacturerCode", (INTEGER, 0, 65535), MUST,
    ),
    (),
)

_ELEMENT = (
    CHOICE,
    (
        "octets", OCTETS_TYPE,
        "integer", INTEGER_TYPE,
        "bits", (BITS, 0, None),
        "name", (CHARS, 0, None, 16, None),
        "flag", BOOLEAN_TYPE,
    ),
    (),
)

_PROFILE_ELEMENT = (
    SEQUENCE,
    ("elementID", _OCTET, MUST, "paramS", (LATER, _RARE, "PARAMS"), MAY, "element", _ELEMENT, MAY),
    (),
)

CLEAR_TOKEN = (
    SEQUENCE,
    (
        "tokenOID", OID_TYPE, MUST,
        "timeStamp", (INTEGER, 1, 4294967295), MAY,
        "password", IDENTIFIER_TYPE, MAY,
        "dhkey", (LATER, _RARE, "DH_SET"), MAY,
        "challenge", (OCTETS, 8, 128), MAY,
        "random", INTEGER_TYPE, MAY,
        "certificate", (LATER, _RARE, "CERTIFICATE"), MAY,
        "generalID", IDENTIFIER_TYPE, MAY,
        "nonStandard", (LATER, _RARE, "NON_STANDARD_H235"), MAY,
    ),
    (
        None, None,  # eckasdhkey
        "sendersID", IDENTIFIER_TYPE,
        None, None,  # h235Key
        "profileInfo", (SEQUENCE_OF, _PROFILE_ELEMENT, 0, None),
    ),
)
# fmt: on
