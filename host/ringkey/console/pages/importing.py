"""Import of a CSV: what will change and every bad row is shown before anything is done.

Between the two the file waits in memory, for the one session that has sent it: it has PINs in it, and a
page of the browser is no place for those.
"""

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from ringkey.administration.roles import Forbidden
from ringkey.console.pages.common import do, refused, text, unknown
from ringkey.console.views import flash, redirect, render
from ringkey.console.visits import form, visit
from ringkey.errors import UserError

# Seconds that a file waits, and how many wait: a person who looks through a preview; a few of them.
WAITS = 900.0
MAX_PENDING = 8
# Rows that a preview names; the rest is counted.
MAX_BAD, MAX_GOOD = 200, 100
_WHAT = {"add": "Add", "pin": "New PIN", "label": "New label", "same": "As it is"}


@dataclass(slots=True)
class _Waiting:
    session: bytes
    until: float
    values: dict[str, Any] = field(repr=False)


class Pending:
    """Files that were looked at and not imported yet."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()

    def put(self, session: bytes, values: dict[str, Any]) -> str:
        """Keep the values of an import; return what it is asked for by."""
        now = time.monotonic()
        for key, one in list(self._waiting.items()):
            if one.until < now or one.session == session:
                del self._waiting[key]
        while len(self._waiting) >= MAX_PENDING:
            self._waiting.popitem(last=False)
        key = secrets.token_urlsafe(16)
        self._waiting[key] = _Waiting(session, now + WAITS, values)
        return key

    def take(self, session: bytes, key: str) -> dict[str, Any] | None:
        """Return the values of an import of this session, and forget them; None where there are none."""
        one = self._waiting.get(key)
        if one is None or one.session != session:
            return None
        del self._waiting[key]
        return one.values if one.until >= time.monotonic() else None


_PENDING = Pending()


async def show(request: web.Request) -> web.Response:
    """Show the form."""
    return render(request, "import.html", preview=None, pending="")


async def act(request: web.Request) -> web.Response:
    """Show what an import would do, or do it."""
    button = text(request, "do")
    if button == "preview":
        return await _preview(request)
    if button == "import":
        return await _import(request)
    return unknown(request)


async def _preview(request: web.Request) -> web.Response:
    try:
        values = {
            "csv": _csv(request),
            "update": bool(text(request, "update")),
            "draw": bool(text(request, "draw")),
        }
        found = await do(request, "extension.import", preview=True, **values)
    except Forbidden:
        raise
    except UserError as error:
        refused(request, error)
        return redirect(request.path)
    pending = _PENDING.put(_session(request), values) if not found["bad_rows"] else ""
    return render(request, "import.html", preview=_view(found), pending=pending)


async def _import(request: web.Request) -> web.Response:
    values = _PENDING.take(_session(request), text(request, "pending"))
    if values is None:
        flash(request, "error", "That file waits no longer.", next="Choose it again.")
        return redirect(request.path)
    try:
        done = await do(request, "extension.import", preview=False, **values)
    except Forbidden:
        raise
    except UserError as error:
        refused(request, error)
        return redirect(request.path)
    words = f"{done['added']:,} added, {done['changed']:,} changed, {done['same']:,} as they were."
    pins = [{"label": f"PIN of {one['ext']}", "value": one["pin"]} for one in done["pins"]]
    flash(request, "done", words, secrets=pins)
    return redirect("/extensions")


def _csv(request: web.Request) -> str:
    """Return the rows: of the file, else of the text; raises UserError."""
    sent = form(request).get("file")
    if isinstance(sent, web.FileField):
        content = sent.file.read()
        if content:
            try:
                return content.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                line = content[: error.start].count(b"\n") + 1
                raise UserError(f"line {line} is not UTF-8", "save the file as CSV UTF-8") from None
    rows = text(request, "csv")
    if not rows.strip():
        raise UserError("there is nothing to import", "choose a file, or paste rows")
    return rows


def _session(request: web.Request) -> bytes:
    session = visit(request).session
    return b"" if session is None else session.hash


def _view(found: dict[str, Any]) -> dict[str, Any]:
    changes = [one for one in found["changes"] if one["what"] != "same"]
    count = found["added"] + found["changed"]
    bad = found["bad_rows"]
    rows = "row is bad" if bad == 1 else "rows are bad"
    return {
        "rows": count + found["same"] + bad,
        "added": found["added"],
        "changed": found["changed"],
        "same": found["same"],
        "bad_count": bad,
        "bad": found["bad"][:MAX_BAD],
        "bad_note": f"Nothing is imported: {bad:,} {rows}. Mend the file, and look at it again."
        if bad
        else "Nothing would change.",
        "changes": [{**one, "what": _WHAT.get(one["what"], one["what"])} for one in changes[:MAX_GOOD]],
        "more": len(changes) > MAX_GOOD or count > len(changes),
        "ready": not bad and count > 0,
        "button": f"Import {count:,} {'extension' if count == 1 else 'extensions'}",
    }
