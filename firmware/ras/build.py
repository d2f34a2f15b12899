"""The values of the messages that ringkey sends, less token and ICV (`profile.seal` adds those)."""

from ras.address import to_alternates, to_transport
from ras.oids import H225_V6

_PRODUCT = b"ringkey"
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


def gatekeeper_confirm(number: int, ras: "tuple[str, int]", others: "tuple[tuple[str, int], ...]") -> dict:
    """Return a GCF's value; ras: where this gatekeeper hears RAS; others: its alternates."""
    value = {"requestSeqNum": number, "protocolIdentifier": H225_V6, "rasAddress": to_transport(ras)}
    if others:
        value["alternateGatekeeper"] = to_alternates(others)
    return value


def gatekeeper_reject(number: int, reason: str, others: "tuple[tuple[str, int], ...]") -> dict:
    """Return a GRJ's value; with others it redirects to those."""
    value = {
        "requestSeqNum": number,
        "protocolIdentifier": H225_V6,
        "rejectReason": (reason, 0),
    }
    if others:
        value["altGKInfo"] = {"alternateGatekeeper": to_alternates(others), "altGKisPermanent": False}
    return value


def _registration(number: int, ras: tuple, signalling: tuple, time_to_live: int, keep: bool) -> dict:
    """Return what every RRQ has."""
    return {
        "requestSeqNum": number,
        "protocolIdentifier": H225_V6,
        "discoveryComplete": True,
        "callSignalAddress": [to_transport(signalling)],
        "rasAddress": [to_transport(ras)],
        "terminalType": _terminal(),
        "endpointVendor": _VENDOR,
        "timeToLive": time_to_live,
        "keepAlive": keep,
        "willSupplyUUIEs": False,
        "maintainConnection": False,
    }


def registration_request(
    number: int,
    ext: str,
    ras: "tuple[str, int]",
    signalling: "tuple[str, int]",
    time_to_live: int,
) -> dict:
    """Return a full RRQ's value; time_to_live in seconds."""
    value = _registration(number, ras, signalling, time_to_live, False)
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


def registration_confirm(
    number: int,
    identifier: str,
    signalling: "tuple[str, int]",
    time_to_live: int,
    others: "tuple[tuple[str, int], ...]",
) -> dict:
    """Return an RCF's value; signalling: where the gatekeeper takes TLS signalling."""
    value = {
        "requestSeqNum": number,
        "protocolIdentifier": H225_V6,
        "callSignalAddress": [to_transport(signalling)],
        "endpointIdentifier": identifier,
        "timeToLive": time_to_live,
        "willRespondToIRR": False,
        "maintainConnection": False,
    }
    if others:
        value["alternateGatekeeper"] = to_alternates(others)
    return value


def registration_reject(number: int, reason: str) -> dict:
    """Return an RRJ's value."""
    return {
        "requestSeqNum": number,
        "protocolIdentifier": H225_V6,
        "rejectReason": (reason, 0),
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
