"""RRQ and RCF (ITU-T H.225.0 annex H), as tables for `aper.py`, each by the kind of its message."""

from ras.aper import MAY, MUST, SEQUENCE
from ras.h225 import (
    ADDRESSES,
    ALIAS_ADDRESS,
    ALIASES,
    ALTERNATE_GATEKEEPER,
    ALTERNATES,
    ENDPOINT_TYPE,
    HEAD,
    NULL_TYPE,
    SECURITY,
    TIME_TO_LIVE,
    VENDOR,
)
from ras.h235 import BOOLEAN_TYPE, IDENTIFIER_TYPE

# fmt: off
RRQ = (
    SEQUENCE,
    HEAD
    + (
        "discoveryComplete", BOOLEAN_TYPE, MUST,
        "callSignalAddress", ADDRESSES, MUST,
        "rasAddress", ADDRESSES, MUST,
        "terminalType", ENDPOINT_TYPE, MUST,
        "terminalAlias", ALIASES, MAY,
        "gatekeeperIdentifier", IDENTIFIER_TYPE, MAY,
        "endpointVendor", VENDOR, MUST,
    ),
    (
        None, None,  # alternateEndpoints
        "timeToLive", TIME_TO_LIVE,
    )
    + SECURITY
    + (
        "keepAlive", BOOLEAN_TYPE,
        "endpointIdentifier", IDENTIFIER_TYPE,
        "willSupplyUUIEs", BOOLEAN_TYPE,
        "maintainConnection", BOOLEAN_TYPE,
        None, None,  # alternateTransportAddresses
        "additiveRegistration", NULL_TYPE,
        None, None,  # terminalAliasPattern
        "supportsAltGK", NULL_TYPE,
        None, None,  # usageReportingCapability
        "multipleCalls", BOOLEAN_TYPE,
        None, None,  # supportedH248Packages
        None, None,  # callCreditCapability
        None, None,  # capacityReportingCapability
        None, None,  # capacity
        None, None,  # featureSet
        None, None,  # genericData
        "restart", NULL_TYPE,
        "supportsACFSequences", NULL_TYPE,
        "supportsAssignedGK", BOOLEAN_TYPE,
        "assignedGatekeeper", ALTERNATE_GATEKEEPER,
        None, None,  # transportQOS
        None, None,  # language
    ),
)

RCF = (
    SEQUENCE,
    HEAD
    + (
        "callSignalAddress", ADDRESSES, MUST,
        "terminalAlias", ALIASES, MAY,
        "gatekeeperIdentifier", IDENTIFIER_TYPE, MAY,
        "endpointIdentifier", IDENTIFIER_TYPE, MUST,
    ),
    (
        "alternateGatekeeper", ALTERNATES,
        "timeToLive", TIME_TO_LIVE,
    )
    + SECURITY
    + (
        "willRespondToIRR", BOOLEAN_TYPE,
        None, None,  # preGrantedARQ
        "maintainConnection", BOOLEAN_TYPE,
        None, None,  # serviceControl
        "supportsAdditiveRegistration", NULL_TYPE,
        None, None,  # terminalAliasPattern
        None, None,  # supportedPrefixes
        None, None,  # usageSpec
        "featureServerAlias", ALIAS_ADDRESS,
        None, None,  # capacityReportingSpec
        None, None,  # featureSet
        None, None,  # genericData
        "assignedGatekeeper", ALTERNATE_GATEKEEPER,
        None, None,  # rehomingModel
        None, None,  # transportQOS
    ),
)
# fmt: on
