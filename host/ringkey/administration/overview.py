"""What a person wants to know at a glance: are the servers well, who is there, what fails, what runs out."""

import asyncio
import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from ringkey.administration import certificates, phones
from ringkey.administration.roles import Author, Role
from ringkey.administration.series import MINUTES, NAMES
from ringkey.administration.table import (
    FLAG,
    INTEGER,
    NUMBER,
    SECONDS,
    TEXT,
    Action,
    Parameter,
    Query,
    Schema,
    listing,
    maybe,
    thing,
)
from ringkey.errors import UserError
from ringkey.site import runtime

if TYPE_CHECKING:
    from ringkey.administration.site import Administration

SERVERS = ("keyserver", "gatekeeper")
# Failing phones named one by one: what fits a screen; `phones` has all of them.
MAX_FAILING = 10
# Octets free below which a person should look: a day of a busy site's trail, and room to act.
LOW_DISK = 256 << 20
# Seconds before the end of something from which on it is "soon".
SOON = 14 * 86400

Row = dict[str, Any]


async def overview(admin: "Administration", _author: Author) -> Any:
    config = admin.config
    said = await _said(admin)
    figures = admin.live.figures or await admin.control("gatekeeper", "figures") or {}
    registered, failing = await phones.held(admin)
    entries = await admin.entries() if config.gatekeeper is not None else ()
    counts = phones.count(entries, registered, failing)
    labels = {entry.ext: entry.label for entry in entries}
    disk, ends = await admin.off_loop(lambda: (_disk(admin), _certificates(admin)))
    values = _check_values(said, figures)
    rotation = await _rotation(admin, said)
    if rotation is not None:
        ends.append({"what": "overlap of the generations of keys", "at": rotation["until"], "level": "soon"})
    late = sorted(failing.values(), key=lambda one: -float(one["at"]))
    return {
        "servers": [
            _server(admin, name, said[name], figures, values)
            for name in SERVERS
            if getattr(config, name) is not None
        ],
        "check_values": values,
        "phones": {"extensions": len(entries), **counts},
        "failing": [
            {
                "ext": one["ext"],
                "label": labels.get(one["ext"]),
                "step": one["step"],
                "words": one["words"],
                "count": one["count"],
                "at": one["at"],
            }
            for one in late[:MAX_FAILING]
        ],
        "reasons": [
            {"step": step, "words": words, "phones": number}
            for (step, words), number in Counter((one["step"], one["words"]) for one in late).most_common()
        ],
        "ends": sorted(ends, key=lambda one: float(one["at"])),
        "disk": disk,
        "enrolment": await _enrolment(admin),
        "rotation": rotation,
    }


async def series(admin: "Administration", _author: Author, *, name: str, seconds: int) -> Any:
    return admin.live.series.lines(name, seconds)


async def _said(admin: "Administration") -> dict[str, Row | None]:
    if admin.live.running:
        return dict(admin.live.said)
    run = admin.site.run
    if not run.is_dir():
        return dict.fromkeys(SERVERS)
    return {name: await asyncio.to_thread(runtime.ask, run, name) for name in SERVERS}


def _server(admin: "Administration", name: str, said: Row | None, figures: Row, values: Row) -> Row:
    status = (said or {}).get("status") or {}
    problems = []
    if said is None:
        problems.append(_problem("it does not run here", f"ringkey {name} serve"))
    elif name == "keyserver":
        if status.get("trouble"):
            problems.append(_problem(str(status["trouble"]), "ringkey status"))
    else:
        server = figures.get("key_server") or {}
        if not server.get("ready", True):
            problems.append(_problem("no key server answers it", "ringkey status"))
        elif server.get("followed", 0) < server.get("servers", 0):
            missing = server["servers"] - server["followed"]
            problems.append(
                _problem(
                    f"{missing} of its {server['servers']} key servers do not tell it of changes",
                    "ringkey status",
                )
            )
        if status.get("state") not in (None, "kept"):
            problems.append(_problem(f"what outlives a restart is not kept: {status['state']}", "df -h ."))
        if values["agree"] is False:
            problems.append(
                _problem("its check values are not those of the key server here", "ringkey seed check")
            )
    return {
        "name": name,
        "running": said is not None,
        "since": _since(admin, name) if said is not None else None,
        "ready": said is not None and not problems,
        "problems": problems,
        "pid": (said or {}).get("pid"),
        "version": (said or {}).get("version"),
        "ports": (said or {}).get("ports") or {},
        "status": status,
    }


def _problem(what: str, next_step: str) -> Row:
    return {"what": what, "next": next_step}


def _since(admin: "Administration", name: str) -> float | None:
    try:
        return (admin.site.run / f"{name}.json").stat().st_mtime
    except OSError:
        return None


def _check_values(said: dict[str, Row | None], figures: Row) -> Row:
    """Return the check values in force at each server here; agree: None where that is not known."""
    status = (said["keyserver"] or {}).get("status") or {}
    own = [str(value) for value in status.get("in_force") or []]
    seen = [str(value) for value in (figures.get("key_server") or {}).get("cvm") or []]
    # The gatekeeper takes what any of its key servers has in force; so it may have more.
    agree = set(own) <= set(seen) if own and seen else None
    return {"agree": agree, "keyserver": own, "gatekeeper": seen}


def _disk(admin: "Administration") -> Row:
    found = os.statvfs(admin.site.root)
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    return {"free": free, "total": total, "level": "soon" if free < LOW_DISK else "ok"}


def _certificates(admin: "Administration") -> list[Row]:
    try:
        rows = certificates.rows(admin.site, admin.config)
    except UserError as error:
        return [{"what": f"certificates: {error.what}", "at": 0.0, "level": "ended"}]
    levels = {"ok": "ok", "soon": "soon", "urgent": "soon"}
    return [
        {"what": f"certificate {row['file']}", "at": row["ends"], "level": levels.get(row["state"], "ended")}
        for row in rows
    ]


async def _enrolment(admin: "Administration") -> Row | None:
    if admin.config.keyserver is None:
        return None
    from ringkey.keyserver.enrolment import Enrolment

    config = admin.config.keyserver.enrolment
    try:
        window = await admin.off_loop(lambda: Enrolment(config).window())
    except UserError:
        return None  # its own page says what is wrong with it
    now = time.time()
    return {
        "policy": config.policy,
        "open": window.open_at(now),
        "until": window.until if window.open_at(now) else None,
    }


async def _rotation(admin: "Administration", said: dict[str, Row | None]) -> Row | None:
    if said["keyserver"] is None:
        return None
    answer = await admin.control("keyserver", "generations")
    there = [] if answer is None else answer["generations"]
    ends = [one["until"] for one in there if one["until"] is not None and one["until"] > time.time()]
    if not ends:
        return None
    return {"generation": there[-1]["number"], "cvm": there[-1]["cvm"], "until": max(ends)}


_LEVEL: Schema = {"enum": ["ok", "soon", "ended"]}
_COUNTS: dict[str, Schema] = {"extensions": INTEGER, **dict.fromkeys(phones.STATES, INTEGER)}
_FAILING = thing(
    {"ext": TEXT, "label": maybe(TEXT), "step": TEXT, "words": TEXT, "count": INTEGER, "at": SECONDS}
)
_SERVER = thing(
    {
        "name": TEXT,
        "running": FLAG,
        "since": maybe(SECONDS),
        "ready": FLAG,
        "problems": listing(thing({"what": TEXT, "next": TEXT})),
        "pid": maybe(INTEGER),
        "version": maybe(TEXT),
        "ports": {"type": "object", "additionalProperties": INTEGER},
        "status": {"type": "object"},
    }
)

ACTIONS: tuple[Action, ...] = ()
QUERIES = (
    Query(
        "overview",
        Role.VIEWER,
        "What runs, who is there, what fails, what runs out",
        ("status",),
        overview,
        (),
        thing(
            {
                "servers": listing(_SERVER),
                "check_values": thing(
                    {"agree": maybe(FLAG), "keyserver": listing(TEXT), "gatekeeper": listing(TEXT)}
                ),
                "phones": thing(_COUNTS),
                "failing": listing(_FAILING),
                "reasons": listing(thing({"step": TEXT, "words": TEXT, "phones": INTEGER})),
                "ends": listing(thing({"what": TEXT, "at": SECONDS, "level": _LEVEL})),
                "disk": thing({"free": INTEGER, "total": INTEGER, "level": _LEVEL}),
                "enrolment": maybe(thing({"policy": TEXT, "open": FLAG, "until": maybe(SECONDS)})),
                "rotation": maybe(thing({"generation": INTEGER, "cvm": TEXT, "until": SECONDS})),
            }
        ),
    ),
    Query(
        "series",
        Role.VIEWER,
        "Figures over time, since the console was started",
        ("gatekeeper", "top"),
        series,
        (
            Parameter("name", "choice", "which", choices=NAMES),
            Parameter(
                "seconds",
                "integer",
                "of the last so many",
                required=False,
                default=600,
                least=10,
                most=60 * MINUTES,
            ),
        ),
        thing(
            {
                "name": TEXT,
                "unit": TEXT,
                "step": INTEGER,
                "lines": listing(thing({"name": TEXT, "points": listing(listing(maybe(NUMBER)))})),
            }
        ),
    ),
)
