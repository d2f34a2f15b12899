"""One phone: what it is, what happened to it, why it fails; log out, new keys, revocation."""

from typing import Any

from aiohttp import web

from ringkey.console.pages import filters
from ringkey.console.pages.common import ask, deed, text, unknown
from ringkey.console.views import render
from ringkey.errors import UserError


async def show(request: web.Request) -> web.Response:
    """Show the phone of an extension."""
    ext = request.match_info["ext"][:64]
    try:
        one = await ask(request, "phone", ext=ext)
    except UserError as error:
        return render(
            request,
            "error.html",
            status=404,
            title="No such phone",
            what=error.what,
            next_step=error.next_step,
        )
    return render(
        request,
        "phone.html",
        one={**one, "registered": one["state"] == "registered"},
        facts=_facts(one),
        timeline=one["timeline"],
    )


async def act(request: web.Request) -> web.Response:
    """Do what the form says."""
    ext = request.match_info["ext"][:64]
    button = text(request, "do")
    if button == "logout":
        return await deed(request, request.path, f"{ext} is logged out", "phone.logout", ext=ext)
    if button == "refresh":
        return await deed(request, request.path, f"{ext} is told to fetch new keys", "phone.refresh", ext=ext)
    if button == "revoke":

        def said(result: dict[str, Any]) -> tuple[str, list[dict[str, str]]]:
            number = result.get("keys", 0)
            return f"{number} {'key' if number == 1 else 'keys'} of {ext} revoked", []

        reason = text(request, "reason")
        return await deed(request, request.path, said, "key.revoke", by="ext", value=ext, reason=reason)
    return unknown(request)


def _facts(one: dict[str, Any]) -> list[tuple[str, Any]]:
    generation = one.get("generation")
    facts: list[tuple[str, Any]] = [
        ("Registered" if one["state"] == "registered" else "Since", filters.when(one["since"], "not known")),
        ("Address", one.get("address") or "–"),
        ("Signalling channel", one.get("channel") or "none"),
        ("Generation of its key", "–" if generation is None else f"No. {generation}"),
        ("Check value", filters.grouped(one.get("cvm"))),
        ("Firmware", one.get("version") or "not known"),
        ("Serial", one.get("serial") or "not known"),
    ]
    return facts
