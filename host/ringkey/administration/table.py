"""What there is to do and to ask: the table that console, API, command line and their tests are made from.

An entry's `does` is `async def does(administration, author, **values) -> dict`.  It gets every parameter of
the entry, checked (values.py), None for one that was not given and has no default.  What it returns is
what can be written as JSON.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ringkey.administration.roles import Role

KINDS = ("text", "integer", "flag", "choice", "secret", "content")
# Characters of a text without a limit of its own: a sentence for whoever reads the record.
MAX_TEXT = 500

Schema = dict[str, object]
"""A JSON schema (2020-12) of a result."""
Does = Callable[..., Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value that an entry takes.

    kind: one of KINDS; "secret" is a text that never goes on record, "content" octets (in JSON: base64).
    title: for people; default: what stands for one that was not given; least, most: of an integer its value,
    of a text its characters, of content its octets; pattern: a regular expression for the whole text; lines:
    the text may have several lines.
    """

    name: str
    kind: str
    title: str
    required: bool = True
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    pattern: str | None = None
    default: object = None
    lines: bool = False

    def schema(self) -> Schema:
        """Return the JSON schema of its value."""
        made: Schema = {"description": self.title}
        if self.kind in ("integer", "flag"):
            made["type"] = "integer" if self.kind == "integer" else "boolean"
            limits = ("minimum", "maximum")
        else:
            made["type"] = "string"
            limits = ("minLength", "maxLength")
        if self.choices:
            made["enum"] = list(self.choices)
        elif self.kind == "content":
            made["contentEncoding"] = "base64"
        elif self.kind != "flag":
            for name, limit in zip(limits, (self.least, self.longest), strict=True):
                if limit is not None:
                    made[name] = limit
        if self.pattern is not None:
            made["pattern"] = f"^(?:{self.pattern})$"
        if self.default is not None:
            made["default"] = self.default
        return made

    @property
    def longest(self) -> int | None:
        """`most`, or what stands for it."""
        return MAX_TEXT if self.most is None and self.kind in ("text", "secret") else self.most


@dataclass(frozen=True, slots=True)
class Query:
    """Something to ask, which changes nothing and is not on record.

    name: such as "phones"; role: the least that may; command: the sub-command of ringkey that tells the same;
    result: a JSON schema of what comes back.
    """

    name: str
    role: Role
    title: str
    command: tuple[str, ...]
    does: Does = field(repr=False)
    parameters: tuple[Parameter, ...] = ()
    result: Schema = field(default_factory=lambda: {"type": "object"}, repr=False)


@dataclass(frozen=True, slots=True)
class Action(Query):
    """Something to do, such as "extension.add": on record with its author, done or refused."""


Entry = Query | Action


def thing(
    properties: Mapping[str, Schema], *, optional: tuple[str, ...] = (), description: str = ""
) -> Schema:
    """Return the schema of an object with these properties, and no others, all of them always there."""
    made: Schema = {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }
    return {**made, "description": description} if description else made


def listing(of: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": of}


def maybe(schema: Schema) -> Schema:
    """Return the schema of what may be null too."""
    return {"anyOf": [schema, {"type": "null"}]}


def table_of(values: Schema) -> Schema:
    """Return the schema of an object with any names, whose values are such."""
    return {"type": "object", "additionalProperties": values}


TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
SECONDS: Schema = {"type": "number", "description": "seconds since 1970, UTC"}
ANYTHING: Schema = {}
