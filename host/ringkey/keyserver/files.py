"""The Secure File Service: key files for phones, over HTTPS (protocol.md section 3), and the shelf.

GET and HEAD only.  A HEAD issues nothing: it tells what a GET's headers would be.
"""

from collections import Counter

from aiohttp import web
from ras.address import join_address

from ringkey import log
from ringkey.errors import UserError
from ringkey.keyserver import keyfiles, query
from ringkey.keyserver.agent import Refused
from ringkey.keyserver.desk import Desk, reason
from ringkey.keyserver.enrolment import Enrolment
from ringkey.keyserver.serving import MAX_BODY, SAID
from ringkey.keyserver.shelf import Shelf
from ringkey.site.config import KeyServerConfig, Site, resolve_address

PATH = "/keys/kkg.txt"

_log = log.get("ringkey.keyserver.files")


class FileService:
    """The application behind port 8443."""

    def __init__(self, config: KeyServerConfig, site: Site, desk: Desk) -> None:
        self._config = config
        self._site = site
        self._desk = desk
        self._agent = desk.agent
        self.enrolment = Enrolment(config.enrolment)
        self.denied: Counter[str] = Counter()  # why key files were not given, for the metrics
        self.shelf = Shelf(config.files, config.uploads, desk, self._site_for_templates)

    def app(self) -> web.Application:
        """Return a new aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_get(PATH, self._key_file)
        self.shelf.add_to(app)
        app.on_response_prepare.append(_headers)
        return app

    async def _key_file(self, request: web.Request) -> web.Response:
        try:
            ext = query.extension(request.query)
            serial = query.serial(request.query)
            g = query.g(request.query)
            if ext is None and not self._config.allow_unnamed:
                raise query.Malformed("ext: missing")
        except query.Malformed as e:
            return _text(400, str(e))
        gatekeepers = self._gatekeepers()
        if request.method == "HEAD":
            size = keyfiles.length_for_phone(self._agent.suite, self._agent.cvm, gatekeepers)
            return web.Response(
                headers={"Content-Length": str(size)}, content_type="text/plain", charset="utf-8"
            )
        if (denied := self._denied(request.remote or "", ext, serial)) is not None:
            return denied
        try:
            key = await self._desk.issue(ext, source=request.remote, serial=serial, chosen=g)
        except Refused as e:
            _log.warning("key_refused", source=request.remote, ext=ext, serial=serial, reason=e.code)
            return _text(403, e.detail)
        except (OSError, UserError) as e:
            # Nothing was issued; the next request tries again, so that the service comes back by
            # itself when the disk does.
            why = e.what if isinstance(e, UserError) else f"counter: {e.strerror}"
            _log.error("not_issued", source=request.remote, ext=ext, reason=why)
            return _text(503, reason(e), {"Retry-After": "10"})
        request[SAID] = True
        _log.info(
            "key_issued", source=request.remote, ext=ext, serial=serial, g=key.g.hex(), chosen=g is not None
        )
        return _text(200, keyfiles.for_phone(self._agent.suite, key.cvm, key, gatekeepers))

    def _denied(self, source: str, ext: str | None, serial: str | None) -> web.Response | None:
        try:
            denied = self.enrolment.admit(source, ext, serial)
        except (UserError, OSError) as e:
            _log.error("enrolment_unknown", error=e.strerror if isinstance(e, OSError) else e.what)
            return _text(503, "the key server cannot tell who may have keys", {"Retry-After": "10"})
        if denied is None:
            return None
        self.denied[denied.code] += 1
        self._desk.deny(ext, denied.code, source=source, serial=serial)
        again = {} if denied.again is None else {"Retry-After": str(denied.again)}
        return _text(denied.status, denied.detail, again)

    def _site_for_templates(self) -> dict[str, object]:
        gatekeepers = [join_address(host, port) for host, port in self._gatekeepers()]
        return {
            "gatekeepers": gatekeepers,
            "suite": self._agent.suite.name,
            "names": list(self._config.names),
        }

    def _gatekeepers(self) -> tuple[tuple[str, int], ...]:
        found = (resolve_address(address, self._site) for address in self._config.gatekeepers)
        return tuple(address for address in found if address is not None)


def _text(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    text = text if text.endswith("\n") else text + "\n"
    return web.Response(status=status, text=text, content_type="text/plain", headers=headers)


async def _headers(_request: web.Request, response: web.StreamResponse) -> None:
    # A key on its way must stay in no cache.  The Date header, which a phone moves its clock on
    # by, is aiohttp's.
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "ringkey"
