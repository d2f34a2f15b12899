"""What only gateways, multipoint units and the like put into a GRQ or RRQ (ITU-T H.225.0 annex H).

A phone never loads it: it sends none of it, and takes no request.
"""

from ras.aper import BITS, CHOICE, MAY, MUST, SEQUENCE, SEQUENCE_OF
from ras.h225 import NON_STANDARD
from ras.h235 import BOOLEAN_TYPE

# fmt: off
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
