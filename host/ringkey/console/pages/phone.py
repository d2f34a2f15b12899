"""One phone: what it is, what happened to it, why it fails; log out, new keys, revocation."""

from typing import Any

from aiohttp import web

from ringkey.console.pages import filters
from ringkey.console.pages.common import ask, deed, text, unknown
from ringkey.console.views import render
from ringkey.errors import UserError

# Events of a time line (gatekeeper/news.py, administration/phones.py), as headings.
_EVENTS = {
    "key": "Keys",
    "request": "Discovery",
    "compared": "Check value",
    "confirmed": "Gatekeeper found",
    "refused": "Refused",
    "registered": "Registered",
    "ended": "Ended",
    "dropped": "Not answered",
    "channel-open": "Channel open",
    "channel-closed": "Channel closed",
}
# What there is to do about a failure, by what its words have in them (gatekeeper/reasons.py).
_ADVICE = (
    (
        "wrong PIN",
        "Have its user log out and enter extension and PIN again; if that fails too, set a new PIN.",
    ),
    ("not in the directory", "Add the extension, or enable it."),
    ("revoked", "Its user enters extension and PIN again; the phone then fetches new keys."),
    (
        "obsolete",
        "The phone fetches new keys by itself. If it does not, look whether it reaches the key server.",
    ),
    ("no key server", "Start the key server, or mend the way to it."),
    ("throttled", "It is heard again by itself after a while. Look who keeps trying its PIN."),
    ("too many failed", "It is heard again by itself after a while. Look who keeps trying its PIN."),
    ("plain H.323", "It is no phone of this site: take its gatekeeper's address out of it."),
)


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
        timeline=[_event(event) for event in reversed(one["timeline"])],
        advice=_advice(one["failure"]),
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


def _event(event: dict[str, Any]) -> dict[str, Any]:
    what = _EVENTS.get(event["what"], event["what"])
    return {**event, "what": what, "words": filters.sentence(event["words"])}


def _advice(failure: dict[str, Any] | None) -> str:
    words = "" if failure is None else failure["words"]
    return next((advice for part, advice in _ADVICE if part in words), "")


def _facts(one: dict[str, Any]) -> list[tuple[str, Any]]:
    generation = one["generation"]
    facts: list[tuple[str, Any]] = [
        (
            "Registered" if one["state"] == "registered" else "Not registered since",
            filters.when(one["since"], "Not known"),
        ),
        ("Address", one["address"] or "–"),
        ("Signalling channel", filters.sentence(one["channel"] or "none")),
        ("Generation of its key", "–" if generation is None else f"No. {generation}"),
        ("Check value", one["cvm"] or "–"),
        ("Serial", one["serial"] or "Not known"),
        ("Software", one["software"] or "Not known"),
    ]
    if one["suite"]:
        facts.insert(3, ("Suite", one["suite"]))
    if one["expires"]:
        facts.insert(1, ("Must renew", filters.when(one["expires"])))
    return facts
