"""What the handlers of pages share: numbers from URLs, pages of a list, and a deed with its answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from ringkey.administration.roles import Forbidden
from ringkey.console.views import flash, redirect
from ringkey.console.visits import administration, author, form
from ringkey.errors import UserError

# Rows of one page of a list: more than a screen, and 30 kB.
ROWS = 50
# What a URL may ask for as an offset: more rows than any list here has.
_MOST = 10_000_000


@dataclass(frozen=True, slots=True)
class Pages:
    """Where in a list a page is; previous, next: URLs, None where there is no such page."""

    total: int
    first: int
    last: int
    previous: str | None
    next: str | None


def offset(request: web.Request) -> int:
    """Return the row that a page begins with; 0 where the URL asks for nonsense."""
    text = request.query.get("from", "0")
    return min(int(text), _MOST) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def pages(request: web.Request, total: int, shown: int, rows: int = ROWS) -> Pages:
    """Return the place of a page that shows `shown` rows of `total`."""
    begin = offset(request)

    def url(start: int) -> str:
        return link(request.path, {**request.query, "from": str(start) if start else ""})

    return Pages(
        total,
        begin + 1 if shown else 0,
        begin + shown,
        url(max(0, begin - rows)) if begin else None,
        url(begin + rows) if begin + shown < total else None,
    )


def link(path: str, query: Mapping[str, object]) -> str:
    """Return a URL of this console; empty values are left out."""
    words = urlencode({name: value for name, value in query.items() if value not in ("", None)})
    return f"{path}?{words}" if words else path


def text(request: web.Request, name: str) -> str:
    """Return a field of the form that was posted, "" where there is none or where it is a file."""
    value = form(request).get(name, "")
    return value if isinstance(value, str) else ""


async def ask(request: web.Request, entry: str, /, **values: object) -> dict[str, Any]:
    """Ask the administration, leaving out what is None or empty; raises UserError."""
    given = {key: value for key, value in values.items() if value not in (None, "")}
    return await administration(request).ask(author(request), entry, **given)


async def do(request: web.Request, entry: str, /, **values: object) -> dict[str, Any]:
    """Have the administration do something, leaving out what is None; raises UserError."""
    given = {key: value for key, value in values.items() if value is not None}
    return await administration(request).do(author(request), entry, **given)


Secrets = list[dict[str, str]]
Said = Callable[[dict[str, Any]], "tuple[str, Secrets]"]


async def deed(
    request: web.Request, back: str, said: str | Said, entry: str, /, **values: object
) -> web.Response:
    """Do it, and go `back` with what came of it.

    said: a text, or makes (text, secrets to show once) of the result.
    """
    try:
        result = await do(request, entry, **values)
    except Forbidden:
        raise
    except UserError as error:
        refused(request, error)
        return redirect(back)
    words, secrets = said(result) if callable(said) else (said, [])
    flash(request, "done", words, secrets=secrets)
    return redirect(back)


def refused(request: web.Request, error: UserError) -> None:
    """Say on the next page what was not done, and why."""
    flash(request, "error", error.what, next=error.next_step or "")


def unknown(request: web.Request) -> web.Response:
    """Answer a form whose button this page does not know."""
    flash(
        request, "error", "this page has no such button; it may be of another version", next="reload the page"
    )
    return redirect(request.path)
