"""The requests of uploads.py: `/files/` of the Advanced Secure File Service."""

from collections.abc import Callable

from aiohttp import ClientPayloadError, hdrs, web

from ringkey import log
from ringkey.keyserver.content import ContentError
from ringkey.keyserver.delivery import AGAIN, Deliveries
from ringkey.keyserver.names import MAX_PART, BadName, one_part
from ringkey.keyserver.tree import NotThereError
from ringkey.keyserver.uploads import UploadError, Uploads

FILES = "/files/"
# Octets of an upload that are in memory at a time.
_PIECE = 1 << 16

NameOf = Callable[[web.Request], str]

_log = log.get("ringkey.keyserver.uploads")


class UploadRoutes:
    """`add_to` an application whose middleware lets gatekeepers in only; name_of: who asks."""

    def __init__(self, uploads: Uploads, name_of: NameOf) -> None:
        self._uploads = uploads
        self._name_of = name_of
        self._deliveries = Deliveries()

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get(FILES, self._list, allow_head=False)
        resource = app.router.add_resource(FILES + "{name}")
        for method, handler in (
            (hdrs.METH_GET, self._read),
            (hdrs.METH_HEAD, self._read),
            (hdrs.METH_PUT, self._write),
            (hdrs.METH_DELETE, self._delete),
        ):
            resource.add_route(method, handler)

    async def _list(self, request: web.Request) -> web.Response:
        found = self._uploads.stored(self._name_of(request))
        return web.json_response(
            {
                "version": 1,
                "files": [
                    {"name": one.name, "size": one.size, "modified": int(one.modified)} for one in found
                ],
                "total": sum(one.size for one in found),
                "limits": self._uploads.limits(),
            }
        )

    async def _read(self, request: web.Request) -> web.StreamResponse:
        try:
            file = self._uploads.open(self._name_of(request), request.match_info["name"])
        except NotThereError:
            return _no_such_file()
        except ContentError as e:
            _log.error("cannot_be_read", path=request.path, reason=str(e))
            return _error(503, "unavailable", "it cannot be read just now", {"Retry-After": str(AGAIN)})
        return await self._deliveries.deliver(request, file)

    async def _write(self, request: web.Request) -> web.Response:
        gatekeeper = self._name_of(request)
        try:
            name = one_part(request.match_info["name"])
        except BadName:
            return _error(
                400,
                "bad-name",
                f"a name: 1 to {MAX_PART} letters, digits and . _ + @ -, a letter, a digit or _ first",
            )
        try:
            new = await self._uploads.write(
                gatekeeper,
                name,
                request.content_length,
                request.content.iter_chunked(_PIECE),
                only_new=request.headers.get(hdrs.IF_NONE_MATCH, "").strip() == "*",
            )
        except UploadError as e:
            _log.warning("upload_refused", gatekeeper=gatekeeper, name=name, reason=e.code, detail=e.detail)
            return _error(
                e.status, e.code, e.detail, {"Retry-After": str(AGAIN)} if e.status == 429 else None
            )
        except ClientPayloadError:
            _log.warning("upload_cut_off", gatekeeper=gatekeeper, name=name)
            return _error(400, "cut-off", "the connection ended before the file did; nothing was written")
        except OSError as e:
            _log.error("upload_failed", gatekeeper=gatekeeper, name=name, reason=e.strerror)
            return _error(507, "disk", f"the key server cannot write it: {e.strerror}; nothing was written")
        _log.info("uploaded", gatekeeper=gatekeeper, name=name, new=new)
        return web.Response(status=201 if new else 204)

    async def _delete(self, request: web.Request) -> web.Response:
        gatekeeper = self._name_of(request)
        try:
            name = one_part(request.match_info["name"])
            self._uploads.delete(gatekeeper, name)
        except (NotThereError, BadName):
            return _no_such_file()
        except OSError as e:
            _log.error("delete_failed", gatekeeper=gatekeeper, reason=e.strerror)
            return _error(503, "disk", f"the key server cannot remove it: {e.strerror}")
        _log.info("upload_removed", gatekeeper=gatekeeper, name=name)
        return web.Response(status=204)


def _no_such_file() -> web.Response:
    return _error(404, "no-such-file", "there is no file of that name")


def _error(status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": code, "detail": detail}, status=status, headers=headers)
