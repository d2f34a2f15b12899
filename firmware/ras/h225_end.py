"""URQ, UCF and XRS (ITU-T H.225.0 annex H), as tables for `aper.py`, each by the kind of its message."""

from ras.aper import CHOICE, MAY, MUST, SEQUENCE
from ras.h225 import (
    ADDRESSES,
    ALIASES,
    ALTERNATE_GATEKEEPER,
    ALTERNATES,
    NON_STANDARD,
    NULL_TYPE,
    NUMBER,
    SECURITY,
)
from ras.h235 import IDENTIFIER_TYPE, OCTETS_TYPE

# fmt: off
_UNREGISTRATION_REASON = (
    CHOICE,
    (
        "reregistrationRequired", NULL_TYPE,
        "ttlExpired", NULL_TYPE,
        "securityDenial", NULL_TYPE,
        "undefinedReason", NULL_TYPE,
    ),
    (
        "maintenance", NULL_TYPE,
        None, None,  # securityError
        "registerWithAssignedGK", NULL_TYPE,
    ),
)

URQ = (
    SEQUENCE,
    NUMBER
    + (
        "callSignalAddress", ADDRESSES, MUST,
        "endpointAlias", ALIASES, MAY,
        "nonStandardData", NON_STANDARD, MAY,
        "endpointIdentifier", IDENTIFIER_TYPE, MAY,
    ),
    (
        None, None,  # alternateEndpoints
        "gatekeeperIdentifier", IDENTIFIER_TYPE,
    )
    + SECURITY
    + (
        "reason", _UNREGISTRATION_REASON,
        None, None,  # endpointAliasPattern
        None, None,  # supportedPrefixes
        "alternateGatekeeper", ALTERNATES,
        None, None,  # genericData
        "assignedGatekeeper", ALTERNATE_GATEKEEPER,
    ),
)

UCF = (
    SEQUENCE,
    NUMBER + ("nonStandardData", NON_STANDARD, MAY),
    SECURITY
    + (
        None, None,  # genericData
        "assignedGatekeeper", ALTERNATE_GATEKEEPER,
    ),
)

XRS = (SEQUENCE, NUMBER, SECURITY + ("messageNotUnderstood", OCTETS_TYPE))
# fmt: on
