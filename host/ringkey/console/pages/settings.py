"""Settings that are safe to change while the servers run, and certificates."""

from typing import Any

from aiohttp import web

from ringkey.console.pages.common import ask, deed, text, unknown
from ringkey.console.pages.overview import ending
from ringkey.console.views import render

_TITLES = {"keyserver": "Key server", "gatekeeper": "Gatekeeper", "console": "Console"}


async def show(request: web.Request) -> web.Response:
    """Show the settings."""
    found = await ask(request, "settings")
    overview = await ask(request, "overview")
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in found["settings"]:
        groups.setdefault(one["name"].partition(".")[0], []).append(_setting(one))
    return render(
        request,
        "settings.html",
        groups=[
            {"title": _TITLES.get(name, name), "settings": settings} for name, settings in groups.items()
        ],
        certificates=[ending(one) for one in overview["ends"]],
        renewable=[
            (one["name"], _TITLES.get(one["name"], one["name"]).lower() + "'s")
            for one in overview["servers"]
            if one["here"]
        ],
    )


async def act(request: web.Request) -> web.Response:
    """Set one, or renew a certificate."""
    button = text(request, "do")
    if button == "set":
        name = text(request, "name")
        return await deed(
            request,
            "/settings",
            f"{name} is set.",
            "setting.set",
            name=name,
            value=text(request, "value").strip(),
        )
    if button == "renew":
        which = text(request, "which")
        return await deed(
            request, "/settings#certificates", "The certificate is renewed.", "certificate.renew", which=which
        )
    return unknown(request)


def _setting(one: dict[str, Any]) -> dict[str, Any]:
    choices = (
        [("true", "Yes"), ("false", "No")] if one["kind"] == "flag" else [(c, c) for c in one["choices"]]
    )
    value = one["value"]
    shown = str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
    return {
        "name": one["name"],
        "key": one["name"].replace(".", "-"),
        "title": one["title"],
        "help": one.get("help", ""),
        "value": shown,
        "choices": choices,
        "number": one["kind"] == "integer",
        "settable": True,
    }
