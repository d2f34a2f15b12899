"""The API's description, OpenAPI 3.1, made from the administration's table."""

from functools import cache
from typing import Any

from ringkey import __version__
from ringkey.administration import catalogue
from ringkey.administration.table import Action, Entry, Parameter
from ringkey.console.visits import COOKIE

PREFIX = "/api/v1/"
DESCRIPTION = "/api/openapi.json"
# Formats of texts, by a name, since no pattern that every reader knows says it: letters, digits, signs and
# spaces of Unicode and no control characters (Python's str.isprintable); the same, with line ends and tabs.
PRINTABLE, LINES = "printable", "printable-lines"
_BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
# Status, and when it is answered.
_PROBLEMS = {
    "400": "A value is missing, unknown, or not of its form.",
    "401": "No token, or one that is over.",
    "403": "The role may not, or the request is not from where it should be.",
    "409": "It cannot be done as things are: the detail says why, next_step what to do.",
    "411": "The request does not say how long it is.",
    "413": "The request is longer than any that has a meaning.",
    "429": "Too many attempts; Retry-After says when the next may come.",
    "503": "A file of the site cannot be read or written; nothing was changed.",
}
_BODY_ONLY = ("411", "413")
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457: what went wrong, and what to do",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "next_step": {"type": "string", "description": "a command to type"},
    },
    "required": ["type", "title", "status", "detail"],
    "additionalProperties": False,
}


@cache
def description() -> dict[str, Any]:
    """Return the description."""
    paths: dict[str, Any] = {DESCRIPTION: {"get": _of_description()}}
    for query in catalogue.queries().values():
        paths[PREFIX + query.name] = {"get": _operation(query)}
    for action in catalogue.actions().values():
        paths[PREFIX + action.name] = {"post": _operation(action)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ringkey",
            "version": __version__,
            "description": "What console and command line can do. Actions are on record with their author.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "ringkey token add"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": "A browser's session; a POST needs X-CSRF, too.",
                },
            },
        },
    }


def _operation(entry: Entry) -> dict[str, Any]:
    acts = isinstance(entry, Action)
    command = " ".join(("ringkey", *entry.command))
    made: dict[str, Any] = {
        "operationId": entry.name,
        "summary": entry.title,
        "description": f"Least role: {entry.role.title}. At the command line: `{command}`.",
        "tags": [entry.name.split(".", 1)[0]],
        "responses": _responses(entry.result, body=acts),
    }
    if acts:
        made["requestBody"] = {
            "required": any(one.required for one in entry.parameters),
            "content": {"application/json": {"schema": _body(entry.parameters)}},
        }
    else:
        made["parameters"] = [_in_query(one) for one in entry.parameters]
    return made


def _schema(parameter: Parameter) -> dict[str, object]:
    made = parameter.schema()
    if parameter.kind == "text" and parameter.pattern is None:
        made["format"] = LINES if parameter.lines else PRINTABLE
    if parameter.kind == "content":
        made["pattern"] = _BASE64
    return made


def _body(parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {one.name: _schema(one) for one in parameters},
        "required": [one.name for one in parameters if one.required],
        "additionalProperties": False,
    }


def _in_query(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.title,
        "schema": _schema(parameter),
    }


def _responses(result: object, *, body: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "200": {"description": "Done.", "content": {"application/json": {"schema": result}}}
    }
    for status, when in _PROBLEMS.items():
        if body or status not in _BODY_ONLY:
            made[status] = _problem(when)
    return made


def _problem(when: str) -> dict[str, Any]:
    return {
        "description": when,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _of_description() -> dict[str, Any]:
    return {
        "operationId": "description",
        "summary": "This description",
        "tags": ["description"],
        "responses": {
            "200": {
                "description": "Done.",
                "content": {
                    "application/json": {"schema": {"type": "object", "required": ["openapi", "paths"]}}
                },
            },
            **{status: _problem(_PROBLEMS[status]) for status in ("401", "403", "503")},
        },
    }
