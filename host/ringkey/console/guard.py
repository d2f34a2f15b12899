"""What stands before every handler: where a request comes from, who sends it, and whether that one may.

A request that changes something must name this console as its origin and bring the CSRF token of its
session; what is refused is on record.  The body is read after all that can be said without it.
"""

import hmac
import time
from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlsplit

from aiohttp import web
from multidict import MultiDictProxy

from ringkey import log
from ringkey.administration.accounts.errors import AccountsUnavailableError, TooManyError
from ringkey.administration.record import Unrecorded
from ringkey.administration.roles import Forbidden, Role
from ringkey.administration.site import Unknown
from ringkey.administration.values import BadValue
from ringkey.console import routes
from ringkey.console.errors import answer, is_api
from ringkey.console.routes import Route
from ringkey.console.visits import (
    ADMINISTRATION,
    COOKIE,
    FORM,
    VISIT,
    Visit,
    by_itself,
    drop_cookie,
    identify,
)
from ringkey.errors import UserError
from ringkey.keyserver.serving import SAID

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with that, browsers send "Origin: null" with a form (Fetch, "append a request Origin
    # header"), and no form could be told from a foreign one.  To other hosts it says as little.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
_SAFE = ("GET", "HEAD", "OPTIONS")
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
# Characters of a CSRF token that is looked at: ours have 43.
_MAX_CSRF = 100
# Characters of a path to come back to after log-in.
_MAX_NEXT = 500

_log = log.get("ringkey.console")


class Refused(Exception):
    """The request is refused: why (for the record), and what the answer says."""

    def __init__(self, status: int, why: str, what: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.what = what


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """Put on every answer what keeps a browser from being used against its user."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "ringkey"


@web.middleware
async def outermost(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn everything that goes wrong into an answer, and log what was asked, without what it names."""
    began = time.monotonic()
    try:
        response = await handler(request)
    except web.HTTPException as error:
        allow = error.headers.get("Allow")
        what = "there is nothing here" if error.status == 404 else error.reason
        response = answer(request, error.status, what, headers={"Allow": allow} if allow else None)
    except UserError as error:
        response = _complaint(request, error)
    except Exception:
        _log.exception("request_failed", method=request.method, path=_path(request))
        response = answer(request, 500, "the console has made a mistake; its log says which")
    # The access log of serving.py has paths, and a path can be an invitation.
    request[SAID] = True
    _log.info(
        "request",
        source=request.remote,
        who=None if (who := request.get(VISIT)) is None else who.author.name,
        method=request.method,
        path=_path(request),
        status=response.status,
        ms=round(1000 * (time.monotonic() - began), 1),
    )
    return response


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request through that may, and put on record one that may not."""
    route = routes.of(request)
    # What a page asks for by itself does not keep its session from being idle.
    asked = route is not None and not route.stream and not by_itself(request)
    who = request[VISIT] = identify(request, touch=asked)
    if route is None:
        return await handler(request)  # which says 404 or 405
    try:
        changes = request.method not in _SAFE
        if changes:
            _check_size(request, route)
        _check_origin(request, who, changes=changes)
        if isinstance(route.role, Role) and not who.known:
            raise Refused(401, "no session", "log in first")
        if changes:
            await _check_csrf(request, who)
        if isinstance(route.role, Role) and who.author.role < route.role:
            raise Refused(403, "role", f"this is for the role {route.role.title}")
    except Refused as refused:
        return await _refuse(request, who, refused)
    return await handler(request)


def _check_size(request: web.Request, route: Route) -> None:
    if request.can_read_body and request.content_length is None:
        raise Refused(411, "no length", "a request says how long it is")
    if (request.content_length or 0) > route.most:
        raise Refused(413, "too long", f"a request has at most {route.most} octets here")


def _check_origin(request: web.Request, who: Visit, *, changes: bool) -> None:
    origin = request.headers.get("Origin")
    if origin is None and not changes:
        return  # a person who follows a link, or our own page: browsers name an origin to others only
    if origin is None and (referer := request.headers.get("Referer")) is not None:
        parts = urlsplit(referer)
        origin = f"{parts.scheme}://{parts.netloc}"
    if origin is None and (who.token or not request.cookies) and is_api(request):
        return  # a script with a token, or with nothing: no browser that a user was lured with
    if origin != f"https://{request.host}":
        raise Refused(403, "origin", "the request does not come from a page of this console")


async def _check_csrf(request: web.Request, who: Visit) -> None:
    if not is_api(request):
        request[FORM] = await _read_form(request)
    if who.token:
        return
    sent: object = request.headers.get("X-CSRF")
    if sent is None and FORM in request:
        sent = request[FORM].get("csrf")
    if not isinstance(sent, str) or not hmac.compare_digest(sent[:_MAX_CSRF].encode(), who.csrf.encode()):
        raise Refused(
            403, "csrf", "the page was open for too long, or the request is not from it: load it again"
        )


async def _read_form(request: web.Request) -> "MultiDictProxy[str | bytes | bytearray | web.FileField]":
    if request.content_length and request.content_type not in _FORMS:
        raise Refused(415, "content type", f"a form is sent as {' or '.join(_FORMS)}")
    try:
        return await request.post()
    except (
        ValueError,
        LookupError,
        AssertionError,
    ):  # an encoding that there is not, or a part without a name
        raise Refused(400, "form", "the form cannot be read") from None


async def _refuse(request: web.Request, who: Visit, refused: Refused) -> web.StreamResponse:
    where = f"{request.method} {_path(request)}"
    await request.app[ADMINISTRATION].note(
        who.author, "request", "refused", reason=refused.why, request=where, status=refused.status
    )
    if refused.status == 401 and not is_api(request):
        back = request.path_qs if request.method == "GET" else "/"
        found = web.Response(status=303, headers={"Location": "/login" + _next(back)})
        if COOKIE in request.cookies:
            drop_cookie(found, COOKIE)
        return found
    headers = {"WWW-Authenticate": 'Bearer realm="ringkey"'} if refused.status == 401 else None
    return answer(request, refused.status, refused.what, headers=headers)


def _next(back: str) -> str:
    return "" if back == "/" or len(back) > _MAX_NEXT else "?next=" + quote(back, safe="/")


def local(path: str) -> str:
    """Return `path` where it is one of this console, else "/": a log-in must not lead to another host."""
    good = (
        path.startswith("/")
        and path[1:2] not in ("/", "\\")
        and path.isprintable()
        and len(path) <= _MAX_NEXT
    )
    return path if good and "\\" not in path and path.isascii() else "/"


def status_of(error: UserError) -> int:
    """Return the HTTP status that says the same."""
    kinds: tuple[tuple[type[UserError], int], ...] = (
        (Forbidden, 403),
        (Unknown, 404),
        (BadValue, 400),
        (TooManyError, 429),
        (AccountsUnavailableError, 503),
        (Unrecorded, 503),
    )
    return next((status for kind, status in kinds if isinstance(error, kind)), 409)


def _complaint(request: web.Request, error: UserError) -> web.Response:
    headers = {"Retry-After": str(error.wait)} if isinstance(error, TooManyError) else None
    return answer(request, status_of(error), error.what, error.next_step, headers=headers)


def _path(request: web.Request) -> str:
    """Return the path as the route has it: an invitation is not named in a log."""
    resource = request.match_info.route.resource
    return "-" if resource is None else resource.canonical
