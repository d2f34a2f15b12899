"""What the console answers: each route says who may use it; one that does not is refused at the start."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from ringkey.administration.roles import Role

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Public:
    """Whoever may connect."""


PUBLIC: Final = _Public()
# Octets of a form: the longest field is a text of some hundred characters.
MAX_FORM = 64 << 10


@dataclass(frozen=True, slots=True)
class Route:
    """method, path (as aiohttp has it), the least role that may (or PUBLIC), who answers.

    most: octets of body that it takes; stream: the answer does not end by itself.
    """

    method: str
    path: str
    role: Role | _Public
    handler: Handler
    most: int = MAX_FORM
    stream: bool = False


ROUTE = web.AppKey("route", dict[tuple[str, str], Route])


def add(app: web.Application, routes: "tuple[Route, ...]") -> None:
    """Add the routes, and note what they say of themselves."""
    if ROUTE not in app:
        app[ROUTE] = {}
    declared = app[ROUTE]
    for route in routes:
        resource = app.router.add_route(route.method, route.path, route.handler).resource
        if resource is None:
            raise RuntimeError(f"{route.path} has become no resource")
        declared[route.method, resource.canonical] = route


def check(app: web.Application) -> None:
    """Raise RuntimeError for a route of the application that has declared no role."""
    for found in app.router.routes():
        if found.resource is None or (found.method, found.resource.canonical) not in app[ROUTE]:
            where = "?" if found.resource is None else found.resource.canonical
            raise RuntimeError(f"{found.method} {where} says not who may use it")


def of(request: web.Request) -> Route | None:
    """Return the route that a request has come to, None where there is none (404, 405)."""
    resource = request.match_info.route.resource
    if resource is None:
        return None
    return request.app[ROUTE].get((request.match_info.route.method, resource.canonical))
