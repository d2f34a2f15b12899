"""The Advanced Secure File Service: keys for gatekeepers, over mutual TLS (docs/architecture.md).

TLS lets in whoever the site's root has signed as a client; here the role in the certificate is
checked too, so that a certificate for any other purpose opens nothing.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from ringkey import log
from ringkey.keyserver import keyfiles, query
from ringkey.keyserver.agent import Refused
from ringkey.keyserver.changes import Changes
from ringkey.keyserver.desk import Desk
from ringkey.keyserver.ledger import Ledger
from ringkey.keyserver.serving import MAX_BODY
from ringkey.site.ca import GATEKEEPER_ROLE

KEYS = "/keys/kkg.json"
STATUS = "/status.json"
CHANGES = "/changes.jsonl"
_STATUS_OF = {"malformed": 400, "not-allowed": 403, "not-issued": 404, "other-extension": 409, "revoked": 410}

LEDGER = web.AppKey("ledger", Ledger)
# Characters of a path that are worth a line.
MAX_PATH = 200

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = log.get("ringkey.keyserver.advanced")


class AdvancedService:
    """The application behind port 8444."""

    def __init__(self, desk: Desk, changes: Changes) -> None:
        self._desk = desk
        self._agent = desk.agent
        self._changes = changes

    def app(self) -> web.Application:
        """Return a new aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[_gatekeepers_only])
        app[LEDGER] = self._desk.ledger
        app.router.add_get(KEYS, self._key, allow_head=False)
        app.router.add_get(STATUS, self._status, allow_head=False)
        app.router.add_get(CHANGES, self._changes.serve, allow_head=False)
        app.on_shutdown.append(self._changes.end)
        app.on_response_prepare.append(_headers)
        return app

    async def _key(self, request: web.Request) -> web.Response:
        try:
            g = query.g(request.query)
            ext = query.extension(request.query)
            cvm = query.check_value(request.query)
            if g is None or ext is None:
                raise query.Malformed("g and ext are both needed")
        except query.Malformed as e:
            return _error("malformed", str(e))
        try:
            key = self._desk.look_up(g, ext, cvm, gatekeeper=_name(request), source=request.remote)
        except Refused as e:
            _log.warning("look_up_refused", gatekeeper=_name(request), ext=ext, g=g.hex(), reason=e.code)
            return _error(e.code, e.detail)
        _log.info("key_looked_up", gatekeeper=_name(request), ext=ext, g=g.hex())
        return web.json_response(keyfiles.for_gatekeeper(self._agent.suite, key.cvm, key))

    async def _status(self, _request: web.Request) -> web.Response:
        agent = self._agent
        return web.json_response(keyfiles.status(agent.suite, agent.check_values, agent.servers))


def gatekeeper_name(certificate: Mapping[str, Any] | None) -> str | None:
    """Return the gatekeeper's name in a peer certificate as `getpeercert()` shows it, or None.

    TLS has verified the certificate and that it is a client's.
    """
    names: Sequence[tuple[str, str]] = (certificate or {}).get("subjectAltName", ())
    for kind, value in names:
        if kind == "URI" and value.startswith(GATEKEEPER_ROLE) and len(value) > len(GATEKEEPER_ROLE):
            return value[len(GATEKEEPER_ROLE) :]
    return None


def _name(request: web.Request) -> str | None:
    return gatekeeper_name(request.get_extra_info("peercert"))


@web.middleware
async def _gatekeepers_only(request: web.Request, handler: _Handler) -> web.StreamResponse:
    if not _name(request):
        _log.warning("not_a_gatekeeper", source=request.remote, path=request.path)
        request.app[LEDGER].refusal("not-a-gatekeeper", source=request.remote, path=request.path[:MAX_PATH])
        return _error("not-allowed", "this certificate is not a gatekeeper's")
    try:
        return await handler(request)
    except web.HTTPException as e:
        # Paths and methods that are not there: as JSON, like every other error of this service.
        answer = web.json_response({"error": "no-such-request", "detail": e.reason}, status=e.status)
        if "Allow" in e.headers:
            answer.headers["Allow"] = e.headers["Allow"]
        return answer


def _error(code: str, detail: str) -> web.Response:
    return web.json_response({"error": code, "detail": detail}, status=_STATUS_OF[code])


async def _headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Cache-Control"] = "no-store"
    response.headers["Server"] = "ringkey"
