"""The overview: are the servers well, do check values agree, who is registered, what fails, what runs out."""

import asyncio
from typing import Any

from aiohttp import web
from markupsafe import Markup

from ringkey.console.pages import filters
from ringkey.console.pages.common import ask
from ringkey.console.pages.plot import Plot, plot
from ringkey.console.views import render

# Failing phones named here; all of them are a click away.
_FAILING = 8
# Seconds that the plots show: what just happened is what somebody comes here for.
_SECONDS = 600
_NAMES = {"keyserver": "Key server", "gatekeeper": "Gatekeeper"}
_OUTCOMES = ("registered", "refused", "dropped")
# What a line is called, in the words of the phone's page.
_CALLED = {"dropped": "not answered", "GRQ to GCF": "discovery (GRQ)", "RRQ to RCF": "registration (RRQ)"}
_WAITING = "Nothing to draw yet: the plot fills as the gatekeeper runs."


async def show(request: web.Request) -> web.Response:
    """Show the overview."""
    found, *series = await asyncio.gather(
        ask(request, "overview"),
        *(
            ask(request, "series", name=name, seconds=_SECONDS)
            for name in ("registered", "outcomes", "latency")
        ),
    )
    servers = [_server(one) for one in found["servers"]]
    check = _check(found["check_values"])
    phones = found["phones"]
    ends = [ending(one) for one in found["ends"]]
    ends.append(_disk(found["disk"]))
    return render(
        request,
        "overview.html",
        verdict=_verdict(servers, check, ends, phones),
        tiles=[
            _tile(
                "registered", phones["registered"], "phones registered", "/phones?state=registered", "good"
            ),
            _tile(
                "failing",
                phones["failing"],
                "failing",
                "/phones?state=failing",
                "bad" if phones["failing"] else "good",
            ),
            _tile("absent", phones["absent"], "not registered", "/phones?state=absent", "plain"),
            _tile("extensions", phones["extensions"], "extensions", "/extensions", "plain"),
        ],
        failing=found["failing"][:_FAILING],
        servers=servers,
        check=check,
        ends=ends,
        plots=dict(zip(("registered", "outcomes", "latency"), map(_plot, series), strict=True)),
    )


def ending(one: dict[str, Any]) -> dict[str, str]:
    """Return something that runs out as a list shows it; one: what, at (seconds since 1970), level."""
    words = {"ok": "In order", "soon": "Soon", "ended": "Ended"}[one["level"]]
    mood = {"ok": "good", "soon": "warn", "ended": "bad"}[one["level"]]
    return {
        "what": filters.sentence(one["what"]),
        "about": Markup("{} {}").format(
            "Ended" if one["level"] == "ended" else "Ends", filters.when(one["at"])
        ),
        "mood": mood,
        "words": words,
    }


def _verdict(
    servers: list[dict[str, Any]], check: dict[str, Any], ends: list[dict[str, str]], phones: dict[str, int]
) -> dict[str, str]:
    bad = [one for one in servers if one["mood"] == "bad"]
    if bad:
        who = " and ".join(one["title"].lower() for one in bad)
        return {"mood": "bad", "words": f"Needs you: {who}"}
    if check["mood"] == "bad":
        return {"mood": "bad", "words": "Needs you: check values differ"}
    if any(one["mood"] == "bad" for one in ends):
        return {"mood": "bad", "words": "Needs you: something has run out"}
    if phones["failing"]:
        number = phones["failing"]
        return {"mood": "warn", "words": f"{number:,} {'phone fails' if number == 1 else 'phones fail'}"}
    if any(one["mood"] == "warn" for one in (*servers, *ends)):
        return {"mood": "warn", "words": "Well, but something runs out soon"}
    return {"mood": "good", "words": "All is well"}


def _tile(key: str, figure: int, what: str, href: str, mood: str) -> dict[str, object]:
    return {"key": key, "figure": figure, "what": what, "href": href, "mood": mood}


def _server(one: dict[str, Any]) -> dict[str, Any]:
    mood, words = ("good", "Running") if one["ready"] else ("bad", "Not ready")
    about: str = "Answers"
    if not one["running"]:
        mood, words, about = "bad", "Not running", "Not on this host, or stopped"
    elif one["since"] is not None:
        about = Markup("Started {}").format(filters.when(one["since"]))
    return {
        "name": one["name"],
        "title": _NAMES.get(one["name"], one["name"]),
        "mood": mood,
        "words": words,
        "about": about,
        "problems": one["problems"],
    }


def _check(found: dict[str, Any]) -> dict[str, Any]:
    agree = found["agree"]
    mood, words, note = {
        True: ("good", "Agree", "Both servers work with the same seed."),
        False: (
            "bad",
            "Differ",
            "The gatekeeper refuses keys that this key server issues: one of them has another seed.",
        ),
        None: ("plain", "Not known", "One of the two is not on this host, or does not run."),
    }[agree]
    rows = [("Key server", found["keyserver"]), ("Gatekeeper", found["gatekeeper"])]
    return {"mood": mood, "words": words, "note": note, "rows": rows}


def _disk(disk: dict[str, Any]) -> dict[str, str]:
    mood, words = ("good", "In order") if disk["level"] == "ok" else ("bad", "Nearly full")
    about = f"{filters.size(disk['free'])} of {filters.size(disk['total'])} free"
    return {"what": "Disk", "about": about, "mood": mood, "words": words}


def _plot(series: dict[str, Any]) -> Plot:
    name = series["name"]
    if name == "latency":
        # The slowest of a hundred is what a user waits for; medians would only fill the plot.
        lines = [
            (_CALLED.get(name := one["name"].partition(",")[0], name), one["points"])
            for one in series["lines"]
            if "p99" in one["name"]
        ]
        return plot("plot-latency", "Time to answer: 99 of 100 are faster", " ms", lines, _WAITING)
    lines = [(one["name"], one["points"]) for one in series["lines"]]
    if name == "outcomes":
        lines.sort(key=lambda one: _OUTCOMES.index(one[0]) if one[0] in _OUTCOMES else len(_OUTCOMES))
        lines = [(_CALLED.get(one, one), points) for one, points in lines]
        return plot("plot-outcomes", "Registrations and failures", "/s", lines, _WAITING)
    return plot("plot-registered", "Registered phones", "", lines, _WAITING)
