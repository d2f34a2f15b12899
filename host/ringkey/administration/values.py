"""The values that an entry of the table gets, checked against its parameters."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from ringkey.administration.table import Entry, Parameter
from ringkey.errors import UserError

# Characters of one text as it stands on record: with six values, at six octets each (JSON's \uXXXX), a line
# stays below the trail's 8,192 octets.
ON_RECORD = 200
# Octets of a file that comes as content: makers' firmware; an answer of the API has to fit memory, too.
MAX_CONTENT = 32 << 20
_TRUE, _FALSE = ("true", "1", "on", "yes"), ("false", "0", "off", "no", "")
_INTEGER = re.compile(r"-?[0-9]{1,18}")


class BadValue(UserError):
    """A value is missing, or not as its parameter wants it.  parameter: its name, "" where none has that."""

    def __init__(self, entry: Entry, parameter: str, what: str) -> None:
        super().__init__(
            f"{parameter}: {what}" if parameter else what,
            f"ringkey {' '.join(entry.command)} --help",
            usage=True,
        )
        self.parameter = parameter


def checked(entry: Entry, given: Mapping[str, object]) -> dict[str, Any]:
    """Return a value for every parameter of the entry; raises BadValue.

    Texts stand for numbers and flags too, as they come in forms and URLs.
    """
    unknown = [name for name in given if name not in {one.name for one in entry.parameters}]
    if unknown:
        raise BadValue(entry, "", f"{entry.name} has no parameter {unknown[0][:ON_RECORD]!r}")
    found: dict[str, Any] = {}
    for parameter in entry.parameters:
        value = given.get(parameter.name)
        if value is None:
            if parameter.required:
                raise BadValue(entry, parameter.name, f"{parameter.title} is wanted")
            found[parameter.name] = parameter.default
        else:
            found[parameter.name] = _of_kind(entry, parameter, value)
    return found


def on_record(entry: Entry, values: Mapping[str, object]) -> dict[str, object]:
    """Return the values as the record has them: no secret, of content its digest, texts cut."""
    found: dict[str, object] = {}
    for parameter in entry.parameters:
        value = values.get(parameter.name)
        if value is None or parameter.kind == "secret":
            continue
        if isinstance(value, bytes):
            found[parameter.name] = {"octets": len(value), "sha256": hashlib.sha256(value).hexdigest()}
        elif isinstance(value, str):
            found[parameter.name] = cut(value)
        elif isinstance(value, bool | int):
            found[parameter.name] = value
    return found


def cut(text: str) -> str:
    """Return a text of anybody's as it may stand on record."""
    return text if len(text) <= ON_RECORD else text[: ON_RECORD - 1] + "…"


def _of_kind(entry: Entry, parameter: Parameter, value: object) -> object:
    kind = parameter.kind
    if kind == "integer":
        return _integer(entry, parameter, value)
    if kind == "flag":
        if isinstance(value, bool):
            return value
        text = value.lower() if isinstance(value, str) else None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        raise BadValue(entry, parameter.name, "true or false is wanted")
    if kind == "content":
        return _content(entry, parameter, value)
    if not isinstance(value, str):
        raise BadValue(entry, parameter.name, "a text is wanted")
    if kind == "choice":
        if value not in parameter.choices:
            raise BadValue(entry, parameter.name, f"there are {', '.join(parameter.choices)}")
        return value
    return _text(entry, parameter, value)


def _integer(entry: Entry, parameter: Parameter, value: object) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 30.0 is an integer to JSON schema
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadValue(entry, parameter.name, "a whole number is wanted")
    least, most = parameter.least, parameter.most
    if (least is not None and value < least) or (most is not None and value > most):
        limits = (
            f"from {least}" if most is None else f"up to {most}" if least is None else f"{least} to {most}"
        )
        raise BadValue(entry, parameter.name, limits)
    return value


def _text(entry: Entry, parameter: Parameter, value: str) -> str:
    longest = parameter.longest
    if longest is not None and len(value) > longest:
        raise BadValue(entry, parameter.name, f"up to {longest} characters")
    if parameter.least is not None and len(value) < parameter.least:
        raise BadValue(entry, parameter.name, f"{parameter.least} characters or more")
    if parameter.kind == "text":
        shown = value.replace("\r", "").replace("\n", "").replace("\t", "") if parameter.lines else value
        if not shown.isprintable():
            raise BadValue(entry, parameter.name, "printable characters only")
    elif any(0xD800 <= ord(character) < 0xE000 for character in value):
        raise BadValue(entry, parameter.name, "half a character")  # JSON can say it, UTF-8 cannot
    if parameter.pattern is not None and re.fullmatch(parameter.pattern, value) is None:
        raise BadValue(entry, parameter.name, f"not of the form {parameter.title}")
    return value


def _content(entry: Entry, parameter: Parameter, value: object) -> bytes:
    most = MAX_CONTENT if parameter.most is None else parameter.most
    if isinstance(value, str):
        if len(value) > 2 * most:
            raise BadValue(entry, parameter.name, f"up to {most} octets")
        try:
            value = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise BadValue(entry, parameter.name, "base64 is wanted") from None
    if not isinstance(value, bytes):
        raise BadValue(entry, parameter.name, "octets, or base64, are wanted")
    if len(value) > most:
        raise BadValue(entry, parameter.name, f"up to {most} octets")
    return value
