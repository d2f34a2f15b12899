"""One RAS message in plain words: a line, and its details.  No secret is shown: SID is not either."""

from collections.abc import Iterator
from typing import Any

from ras import profile
from ras.address import from_transport, join_address
from ras.aper import UNKNOWN
from ras.errors import RemoteProtocolError
from ras.generator import NO_SERVER, unpack
from ras.message import GCF, GRJ, GRQ, RCF, RRJ, RRQ, UCF, URQ, XRS, Message

# Characters of a text that somebody else chose.
MAX_TEXT = 40
ERRORS = {
    profile.UNKNOWN_EXTENSION: "unknown extension",
    profile.OTHER_GATEKEEPER: "ask another gatekeeper",
    profile.OBSOLETE: "obsolete keys",
    profile.REVOKED: "keys revoked",
    profile.SUITE_REFUSED: "suite refused",
}


def safe(text: object) -> str:
    """Return a text from the wire so that it can be shown on any terminal."""
    shown = ascii(text)[1:-1] if isinstance(text, str) else ascii(text)
    return shown if len(shown) <= MAX_TEXT else shown[:MAX_TEXT] + "..."


def place(address: tuple[str, int]) -> str:
    """Return "host:port"."""
    return join_address(*address)


def extension(message: Message) -> str | None:
    """Return the extension that a GRQ or RRQ names."""
    for name in ("endpointAlias", "terminalAlias"):
        for kind, value in message.value.get(name, ()):
            if kind == "dialledDigits":
                return safe(value)
    return None


def elements(message: Message) -> dict[int, bytes]:
    """Return what there is of the profile's elements; {} where they are malformed."""
    try:
        return dict(profile.elements(message))
    except (RemoteProtocolError, KeyError):
        return {}


def line(message: Message, ext: str | None) -> str:
    """Return what the message says; ext: whose exchange it belongs to, where that is known."""
    value, found = message.value, elements(message)
    who = f"phone {ext}" if ext else "a phone"
    whom = ext or "a phone"
    again = bool(value.get("keepAlive"))
    code = found.get(profile.ERROR, b"\0")[0]
    said = (
        f"error code {code}, {ERRORS.get(code, 'not known')}" if profile.ERROR in found else "no error code"
    )
    texts = {
        GRQ: f"{who} asks for a gatekeeper, CVm {_hex(found, profile.CVM_ID)}",
        GCF: f"the gatekeeper lets {whom} register at {_address(value.get('rasAddress'))}",
        GRJ: f"the gatekeeper refuses {whom}: {said}",
        RRQ: f"{who} is still there" if again else f"{who} registers, CVm {_hex(found, profile.CVM_ID)}",
        RCF: f"{whom} is registered for {value.get('timeToLive', '?')} s, "
        f"signalling at {_address(next(iter(value.get('callSignalAddress', ())), None))}",
        RRJ: f"the gatekeeper refuses to register {whom}: {said}",
        URQ: f"the registration of {whom} is ended ({_choice(value.get('reason')) or 'no reason given'})",
        UCF: f"the end of the registration of {whom} is confirmed",
        XRS: "a request was not understood",
        UNKNOWN: "another message of RAS, which ringkey does not use",
    }
    return texts[message.kind]


def details(message: Message) -> Iterator[tuple[str, str]]:
    """Yield (name, what) of the message's parts."""
    value, found = message.value, elements(message)
    yield "octets", str(len(message.octets))
    if "requestSeqNum" in value:
        yield "requestSeqNum", str(value["requestSeqNum"])
    for name in ("rasAddress", "callSignalAddress"):
        there = value.get(name)
        if there:
            yield name, ", ".join(map(_address, there)) if isinstance(there, list) else _address(there)
    for name in ("rejectReason", "reason"):
        if name in value:
            yield name, _choice(value[name])
    for name in ("endpointIdentifier", "gatekeeperIdentifier", "timeToLive"):
        if name in value:
            yield name, safe(value[name])
    yield from _profile(found)


def _profile(found: dict[int, bytes]) -> Iterator[tuple[str, str]]:
    if profile.G in found:
        server, device, counter = unpack(found[profile.G])
        by = "chosen by the phone" if server == NO_SERVER else f"key server {server.hex(':')}"
        yield "g", f"{found[profile.G].hex()} ({by}, device {device.hex()}, counter {counter})"
    for number, name in ((profile.CVM_ID, "CVm"), (profile.RE, "Re"), (profile.RG, "Rg")):
        if number in found:
            yield name, found[number].hex()
    if profile.SID in found:
        yield "SID", f"{len(found[profile.SID])} octets, not shown"
    if profile.ERROR in found:
        code = found[profile.ERROR][0]
        yield "error code", f"{code}, {ERRORS.get(code, 'not known')}"
    if profile.REFRESH in found:
        yield "fetch new keys soon", str(found[profile.REFRESH][0])


def _hex(found: dict[int, bytes], number: int) -> str:
    return found[number].hex() if number in found else "missing"


def _choice(value: Any) -> str:
    return safe(value[0]) if isinstance(value, tuple) else ""


def _address(value: Any) -> str:
    address = from_transport(value) if isinstance(value, tuple) else None
    return "an unknown address" if address is None else place(address)
