"""GRJ and RRJ (ITU-T H.225.0 annex H), as tables for `aper.py`, each by the kind of its message."""

from ras.aper import CHOICE, MAY, MUST, SEQUENCE
from ras.h225 import ALIASES, ALTERNATE_GATEKEEPER, ALTERNATES, HEAD, NULL_TYPE, SECURITY
from ras.h235 import BOOLEAN_TYPE, IDENTIFIER_TYPE

# fmt: off
_ALT_GK_INFO = (
    SEQUENCE,
    ("alternateGatekeeper", ALTERNATES, MUST, "altGKisPermanent", BOOLEAN_TYPE, MUST),
    (),
)

_GATEKEEPER_REJECT_REASON = (
    CHOICE,
    (
        "resourceUnavailable", NULL_TYPE,
        "terminalExcluded", NULL_TYPE,
        "invalidRevision", NULL_TYPE,
        "undefinedReason", NULL_TYPE,
    ),
    (
        "securityDenial", NULL_TYPE,
        "genericDataReason", NULL_TYPE,
        "neededFeatureNotSupported", NULL_TYPE,
        None, None,  # securityError
    ),
)

_REGISTRATION_REJECT_REASON = (
    CHOICE,
    (
        "discoveryRequired", NULL_TYPE,
        "invalidRevision", NULL_TYPE,
        "invalidCallSignalAddress", NULL_TYPE,
        "invalidRASAddress", NULL_TYPE,
        "duplicateAlias", ALIASES,
        "invalidTerminalType", NULL_TYPE,
        "undefinedReason", NULL_TYPE,
        "transportNotSupported", NULL_TYPE,
    ),
    (
        "transportQOSNotSupported", NULL_TYPE,
        "resourceUnavailable", NULL_TYPE,
        "invalidAlias", NULL_TYPE,
        "securityDenial", NULL_TYPE,
        "fullRegistrationRequired", NULL_TYPE,
        "additiveRegistrationNotSupported", NULL_TYPE,
        None, None,  # invalidTerminalAliases
        "genericDataReason", NULL_TYPE,
        "neededFeatureNotSupported", NULL_TYPE,
        None, None,  # securityError
        "registerWithAssignedGK", NULL_TYPE,
    ),
)

GRJ = (
    SEQUENCE,
    HEAD
    + (
        "gatekeeperIdentifier", IDENTIFIER_TYPE, MAY,
        "rejectReason", _GATEKEEPER_REJECT_REASON, MUST,
    ),
    ("altGKInfo", _ALT_GK_INFO)
    + SECURITY
    + (
        None, None,  # featureSet
        None, None,  # genericData
    ),
)

RRJ = (
    SEQUENCE,
    HEAD
    + (
        "rejectReason", _REGISTRATION_REJECT_REASON, MUST,
        "gatekeeperIdentifier", IDENTIFIER_TYPE, MAY,
    ),
    ("altGKInfo", _ALT_GK_INFO)
    + SECURITY
    + (
        None, None,  # featureSet
        None, None,  # genericData
        "assignedGatekeeper", ALTERNATE_GATEKEEPER,
    ),
)
# fmt: on
