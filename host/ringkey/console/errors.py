"""How the console says no: a page for people, a problem (RFC 9457) for scripts."""

import json
from http import HTTPStatus

from aiohttp import web

from ringkey.console.views import render

PROBLEM = "application/problem+json"


def answer(
    request: web.Request,
    status: int,
    what: str,
    next_step: str | None = None,
    *,
    api: bool = False,
    headers: dict[str, str] | None = None,
) -> web.Response:
    """Return what went wrong, in the form that whoever asked understands."""
    title = HTTPStatus(status).phrase
    if api or is_api(request):
        body = {"type": "about:blank", "title": title, "status": status, "detail": what}
        if next_step is not None:
            body["next_step"] = next_step
        text = json.dumps(body)
        return web.Response(text=text, content_type=PROBLEM, status=status, headers=headers)
    found = render(request, "error.html", status, title=title, what=what, next_step=next_step)
    found.headers.update(headers or {})
    return found


def is_api(request: web.Request) -> bool:
    """Tell whether a script asks."""
    return request.path.startswith("/api/")
