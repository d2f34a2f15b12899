"""Extensions: search, add, change, remove; a drawn PIN is shown once.  And the export."""

from typing import Any

from aiohttp import web

from ringkey.console.pages.common import (
    ROWS,
    Secrets,
    ask,
    deed,
    do,
    link,
    offset,
    pages,
    refused,
    text,
    unknown,
)
from ringkey.console.views import flash, redirect, render
from ringkey.errors import UserError

# Buttons without values of their own: what is said, and the action.
_PLAIN = {
    "enable": ("{} may register again", "extension.enable"),
    "disable": ("{} may register no more", "extension.disable"),
    "remove": ("{} is removed", "extension.remove"),
}


async def show(request: web.Request) -> web.Response:
    """Show a page of the list, and the form of the one that is being changed."""
    q = request.query.get("q", "").strip()[:100]
    found = await ask(request, "extensions", search=q, limit=ROWS, offset=offset(request))
    edit = None
    if wanted := request.query.get("edit", "")[:64]:
        try:
            edit = await ask(request, "extension", ext=wanted)
        except UserError:
            edit = None  # it was removed: the list says so
    begin = str(offset(request) or "")
    here = link("", {"q": q, "from": begin}).removeprefix("?")
    return render(
        request,
        "extensions.html",
        q=q,
        rows=found["extensions"],
        pages=pages(request, found["total"], len(found["extensions"])),
        edit=edit,
        here=f"{here}&" if here else "",
        adding=not found["total"] and not q,
        typed={"ext": request.query.get("ext", "")[:64], "label": request.query.get("label", "")[:80]},
        nothing="No extension fits." if q else "There is no extension yet: add one, or import a list.",
    )


async def act(request: web.Request) -> web.Response:
    """Do what the form says."""
    button, ext, pin = text(request, "do"), text(request, "ext").strip(), text(request, "pin").strip()
    back = link("/extensions", _here(text(request, "back")))
    if button == "add":
        label = text(request, "label").strip()
        try:
            result = await do(request, "extension.add", ext=ext, label=label, **_pin(pin))
        except UserError as error:
            refused(request, error)
            return redirect(link("/extensions", {"ext": ext, "label": label}) + "#add")
        flash(request, "done", f"Extension {ext} is added.", secrets=_drawn(result))
        return redirect(back)
    if button == "label":
        label = text(request, "label").strip()
        return await deed(
            request, back, f"The label of {ext} is changed.", "extension.label", ext=ext, label=label
        )
    if button == "pin":
        return await deed(
            request,
            back,
            lambda result: (f"Extension {ext} has a new PIN.", _drawn(result)),
            "extension.pin",
            ext=ext,
            **_pin(pin),
        )
    if button in _PLAIN:
        said, name = _PLAIN[button]
        return await deed(request, back, said.format(f"Extension {ext}") + ".", name, ext=ext)
    return unknown(request)


async def export(request: web.Request) -> web.Response:
    """Give all extensions as a CSV, without PINs."""
    found = await ask(request, "extension.export")
    return web.Response(
        text=found["csv"],
        content_type="text/csv",
        charset="utf-8",
        headers={"Content-Disposition": 'attachment; filename="extensions.csv"'},
    )


def _pin(pin: str) -> dict[str, Any]:
    return {"pin": pin} if pin else {"draw": True}


def _drawn(result: dict[str, Any]) -> Secrets:
    return [{"label": f"PIN of {result['ext']}", "value": result["pin"]}] if result.get("pin") else []


def _here(back: str) -> dict[str, str]:
    """Return the place in the list that a form came from; nothing but that goes into a redirect."""
    found = dict(part.split("=", 1) for part in back.split("&") if "=" in part)
    from urllib.parse import unquote_plus

    return {name: unquote_plus(value)[:100] for name, value in found.items() if name in ("q", "from")}
