"""The API for scripts: every query and action of the administration's table, as it stands there.

GET  /api/v1/QUERY?name=value     POST /api/v1/ACTION  {"name": value}
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from aiohttp import web

from ringkey.administration import catalogue
from ringkey.administration.roles import Role
from ringkey.administration.table import Action, Entry, Parameter
from ringkey.administration.values import MAX_CONTENT, BadValue
from ringkey.console import openapi
from ringkey.console.openapi import DESCRIPTION, PREFIX
from ringkey.console.routes import Route
from ringkey.console.visits import administration, author

# Octets of a request's body: its texts, each character at most six octets in JSON; content in base64.
_PER_CHARACTER = 6
_AROUND = 4096
_MOST_TEXT = 64 << 10


def routes() -> tuple[Route, ...]:
    """Return the API's routes: one for each entry of the table, and the description of them all."""
    made = [Route("GET", DESCRIPTION, Role.VIEWER, _describe)]
    for query in catalogue.queries().values():
        made.append(Route("GET", PREFIX + query.name, query.role, partial(_ask, query)))
    for action in catalogue.actions().values():
        made.append(Route("POST", PREFIX + action.name, action.role, partial(_do, action), most=most(action)))
    return tuple(made)


def most(entry: Entry) -> int:
    """Return how many octets a request for this entry may have."""
    return _AROUND + sum(_most_of(one) for one in entry.parameters)


def _most_of(parameter: Parameter) -> int:
    if parameter.kind == "content":
        return (parameter.most or MAX_CONTENT) * 4 // 3 + _AROUND
    return min(parameter.longest or _AROUND, _MOST_TEXT) * _PER_CHARACTER


async def _ask(query: Entry, request: web.Request) -> web.StreamResponse:
    given: dict[str, object] = {}
    by_name = {one.name: one for one in query.parameters}
    for name, value in request.query.items():
        if name in given:
            raise BadValue(query, name if name in by_name else "", "it is given twice")
        given[name] = _of_text(query, by_name[name], value) if name in by_name else value
    return _answer(await administration(request).ask(author(request), query.name, **_plain(query, given)))


async def _do(action: Action, request: web.Request) -> web.StreamResponse:
    given = await _read(action, request)
    by_name = {one.name: one for one in action.parameters}
    for name, value in given.items():
        if name in by_name:
            _check_type(action, by_name[name], value)
    return _answer(await administration(request).do(author(request), action.name, **_plain(action, given)))


async def _read(action: Action, request: web.Request) -> dict[str, object]:
    if not request.content_length:
        return {}
    if request.content_type != "application/json":
        raise BadValue(action, "", "a request is sent as application/json")
    try:
        found = json.loads(await request.read(), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise BadValue(action, "", "not JSON") from None
    if not isinstance(found, dict):
        raise BadValue(action, "", 'not an object such as {"ext": "1001"}')
    return found


def _no_number(name: str) -> object:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


def _of_text(entry: Entry, parameter: Parameter, value: str) -> object:
    """Return what a value in a URL stands for; only one spelling is taken for each."""
    if parameter.kind == "flag":
        if value not in ("true", "false"):
            raise BadValue(entry, parameter.name, "true or false is wanted")
        return value == "true"
    return value


def _check_type(entry: Entry, parameter: Parameter, value: object) -> None:
    """Raise BadValue where a value has not the type that JSON has for it: "1" is no number."""
    if parameter.kind == "integer":
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        good = whole and not isinstance(value, bool)
    elif parameter.kind == "flag":
        good = isinstance(value, bool)
    else:
        good = isinstance(value, str)
    if not good:
        raise BadValue(entry, parameter.name, f"not of the type {parameter.schema().get('type', 'string')}")


def _plain(entry: Entry, given: Mapping[str, object]) -> dict[str, Any]:
    """Return the values as arguments; one named "self" or "author" must not become another argument."""
    for name in given:
        if name not in {one.name for one in entry.parameters}:
            raise BadValue(entry, "", f"{entry.name} has no parameter of that name")
    return dict(given)


def _answer(found: dict[str, Any]) -> web.Response:
    # NaN would be no JSON: better an error that is seen here than one in every reader.
    return web.Response(text=json.dumps(found, allow_nan=False), content_type="application/json")


async def _describe(request: web.Request) -> web.StreamResponse:
    return _answer(openapi.description())
