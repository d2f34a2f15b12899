"""Who has sent a request: what the guard has found out, and handlers ask for."""

import secrets
from dataclasses import dataclass

from aiohttp import web
from multidict import MultiDict, MultiDictProxy

from ringkey.administration.accounts.sessions import Session, csrf_of
from ringkey.administration.roles import Author, Role
from ringkey.administration.site import Administration

ADMINISTRATION = web.AppKey("administration", Administration)

# __Host-: a browser takes it over TLS only, for this host alone and the path / (RFC 6265bis).
COOKIE = "__Host-ringkey"
# Before log-in: what the log-in form's CSRF token belongs to.
DOOR = "__Host-ringkey-door"
# Characters of a cookie or token that is looked at: ours have 43 to 46.
MAX_SECRET = 100
_DOOR = 32  # octets

Form = MultiDictProxy[str | web.FileField]


@dataclass(frozen=True, slots=True)
class Visit:
    """author: who sends this request (with a role only where `known`); session: the browser's, if it has one.

    csrf: what must come with a change; token: the API's token was shown.
    """

    author: Author
    known: bool
    session: Session | None
    csrf: str
    token: bool = False
    door: str | None = None  # a cookie to be set


VISIT = web.RequestKey("visit", Visit)
FORM = web.RequestKey("form", MultiDictProxy)


def visit(request: web.Request) -> Visit:
    """Return who has sent the request."""
    return request[VISIT]


def author(request: web.Request) -> Author:
    """Return the author of what the request wants done."""
    return request[VISIT].author


def administration(request: web.Request) -> Administration:
    """Return the site's administration."""
    return request.app[ADMINISTRATION]


def form(request: web.Request) -> Form:
    """Return the fields of the form that was sent, its CSRF token checked."""
    return request[FORM] if FORM in request else MultiDictProxy(MultiDict())


def text(request: web.Request, name: str, default: str = "") -> str:
    """Return one field of the form that is a text."""
    value = form(request).get(name, default)
    return value if isinstance(value, str) else default


def set_cookie(response: web.StreamResponse, name: str, value: str) -> None:
    """Set a cookie of ours: over TLS, for this host, unseen by scripts, never sent from elsewhere."""
    response.set_cookie(name, value, path="/", secure=True, httponly=True, samesite="Strict")


def drop_cookie(response: web.StreamResponse, name: str) -> None:
    """Take a cookie of ours back."""
    response.del_cookie(name, path="/", secure=True, httponly=True, samesite="Strict")


def by_itself(request: web.Request) -> bool:
    """Tell whether a page that is open has asked for itself again, and no person has."""
    return request.headers.get("X-Patch") == "1"


def nobody(request: web.Request, way: str) -> Author:
    """Return the author for a request of nobody we know."""
    return Author("-", Role.VIEWER, way, request.remote or "-")


def identify(request: web.Request, *, touch: bool = True) -> Visit:
    """Find out who has sent the request.  touch: it keeps its session from being idle."""
    way = "api" if request.path.startswith("/api/") else "console"
    source = request.remote or "-"
    accounts = administration(request).accounts
    header = request.headers.get("Authorization")
    if header is not None and way == "api":
        # Whoever shows a token means it: a cookie beside it is not looked at.
        scheme, _, secret = header.partition(" ")
        found = accounts.tokens.find(secret.strip()[:MAX_SECRET]) if scheme.lower() == "bearer" else None
        if found is None:
            return Visit(nobody(request, way), False, None, "")
        return Visit(Author(f"token {found.name}", found.role, way, source), True, None, "", token=True)
    cookie = request.cookies.get(COOKIE, "")[:MAX_SECRET]
    session = accounts.sessions.find(cookie, touch=touch) if cookie else None
    if session is not None:
        who = Author(session.user, session.role, way, source)
        return Visit(who, True, session, csrf_of(cookie))
    door = request.cookies.get(DOOR, "")[:MAX_SECRET]
    made = None if door else secrets.token_urlsafe(_DOOR)
    return Visit(nobody(request, way), False, None, csrf_of(made or door), door=made)
