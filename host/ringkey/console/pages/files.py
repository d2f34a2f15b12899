"""Files of the file service: what phones fetch besides keys."""

from posixpath import basename
from typing import Any

from aiohttp import web

from ringkey.console.pages.common import ask, deed, link, refused, text, unknown
from ringkey.console.views import redirect, render
from ringkey.console.visits import form
from ringkey.errors import UserError

# What the folders are that every site has (administration/files.py).
_ABOUT = {
    "files": "Firmware, sounds: the same for each phone.",
    "settings": "Templates, filled in for each phone.",
}


async def show(request: web.Request) -> web.Response:
    """Show a folder."""
    folder = request.query.get("path", "").strip("/")[:500]
    nothing = "This folder is empty."
    try:
        found = await ask(request, "files", path=folder)
    except UserError as error:
        found, nothing = {"path": folder, "entries": [], "more": False}, error.what
    return render(
        request,
        "files.html",
        folder=folder,
        crumbs=_crumbs(folder),
        entries=[_entry(folder, one) for one in found["entries"]],
        nothing=nothing,
        more=found["more"],
    )


async def act(request: web.Request) -> web.Response:
    """Put or remove a file."""
    button, folder = text(request, "do"), text(request, "back").strip("/")
    back = link("/files", {"path": folder})
    if button == "remove":
        path = text(request, "path")
        return await deed(request, back, f"{path} is removed.", "file.remove", path=path)
    if button == "put":
        sent = form(request).get("file")
        if not isinstance(sent, web.FileField) or not (text(request, "name").strip() or sent.filename):
            refused(request, UserError("no file was chosen", "choose one"))
            return redirect(back)
        # Some browsers send a path of the user's machine; only its last part is meant.
        name = text(request, "name").strip() or basename(sent.filename.replace("\\", "/"))
        path = f"{folder}/{name}" if folder else name
        content = sent.file.read()
        return await deed(
            request,
            back,
            f"{path} is there, {len(content):,} octets.",
            "file.put",
            path=path,
            content=content,
            replace=bool(text(request, "replace")),
        )
    return unknown(request)


def _crumbs(folder: str) -> list[dict[str, str]]:
    found = [{"name": "All files", "href": "/files"}]
    parts = folder.split("/") if folder else []
    for i, part in enumerate(parts):
        found.append({"name": part, "href": link("/files", {"path": "/".join(parts[: i + 1])})})
    return found


def _entry(folder: str, one: dict[str, Any]) -> dict[str, Any]:
    path = f"{folder}/{one['name']}" if folder else one["name"]
    inside = one["kind"] == "folder"
    return {
        **one,
        "about": "" if folder else _ABOUT.get(one["name"], ""),
        "path": path,
        "removable": bool(folder),
        "href": link("/files", {"path": path}) if inside else None,
    }
