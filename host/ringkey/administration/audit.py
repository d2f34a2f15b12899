"""What is on record: the key server's trail and the administration's, read from the end."""

import heapq
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringkey.administration import keyserver
from ringkey.administration.roles import Author, Role
from ringkey.administration.table import (
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

if TYPE_CHECKING:
    from ringkey.administration.site import Administration

LOGS = ("keyserver", "admin")
# Lines that one question looks at: a second or two of reading; what is older is asked for with `before`.
MAX_LOOKED_AT = 100_000
LIMIT, MAX_LIMIT = 100, 10_000
_BLOCK = 1 << 16
_SKIP = ("n", "t", "what", "prev", "hash", "author", "role", "way", "source", "action", "of")

Line = dict[str, Any]


async def audit(
    admin: "Administration", _author: Author, *, search: str, log: str, limit: int, before: str | None
) -> Any:
    return await admin.off_loop(lambda: _search(admin, search.casefold(), log, limit, before))


async def accept_clock(admin: "Administration", _author: Author) -> Any:
    return await keyserver.ask(admin, "accept-clock")


def _search(admin: "Administration", search: str, log: str, limit: int, before: str | None) -> Any:
    paths = {"admin": admin.record.path}
    if admin.config.keyserver is not None:
        paths["keyserver"] = admin.config.keyserver.audit
    places = _places(before)
    told_of: set[int] = set()
    readers = [
        _of(name, path, places.get(name), told_of) for name, path in paths.items() if log in ("all", name)
    ]
    found: list[Line] = []
    looked, more = 0, False
    for name, line in heapq.merge(*readers, key=lambda one: str(one[1]["t"]), reverse=True):
        if len(found) >= limit or looked >= MAX_LOOKED_AT:
            more = True
            break
        looked += 1
        places[name] = line["n"]
        if name == "admin" and line["what"] == "asked" and line["n"] in told_of:
            continue  # what came of it is told already
        told = _told(name, line)
        if not search or any(search in str(value).casefold() for value in told.values()):
            found.append(told)
    mark = ",".join(f"{name}:{n}" for name, n in sorted(places.items())) if more else None
    return {"lines": found, "before": mark}


def _places(before: str | None) -> dict[str, int]:
    places: dict[str, int] = {}
    for part in (before or "").split(","):
        name, _, number = part.partition(":")
        if name in LOGS and number.isdecimal():
            places[name] = int(number)
    return places


def _of(name: str, path: Path, before: int | None, told_of: set[int]) -> Iterator[tuple[str, Line]]:
    """Yield (name, line), the last one first; told_of gets the numbers that later lines are about."""
    from ringkey.keyserver import trail

    for raw in backwards(path):
        line = trail.check(raw)
        # A damaged one has neither number nor time; `ringkey audit verify` finds it.
        if line is None:
            continue
        if name == "admin" and isinstance(line.get("of"), int):
            told_of.add(line["of"])
        if before is None or line["n"] < before:
            yield name, line


def backwards(path: Path) -> Iterator[bytes]:
    """Yield the whole lines of a trail, with all its pieces, the last one first; raises OSError."""
    from ringkey.keyserver import trail

    if not path.parent.is_dir():
        return
    for piece in itertools.chain([path], reversed(trail.pieces(path))):
        try:
            descriptor = os.open(piece, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        with os.fdopen(descriptor, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            rest, first = b"", True
            while end > 0:
                begin = max(0, end - _BLOCK)
                file.seek(begin)
                lines = (file.read(end - begin) + rest).split(b"\n")
                if first:
                    lines.pop()  # what follows the last line's end is none, or is just being written
                    first = False
                    if not lines:
                        break
                rest, end = lines[0], begin
                yield from reversed(lines[1:])
            if rest:
                yield rest


def _told(name: str, line: Line) -> Line:
    from ringkey.keyserver import trail

    rest = [f"{key} {_text(value)}" for key, value in line.items() if key not in _SKIP and value is not None]
    own = name == "admin"
    return {
        "log": name,
        "n": line["n"],
        "at": trail.seconds(line),
        "author": line.get("author") if own else None,
        "role": line.get("role") if own else None,
        "way": line.get("way") if own else None,
        "source": line.get("source"),
        "action": line.get("action") if own else line["what"],
        "outcome": line["what"] if own else "",
        "text": ", ".join(rest),
    }


def _text(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={_text(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return str(value)


ACTIONS = (
    Action(
        "clock.accept",
        Role.ADMINISTRATOR,
        "Believe the clock, although lines on the key server's record are later",
        ("audit", "accept-clock"),
        accept_clock,
        (),
        thing({"time": TEXT, "n": INTEGER}),
    ),
)
QUERIES = (
    Query(
        "audit",
        Role.VIEWER,
        "What is on record, the newest first",
        ("audit", "list"),
        audit,
        (
            Parameter("search", "text", "what a line has in it", required=False, default=""),
            Parameter("log", "choice", "whose record", required=False, choices=("all", *LOGS), default="all"),
            Parameter(
                "limit", "integer", "at most so many", required=False, default=LIMIT, least=1, most=MAX_LIMIT
            ),
            Parameter(
                "before", "text", "what the last answer had under this name: what is older", required=False
            ),
        ),
        thing(
            {
                "lines": listing(
                    thing(
                        {
                            "log": {"enum": list(LOGS)},
                            "n": INTEGER,
                            "at": SECONDS,
                            "author": maybe(TEXT),
                            "role": maybe(TEXT),
                            "way": maybe(TEXT),
                            "source": maybe(TEXT),
                            "action": TEXT,
                            "outcome": TEXT,
                            "text": TEXT,
                        }
                    )
                ),
                "before": maybe(TEXT),
            }
        ),
    ),
)
