"""What a gatekeeper says no with: GRJ, RRJ and XRS (protocol.md sections 4 to 6, H.225.0 section 7.6)."""

from ras import answers, profile
from ras.compat import const
from ras.errors import RemoteProtocolError
from ras.keys import Suite, reject_key
from ras.message import GRJ, GRQ, MAX_MESSAGE, RRJ, XRS, Message, encode_message
from ras.oids import PROFILE

# Octets that an XRS has besides a long message that it gives back.
_AROUND = const(9)

_GRJ_REASONS = {
    profile.UNKNOWN_EXTENSION: "terminalExcluded",
    profile.OTHER_GATEKEEPER: "resourceUnavailable",
}


def is_plain(message: Message) -> bool:
    """Tell whether a message comes from an H.323 endpoint that does not speak the profile."""
    return PROFILE not in [token["tokenOID"] for token in message.value.get("tokens", ())]


def gatekeeper_reject(message: Message, found: dict, suite: Suite, code: int, lookup) -> bytes:  # noqa: ANN001
    """Return a GRJ with an error code of profile.py, under Kr where the Lookup has a Kg.

    Alternates that it redirects to are left out as far as it must not outgrow its request.
    """
    number, reason = message.value["requestSeqNum"], _GRJ_REASONS.get(code, "securityDenial")
    key = reject_key(suite, lookup.kg) if lookup.kg is not None else None
    elements = {profile.ERROR: bytes((code,)), profile.RE: found[profile.RE]}
    return answers.within(
        message,
        lookup.others,
        lambda others: profile.seal(
            GRJ, answers.gatekeeper_reject(number, reason, others), elements, suite if key else None, key
        ),
    )


def registration_reject(message: Message, found: dict, suite: Suite, code: int, ka: bytes) -> bytes:
    """Return an RRJ with an error code, under Ka."""
    value = answers.registration_reject(message.value["requestSeqNum"], "securityDenial")
    elements = {
        profile.ERROR: bytes((code,)),
        profile.RE: found[profile.RE],
        profile.RG: found[profile.RG],
    }
    return answers.within(message, (), lambda _: profile.seal(RRJ, value, elements, suite, ka))


def plain_reject(message: Message, reason: str = "securityDenial", detail=0) -> bytes:
    """Return the GRJ or RRJ for a GRQ or RRQ without the profile: its truth, unsigned."""
    number = message.value["requestSeqNum"]
    if message.kind == GRQ:
        return bytes(encode_message(GRJ, answers.gatekeeper_reject(number, reason, ()))[0])
    return bytes(encode_message(RRJ, answers.registration_reject(number, reason, detail))[0])


def not_understood(message: Message) -> bytes:
    """Return the XRS for a request that is none of ours; as much longer than it as its header is.

    Raises RemoteProtocolError where that is longer than a message may be.
    """
    if len(message.octets) > MAX_MESSAGE - _AROUND:
        raise RemoteProtocolError("a request that is not understood, and too long to say so")
    value = {
        "requestSeqNum": message.value["requestSeqNum"],
        "messageNotUnderstood": message.octets,
    }
    return bytes(encode_message(XRS, value)[0])
