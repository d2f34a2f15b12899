"""The Advanced Secure File Service: keys for gatekeepers, over mutual TLS (docs/architecture.md).

TLS lets in whoever the site's root has signed as a client; here the role in the certificate is
checked too, so that a certificate for any other purpose opens nothing.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from ringkey import log
from ringkey.keyserver import batch, keyfiles, query
from ringkey.keyserver.agent import DeviceKey, Refused
from ringkey.keyserver.changes import Changes
from ringkey.keyserver.desk import Desk
from ringkey.keyserver.serving import SAID
from ringkey.keyserver.upload_routes import UploadRoutes
from ringkey.keyserver.uploads import Uploads
from ringkey.site.ca import GATEKEEPER_ROLE
from ringkey.site.keyserver_tables import GATEKEEPER_NAME, Scopes

KEYS = "/keys/kkg.json"
LOOK_UP = "/keys/lookup.json"
STATUS = "/status.json"
CHANGES = "/changes.jsonl"
_STATUS_OF = {"malformed": 400, "not-allowed": 403, "not-issued": 404, "other-extension": 409, "revoked": 410}

# Characters of a path that are worth a line.
MAX_PATH = 200

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = log.get("ringkey.keyserver.advanced")


class AdvancedService:
    """The application behind port 8444.

    scopes: which gatekeepers there are; uploads: None where they may write no files.
    """

    def __init__(self, desk: Desk, changes: Changes, scopes: Scopes, uploads: Uploads | None = None) -> None:
        self._desk = desk
        self._agent = desk.agent
        self._changes = changes
        self._scopes = scopes
        self._uploads = uploads
        self.looked_up: Counter[str] = Counter()  # keys by outcome, for the metrics

    def app(self) -> web.Application:
        """Return a new aiohttp application."""
        app = web.Application(client_max_size=batch.MAX_REQUEST, middlewares=[self._gatekeepers_only])
        app.router.add_get(KEYS, self._key, allow_head=False)
        app.router.add_post(LOOK_UP, self._keys)
        app.router.add_get(STATUS, self._status, allow_head=False)
        app.router.add_get(CHANGES, self._changes.serve, allow_head=False)
        app.on_shutdown.append(self._changes.end)
        if self._uploads is not None:
            UploadRoutes(self._uploads, lambda request: str(_name(request))).add_to(app)
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
            key = self._look_up(request, g, ext, cvm)
        except Refused as e:
            _log.warning("look_up_refused", gatekeeper=_name(request), ext=ext, g=g.hex(), reason=e.code)
            return _error(e.code, e.detail)
        request[SAID] = True
        _log.info("key_looked_up", gatekeeper=_name(request), ext=ext, g=g.hex())
        return web.json_response(keyfiles.for_gatekeeper(self._agent.suite, key.cvm, key))

    async def _keys(self, request: web.Request) -> web.Response:
        name = _name(request) or ""
        try:
            wanted = batch.parse(await request.read())
        except query.Malformed as e:
            return _error("malformed", str(e))
        answer = batch.answer(
            self._agent.suite.name, wanted, lambda g, ext, cvm: self._look_up(request, g, ext, cvm)
        )
        request[SAID] = True
        # One line for all of them, with each in it: who asked for what.
        refused = [f"{one['ext']}:{one['g']}:{one['error']}" for one in answer["keys"] if "error" in one]
        given = [f"{one['ext']}:{one['g']}" for one in answer["keys"] if "error" not in one]
        if refused:
            _log.warning("look_ups_refused", gatekeeper=name, refused=refused)
        if given:
            _log.info("keys_looked_up", gatekeeper=name, keys=given)
        return web.json_response(answer)

    @web.middleware
    async def _gatekeepers_only(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        name = _name(request)
        if not name:
            _log.warning("not_a_gatekeeper", source=request.remote, path=request.path)
            self._desk.ledger.refusal("not-a-gatekeeper", source=request.remote, path=request.path[:MAX_PATH])
            return _error("not-allowed", "this certificate is not a gatekeeper's")
        if not self._scopes.knows(name):
            _log.warning("unknown_gatekeeper", source=request.remote, gatekeeper=name, path=request.path)
            self._desk.ledger.refusal(
                "unknown-gatekeeper", gatekeeper=name, source=request.remote, path=request.path[:MAX_PATH]
            )
            return _error("not-allowed", f"no gatekeeper {name} here ([keyserver.scopes])")
        try:
            return await handler(request)
        except web.HTTPException as e:
            # Paths and methods that are not there: as JSON, like every other error of this service.
            answer = web.json_response({"error": "no-such-request", "detail": e.reason}, status=e.status)
            if "Allow" in e.headers:
                answer.headers["Allow"] = e.headers["Allow"]
            return answer

    def _look_up(self, request: web.Request, g: bytes, ext: str, cvm: bytes | None) -> DeviceKey:
        try:
            key = self._desk.look_up(g, ext, cvm, gatekeeper=_name(request) or "", source=request.remote)
        except Refused as e:
            self.looked_up[e.code] += 1
            raise
        self.looked_up["given"] += 1
        return key

    async def _status(self, _request: web.Request) -> web.Response:
        agent = self._agent
        return web.json_response(keyfiles.status(agent.suite, agent.check_values, agent.servers))


def gatekeeper_name(certificate: Mapping[str, Any] | None) -> str | None:
    """Return the gatekeeper's name in a peer certificate as `getpeercert()` shows it, or None.

    TLS has verified the certificate and that it is a client's.
    """
    names: Sequence[tuple[str, str]] = (certificate or {}).get("subjectAltName", ())
    for kind, value in names:
        if kind == "URI" and value.startswith(GATEKEEPER_ROLE):
            found = value[len(GATEKEEPER_ROLE) :]
            # It becomes a directory's name: nothing else will do, whoever signed it.
            return found if GATEKEEPER_NAME.fullmatch(found) else None
    return None


def _name(request: web.Request) -> str | None:
    return gatekeeper_name(request.get_extra_info("peercert"))


def _error(code: str, detail: str) -> web.Response:
    return web.json_response({"error": code, "detail": detail}, status=_STATUS_OF[code])


async def _headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "ringkey"
