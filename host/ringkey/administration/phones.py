"""Phones: which are registered, why not, what became of each lately; log out, fetch new keys."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringkey.administration import extensions, register
from ringkey.administration.extensions import EXT, PAGE, SEARCH
from ringkey.administration.roles import Author, Role
from ringkey.administration.table import (
    FLAG,
    INTEGER,
    SECONDS,
    TEXT,
    Action,
    Parameter,
    Query,
    listing,
    maybe,
    thing,
)
from ringkey.errors import UserError

if TYPE_CHECKING:
    from ringkey.administration.site import Administration
    from ringkey.gatekeeper.directory import Entry

# What a phone is, in the order of what a person wants to see first.
STATES = ("failing", "absent", "registered", "disabled")
ORDERS = ("ext", "-ext", "label", "-label", "state", "-state", "since", "-since", "address", "-address")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What several servers know of one phone; numbers: generation of each check value."""

    registered: Row | None
    failing: Row | None
    key: Row | None
    numbers: dict[str, int]


async def phones(
    admin: "Administration", _author: Author, *, search: str, state: str, order: str, limit: int, offset: int
) -> Any:
    entries = await admin.entries()
    registered, failing = await held(admin)
    counts = dict.fromkeys(STATES, 0)
    found: list[tuple[Entry, str]] = []
    wanted = search.casefold()
    for entry in entries:
        now = state_of(entry, registered, failing)
        counts[now] += 1
        if state in ("all", now) and (not wanted or _has(entry, registered, wanted)):
            found.append((entry, now))
    found.sort(key=_order(order.removeprefix("-"), registered), reverse=order.startswith("-"))
    page = found[offset : offset + limit]
    keys = await register.latest(admin, [entry.ext for entry, _ in page])
    numbers = await register.numbers(admin)
    rows = [
        _row(
            entry, now, Found(registered.get(entry.ext), failing.get(entry.ext), keys.get(entry.ext), numbers)
        )
        for entry, now in page
    ]
    return {"total": len(found), "counts": counts, "followed": admin.live.following, "phones": rows}


async def phone(admin: "Administration", author: Author, *, ext: str) -> Any:
    entry = next((one for one in await admin.entries() if one.ext == ext), None)
    if entry is None:
        await extensions.extension(admin, author, ext=ext)  # which says that there is none
        raise UserError(f"extension {ext} was just added; ask again", f"ringkey phone show {ext}")
    answer = await admin.control("gatekeeper", "phone", ext=ext)
    one = answer or {"registered": None, "failing": None, "timeline": []}
    registered = {} if one["registered"] is None else {ext: one["registered"]}
    denied = await admin.control("keyserver", "denied", ext=ext)
    refused = [] if denied is None else denied["denied"]
    failing = {} if one["failing"] is None else {ext: one["failing"]}
    failing = _later(failing, {row["ext"]: row for row in refused})
    issued = await register.of_extension(admin, ext)
    numbers = await register.numbers(admin)
    found = Found(one["registered"], failing.get(ext), issued[0] if issued else None, numbers)
    row = _row(entry, state_of(entry, registered, failing), found)
    timeline = sorted(
        [*one["timeline"], *map(_fetched, issued), *map(_refused, refused)], key=lambda line: line["at"]
    )
    ended = [line["at"] for line in one["timeline"] if line["what"] == "ended"]
    if one["registered"] is None and ended:
        row["since"] = ended[-1]
    return {
        **row,
        "enabled": entry.enabled,
        "gatekeeper": answer is not None,
        "suite": None if one["registered"] is None else one["registered"]["suite"],
        "g": None if one["registered"] is None else one["registered"]["g"],
        "expires": None
        if one["registered"] is None
        else round(time.time()) + one["registered"]["expires_in"],
        "timeline": timeline,
    }


async def registrations(admin: "Administration", _author: Author) -> Any:
    answer = await admin.control("gatekeeper", "registrations")
    rows = [] if answer is None else answer["registrations"]
    return {"running": answer is not None, "registrations": rows}


async def log_out(admin: "Administration", _author: Author, *, ext: str) -> Any:
    if not await extensions.end(admin, ext):
        raise _not_registered(ext)
    return {"ext": ext}


async def refresh(admin: "Administration", _author: Author, *, ext: str) -> Any:
    answer = await admin.control("gatekeeper", "refresh", ext=ext)
    if answer is None or not answer["asked"]:
        raise _not_registered(ext)
    return {"ext": ext, "within": answer["within"]}


async def held(admin: "Administration") -> tuple[dict[str, Row], dict[str, Row]]:
    """Return (registrations, failures) by extension: what `live` has, else what the gatekeeper says now."""
    if admin.live.following:
        return admin.live.registrations, _later(admin.live.failing, admin.live.denied)
    answer = await admin.control("gatekeeper", "registrations", failing=True)
    registered = {} if answer is None else {one["ext"]: one for one in answer["registrations"]}
    failing = {} if answer is None else {one["ext"]: one for one in answer["failing"]}
    answer = await admin.control("keyserver", "denied")
    denied = {} if answer is None else {one["ext"]: one for one in answer["denied"]}
    return registered, _later(failing, denied)


def _later(failing: dict[str, Row], denied: dict[str, Row]) -> dict[str, Row]:
    """Return each extension's last failure: at the gatekeeper, or that it got no keys."""
    found = dict(failing)
    for ext, one in denied.items():
        if ext not in found or found[ext]["at"] < one["at"]:
            found[ext] = one
    return found


def state_of(entry: "Entry", registered: dict[str, Row], failing: dict[str, Row]) -> str:
    """Return which of STATES a phone is in; one that was thrown out and fails to come back is failing."""
    if not entry.enabled:
        return "disabled"
    if entry.ext in registered:
        return "registered"
    return "failing" if entry.ext in failing else "absent"


def count(entries: "Iterable[Entry]", registered: dict[str, Row], failing: dict[str, Row]) -> dict[str, int]:
    """Return how many phones are in each state."""
    counts = dict.fromkeys(STATES, 0)
    for entry in entries:
        counts[state_of(entry, registered, failing)] += 1
    return counts


def failure(one: Row | None) -> Row | None:
    """Return the last failure as results have it."""
    if one is None:
        return None
    return {name: one[name] for name in ("step", "reason", "words", "source", "count", "at")}


def _row(entry: "Entry", state: str, found: Found) -> Row:
    one, key = found.registered or {}, found.key
    cvm = one.get("cvm")
    return {
        "ext": entry.ext,
        "label": entry.label,
        "state": state,
        "since": one.get("since"),
        "address": one.get("source"),
        "serial": None if key is None else key["serial"],
        "cvm": cvm,
        "generation": found.numbers.get(cvm) if cvm is not None else None,
        "channel": one.get("channel"),
        "software": one.get("software"),
        "failure": failure(found.failing),
    }


def _fetched(key: Row) -> Row:
    serial = "" if key["serial"] is None else f", serial {key['serial']}"
    words = (
        f"keys fetched from {key['source'] or 'an unknown address'}: generation {key['generation']}{serial}"
    )
    if key["revoked"] is not None:
        return {"at": key["issued"], "what": "key", "words": f"{words}; revoked since", "mood": "bad"}
    return {"at": key["issued"], "what": "key", "words": words, "mood": "plain"}


def _refused(one: Row) -> Row:
    times = "" if one["count"] == 1 else f", {one['count']} times"
    return {"at": one["at"], "what": "key-refused", "words": f"{one['words']}{times}", "mood": "bad"}


def _has(entry: "Entry", registered: dict[str, Row], wanted: str) -> bool:
    if wanted in entry.ext or wanted in entry.label.casefold():
        return True
    one = registered.get(entry.ext)
    return one is not None and one["source"].startswith(wanted)


def _order(by: str, registered: dict[str, Row]) -> "Callable[[tuple[Entry, str]], Any]":
    def of(name: str, missing: object) -> Callable[[tuple["Entry", str]], Any]:
        return lambda one: (registered.get(one[0].ext, {}).get(name, missing), len(one[0].ext), one[0].ext)

    keys: dict[str, Callable[[tuple[Entry, str]], Any]] = {
        "ext": lambda one: (len(one[0].ext), one[0].ext),
        "label": lambda one: (one[0].label.casefold(), len(one[0].ext), one[0].ext),
        "state": lambda one: (STATES.index(one[1]), len(one[0].ext), one[0].ext),
        "since": of("since", 0),
        "address": of("source", ""),
    }
    return keys[by]


def _not_registered(ext: str) -> UserError:
    return UserError(
        f"no phone is registered as {ext} at a gatekeeper that runs here", f"ringkey phone show {ext}"
    )


_FAILURE = thing(
    {"step": TEXT, "reason": TEXT, "words": TEXT, "source": TEXT, "count": INTEGER, "at": SECONDS}
)
_ROW: dict[str, dict[str, object]] = {
    "ext": TEXT,
    "label": TEXT,
    "state": {"type": "string", "enum": list(STATES)},
    "since": maybe(SECONDS),
    "address": maybe(TEXT),
    "serial": maybe(TEXT),
    "cvm": maybe(TEXT),
    "generation": maybe(INTEGER),
    "channel": maybe(TEXT),
    "software": maybe(TEXT),
    "failure": maybe(_FAILURE),
}
_LINE = thing({"at": SECONDS, "what": TEXT, "words": TEXT, "mood": {"enum": ["plain", "good", "bad"]}})

_REGISTRATION = thing(
    {
        "ext": TEXT,
        "source": TEXT,
        "suite": TEXT,
        "cvm": TEXT,
        "g": TEXT,
        "seconds": INTEGER,
        "since": SECONDS,
        "expires_in": INTEGER,
        "channel": maybe(TEXT),
        "software": maybe(TEXT),
    }
)

QUERIES = (
    Query(
        "registrations",
        Role.VIEWER,
        "The registrations, as the gatekeeper that runs here has them",
        ("extension", "list"),
        registrations,
        (),
        thing({"running": FLAG, "registrations": listing(_REGISTRATION)}),
    ),
    Query(
        "phones",
        Role.VIEWER,
        "The phones, and which are registered",
        ("phone", "list"),
        phones,
        (
            SEARCH,
            Parameter(
                "state", "choice", "only those", required=False, choices=("all", *STATES), default="all"
            ),
            Parameter(
                "order", "choice", "what they are sorted by", required=False, choices=ORDERS, default="ext"
            ),
            *PAGE,
        ),
        thing(
            {
                "total": INTEGER,
                "counts": thing(dict.fromkeys(STATES, INTEGER)),
                "followed": FLAG,
                "phones": listing(thing(_ROW)),
            }
        ),
    ),
    Query(
        "phone",
        Role.VIEWER,
        "One phone, and what became of it lately",
        ("phone", "show"),
        phone,
        (EXT,),
        thing(
            {
                **_ROW,
                "enabled": FLAG,
                "gatekeeper": FLAG,
                "suite": maybe(TEXT),
                "g": maybe(TEXT),
                "expires": maybe(SECONDS),
                "timeline": listing(_LINE),
            }
        ),
    ),
)

ACTIONS = (
    Action(
        "phone.logout",
        Role.OPERATOR,
        "End a phone's registration; its user logs in again",
        ("phone", "logout"),
        log_out,
        (EXT,),
        thing({"ext": TEXT}),
    ),
    Action(
        "phone.refresh",
        Role.OPERATOR,
        "Have a phone fetch new keys: it registers anew, with others",
        ("phone", "refresh"),
        refresh,
        (EXT,),
        thing({"ext": TEXT, "within": INTEGER}),
    ),
)
