"""Keys: generations and their check values, a rotation as it goes on, enrolment, issued and revoked keys."""

import asyncio
from typing import Any

from aiohttp import web

from ringkey.console.pages.common import ROWS, Secrets, ask, deed, link, offset, pages, text, unknown
from ringkey.console.pages.plot import Point, plot
from ringkey.console.views import render

_OVERLAPS = (("3600", "1 hour"), ("86400", "1 day"), ("604800", "1 week"), ("2592000", "30 days"))
# Seconds that a plot of points a second shows, and minutes from which on one of those is better.
_FINE, _ENOUGH = 600, 10
Drawn = tuple[str, list[Point]]
_DRAWN = "Nothing to draw yet: the plot begins with the next rotation."


async def show(request: web.Request) -> web.Response:
    """Show the keys of the site."""
    q, revoked = request.query.get("q", "").strip()[:100], request.query.get("revoked", "")
    revoked = "yes" if revoked == "yes" else ""
    generations, rotation, latest, enrolment, found = await asyncio.gather(
        ask(request, "generations"),
        ask(request, "rotation"),
        ask(request, "series", name="generations", seconds=_FINE),
        ask(request, "enrolment"),
        ask(
            request,
            "keys",
            search=q,
            revoked=revoked == "yes",
            limit=ROWS,
            offset=offset(request),
        ),
    )
    return render(
        request,
        "keys.html",
        generations=_generations(generations, rotation),
        rotation=_rotation(rotation, _lines(generations, rotation, latest)),
        enrolment=_enrolment(enrolment),
        overlaps=_OVERLAPS,
        q=q,
        revoked=revoked,
        rows=found["keys"],
        pages=pages(request, found["total"], len(found["keys"])),
        nothing="No key fits." if q or revoked else "No key was issued here yet.",
    )


async def act(request: web.Request) -> web.Response:
    """Do what the form says."""
    button = text(request, "do")
    if button == "open":
        phones = text(request, "phones").strip() or None
        return await deed(
            request,
            "/keys#enrolment",
            "The window is open.",
            "enrolment.open",
            minutes=text(request, "minutes"),
            phones=phones,
        )
    if button == "close":
        return await deed(request, "/keys#enrolment", "The window is closed.", "enrolment.close")
    if button == "rotate":
        return await deed(
            request, "/keys#rotation", _rotated, "seed.rotate", overlap=text(request, "overlap")
        )
    if button == "revoke":
        return await deed(
            request,
            link("/keys", {"q": request.query.get("q", "")[:100]}),
            "The key is revoked.",
            "key.revoke",
            by="g",
            value=text(request, "g"),
            reason=text(request, "reason"),
        )
    return unknown(request)


def _rotated(result: dict[str, Any]) -> tuple[str, Secrets]:
    words = result.get("words")
    said = f"Generation {result['generation']} has begun. Phones move to it by themselves."
    return said, [{"label": "The new seed, as 24 words", "value": words}] if words else []


def _generations(found: dict[str, Any], rotation: dict[str, Any]) -> list[dict[str, Any]]:
    counts = rotation["phones"]
    return [{**one, "phones": counts.get(str(one["number"]), 0)} for one in reversed(found["generations"])]


def _lines(generations: dict[str, Any], rotation: dict[str, Any], latest: dict[str, Any]) -> list[Drawn]:
    """Return what the plot shows: a point a minute, or one a second until there are enough of those."""
    found = rotation["lines"]
    if max((len(one["points"]) for one in found), default=0) < _ENOUGH:
        numbers = {one["cvm"]: one["number"] for one in generations["generations"]}
        found = [{**one, "name": numbers.get(one["name"], one["name"])} for one in latest["lines"]]
    # A generation without a phone has no point at a time at which another has one.
    known = {at for one in found for at, value in one["points"] if value is not None}
    lines = [
        (
            str(one["name"]),
            [(at, 0 if value is None and at in known else value) for at, value in one["points"]],
        )
        for one in found
    ]
    lines.sort(key=lambda line: (len(line[0]), line[0]), reverse=True)
    return [(f"Generation {name}", points) for name, points in lines]


def _rotation(rotation: dict[str, Any], lines: list[Drawn]) -> dict[str, Any]:
    total, current = rotation["registered"], rotation["generation"]
    moved = rotation["phones"].get(str(current), 0)
    if not rotation["running"]:
        state, mood, words = "None under way", "plain", "One generation is in force."
        if current is None:
            words = "No key server of this host answers."
    elif not total:
        state, mood, words = "Under way", "warn", f"Generation {current} has begun. No phone is registered."
    elif moved == total:
        state, mood = "All phones have moved", "good"
        words = f"All {total:,} registered phones have keys of generation {current}."
    else:
        state, mood = "Under way", "warn"
        words = f"{moved:,} of {total:,} registered phones have moved to generation {current}."
    return {
        "state": state,
        "mood": mood,
        "words": words,
        "until": rotation["until"],
        "total": total if rotation["running"] else 0,
        "percent": 100 * moved // total if total else 0,
        "plot": plot("plot-rotation", "Phones by generation of their key", "", lines, _DRAWN),
        "following": current + 1 if current is not None else 1,
    }


def _enrolment(found: dict[str, Any]) -> dict[str, Any]:
    policy, left = found["policy"], found["window"]["phones_left"]
    if policy == "open":
        return _shown(
            "Open to all",
            "warn",
            "Whoever knows the key server's address gets keys. Settings can change that.",
            offer=False,
        )
    if policy == "listed":
        words = f"Phones on the list get keys: {found['listed']:,} are on it."
    else:
        words = "New phones get no keys. Open a window when phones are to be set up."
    if found["open"] and found["until"] is not None:
        more = "" if left is None else f" {left:,} more may come."
        return {
            **_shown("Open", "warn", f"Phones may fetch their first keys.{more}"),
            "open": True,
            "until": found["until"],
        }
    return _shown("Closed", "good", words)


def _shown(state: str, mood: str, words: str, *, offer: bool = True) -> dict[str, Any]:
    """offer: a window would let somebody in whom the site's policy does not."""
    return {"open": False, "until": None, "state": state, "mood": mood, "words": words, "offer": offer}
