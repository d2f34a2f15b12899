"""The parameters of a URL, checked before anything is done with them.

A name that is not known is left alone, as unknown names in a key file are: a phone of tomorrow
may send more.  A known one given twice or malformed is an error, which names it and shows nothing.
"""

import re
from collections.abc import Mapping
from typing import Protocol

from ras.keys import CVM, MAX_EXT, NONCE, ext_digits

# Characters.  MAC addresses, IMEIs and makers' serial numbers are well below.
MAX_SERIAL = 64
_SERIAL = re.compile(rf"[A-Za-z0-9._:-]{{1,{MAX_SERIAL}}}")
_HEX = re.compile(rf"[0-9A-Fa-f]{{{2 * NONCE}}}")
_CVM = re.compile(rf"[0-9A-Fa-f]{{{2 * CVM}}}")


class Malformed(Exception):
    """A parameter is missing, doubled or malformed; its text is for whoever sent it."""


class Query(Protocol):
    """What of a multidict is used here."""

    def getall(self, key: str, default: list[str]) -> list[str]:
        """Return all values of `key`."""


class Values(dict[str, list[str]]):
    """A Query made of a plain mapping of lists."""

    def __init__(self, content: Mapping[str, list[str]]) -> None:
        super().__init__(content)

    def getall(self, key: str, default: list[str]) -> list[str]:
        """Return all values of `key`."""
        return self.get(key, default)


def extension(query: Query) -> str | None:
    """Return `ext`, 1 to 20 digits, or None where it is not given; raises Malformed."""
    text = _one(query, "ext")
    return None if text is None else parse_extension(text)


def parse_extension(text: str) -> str:
    """Return `text` where it is 1 to 20 digits, else raise Malformed."""
    try:
        ext_digits(text)
    except ValueError:
        raise Malformed(f"ext: 1 to {MAX_EXT} digits") from None
    return text


def serial(query: Query) -> str | None:
    """Return `serial`, or None where it is not given; raises Malformed."""
    text = _one(query, "serial")
    return None if text is None else parse_serial(text)


def parse_serial(text: str) -> str:
    """Return `text` where it is a serial number, else raise Malformed."""
    if not _SERIAL.fullmatch(text):
        raise Malformed(f"serial: 1 to {MAX_SERIAL} letters, digits and . _ : -")
    return text


def word(query: Query, name: str) -> str | None:
    """Return parameter `name`, a model or a group, or None where it is not given; raises Malformed."""
    text = _one(query, name)
    if text is not None and not _SERIAL.fullmatch(text):
        raise Malformed(f"{name}: 1 to {MAX_SERIAL} letters, digits and . _ : -")
    return text


def g(query: Query) -> bytes | None:
    """Return `g`, 16 octets given as 32 hex digits, or None; raises Malformed."""
    text = _one(query, "g")
    return None if text is None else parse_g(text)


def parse_g(text: str) -> bytes:
    """Return the 16 octets of 32 hex digits; raises Malformed."""
    if not _HEX.fullmatch(text):
        raise Malformed(f"g: {2 * NONCE} hex digits")
    return bytes.fromhex(text)


def check_value(query: Query) -> bytes | None:
    """Return `cvm`, 3 octets given as 6 hex digits, or None; raises Malformed."""
    text = _one(query, "cvm")
    return None if text is None else parse_check_value(text)


def parse_check_value(text: str) -> bytes:
    """Return the 3 octets of 6 hex digits; raises Malformed."""
    if not _CVM.fullmatch(text):
        raise Malformed(f"cvm: {2 * CVM} hex digits")
    return bytes.fromhex(text)


def _one(query: Query, name: str) -> str | None:
    values = query.getall(name, [])
    if len(values) > 1:
        raise Malformed(f"{name}: given {len(values)} times")
    return values[0] if values else None
