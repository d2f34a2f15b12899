"""Keys: the generations that they come from, those that were issued, and their revocation."""

import time
from typing import TYPE_CHECKING, Any

from ringkey.administration import keyserver, phones, register
from ringkey.administration.extensions import PAGE
from ringkey.administration.roles import Author, Role
from ringkey.administration.table import (
    FLAG,
    INTEGER,
    NUMBER,
    SECONDS,
    TEXT,
    Action,
    Parameter,
    Query,
    listing,
    maybe,
    table_of,
    thing,
)

if TYPE_CHECKING:
    import sqlalchemy as sa

    from ringkey.administration.site import Administration

# What a revocation may name, as the key server has it (keyserver/office.py).
BY = ("g", "ext", "serial", "generation")
# Characters of a value that names keys: 32 hex digits of a g, a serial number of 64.
MAX_VALUE = 64
# Seconds: a year, as keyserver/office.py has it.
MAX_OVERLAP = 366 * 86400
# Hex digits of a seed that is given: 64 octets, above any that is drawn.
MAX_SEED = 128


async def generations(admin: "Administration", author: Author) -> Any:
    now = time.time()
    found = await keyserver.generations(admin, author)
    return {
        "generations": [
            {
                "number": one["number"],
                "cvm": one["cvm"],
                "since": one["begun"],
                "until": one["until"],
                "state": "current" if one["until"] is None else "overlap" if now < one["until"] else "ended",
            }
            for one in found
        ]
    }


async def rotation(admin: "Administration", author: Author) -> Any:
    numbers = await register.numbers(admin)
    registered, _ = await phones.held(admin)
    counts: dict[str, int] = dict.fromkeys(map(str, numbers.values()), 0)
    for one in registered.values():
        name = str(numbers.get(one["cvm"], one["cvm"]))
        counts[name] = counts.get(name, 0) + 1
    answer = await admin.control("keyserver", "generations") if numbers else None
    there = [] if answer is None else answer["generations"]
    ends = [one["until"] for one in there if one["until"] is not None and one["until"] > time.time()]
    lines = admin.live.series.lines("generations", 2 * 86400)["lines"]
    return {
        "running": bool(ends),
        "generation": there[-1]["number"] if there else None,
        "cvm": there[-1]["cvm"] if there else None,
        "until": max(ends, default=None),
        "registered": len(registered),
        "phones": counts,
        "lines": [
            {"name": str(numbers.get(line["name"], line["name"])), "points": line["points"]} for line in lines
        ],
    }


async def keys(
    admin: "Administration",
    _author: Author,
    *,
    search: str,
    g: str | None,
    ext: str | None,
    serial: str | None,
    generation: str | None,
    revoked: bool,
    limit: int,
    offset: int,
) -> Any:
    def read(connection: "sa.Connection") -> Any:
        import sqlalchemy as sa

        from ringkey.keyserver import register as books

        named = {"g": g, "ext": ext, "serial": serial, "generation": generation}
        where = [books.chosen_by(by, value) for by, value in named.items() if value is not None]
        if search:
            where.append(_has(search))
        if revoked:
            where.append(books.issued.c.revoked.is_not(None))
        chosen = sa.and_(sa.true(), *where)
        total = connection.execute(
            sa.select(sa.func.count()).select_from(books.issued).where(chosen)
        ).scalar_one()
        found = books.keys(connection, chosen, limit, offset)
        return {"total": total, "keys": [register.told(key) for key in found]}

    admin.config.need_keyserver()
    return await admin.readers.register(admin.config, read, {"total": 0, "keys": []})


async def revoke(admin: "Administration", _author: Author, *, by: str, value: str, reason: str) -> Any:
    done = await keyserver.ask(admin, "revoke", by=by, value=value, reason=reason)
    peers = bool(admin.config.need_keyserver().peers) and by != "g"
    return {"by": by, "value": value, "keys": done["keys"], "line": done["n"], "peers": peers}


async def rotate(admin: "Administration", _author: Author, *, overlap: int, seed: str | None) -> Any:
    done = await keyserver.ask(admin, "rotate", overlap=overlap, seed=seed)
    peers = bool(admin.config.need_keyserver().peers)
    return {name: done[name] for name in ("generation", "cvm", "until", "words")} | {"peers": peers}


def _has(search: str) -> "sa.ColumnElement[bool]":
    import sqlalchemy as sa

    from ringkey.keyserver import register as books

    issued = books.issued.c
    wanted = [
        issued.ext == search,
        issued.serial.startswith(search, autoescape=True),
        issued.source.startswith(search, autoescape=True),
    ]
    if len(search) == 32 and all(digit in "0123456789abcdefABCDEF" for digit in search):
        wanted.append(issued.g == bytes.fromhex(search))
    return sa.or_(*wanted)


_KEY = thing(
    {
        "g": TEXT,
        "issued": SECONDS,
        "ext": maybe(TEXT),
        "serial": maybe(TEXT),
        "source": maybe(TEXT),
        "generation": INTEGER,
        "revoked": {"description": "why, or null", **maybe(TEXT)},
    }
)

QUERIES = (
    Query(
        "generations",
        Role.VIEWER,
        "The generations of keys: check values, and until when they are in force",
        ("seed", "check"),
        generations,
        (),
        thing(
            {
                "generations": listing(
                    thing(
                        {
                            "number": INTEGER,
                            "cvm": TEXT,
                            "since": SECONDS,
                            "until": maybe(SECONDS),
                            "state": {"enum": ["current", "overlap", "ended"]},
                        }
                    )
                )
            }
        ),
    ),
    Query(
        "rotation",
        Role.VIEWER,
        "How many phones are on which generation of keys, now and over time",
        ("seed", "progress"),
        rotation,
        (),
        thing(
            {
                "running": FLAG,
                "generation": maybe(INTEGER),
                "cvm": maybe(TEXT),
                "until": maybe(SECONDS),
                "registered": INTEGER,
                "phones": table_of(INTEGER),
                "lines": listing(
                    thing({"name": TEXT, "points": listing(listing(maybe(NUMBER)))}),
                ),
            }
        ),
    ),
    Query(
        "keys",
        Role.VIEWER,
        "The keys that were issued, the newest first",
        ("key", "list"),
        keys,
        (
            Parameter(
                "search",
                "text",
                "extension, serial, address or g",
                required=False,
                default="",
                most=MAX_VALUE,
            ),
            *(Parameter(name, "text", f"of this {name} only", required=False, most=MAX_VALUE) for name in BY),
            Parameter("revoked", "flag", "revoked ones only", required=False, default=False),
            *PAGE,
        ),
        thing({"total": INTEGER, "keys": listing(_KEY)}),
    ),
)

ACTIONS = (
    Action(
        "key.revoke",
        Role.OPERATOR,
        "Revoke keys that were issued up to now",
        ("key", "revoke"),
        revoke,
        (
            Parameter("by", "choice", "what names the keys", choices=BY),
            Parameter("value", "text", "which", most=MAX_VALUE),
            Parameter("reason", "text", "why: for whoever reads the record", required=False, default=""),
        ),
        thing({"by": TEXT, "value": TEXT, "keys": INTEGER, "line": INTEGER, "peers": FLAG}),
    ),
    Action(
        "seed.rotate",
        Role.ADMINISTRATOR,
        "Begin a new generation of keys",
        ("seed", "rotate"),
        rotate,
        (
            Parameter(
                "overlap",
                "integer",
                "seconds that the one before still answers",
                required=False,
                default=14 * 86400,
                least=0,
                most=MAX_OVERLAP,
            ),
            Parameter(
                "seed",
                "secret",
                "the new seed in hex, else one is drawn",
                required=False,
                most=MAX_SEED,
                pattern=r"(?:[0-9a-fA-F]{2}){16,64}",
            ),
        ),
        thing(
            {
                "generation": INTEGER,
                "cvm": TEXT,
                "until": SECONDS,
                "words": {"description": "the words of a seed that was drawn, this once", **maybe(TEXT)},
                "peers": FLAG,
            }
        ),
    ),
)
