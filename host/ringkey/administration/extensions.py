"""Extensions and their PINs: who may register (gatekeeper/directory.py)."""

import csv
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

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

if TYPE_CHECKING:
    from ringkey.administration.site import Administration
    from ringkey.gatekeeper.directory import Directory, Entry

_T = TypeVar("_T")

# Rows of a list at a time, and at most: a page that a person scrolls, and all of a large site for a script.
LIMIT, MAX_LIMIT = 100, 100_000
# Characters of an EXT or a PIN: ras.keys has the digits that are good, and says so in words.
MAX_DIGITS = 64
# Characters of a label: gatekeeper/bulk.py.  It says so in its own words; this is above it.
MAX_LABEL = 200
# Characters of a CSV: bulk.MAX_IMPORT rows of ordinary length.
MAX_CSV = 8 << 20
# Changes of an import that are told one by one: what a person looks through; the rest is counted.
MAX_TOLD = 1000

EXT = Parameter("ext", "text", "extension", most=MAX_DIGITS)
PIN = Parameter("pin", "secret", "PIN", required=False, most=MAX_DIGITS)
DRAW = Parameter("draw", "flag", "draw a PIN and show it, this once", required=False, default=False)
SEARCH = Parameter("search", "text", "what extension or label have in them", required=False, default="")
PAGE = (
    Parameter("limit", "integer", "at most so many", required=False, default=LIMIT, least=1, most=MAX_LIMIT),
    Parameter(
        "offset", "integer", "from this one on", required=False, default=0, least=0, most=1_000_000_000
    ),
)

ENTRY = thing({"ext": TEXT, "label": TEXT, "enabled": FLAG, "added": SECONDS, "changed": SECONDS})


async def extensions(
    admin: "Administration", _author: Author, *, search: str, limit: int, offset: int
) -> Any:
    found, total = await _read(admin, lambda directory: directory.search(search, limit, offset))
    return {"total": total, "extensions": [told(entry) for entry in found]}


async def extension(admin: "Administration", _author: Author, *, ext: str) -> Any:
    from ringkey.gatekeeper.errors import ExtensionRefusedError

    entry = await _read(admin, lambda directory: directory.get_entry(ext))
    if entry is None:
        raise ExtensionRefusedError(f"there is no extension {ext}", f"ringkey extension add {ext}")
    return told(entry)


async def export(admin: "Administration", _author: Author) -> Any:
    entries = await _read(admin, lambda directory: directory.list())
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    # The PIN's column stays empty: the file can be imported again, and says nothing that is secret.
    writer.writerow(("ext", "pin", "label"))
    writer.writerows((entry.ext, "", _as_text(entry.label)) for entry in entries)
    return {"csv": out.getvalue(), "count": len(entries)}


async def add(
    admin: "Administration", _author: Author, *, ext: str, label: str, pin: str | None, draw: bool
) -> Any:
    chosen = _pin(pin, draw)
    await _write(admin, lambda directory: directory.add(ext, chosen, label))
    return {"ext": ext, "pin": chosen if draw else None}


async def label(admin: "Administration", _author: Author, *, ext: str, label: str) -> Any:
    await _write(admin, lambda directory: directory.set_label(ext, label))
    return {"ext": ext}


async def pin(admin: "Administration", _author: Author, *, ext: str, pin: str | None, draw: bool) -> Any:
    chosen = _pin(pin, draw)
    await _write(admin, lambda directory: directory.set_pin(ext, chosen))
    return {"ext": ext, "pin": chosen if draw else None, "ended": await end(admin, ext)}


async def enable(admin: "Administration", _author: Author, *, ext: str) -> Any:
    await _write(admin, lambda directory: directory.enable(ext))
    return {"ext": ext}


async def disable(admin: "Administration", _author: Author, *, ext: str) -> Any:
    await _write(admin, lambda directory: directory.disable(ext))
    return {"ext": ext, "ended": await end(admin, ext)}


async def remove(admin: "Administration", _author: Author, *, ext: str) -> Any:
    await _write(admin, lambda directory: directory.remove(ext))
    return {"ext": ext, "ended": await end(admin, ext)}


async def import_(
    admin: "Administration", _author: Author, *, csv: str, preview: bool, update: bool, draw: bool
) -> Any:
    from ringkey.gatekeeper.bulk import plan

    # A byte order mark before the first column's name: spreadsheets put it there.
    lines = csv.removeprefix("\ufeff").splitlines(keepends=True)
    made = await _write(
        admin,
        lambda directory: directory.import_plan(
            lambda there: plan(lines, there, update=update, draw=draw), preview=preview
        ),
    )
    changed = [one for one in made.changes if one.what in ("pin", "label")]
    if not preview:
        for one in changed:
            if one.what == "pin":
                await end(admin, one.row.ext)
    bad = [problem.removeprefix("line ").partition(": ") for problem in made.problems]
    return {
        "done": not preview,
        "added": made.count("add"),
        "changed": len(changed),
        "same": made.count("same"),
        "bad": [
            {"line": int(line) if line.isdigit() else 0, "what": what or line}
            for line, _, what in bad[:MAX_TOLD]
        ],
        "bad_rows": len(bad),
        "changes": [
            {"line": one.row.line, "ext": one.row.ext, "label": one.row.label, "what": one.what}
            for one in made.changes[:MAX_TOLD]
        ],
        "pins": [{"ext": one.row.ext, "pin": one.pin} for one in made.changes if one.drawn and not preview],
    }


async def end(admin: "Administration", ext: str) -> bool:
    """End the registration of EXT at a gatekeeper that runs here; tell whether there was one."""
    answer = await admin.control("gatekeeper", "end", ext=ext, reason="securityDenial")
    return answer is not None and bool(answer["ended"])


def told(entry: "Entry") -> dict[str, Any]:
    """Return an extension as results have it."""
    return {
        "ext": entry.ext,
        "label": entry.label,
        "enabled": entry.enabled,
        "added": entry.created,
        "changed": entry.changed,
    }


def _pin(pin: str | None, draw: bool) -> str:
    from ringkey.errors import UserError
    from ringkey.gatekeeper.bulk import drawn_pin

    if draw and pin:
        raise UserError("a PIN that is given is not drawn: one of the two", usage=True)
    if draw:
        return drawn_pin()
    return pin or ""  # "" is refused in the directory's words


def _as_text(label: str) -> str:
    """Return a label that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    from ringkey.gatekeeper.bulk import FORMULA

    return "'" + label if label[:1] in FORMULA else label


async def _write(admin: "Administration", work: "Callable[[Directory], _T]") -> _T:
    """Do something with the directory, opened for it: one belongs to one thread."""
    return await admin.off_loop(lambda: _with(admin, work))


async def _read(admin: "Administration", work: "Callable[[Directory], _T]") -> _T:
    return await admin.readers.directory(admin.config, work)


def _with(admin: "Administration", work: "Callable[[Directory], _T]") -> _T:
    from ringkey.gatekeeper.directory import Directory

    config = admin.config.need_gatekeeper()
    with Directory.open(config.directory, config.pin_key) as directory:
        return work(directory)


_EXT = thing({"ext": TEXT})
_ENDED = thing({"ext": TEXT, "ended": FLAG})
_DRAWN = {"description": "the PIN that was drawn, this once", **maybe(TEXT)}

QUERIES = (
    Query(
        "extensions",
        Role.VIEWER,
        "The extensions, without their PINs",
        ("extension", "list"),
        extensions,
        (SEARCH, *PAGE),
        thing({"total": INTEGER, "extensions": listing(ENTRY)}),
    ),
    Query("extension", Role.VIEWER, "One extension", ("extension", "show"), extension, (EXT,), ENTRY),
    Query(
        "extension.export",
        Role.OPERATOR,
        "All extensions as a CSV, without PINs",
        ("extension", "export"),
        export,
        (),
        thing({"csv": TEXT, "count": INTEGER}),
    ),
)

ACTIONS = (
    Action(
        "extension.add",
        Role.OPERATOR,
        "Add an extension",
        ("extension", "add"),
        add,
        (
            EXT,
            Parameter("label", "text", "whose it is, or where", required=False, most=MAX_LABEL, default=""),
            PIN,
            DRAW,
        ),
        thing({"ext": TEXT, "pin": _DRAWN}),
    ),
    Action(
        "extension.label",
        Role.OPERATOR,
        "Change an extension's label",
        ("extension", "label"),
        label,
        (EXT, Parameter("label", "text", "whose it is, or where", most=MAX_LABEL)),
        _EXT,
    ),
    Action(
        "extension.pin",
        Role.OPERATOR,
        "Replace an extension's PIN; its phone logs in anew",
        ("extension", "pin"),
        pin,
        (EXT, PIN, DRAW),
        thing({"ext": TEXT, "pin": _DRAWN, "ended": FLAG}),
    ),
    Action(
        "extension.enable",
        Role.OPERATOR,
        "Let an extension register again",
        ("extension", "enable"),
        enable,
        (EXT,),
        _EXT,
    ),
    Action(
        "extension.disable",
        Role.OPERATOR,
        "Let an extension register no more, but keep it",
        ("extension", "disable"),
        disable,
        (EXT,),
        _ENDED,
    ),
    Action(
        "extension.remove",
        Role.OPERATOR,
        "Remove an extension",
        ("extension", "remove"),
        remove,
        (EXT,),
        _ENDED,
    ),
    Action(
        "extension.import",
        Role.OPERATOR,
        "Add the extensions of a CSV: all of them, or none where a line is wrong",
        ("extension", "import"),
        import_,
        (
            # It has PINs in it.
            Parameter("csv", "secret", "EXT,PIN,LABEL on each line", most=MAX_CSV),
            Parameter("preview", "flag", "only say what would change", required=False, default=False),
            Parameter("update", "flag", "change those that are there already", required=False, default=False),
            Parameter("draw", "flag", "draw the PINs that are left empty", required=False, default=False),
        ),
        thing(
            {
                "done": FLAG,
                "added": INTEGER,
                "changed": INTEGER,
                "same": INTEGER,
                "bad": listing(thing({"line": INTEGER, "what": TEXT})),
                "bad_rows": INTEGER,
                "changes": listing(thing({"line": INTEGER, "ext": TEXT, "label": TEXT, "what": TEXT})),
                "pins": listing(thing({"ext": TEXT, "pin": TEXT})),
            }
        ),
    ),
)
