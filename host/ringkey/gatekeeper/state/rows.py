"""What the state keeps, as octets: device keys, what key servers said, answers, throttle keys."""

import json
from typing import Any

from ras.keys import CVM, NONCE, SUITES

from ringkey.gatekeeper import digests
from ringkey.gatekeeper.answers import Found, Status, parse_status

Key = tuple[bytes, str, bytes | None]  # g, EXT, CVm: see keys.py
_WITH_G = ("key", "phone")  # tables of ras.attempts whose keys end with a g
_BY_ARC = {suite.arc: suite for suite in SUITES.values()}


def key_name(key: Key) -> bytes:
    """Return what names a device key."""
    g, ext, cvm = key
    return g + bytes((len(cvm or b""),)) + (cvm or b"") + ext.encode()


def key_of(name: bytes) -> Key:
    """Return the key that is named so; raises ValueError."""
    end = NONCE + 1 + (name[NONCE] if len(name) > NONCE else 0)
    if len(name) <= end:
        raise ValueError("no name of a device key")
    return name[:NONCE], name[end:].decode(), name[NONCE + 1 : end] or None


def pack_found(found: Found) -> bytes:
    """Return a device key as octets: arc of the suite, CVm, Kg."""
    return bytes((found.suite.arc,)) + found.cvm + found.kg


def unpack_found(octets: bytes) -> Found:
    """Return the device key of these octets; raises ValueError."""
    suite = _BY_ARC.get(octets[0]) if octets else None
    if suite is None or len(octets) != 1 + CVM + suite.key:
        raise ValueError("no device key")
    return Found(octets[1 + CVM :], suite, octets[1 : 1 + CVM])


def pack_statuses(statuses: dict[str, Status]) -> bytes:
    """Return what each key server said last as octets: JSON of its answers to /status.json."""
    said = {
        server: {
            "version": 1,
            "suite": status.suite.name,
            "cvm": [value.hex() for value in status.check_values],
            "servers": [value.hex() for value in status.servers],
        }
        for server, status in statuses.items()
    }
    return json.dumps(said).encode()


def unpack_statuses(octets: bytes) -> dict[str, Status]:
    """Return what each key server said last; raises ValueError, BadAnswerError."""
    said: dict[str, Any] = json.loads(octets)
    return {server: parse_status(json.dumps(status).encode()) for server, status in said.items()}


def pack_reply(key: bytes, answer: bytes, when: int) -> bytes:
    """Return an answer that was given as octets; key: digests.of_request, when: ticks."""
    return bytes((len(key),)) + when.to_bytes(8, "big") + key + answer


def unpack_reply(octets: bytes) -> tuple[bytes, bytes, int]:
    """Return (key, answer, ticks)."""
    end = 9 + octets[0]
    # A version before had an octet more.
    key = octets[9 : min(end, 9 + digests.OCTETS)]
    return key, octets[end:], int.from_bytes(octets[1:9], "big")


def reply_of(octets: bytes) -> bytes:
    """Return what `pack_reply` would have made of an answer that a version before 0004 has packed.

    That had octets for the length of the host, 2 for that of the request and 2 for the port, 8 for the
    ticks, and then host, request and answer.
    """
    host_end = 13 + octets[0]
    request_end = host_end + int.from_bytes(octets[1:3], "big")
    source = (octets[13:host_end].decode(), int.from_bytes(octets[3:5], "big"))
    key = digests.of_request(source, octets[host_end:request_end])
    return pack_reply(key, octets[request_end:], int.from_bytes(octets[5:13], "big"))


def pack_failed(key: Any) -> str:
    """Return (table, key) of a counter as a text: texts, numbers, octets, and tuples of those."""
    return json.dumps(key, default=bytes.hex)


def unpack_failed(text: str) -> Any:
    """Return the (table, key) of a counter; raises ValueError."""
    table, key = json.loads(text)
    return table, _again(key, octets=table in _WITH_G)


def _again(key: Any, *, octets: bool) -> Any:
    if not isinstance(key, list):
        return key
    parts = [_again(part, octets=False) for part in key]
    if octets:
        parts[-1] = bytes.fromhex(parts[-1])
    return tuple(parts)
