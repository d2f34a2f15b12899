"""What RAS messages of H.225.0 version 6 share (ITU-T H.225.0 annex H), as tables for `aper.py`.

What PER can not pass over is here in full: every component of an extension root, since
no tag or length tells where it ends.  Extension additions that ringkey does not use are
None, None with their name beside it: their octets are skipped.

The messages are in modules of their own, by when they are needed (`message.py` loads
them): `h225_discovery.py`, `h225_registration.py`, `h225_reject.py`, `h225_end.py`; and
`h225_rare.py` has what hardly any message has in it.
"""

from ras.aper import CHARS, CHOICE, ICV, INTEGER, LATER, MAY, MUST, NULL, OCTETS, SEQUENCE, SEQUENCE_OF
from ras.h235 import BOOLEAN_TYPE, CLEAR_TOKEN, H221_NON_STANDARD, IDENTIFIER_TYPE, OID_TYPE

NULL_TYPE = (NULL,)
IP4 = (OCTETS, 4, 4)
PORT = (INTEGER, 0, 65535)
_NUMBER = (INTEGER, 1, 65535)
TIME_TO_LIVE = (INTEGER, 1, 4294967295)
_TEXT = (CHARS, 1, 512, 8, None)
_RARE = "ras.h225_rare"

# fmt: off
NON_STANDARD = (LATER, _RARE, "NON_STANDARD")

TRANSPORT_ADDRESS = (
    CHOICE,
    (
        "ipAddress", (SEQUENCE, ("ip", IP4, MUST, "port", PORT, MUST), None),
        "ipSourceRoute", (LATER, _RARE, "IP_SOURCE_ROUTE"),
        "ipxAddress", (LATER, _RARE, "IPX"),
        "ip6Address", (SEQUENCE, ("ip", (OCTETS, 16, 16), MUST, "port", PORT, MUST), ()),
        "netBios", (OCTETS, 16, 16),
        "nsap", (OCTETS, 1, 20),
        "nonStandardAddress", NON_STANDARD,
    ),
    (),
)
ADDRESSES = (SEQUENCE_OF, TRANSPORT_ADDRESS, 0, None)

ALIAS_ADDRESS = (
    CHOICE,
    ("dialledDigits", (CHARS, 1, 128, 4, "#*,0123456789"), "h323-ID", (CHARS, 1, 256, 16, None)),
    (
        "url-ID", _TEXT,
        "transportID", TRANSPORT_ADDRESS,
        "email-ID", _TEXT,
        None, None,  # partyNumber
        None, None,  # mobileUIM
        None, None,  # isupNumber
    ),
)
ALIASES = (SEQUENCE_OF, ALIAS_ADDRESS, 0, None)

VENDOR = (
    SEQUENCE,
    (
        "vendor", H221_NON_STANDARD, MUST,
        "productId", (OCTETS, 1, 256), MAY,
        "versionId", (OCTETS, 1, 256), MAY,
    ),
    ("enterpriseNumber", OID_TYPE),
)


# TerminalInfo and GatekeeperInfo are alike in the root.
_INFO = (SEQUENCE, ("nonStandardData", NON_STANDARD, MAY), ())

ENDPOINT_TYPE = (
    SEQUENCE,
    (
        "nonStandardData", NON_STANDARD, MAY,
        "vendor", VENDOR, MAY,
        "gatekeeper", _INFO, MAY,
        "gateway", (LATER, _RARE, "GATEWAY"), MAY,
        "mcu", (LATER, _RARE, "MCU"), MAY,
        "terminal", _INFO, MAY,
        "mc", BOOLEAN_TYPE, MUST,
        "undefinedNode", BOOLEAN_TYPE, MUST,
    ),
    (
        "set", (LATER, _RARE, "SET"),
        None, None,  # supportedTunnelledProtocols
    ),
)

ALTERNATE_GATEKEEPER = (
    SEQUENCE,
    (
        "rasAddress", TRANSPORT_ADDRESS, MUST,
        "gatekeeperIdentifier", IDENTIFIER_TYPE, MAY,
        "needToRegister", BOOLEAN_TYPE, MUST,
        "priority", (INTEGER, 0, 127), MUST,
    ),
    (),
)
ALTERNATES = (SEQUENCE_OF, ALTERNATE_GATEKEEPER, 0, None)

TOKENS = (SEQUENCE_OF, CLEAR_TOKEN, 0, None)
ICV_TYPE = (SEQUENCE, ("algorithmOID", OID_TYPE, MUST, "icv", (ICV,), MUST), None)

# What most messages begin with, and what most have among their additions.
NUMBER = ("requestSeqNum", _NUMBER, MUST)
HEAD = NUMBER + (
    "protocolIdentifier", OID_TYPE, MUST,
    "nonStandardData", NON_STANDARD, MAY,
)
SECURITY = (
    "tokens", TOKENS,
    None, None,  # cryptoTokens
    "integrityCheckValue", ICV_TYPE,
)
# fmt: on
