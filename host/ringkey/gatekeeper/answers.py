"""What the Advanced Secure File Service answers, checked octet by octet (docs/architecture.md)."""

import json
import re
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any

from ras.generator import SERVER_ID
from ras.keys import CVM, NONCE, SUITES, Suite

VERSION = 1
# Octets.  A key is some 250 of JSON, a status less; the rest is room for fields to come.
MAX_ANSWER = 16_384
# Generations of Km at one time: an old one, a new one, and a site that rotates in a hurry.
MAX_CHECK_VALUES = 8
# Key servers that share a seed: a handful per site.
MAX_SERVERS = 64
# HTTP status codes that are a refusal by a key server that works; all others are its failure.
_REFUSALS = (400, 403, 404, 409, 410)
_CODE = re.compile(r"[a-z][a-z-]{0,31}")


class BadAnswerError(Exception):
    """The answer is not what the interface says; the text shows no value of it."""


@dataclass(frozen=True, slots=True)
class Found:
    """Kg (which the repr does not show), its suite, and the check value of the Km it comes from."""

    kg: bytes = field(repr=False)
    suite: Suite
    cvm: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The key server does not give this key: not-allowed, not-issued, other-extension, revoked, …"""

    code: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No key server gave an answer that can be used; `reason` is for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Status:
    """The suite of new keys, and the check values of all generations of Km in use.

    The first of check_values is that of new keys.  servers: server ids that g may have, where the
    key server names them; else empty: any.  others: check values that new keys come from as well,
    at another key server of the site, which is a generation ahead or behind.
    """

    suite: Suite
    check_values: tuple[bytes, ...]
    servers: tuple[bytes, ...] = ()
    others: tuple[bytes, ...] = ()

    @property
    def current(self) -> tuple[bytes, ...]:
        """The check values of keys that are not to be replaced."""
        return (self.check_values[0], *self.others)


Outcome = Found | Refused | Unavailable


def parse_key(body: bytes, g: bytes) -> Found:
    """Return the key in the answer for `g`; raises BadAnswerError, also where it is for another g."""
    content = _content(body)
    suite = _suite(content)
    if not compare_digest(_octets(content, "g", NONCE), g):
        raise BadAnswerError("it answers with a key for another g")
    return Found(_octets(content, "kg", suite.key), suite, _octets(content, "cvm", CVM))


def question(g: bytes, ext: str, cvm: bytes | None) -> dict[str, str]:
    """Return how a key is asked for: the query of one, an entry of many."""
    named = {"g": g.hex(), "ext": ext}
    return named if cvm is None else {**named, "cvm": cvm.hex()}


def parse_keys(body: bytes, wanted: list[bytes]) -> list[Found | Refused | None]:
    """Return what the answer has for each g of `wanted`, in order; None for a refusal without a code.

    Raises BadAnswerError where the answer is another one's, or none.
    """
    content = _content(body)
    suite = _suite(content)
    entries = content.get("keys")
    if not isinstance(entries, list) or len(entries) != len(wanted):
        raise BadAnswerError("its answer's 'keys' is not a list of as many as were asked for")
    return [_entry(entry, g, suite) for entry, g in zip(entries, wanted, strict=True)]


def _entry(entry: Any, g: bytes, suite: Suite) -> Found | Refused | None:
    if not isinstance(entry, dict) or not compare_digest(_octets(entry, "g", NONCE), g):
        raise BadAnswerError("it answers with a key for another g")
    if "error" in entry:
        code = entry["error"]
        return Refused(code) if isinstance(code, str) and _CODE.fullmatch(code) else None
    return Found(_octets(entry, "kg", suite.key), suite, _octets(entry, "cvm", CVM))


def parse_status(body: bytes) -> Status:
    """Return the Status in the answer; raises BadAnswerError."""
    content = _content(body)
    check_values = _list(content, "cvm", CVM, MAX_CHECK_VALUES)
    if not check_values:
        raise BadAnswerError("its status has no check value")
    return Status(_suite(content), check_values, _list(content, "servers", SERVER_ID, MAX_SERVERS))


def together(first: Status, more: list[Status]) -> Status:
    """Return what holds at a site whose key servers say these: what any of them has in force, is."""
    statuses = [first, *more]
    values = dict.fromkeys(value for status in statuses for value in status.check_values)
    others = dict.fromkeys(status.check_values[0] for status in more)
    others.pop(first.check_values[0], None)
    # One that names no server ids takes any.
    named = all(status.servers for status in statuses)
    servers = dict.fromkeys(server for status in statuses for server in status.servers) if named else {}
    return Status(first.suite, tuple(values), tuple(servers), tuple(others))


def parse_refusal(status: int, body: bytes) -> Refused:
    """Return the refusal; raises BadAnswerError where the HTTP status or the answer is none."""
    if status not in _REFUSALS:
        raise BadAnswerError(f"it answers with HTTP status {status}")
    try:
        content = json.loads(body)
        code = content["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        code = None
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise BadAnswerError(f"it answers with HTTP status {status} and no error code")
    return Refused(code)


def _content(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise BadAnswerError("its answer is not JSON") from None
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise BadAnswerError(f"its answer is not of version {VERSION}")
    return content


def _suite(content: dict[str, Any]) -> Suite:
    suite = SUITES.get(content.get("suite", "")) if isinstance(content.get("suite"), str) else None
    if suite is None:
        raise BadAnswerError("its answer names no suite known here")
    return suite


def _list(content: dict[str, Any], name: str, octets: int, most: int) -> tuple[bytes, ...]:
    values = content.get(name, [])
    if not isinstance(values, list) or len(values) > most:
        raise BadAnswerError(f"its answer's {name!r} is not a list of at most {most}")
    return tuple(_octets({name: value}, name, octets) for value in values)


def _octets(content: dict[str, Any], name: str, octets: int) -> bytes:
    value = content.get(name)
    if isinstance(value, str) and len(value) == 2 * octets:
        try:
            return bytes.fromhex(value)
        except ValueError:
            pass
    raise BadAnswerError(f"its answer's {name!r} is not {octets} octets in hex")
