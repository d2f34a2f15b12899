"""The values of requests and of UCF, less token and ICV (`profile.seal` adds those).

What a gatekeeper answers with is in answers.py, which a phone has no need of.
"""

from ras.address import to_transport
from ras.compat import const
from ras.oids import H225_V6

_PRODUCT = b"ringkey"
_LONGEST_VERSION = const(64)  # octets: an RRQ stays within one datagram, whatever a board is called
_VENDOR = {
    # No T.35 code is registered for ringkey: all zero is "unknown" to other devices.
    "vendor": {"t35CountryCode": 0, "t35Extension": 0, "manufacturerCode": 0},
    "productId": _PRODUCT,
}


def _terminal() -> dict:
    return {"vendor": _VENDOR, "terminal": {}, "mc": False, "undefinedNode": False}


def _alias(ext: str) -> list:
    return [("dialledDigits", ext)]


def gatekeeper_request(number: int, ext: str, ras: "tuple[str, int]") -> dict:
    """Return a GRQ's value; ras: where the endpoint hears RAS."""
    return {
        "requestSeqNum": number,
        "protocolIdentifier": H225_V6,
        "rasAddress": to_transport(ras),
        "endpointType": _terminal(),
        "endpointAlias": _alias(ext),
        "supportsAltGK": 0,
    }


def registration_request(
    number: int,
    ext: str,
    ras: "tuple[str, int]",
    signalling: "tuple[str, int]",
    time_to_live: int,
    version: str = "",
) -> dict:
    """Return a full RRQ's value; time_to_live in seconds; version: of the endpoint's software, for people."""
    value = _registration(number, ras, signalling, time_to_live, False)
    if version:
        value["endpointVendor"] = dict(_VENDOR, versionId=version.encode()[:_LONGEST_VERSION])
    value["terminalAlias"] = _alias(ext)
    value["supportsAltGK"] = 0
    return value


def keep_alive(
    number: int,
    identifier: str,
    ras: "tuple[str, int]",
    signalling: "tuple[str, int]",
    time_to_live: int,
) -> dict:
    """Return the value of an RRQ that only keeps a registration alive."""
    value = _registration(number, ras, signalling, time_to_live, True)
    value["endpointIdentifier"] = identifier
    return value


def _registration(
    number: int,
    ras: "tuple[str, int]",
    signalling: "tuple[str, int]",
    time_to_live: int,
    keep_alive: bool,
) -> dict:
    return {
        "requestSeqNum": number,
        "protocolIdentifier": H225_V6,
        "discoveryComplete": True,
        "callSignalAddress": [to_transport(signalling)],
        "rasAddress": [to_transport(ras)],
        "terminalType": _terminal(),
        "endpointVendor": _VENDOR,
        "timeToLive": time_to_live,
        "keepAlive": keep_alive,
        "willSupplyUUIEs": False,
        "maintainConnection": False,
    }


def unregistration_request(
    number: int, identifier: str, signalling: "tuple[str, int]", reason: "str | None"
) -> dict:
    """Return a URQ's value; reason: an UnregRequestReason, or None from an endpoint."""
    value = {
        "requestSeqNum": number,
        "callSignalAddress": [to_transport(signalling)],
        "endpointIdentifier": identifier,
    }
    if reason is not None:
        value["reason"] = (reason, 0)
    return value


def unregistration_confirm(number: int) -> dict:
    """Return a UCF's value."""
    return {"requestSeqNum": number}
