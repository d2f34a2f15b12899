"""The audit trails of console and key server as one, with search."""

import json
from typing import Any

from aiohttp import web

from ringkey.console.pages.common import ROWS, ask, link
from ringkey.console.views import render

_OUTCOMES = {"done": ("good", "Done"), "refused": ("bad", "Refused"), "failed": ("bad", "Failed")}
# Characters of the values of a line: the rest is in the file.
_MOST = 300


async def show(request: web.Request) -> web.Response:
    """Show the latest lines that fit."""
    q, before = request.query.get("q", "").strip()[:100], request.query.get("before", "")[:40]
    found = await ask(request, "audit", search=q, before=before, limit=ROWS)
    older = link("/audit", {"q": q, "before": found["before"]}) if found.get("before") else None
    return render(
        request,
        "audit.html",
        q=q,
        rows=[_row(one) for one in found["lines"]],
        older=older,
        nothing="No line fits." if q else "Nothing is on record yet.",
    )


def _row(one: dict[str, Any]) -> dict[str, Any]:
    mood, outcome = _OUTCOMES.get(one["outcome"], ("plain", one["outcome"] or "Recorded"))
    values = one.get("values")
    shown = (
        ", ".join(f"{name}: {_value(value)}" for name, value in values.items())
        if isinstance(values, dict)
        else ""
    )
    return {
        "key": f"{one['log']}-{one['n']}",
        "at": one["t"],
        "author": one.get("author") or one["log"],
        "what": one["what"],
        "values": shown if len(shown) <= _MOST else shown[: _MOST - 1] + "…",
        "mood": mood,
        "outcome": outcome,
        "why": one.get("why") or "",
        "way": one.get("way") or one["log"],
        "source": one.get("source") or "",
    }


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
