"""GRQ and GCF (ITU-T H.225.0 annex H), as tables for `aper.py`, each by the kind of its message."""

from ras.aper import LATER, MAY, MUST, SEQUENCE, SEQUENCE_OF
from ras.h225 import (
    ALIASES,
    ALTERNATE_GATEKEEPER,
    ALTERNATES,
    ENDPOINT_TYPE,
    HEAD,
    ICV_TYPE,
    NULL_TYPE,
    TOKENS,
    TRANSPORT_ADDRESS,
)
from ras.h235 import BOOLEAN_TYPE, IDENTIFIER_TYPE, OID_TYPE

# fmt: off
GRQ = (
    SEQUENCE,
    HEAD
    + (
        "rasAddress", TRANSPORT_ADDRESS, MUST,
        "endpointType", ENDPOINT_TYPE, MUST,
        "gatekeeperIdentifier", IDENTIFIER_TYPE, MAY,
        "callServices", (LATER, "ras.h225_rare", "Q_SERIES"), MAY,
        "endpointAlias", ALIASES, MAY,
    ),
    (
        None, None,  # alternateEndpoints
        "tokens", TOKENS,
        None, None,  # cryptoTokens
        None, None,  # authenticationCapability
        "algorithmOIDs", (SEQUENCE_OF, OID_TYPE, 0, None),
        None, None,  # integrity
        "integrityCheckValue", ICV_TYPE,
        "supportsAltGK", NULL_TYPE,
        None, None,  # featureSet
        None, None,  # genericData
        "supportsAssignedGK", BOOLEAN_TYPE,
        "assignedGatekeeper", ALTERNATE_GATEKEEPER,
    ),
)

GCF = (
    SEQUENCE,
    HEAD
    + (
        "gatekeeperIdentifier", IDENTIFIER_TYPE, MAY,
        "rasAddress", TRANSPORT_ADDRESS, MUST,
    ),
    (
        "alternateGatekeeper", ALTERNATES,
        None, None,  # authenticationMode
        "tokens", TOKENS,
        None, None,  # cryptoTokens
        "algorithmOID", OID_TYPE,
        None, None,  # integrity
        "integrityCheckValue", ICV_TYPE,
        None, None,  # featureSet
        None, None,  # genericData
        "assignedGatekeeper", ALTERNATE_GATEKEEPER,
        None, None,  # rehomingModel
    ),
)
# fmt: on
