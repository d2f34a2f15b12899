"""The values of the messages that a gatekeeper answers with, less token and ICV; see build.py.

And `within`, which keeps the octets of an answer to 1.5 times its request's: nobody shall gain by
having a gatekeeper shout at somebody else.
"""

from ras.address import to_alternates, to_transport
from ras.errors import RemoteProtocolError
from ras.message import Message
from ras.oids import H225_V6

_TOO_LONG = "an answer would be over 1.5 times its request"


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


def registration_confirm(
    number: int,
    identifier: str,
    signalling: "tuple[str, int] | None",
    time_to_live: int,
    others: "tuple[tuple[str, int], ...]",
) -> dict:
    """Return an RCF's value; signalling: where the gatekeeper takes TLS signalling, None for nowhere."""
    value = {
        "requestSeqNum": number,
        "protocolIdentifier": H225_V6,
        "callSignalAddress": [] if signalling is None else [to_transport(signalling)],
        "endpointIdentifier": identifier,
        "timeToLive": time_to_live,
        "willRespondToIRR": False,
        "maintainConnection": False,
    }
    if others:
        value["alternateGatekeeper"] = to_alternates(others)
    return value


def registration_reject(number: int, reason: str, detail=0) -> dict:
    """Return an RRJ's value; detail: what the reason has in it."""
    return {
        "requestSeqNum": number,
        "protocolIdentifier": H225_V6,
        "rejectReason": (reason, detail),
    }


def within(request: Message, others: "tuple[tuple[str, int], ...]", make) -> bytes:  # noqa: ANN001
    """Return make(others), with as many of the alternates, first ones first, as have room.

    Raises RemoteProtocolError where not even the answer without any has.
    """
    most = 3 * len(request.octets) // 2
    while True:
        octets = make(others)
        if len(octets) <= most:
            return octets
        if not others:
            raise RemoteProtocolError(_TOO_LONG)
        others = others[:-1]
