"""What a browser gets to see: templates, and words that are said once, after a redirect."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web

from ringkey import __version__
from ringkey.console.visits import DOOR, VISIT, by_itself, set_cookie, visit

STATIC = Path(str(files("ringkey.console") / "static"))
# Seconds that a word waits for the page that shows it, and how many wait in one session, and in all.
FLASH_LIFE = 60.0
MAX_FLASHES = 20
MAX_SESSIONS = 500

Flash = dict[str, Any]


class Flashes:
    """Words for the next page of a session: in memory, since drawn PINs are among them."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[bytes, list[tuple[float, Flash]]] = OrderedDict()

    def add(self, session: bytes, flash: Flash) -> None:
        """Keep one for the session of this hash."""
        self._forget()
        waiting = self._waiting.setdefault(session, [])
        waiting.append((time.monotonic() + FLASH_LIFE, flash))
        del waiting[:-MAX_FLASHES]
        while len(self._waiting) > MAX_SESSIONS:
            self._waiting.popitem(last=False)

    def take(self, session: bytes) -> list[Flash]:
        """Return what waits, which is shown now and never again."""
        self._forget()
        return [flash for _, flash in self._waiting.pop(session, [])]

    def _forget(self) -> None:
        now = time.monotonic()
        for session, waiting in list(self._waiting.items()):
            waiting[:] = [one for one in waiting if one[0] > now]
            if not waiting:
                del self._waiting[session]


FLASHES = web.AppKey("flashes", Flashes)
ENVIRONMENT = web.AppKey("environment", jinja2.Environment)
SITE = web.AppKey("site", str)


def environment() -> jinja2.Environment:
    """Return the templates: what they show is escaped, and what they do not know is an error."""
    from ringkey.console.pages.filters import FILTERS  # the pages import this module

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("ringkey.console", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(FILTERS)
    for name in made.list_templates():
        made.get_template(name)  # once, at the start: what is wrong with one shows here, and no page waits
    return made


@cache
def static(name: str) -> str:
    """Return the path of a static file, another one when the file is another one."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:12]}"


def render(request: web.Request, template: str, status: int = 200, **values: object) -> web.Response:
    """Return a page.  Each template has me, csrf, path, site, flashes, static(name), now, version, status."""
    who = request.get(VISIT)
    flashes = []
    if who is not None and who.session is not None and not by_itself(request):
        flashes = request.app[FLASHES].take(who.session.hash)
    shared: Mapping[str, object] = {
        "me": {"name": who.author.name, "role": who.author.role.title}
        if who is not None and who.known
        else None,
        "csrf": "" if who is None else who.csrf,
        "path": request.path,
        "site": request.app[SITE],
        "flashes": flashes,
        "static": static,
        "now": time.time(),
        "version": __version__,
        "status": status,
    }
    text = request.app[ENVIRONMENT].get_template(template).render({**shared, **values})
    made = web.Response(text=text, content_type="text/html", charset="utf-8", status=status)
    if who is not None and who.door is not None:
        set_cookie(made, DOOR, who.door)
    return made


def flash(
    request: web.Request,
    kind: str,
    text: str,
    next: str = "",
    secrets: Iterable[Mapping[str, str]] = (),
) -> None:
    """Say `text` on the next page of this session.

    kind: "done" or "error"; next: what to do or type; secrets: {"label", "value"} each, shown this once.
    """
    session = visit(request).session
    if session is not None:
        told = {"kind": kind, "text": text, "next": next, "secrets": [dict(one) for one in secrets]}
        request.app[FLASHES].add(session.hash, told)


def redirect(path: str) -> web.Response:
    """Return the answer to a form: look at `path`, a path of this console, now (303)."""
    return web.Response(status=303, headers={"Location": path})
