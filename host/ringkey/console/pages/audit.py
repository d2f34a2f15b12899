"""The audit trails of console and key server as one, with search."""

from typing import Any

from aiohttp import web

from ringkey.administration import catalogue
from ringkey.console.pages.common import ROWS, ask, link
from ringkey.console.views import render

_OUTCOMES = {
    "done": ("good", "Done"),
    "refused": ("bad", "Refused"),
    "failed": ("bad", "Failed"),
    "asked": ("warn", "Not ended"),  # it was on record before it was done, and what came of it is not
}
_SHOWN = (("admin", "What people did"), ("keyserver", "What the key server gave out"), ("all", "Everything"))
_LOGS = {"keyserver": "Key server", "admin": "Administration"}
# Characters of the rest of a line: all of it is in the file.
_MOST = 300


async def show(request: web.Request) -> web.Response:
    """Show the latest lines that fit."""
    q, before = request.query.get("q", "").strip()[:100], request.query.get("before", "")[:40]
    log = request.query.get("log", "admin")
    log = log if log in dict(_SHOWN) else "admin"
    found = await ask(request, "audit", search=q, log=log, before=before, limit=ROWS)
    older = link("/audit", {"q": q, "log": log, "before": found["before"]}) if found.get("before") else None
    return render(
        request,
        "audit.html",
        q=q,
        log=log,
        shown=_SHOWN,
        rows=[_row(one) for one in found["lines"]],
        older=older,
        nothing="No line fits." if q else "Nothing is on record yet.",
    )


def _row(one: dict[str, Any]) -> dict[str, Any]:
    mood, outcome = _OUTCOMES.get(one["outcome"], ("plain", ""))
    rest = one["text"].removeprefix("values ")
    action = catalogue.actions().get(one["action"])
    return {
        "key": f"{one['log']}-{one['n']}",
        "at": one["at"],
        "author": one["author"] or _LOGS[one["log"]],
        "role": one["role"] or "",
        "action": one["action"],
        "title": "" if action is None else action.title,
        "rest": rest if len(rest) <= _MOST else rest[: _MOST - 1] + "…",
        "mood": mood,
        "outcome": outcome,
        "way": one["way"] or _LOGS[one["log"]].lower(),
        "source": "this machine" if one["source"] == "here" else one["source"] or "",
    }
