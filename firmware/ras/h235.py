"""Types of H.235.0 that RAS messages carry (ITU-T H.235.0, annex A), as tables for `aper.py`."""

from ras.aper import BITS, BOOLEAN, CHARS, CHOICE, INTEGER, MAY, MUST, OCTETS, OID, SEQUENCE, SEQUENCE_OF

IDENTIFIER_TYPE = (CHARS, 1, 128, 16, None)
OCTETS_TYPE = (OCTETS, 0, None)
OID_TYPE = (OID,)
BOOLEAN_TYPE = (BOOLEAN,)

_OCTET = (INTEGER, 0, 255)
_INTEGER = (INTEGER, None, None)
_DH = (BITS, 0, 2048)

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

# H.225.0's and H.235's NonStandardParameter have the same encoding in every message
# seen; H.235's own has an OBJECT IDENTIFIER only.
_NON_STANDARD = (
    SEQUENCE,
    ("nonStandardIdentifier", OID_TYPE, MUST, "data", OCTETS_TYPE, MUST),
    None,
)

_DH_SET = (
    SEQUENCE,
    ("halfkey", _DH, MUST, "modSize", _DH, MUST, "generator", _DH, MUST),
    (),
)

_PARAMS = (
    SEQUENCE,
    ("ranInt", _INTEGER, MAY, "iv8", (OCTETS, 8, 8), MAY),
    (
        None, None,  # iv16
        None, None,  # iv
        None, None,  # clearSalt
    ),
)

_ELEMENT = (
    CHOICE,
    (
        "octets", OCTETS_TYPE,
        "integer", _INTEGER,
        "bits", (BITS, 0, None),
        "name", (CHARS, 0, None, 16, None),
        "flag", BOOLEAN_TYPE,
    ),
    (),
)

_PROFILE_ELEMENT = (
    SEQUENCE,
    ("elementID", _OCTET, MUST, "paramS", _PARAMS, MAY, "element", _ELEMENT, MAY),
    (),
)

CLEAR_TOKEN = (
    SEQUENCE,
    (
        "tokenOID", OID_TYPE, MUST,
        "timeStamp", (INTEGER, 1, 4294967295), MAY,
        "password", IDENTIFIER_TYPE, MAY,
        "dhkey", _DH_SET, MAY,
        "challenge", (OCTETS, 8, 128), MAY,
        "random", _INTEGER, MAY,
        "certificate", (SEQUENCE, ("type", OID_TYPE, MUST, "certificate", OCTETS_TYPE, MUST), ()), MAY,
        "generalID", IDENTIFIER_TYPE, MAY,
        "nonStandard", _NON_STANDARD, MAY,
    ),
    (
        None, None,  # eckasdhkey
        "sendersID", IDENTIFIER_TYPE,
        None, None,  # h235Key
        "profileInfo", (SEQUENCE_OF, _PROFILE_ELEMENT, 0, None),
    ),
)
# fmt: on
