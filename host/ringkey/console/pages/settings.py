"""Settings that are safe to change while the servers run, and certificates."""

from typing import Any

from aiohttp import web

from ringkey.console.pages import filters
from ringkey.console.pages.common import Secrets, ask, deed, text, unknown
from ringkey.console.views import render

_STATES = {"ok": ("good", "In order"), "soon": ("warn", "Soon"), "urgent": ("bad", "Very soon")}
# Values of ringkey.toml that say little without it (site/keyserver_tables.py).
_CHOICES = {"open": "Everybody", "window": "While the window is open", "listed": "Phones on the list"}
_TITLES = {"keyserver": "Key server", "gatekeeper": "Gatekeeper", "console": "Console"}


async def show(request: web.Request) -> web.Response:
    """Show the settings."""
    found = await ask(request, "settings")
    certificates = await ask(request, "certificates")
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in found["settings"]:
        groups.setdefault(one["name"].partition(".")[0], []).append(_setting(one))
    return render(
        request,
        "settings.html",
        groups=[
            {"title": _TITLES.get(name, name), "settings": settings} for name, settings in groups.items()
        ],
        certificates=[_certificate(one) for one in certificates["certificates"]],
    )


async def act(request: web.Request) -> web.Response:
    """Set one, or renew a certificate."""
    button = text(request, "do")
    if button == "set":
        name = text(request, "name")
        value = text(request, "value").strip()
        return await deed(request, "/settings", _set, "setting.set", name=name, value=value)
    if button == "renew":
        which = text(request, "which")
        return await deed(
            request, "/settings#certificates", "The certificate is renewed.", "certificate.renew", which=which
        )
    return unknown(request)


def _set(result: dict[str, Any]) -> tuple[str, Secrets]:
    later = " It holds when its server is started again." if result["restart"] else ""
    return f"{result['name']} is {str(result['value']).lower()} now.{later}", []


def _certificate(one: dict[str, Any]) -> dict[str, Any]:
    ended = ("bad", "Of another root" if one["state"] == "unknown-root" else "Ended")
    mood, words = _STATES.get(one["state"], ended)
    end = filters.day(one["ends"])
    return {"what": one["file"], "names": ", ".join(one["names"]), "end": end, "mood": mood, "words": words}


def _setting(one: dict[str, Any]) -> dict[str, Any]:
    choices = (
        [("true", "Yes"), ("false", "No")]
        if one["kind"] == "flag"
        else [(c, _CHOICES.get(c, c)) for c in one["choices"]]
    )
    value = one["value"]
    return {
        **one,
        "key": one["name"].replace(".", "-"),
        "value": str(value).lower() if isinstance(value, bool) else "" if value is None else str(value),
        "choices": choices,
    }
