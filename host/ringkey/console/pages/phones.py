"""The list of phones: search, state, order; it moves by itself where there is JavaScript."""

from typing import Any

from aiohttp import web

from ringkey.console.pages.common import ROWS, ask, link, offset, pages
from ringkey.console.views import render

_STATES = (
    ("", "All"),
    ("registered", "Registered"),
    ("failing", "Failing"),
    ("absent", "Not registered"),
    ("disabled", "Disabled"),
)
_ORDERS = (("ext", "Extension"), ("-since", "Latest first"), ("state", "State"), ("label", "Label"))


async def show(request: web.Request) -> web.Response:
    """Show a page of the list."""
    q = request.query.get("q", "").strip()[:100]
    state, order = request.query.get("state", ""), request.query.get("order", "ext")
    state = state if state in dict(_STATES) else ""
    order = order if order in dict(_ORDERS) else "ext"
    found = await ask(
        request, "phones", search=q, state=state or "all", order=order, limit=ROWS, offset=offset(request)
    )
    counts = {**found["counts"], "": sum(found["counts"].values())}
    chips = [
        {
            "words": words,
            "count": counts.get(name, 0),
            "here": name == state,
            "href": link("/phones", {"q": q, "state": name, "order": "" if order == "ext" else order}),
        }
        for name, words in _STATES
    ]
    return render(
        request,
        "phones.html",
        q=q,
        state=state,
        order=order,
        orders=_ORDERS,
        chips=chips,
        rows=[row(one) for one in found["phones"]],
        pages=pages(request, found["total"], len(found["phones"])),
        nothing="No phone fits this search." if q or state else "There is no extension yet.",
    )


def row(one: dict[str, Any]) -> dict[str, Any]:
    """Return a phone as the list shows it."""
    generation = one["generation"]
    return {**one, "key": one["cvm"] or "–" if generation is None else f"No. {generation}"}
