"""What phones get besides keys: static files, settings made for them, either sealed for one device.

/files/NAME                      from the directory, as it is
/files/from/GATEKEEPER/NAME      what a gatekeeper has written, where the site lets phones read it
/settings/NAME?ext=&model=&group=  a template, filled
/sealed/files/NAME?g=&ext=       the same two sealed under Kf of "files/NAME" (protocol.md section 8)
/sealed/settings/NAME?g=&ext=
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from ringkey import log
from ringkey.keyserver import content as contents
from ringkey.keyserver import query
from ringkey.keyserver.agent import Refused
from ringkey.keyserver.content import Content, ContentError, Octets, Sealed
from ringkey.keyserver.delivery import AGAIN, Deliveries
from ringkey.keyserver.desk import Desk
from ringkey.keyserver.names import BadName, one_part
from ringkey.keyserver.templates import Templates
from ringkey.keyserver.tree import FileContent, NotThereError, Tree
from ringkey.site.keyserver_tables import FilesConfig, UploadsConfig

FILES = "/files/"
SETTINGS = "/settings/"
SEALED = "/sealed/"
# Where gatekeepers' files are among the static ones; no static file can have a name below it.
FROM = "from/"
# Digests of static files that are remembered, some 200 octets each: firmware and settings of all
# models.  What is forgotten is read once more.
MAX_DIGESTS = 256
_REFUSED = {"not-allowed": 403, "not-issued": 404, "other-extension": 409, "revoked": 410}

Site = Callable[[], dict[str, object]]
"""What templates get under the name "site": gatekeepers and suite as key files have them."""

_log = log.get("ringkey.keyserver.files")


class Shelf:
    """The routes of static, dynamic and sealed files; `add_to` an application."""

    def __init__(self, config: FilesConfig, uploads: UploadsConfig, desk: Desk, site: Site) -> None:
        self._config = config
        self._desk = desk
        self._suite = desk.agent.suite
        self._site = site
        self._tree = None if config.directory is None else Tree(config.directory)
        self._uploads = _readable(uploads)
        self._templates = None if config.templates is None else Templates(config.templates, config.variables)
        self._digests: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self.deliveries = Deliveries()

    def add_to(self, app: web.Application) -> None:
        """Add the routes, GET and HEAD."""
        for path, handler in ((FILES, self._file), (SETTINGS, self._setting), (SEALED, self._sealed)):
            app.router.add_get(path + "{name:.+}", _guarded(handler))

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self._check_open("files/" + name)
        return await self._deliver(request, self._open(name))

    async def _setting(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self._check_open("settings/" + name)
        content = await self._render(request, name, query.extension(request.query))
        return await self._deliver(request, content, "text/plain")

    async def _sealed(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        g, ext = query.g(request.query), query.extension(request.query)
        if g is None or ext is None:
            raise query.Malformed("g and ext are both needed")
        key = self._desk.sealing_key(g, ext, query.check_value(request.query), source=request.remote)
        inner: Content
        if name.startswith("files/"):
            inner = self._open(name.removeprefix("files/"))
        elif name.startswith("settings/"):
            inner = await self._render(request, name.removeprefix("settings/"), ext)
        else:
            raise NotThereError
        try:
            sealed = Sealed(inner, await self._digest(name, inner), self._suite, key.kg, name)
        except BaseException:
            inner.close()
            raise
        _log.info("sealed_file", source=request.remote, ext=ext, g=g.hex(), name=name)
        return await self._deliver(request, sealed)

    async def _deliver(
        self, request: web.Request, content: Content, kind: str = "application/octet-stream"
    ) -> web.StreamResponse:
        return await self.deliveries.deliver(request, content, kind)

    def _check_open(self, name: str) -> None:
        if self._config.sealed_only(name):
            raise Refused("not-allowed", "that file is given out sealed only (/sealed/)")

    def _open(self, name: str) -> FileContent:
        if name.startswith(FROM):
            gatekeeper, _, rest = name.removeprefix(FROM).partition("/")
            if self._uploads is None:
                raise NotThereError
            return Tree(self._uploads / one_part(gatekeeper)).open(one_part(rest))
        if self._tree is None:
            raise NotThereError
        return self._tree.open(name)

    async def _render(self, request: web.Request, name: str, ext: str | None) -> Octets:
        if self._templates is None:
            raise NotThereError
        model, group = query.word(request.query, "model"), query.word(request.query, "group")
        # In a thread: an administrator's template may take its time, other phones need not wait.
        data = await asyncio.to_thread(
            self._templates.render, name, ext=ext, model=model, group=group, site=self._site()
        )
        return Octets(data)

    async def _digest(self, name: str, content: Content) -> bytes:
        if not isinstance(content, FileContent):
            return contents.digest(content, self._suite)
        known = (name, *content.version)
        found = self._digests.get(known)
        if found is None:
            found = await asyncio.to_thread(contents.digest, content, self._suite)
            self._digests[known] = found
            while len(self._digests) > MAX_DIGESTS:
                self._digests.popitem(last=False)
        self._digests.move_to_end(known)
        return found


def _readable(uploads: UploadsConfig) -> Path | None:
    return uploads.directory if uploads.phones else None


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _guarded(handler: _Handler) -> _Handler:
    """Turn what is wrong with a request, or with a file, into an answer."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except (NotThereError, BadName):
            return _text(404, "no such file")
        except query.Malformed as e:
            return _text(400, str(e))
        except Refused as e:
            _log.warning("file_refused", source=request.remote, path=request.path, reason=e.code)
            return _text(_REFUSED.get(e.code, 403), e.detail)
        except (ContentError, OSError) as e:
            reason = e.strerror if isinstance(e, OSError) else str(e)
            _log.error("cannot_be_read", path=request.path, reason=reason)
            return _text(503, "it cannot be read just now", {"Retry-After": str(AGAIN)})

    return guarded


def _text(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=text + "\n", content_type="text/plain", headers=headers)
