"""RAS messages of H.225.0 version 6 (ITU-T H.225.0 annex H), as tables for `aper.py`.

What PER can not pass over is here in full: every component of an extension root, since
no tag or length tells where it ends.  Extension additions that ringkey does not use are
None: their octets are skipped.
"""

from ras.aper import (
    BITS,
    BOOLEAN,
    CHARS,
    CHOICE,
    ICV,
    INTEGER,
    NULL,
    OCTETS,
    OID,
    SEQUENCE,
    SEQUENCE_OF,
)
from ras.h235 import CLEAR_TOKEN, H221_NON_STANDARD

_NULL = (NULL,)
_BOOLEAN = (BOOLEAN,)
_OID = (OID,)
_OCTETS = (OCTETS, 0, None)
_IP4 = (OCTETS, 4, 4)
_PORT = (INTEGER, 0, 65535)
_IDENTIFIER = (CHARS, 1, 128, 16, None)
_SEQUENCE_NUMBER = (INTEGER, 1, 65535)
_TIME_TO_LIVE = (INTEGER, 1, 4294967295)

_NON_STANDARD = (
    SEQUENCE,
    (
        (
            "nonStandardIdentifier",
            (CHOICE, (("object", _OID), ("h221NonStandard", H221_NON_STANDARD)), ()),
        ),
        ("data", _OCTETS),
    ),
    None,
)

TRANSPORT_ADDRESS = (
    CHOICE,
    (
        ("ipAddress", (SEQUENCE, (("ip", _IP4), ("port", _PORT)), None)),
        (
            "ipSourceRoute",
            (
                SEQUENCE,
                (
                    ("ip", _IP4),
                    ("port", _PORT),
                    ("route", (SEQUENCE_OF, _IP4, 0, None)),
                    ("routing", (CHOICE, (("strict", _NULL), ("loose", _NULL)), ())),
                ),
                (),
            ),
        ),
        (
            "ipxAddress",
            (
                SEQUENCE,
                (("node", (OCTETS, 6, 6)), ("netnum", _IP4), ("port", (OCTETS, 2, 2))),
                None,
            ),
        ),
        ("ip6Address", (SEQUENCE, (("ip", (OCTETS, 16, 16)), ("port", _PORT)), ())),
        ("netBios", (OCTETS, 16, 16)),
        ("nsap", (OCTETS, 1, 20)),
        ("nonStandardAddress", _NON_STANDARD),
    ),
    (),
)
_ADDRESSES = (SEQUENCE_OF, TRANSPORT_ADDRESS, 0, None)

ALIAS_ADDRESS = (
    CHOICE,
    (
        ("dialledDigits", (CHARS, 1, 128, 4, "#*,0123456789")),
        ("h323-ID", (CHARS, 1, 256, 16, None)),
    ),
    (
        ("url-ID", (CHARS, 1, 512, 8, None)),
        ("transportID", TRANSPORT_ADDRESS),
        ("email-ID", (CHARS, 1, 512, 8, None)),
        ("partyNumber", None),
        ("mobileUIM", None),
        ("isupNumber", None),
    ),
)
_ALIASES = (SEQUENCE_OF, ALIAS_ADDRESS, 0, None)

VENDOR = (
    SEQUENCE,
    (
        ("vendor", H221_NON_STANDARD),
        ("productId", (OCTETS, 1, 256), True),
        ("versionId", (OCTETS, 1, 256), True),
    ),
    (("enterpriseNumber", _OID),),
)

# TerminalInfo, GatekeeperInfo and the capabilities of a gateway: all alike in the root.
_INFO = (SEQUENCE, (("nonStandardData", _NON_STANDARD, True),), ())
_CAPS = (
    SEQUENCE,
    (("nonStandardData", _NON_STANDARD, True),),
    (("dataRatesSupported", None), ("supportedPrefixes", None)),
)
_SUPPORTED_PROTOCOL = (
    CHOICE,
    (
        ("nonStandardData", _NON_STANDARD),
        ("h310", _CAPS),
        ("h320", _CAPS),
        ("h321", _CAPS),
        ("h322", _CAPS),
        ("h323", _CAPS),
        ("h324", _CAPS),
        ("voice", _CAPS),
        ("t120-only", _CAPS),
    ),
    (("nonStandardProtocol", None), ("t38FaxAnnexbOnly", None), ("sip", None)),
)

ENDPOINT_TYPE = (
    SEQUENCE,
    (
        ("nonStandardData", _NON_STANDARD, True),
        ("vendor", VENDOR, True),
        ("gatekeeper", _INFO, True),
        (
            "gateway",
            (
                SEQUENCE,
                (
                    ("protocol", (SEQUENCE_OF, _SUPPORTED_PROTOCOL, 0, None), True),
                    ("nonStandardData", _NON_STANDARD, True),
                ),
                (),
            ),
            True,
        ),
        (
            "mcu",
            (SEQUENCE, (("nonStandardData", _NON_STANDARD, True),), (("protocol", None),)),
            True,
        ),
        ("terminal", _INFO, True),
        ("mc", _BOOLEAN),
        ("undefinedNode", _BOOLEAN),
    ),
    (("set", (BITS, 32, 32)), ("supportedTunnelledProtocols", None)),
)

_Q_SERIES = (
    SEQUENCE,
    (
        ("q932Full", _BOOLEAN),
        ("q951Full", _BOOLEAN),
        ("q952Full", _BOOLEAN),
        ("q953Full", _BOOLEAN),
        ("q955Full", _BOOLEAN),
        ("q956Full", _BOOLEAN),
        ("q957Full", _BOOLEAN),
        (
            "q954Info",
            (SEQUENCE, (("conferenceCalling", _BOOLEAN), ("threePartyService", _BOOLEAN)), ()),
        ),
    ),
    (),
)

ALTERNATE_GATEKEEPER = (
    SEQUENCE,
    (
        ("rasAddress", TRANSPORT_ADDRESS),
        ("gatekeeperIdentifier", _IDENTIFIER, True),
        ("needToRegister", _BOOLEAN),
        ("priority", (INTEGER, 0, 127)),
    ),
    (),
)
_ALTERNATES = (SEQUENCE_OF, ALTERNATE_GATEKEEPER, 0, None)
_ALT_GK_INFO = (
    SEQUENCE,
    (("alternateGatekeeper", _ALTERNATES), ("altGKisPermanent", _BOOLEAN)),
    (),
)

_TOKENS = (SEQUENCE_OF, CLEAR_TOKEN, 0, None)
_ICV = (SEQUENCE, (("algorithmOID", _OID), ("icv", (ICV,))), None)

_GATEKEEPER_REJECT_REASON = (
    CHOICE,
    (
        ("resourceUnavailable", _NULL),
        ("terminalExcluded", _NULL),
        ("invalidRevision", _NULL),
        ("undefinedReason", _NULL),
    ),
    (
        ("securityDenial", _NULL),
        ("genericDataReason", _NULL),
        ("neededFeatureNotSupported", _NULL),
        ("securityError", None),
    ),
)

_REGISTRATION_REJECT_REASON = (
    CHOICE,
    (
        ("discoveryRequired", _NULL),
        ("invalidRevision", _NULL),
        ("invalidCallSignalAddress", _NULL),
        ("invalidRASAddress", _NULL),
        ("duplicateAlias", _ALIASES),
        ("invalidTerminalType", _NULL),
        ("undefinedReason", _NULL),
        ("transportNotSupported", _NULL),
    ),
    (
        ("transportQOSNotSupported", _NULL),
        ("resourceUnavailable", _NULL),
        ("invalidAlias", _NULL),
        ("securityDenial", _NULL),
        ("fullRegistrationRequired", _NULL),
        ("additiveRegistrationNotSupported", _NULL),
        ("invalidTerminalAliases", None),
        ("genericDataReason", _NULL),
        ("neededFeatureNotSupported", _NULL),
        ("securityError", None),
        ("registerWithAssignedGK", _NULL),
    ),
)

_UNREGISTRATION_REASON = (
    CHOICE,
    (
        ("reregistrationRequired", _NULL),
        ("ttlExpired", _NULL),
        ("securityDenial", _NULL),
        ("undefinedReason", _NULL),
    ),
    (("maintenance", _NULL), ("securityError", None), ("registerWithAssignedGK", _NULL)),
)

_HEAD = (
    ("requestSeqNum", _SEQUENCE_NUMBER),
    ("protocolIdentifier", _OID),
    ("nonStandardData", _NON_STANDARD, True),
)
_SECURITY = (("tokens", _TOKENS), ("cryptoTokens", None), ("integrityCheckValue", _ICV))

GATEKEEPER_REQUEST = (
    SEQUENCE,
    _HEAD
    + (
        ("rasAddress", TRANSPORT_ADDRESS),
        ("endpointType", ENDPOINT_TYPE),
        ("gatekeeperIdentifier", _IDENTIFIER, True),
        ("callServices", _Q_SERIES, True),
        ("endpointAlias", _ALIASES, True),
    ),
    (
        ("alternateEndpoints", None),
        ("tokens", _TOKENS),
        ("cryptoTokens", None),
        ("authenticationCapability", None),
        ("algorithmOIDs", (SEQUENCE_OF, _OID, 0, None)),
        ("integrity", None),
        ("integrityCheckValue", _ICV),
        ("supportsAltGK", _NULL),
        ("featureSet", None),
        ("genericData", None),
        ("supportsAssignedGK", _BOOLEAN),
        ("assignedGatekeeper", ALTERNATE_GATEKEEPER),
    ),
)

GATEKEEPER_CONFIRM = (
    SEQUENCE,
    _HEAD + (("gatekeeperIdentifier", _IDENTIFIER, True), ("rasAddress", TRANSPORT_ADDRESS)),
    (
        ("alternateGatekeeper", _ALTERNATES),
        ("authenticationMode", None),
        ("tokens", _TOKENS),
        ("cryptoTokens", None),
        ("algorithmOID", _OID),
        ("integrity", None),
        ("integrityCheckValue", _ICV),
        ("featureSet", None),
        ("genericData", None),
        ("assignedGatekeeper", ALTERNATE_GATEKEEPER),
        ("rehomingModel", None),
    ),
)

GATEKEEPER_REJECT = (
    SEQUENCE,
    _HEAD
    + (
        ("gatekeeperIdentifier", _IDENTIFIER, True),
        ("rejectReason", _GATEKEEPER_REJECT_REASON),
    ),
    (("altGKInfo", _ALT_GK_INFO),) + _SECURITY + (("featureSet", None), ("genericData", None)),
)

REGISTRATION_REQUEST = (
    SEQUENCE,
    _HEAD
    + (
        ("discoveryComplete", _BOOLEAN),
        ("callSignalAddress", _ADDRESSES),
        ("rasAddress", _ADDRESSES),
        ("terminalType", ENDPOINT_TYPE),
        ("terminalAlias", _ALIASES, True),
        ("gatekeeperIdentifier", _IDENTIFIER, True),
        ("endpointVendor", VENDOR),
    ),
    (("alternateEndpoints", None), ("timeToLive", _TIME_TO_LIVE))
    + _SECURITY
    + (
        ("keepAlive", _BOOLEAN),
        ("endpointIdentifier", _IDENTIFIER),
        ("willSupplyUUIEs", _BOOLEAN),
        ("maintainConnection", _BOOLEAN),
        ("alternateTransportAddresses", None),
        ("additiveRegistration", _NULL),
        ("terminalAliasPattern", None),
        ("supportsAltGK", _NULL),
        ("usageReportingCapability", None),
        ("multipleCalls", _BOOLEAN),
        ("supportedH248Packages", None),
        ("callCreditCapability", None),
        ("capacityReportingCapability", None),
        ("capacity", None),
        ("featureSet", None),
        ("genericData", None),
        ("restart", _NULL),
        ("supportsACFSequences", _NULL),
        ("supportsAssignedGK", _BOOLEAN),
        ("assignedGatekeeper", ALTERNATE_GATEKEEPER),
        ("transportQOS", None),
        ("language", None),
    ),
)

REGISTRATION_CONFIRM = (
    SEQUENCE,
    _HEAD
    + (
        ("callSignalAddress", _ADDRESSES),
        ("terminalAlias", _ALIASES, True),
        ("gatekeeperIdentifier", _IDENTIFIER, True),
        ("endpointIdentifier", _IDENTIFIER),
    ),
    (("alternateGatekeeper", _ALTERNATES), ("timeToLive", _TIME_TO_LIVE))
    + _SECURITY
    + (
        ("willRespondToIRR", _BOOLEAN),
        ("preGrantedARQ", None),
        ("maintainConnection", _BOOLEAN),
        ("serviceControl", None),
        ("supportsAdditiveRegistration", _NULL),
        ("terminalAliasPattern", None),
        ("supportedPrefixes", None),
        ("usageSpec", None),
        ("featureServerAlias", ALIAS_ADDRESS),
        ("capacityReportingSpec", None),
        ("featureSet", None),
        ("genericData", None),
        ("assignedGatekeeper", ALTERNATE_GATEKEEPER),
        ("rehomingModel", None),
        ("transportQOS", None),
    ),
)

REGISTRATION_REJECT = (
    SEQUENCE,
    _HEAD
    + (
        ("rejectReason", _REGISTRATION_REJECT_REASON),
        ("gatekeeperIdentifier", _IDENTIFIER, True),
    ),
    (("altGKInfo", _ALT_GK_INFO),)
    + _SECURITY
    + (("featureSet", None), ("genericData", None), ("assignedGatekeeper", ALTERNATE_GATEKEEPER)),
)

UNREGISTRATION_REQUEST = (
    SEQUENCE,
    (
        ("requestSeqNum", _SEQUENCE_NUMBER),
        ("callSignalAddress", _ADDRESSES),
        ("endpointAlias", _ALIASES, True),
        ("nonStandardData", _NON_STANDARD, True),
        ("endpointIdentifier", _IDENTIFIER, True),
    ),
    (("alternateEndpoints", None), ("gatekeeperIdentifier", _IDENTIFIER))
    + _SECURITY
    + (
        ("reason", _UNREGISTRATION_REASON),
        ("endpointAliasPattern", None),
        ("supportedPrefixes", None),
        ("alternateGatekeeper", _ALTERNATES),
        ("genericData", None),
        ("assignedGatekeeper", ALTERNATE_GATEKEEPER),
    ),
)

UNREGISTRATION_CONFIRM = (
    SEQUENCE,
    (("requestSeqNum", _SEQUENCE_NUMBER), ("nonStandardData", _NON_STANDARD, True)),
    _SECURITY + (("genericData", None), ("assignedGatekeeper", ALTERNATE_GATEKEEPER)),
)

UNKNOWN_MESSAGE = (
    SEQUENCE,
    (("requestSeqNum", _SEQUENCE_NUMBER),),
    _SECURITY + (("messageNotUnderstood", _OCTETS),),
)
