"""The console as an aiohttp application."""

import mimetypes

from aiohttp import web

from ringkey.administration.site import Administration
from ringkey.console import api, doors, guard, pages, routes, sse, views
from ringkey.console.routes import PUBLIC, Route
from ringkey.console.sse import HUB, Hub
from ringkey.console.visits import ADMINISTRATION

# Seconds that a browser keeps a static file: its path changes with it.
_YEAR = 31_536_000


def make(administration: Administration) -> web.Application:
    """Return the application; raises RuntimeError for a route that does not say who may use it."""
    # Each route has its own limit (guard.py); this one is above them all.
    every = (*doors.ROUTES, *sse.ROUTES, *api.routes(), *pages.ROUTES, *static_routes())
    app = web.Application(
        middlewares=[guard.outermost, guard.guard],
        client_max_size=max(route.most for route in every) + 1,
    )
    app[ADMINISTRATION] = administration
    app[views.FLASHES] = views.Flashes()
    app[views.ENVIRONMENT] = views.environment()
    app[views.SITE] = administration.site.root.resolve().name
    hub = app[HUB] = Hub(administration.live)
    routes.add(app, every)
    routes.check(app)
    app.on_response_prepare.append(guard.harden)

    async def start(_app: web.Application) -> None:
        await hub.start()

    async def stop(_app: web.Application) -> None:
        await hub.stop()

    app.on_startup.append(start)
    app.on_shutdown.append(stop)
    return app


def static_routes() -> tuple[Route, ...]:
    """Return a route for each static file: there are few, and no path leads to any other file."""
    found = sorted(
        path for path in views.STATIC.iterdir() if path.is_file() and not path.name.startswith(".")
    )
    return tuple(_static(path.name) for path in found)


def _static(name: str) -> Route:
    data = (views.STATIC / name).read_bytes()
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    charset = "utf-8" if kind.startswith("text/") or kind in ("image/svg+xml", "application/json") else None

    async def send(request: web.Request) -> web.StreamResponse:
        lasts = "v" in request.query
        cache = f"public, max-age={_YEAR}, immutable" if lasts else "no-cache"
        headers = {"Cache-Control": cache}
        return web.Response(body=data, content_type=kind, charset=charset, headers=headers)

    return Route("GET", f"/static/{name}", PUBLIC, send)
