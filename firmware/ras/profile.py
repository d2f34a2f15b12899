"""The profile's elements in a RAS message (protocol.md section 4), and the message's seal.

Elements are a dict of elementID to octets.
"""

from ras.compat import const
from ras.errors import RemoteProtocolError
from ras.keys import CVM, NONCE, SUITES, Suite
from ras.message import GCF, GRJ, GRQ, RCF, RRJ, RRQ, UCF, URQ, Message, encode_message, sign
from ras.oids import ALGORITHM, PROFILE

G = const(1)
CVM_ID = const(2)
RE = const(3)
RG = const(4)
SID = const(5)
ERROR = const(6)
REFRESH = const(7)

_LENGTHS = {G: NONCE, CVM_ID: CVM, RE: NONCE, RG: NONCE, SID: NONCE, ERROR: 1, REFRESH: 1}

# Which elements a message must carry.  RRQ and RCF of a keepAlive are held to less: see
# `wanted`.
_WANTED = {
    GRQ: (G, CVM_ID, RE),
    GCF: (RE, RG),
    GRJ: (ERROR, RE),
    RRQ: (G, CVM_ID, RE, RG),
    RCF: (RE, RG),
    RRJ: (ERROR, RE, RG),
    URQ: (RE, RG),
    UCF: (RE, RG),
}

# Error codes of element 6 (protocol.md section 6).
UNKNOWN_EXTENSION = const(1)
OTHER_GATEKEEPER = const(2)
OBSOLETE = const(3)
REVOKED = const(4)
SUITE_REFUSED = const(5)


def wanted(message: Message) -> "tuple[int, ...]":
    """Return the elements that the message must carry."""
    if message.kind == RRQ and message.value.get("keepAlive"):
        return (RE, RG)
    return _WANTED[message.kind]


def elements(message: Message) -> "dict[int, bytes]":
    """Return the profile's elements of a message.

    Raises RemoteProtocolError where there is no profile token, or one is malformed:
    an element twice, of the wrong length, or missing.
    """
    tokens = [t for t in message.value.get("tokens", ()) if t["tokenOID"] == PROFILE]
    if len(tokens) != 1:
        raise RemoteProtocolError("%s: %d profile tokens" % (message.kind, len(tokens)))
    found = {}
    for entry in tokens[0].get("profileInfo", ()):
        number = entry["elementID"]
        if number not in _LENGTHS:
            continue
        kind, value = entry.get("element", ("", b""))
        if number in found or kind != "octets" or len(value) != _LENGTHS[number]:
            raise RemoteProtocolError("%s: element %d malformed" % (message.kind, number))
        found[number] = value
    for number in wanted(message):
        if number not in found:
            raise RemoteProtocolError("%s: element %d missing" % (message.kind, number))
    return found


def suite_of(message: Message) -> "Suite | None":
    """Return the suite that the message's algorithmOID names; None where it has no ICV.

    Raises RemoteProtocolError for an algorithm that is none of the profile's, or an ICV
    of another length than that suite's.
    """
    icv = message.value.get("integrityCheckValue")
    if icv is None:
        return None
    algorithm = icv["algorithmOID"]
    for suite in SUITES.values():
        if algorithm == ALGORITHM + bytes((suite.arc,)):
            if len(icv["icv"]) != suite.icv:
                break
            return suite
    raise RemoteProtocolError("%s: unknown algorithm or length of the ICV" % message.kind)


def seal(
    kind: str, value: dict, found: "dict[int, bytes]", suite: "Suite | None", key: "bytes | None"
) -> bytes:
    """Return the octets of a message with the elements `found`, signed with `key`.

    `value` gains its tokens and its integrity check value; with a suite of None it goes
    out unsigned.
    """
    value["tokens"] = [
        {
            "tokenOID": PROFILE,
            "profileInfo": [
                {"elementID": number, "element": ("octets", found[number])} for number in sorted(found)
            ],
        }
    ]
    if suite is None or key is None:
        return bytes(encode_message(kind, value)[0])
    value["integrityCheckValue"] = {
        "algorithmOID": ALGORITHM + bytes((suite.arc,)),
        "icv": bytes(suite.icv),
    }
    octets, icv = encode_message(kind, value)
    if icv is not None:
        sign(octets, icv, suite, key)
    return bytes(octets)
