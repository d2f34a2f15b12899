"""What hardly any RAS message has in it (ITU-T H.225.0 annex H, H.235.0 annex A), as tables for `aper.py`.

What vendors, gateways and multipoint units put into a GRQ or RRQ, other networks than IP, and
tokens of other procedures.  A phone sends none of it, and loads it only where a gatekeeper does.
"""

from ras.aper import BITS, CHOICE, MAY, MUST, OCTETS, SEQUENCE, SEQUENCE_OF
from ras.h225 import IP4, NULL_TYPE, PORT
from ras.h235 import BOOLEAN_TYPE, H221_NON_STANDARD, INTEGER_TYPE, OCTETS_TYPE, OID_TYPE

_DH = (BITS, 0, 2048)

# fmt: off
NON_STANDARD = (
    SEQUENCE,
    (
        "nonStandardIdentifier",
        (CHOICE, ("object", OID_TYPE, "h221NonStandard", H221_NON_STANDARD), ()), MUST,
        "data", OCTETS_TYPE, MUST,
    ),
    None,
)

IP_SOURCE_ROUTE = (
    SEQUENCE,
    (
        "ip", IP4, MUST,
        "port", PORT, MUST,
        "route", (SEQUENCE_OF, IP4, 0, None), MUST,
        "routing", (CHOICE, ("strict", NULL_TYPE, "loose", NULL_TYPE), ()), MUST,
    ),
    (),
)

IPX = (
    SEQUENCE,
    ("node", (OCTETS, 6, 6), MUST, "netnum", IP4, MUST, "port", (OCTETS, 2, 2), MUST),
    None,
)

# H.225.0's and H.235's NonStandardParameter have the same encoding in every message
# seen; H.235's own has an OBJECT IDENTIFIER only.
NON_STANDARD_H235 = (
    SEQUENCE,
    ("nonStandardIdentifier", OID_TYPE, MUST, "data", OCTETS_TYPE, MUST),
    None,
)

DH_SET = (
    SEQUENCE,
    ("halfkey", _DH, MUST, "modSize", _DH, MUST, "generator", _DH, MUST),
    (),
)

PARAMS = (
    SEQUENCE,
    ("ranInt", INTEGER_TYPE, MAY, "iv8", (OCTETS, 8, 8), MAY),
    (
        None, None,  # iv16
        None, None,  # iv
        None, None,  # clearSalt
    ),
)

CERTIFICATE = (
    SEQUENCE,
    ("type", OID_TYPE, MUST, "certificate", OCTETS_TYPE, MUST),
    (),
)

# All the capabilities of a gateway are alike in the root.
_CAPS = (
    SEQUENCE,
    ("nonStandardData", NON_STANDARD, MAY),
    (
        None, None,  # dataRatesSupported
        None, None,  # supportedPrefixes
    ),
)
_SUPPORTED_PROTOCOL = (
    CHOICE,
    (
        "nonStandardData", NON_STANDARD,
        "h310", _CAPS,
        "h320", _CAPS,
        "h321", _CAPS,
        "h322", _CAPS,
        "h323", _CAPS,
        "h324", _CAPS,
        "voice", _CAPS,
        "t120-only", _CAPS,
    ),
    (
        None, None,  # nonStandardProtocol
        None, None,  # t38FaxAnnexbOnly
        None, None,  # sip
    ),
)

GATEWAY = (
    SEQUENCE,
    (
        "protocol", (SEQUENCE_OF, _SUPPORTED_PROTOCOL, 0, None), MAY,
        "nonStandardData", NON_STANDARD, MAY,
    ),
    (),
)

MCU = (
    SEQUENCE,
    ("nonStandardData", NON_STANDARD, MAY),
    (
        None, None,  # protocol
    ),
)

SET = (BITS, 32, 32)  # of endpoint types

Q_SERIES = (
    SEQUENCE,
    (
        "q932Full", BOOLEAN_TYPE, MUST,
        "q951Full", BOOLEAN_TYPE, MUST,
        "q952Full", BOOLEAN_TYPE, MUST,
        "q953Full", BOOLEAN_TYPE, MUST,
        "q955Full", BOOLEAN_TYPE, MUST,
        "q956Full", BOOLEAN_TYPE, MUST,
        "q957Full", BOOLEAN_TYPE, MUST,
        "q954Info",
        (
            SEQUENCE,
            ("conferenceCalling", BOOLEAN_TYPE, MUST, "threePartyService", BOOLEAN_TYPE, MUST),
            (),
        ), MUST,
    ),
    (),
)
# fmt: on
