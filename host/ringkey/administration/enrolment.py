"""Who gets keys: the enrolment window and list (keyserver/enrolment.py)."""

import time
from typing import TYPE_CHECKING, Any

from ringkey.administration.roles import Author, Role
from ringkey.administration.table import FLAG, INTEGER, SECONDS, TEXT, Action, Parameter, Query, maybe, thing
from ringkey.errors import UserError

if TYPE_CHECKING:
    from ringkey.administration.site import Administration
    from ringkey.keyserver.enrolment import Enrolment

# As keyserver/enrolment.py has them, which the tests hold this to.
MAX_MINUTES = 90 * 24 * 60
MAX_PHONES = 10_000
# Characters of a list: enrolment_list.MAX_LIST lines of ordinary length.
MAX_CSV = 8 << 20
HOW = ("add", "replace", "remove")


async def enrolment(admin: "Administration", _author: Author) -> Any:
    one = _of(admin)
    found, window = await admin.off_loop(lambda: (one.status(), one.window()))
    is_open = window.open_at(time.time())
    return {**found, "open": is_open, "until": window.until if is_open else None}


async def open_(admin: "Administration", _author: Author, *, minutes: int, phones: int | None) -> Any:
    found = await admin.off_loop(lambda: _of(admin).open_window(minutes, phones))
    return {"until": found.until, "phones": phones, "policy": _of(admin).policy}


async def close(admin: "Administration", _author: Author) -> Any:
    await admin.off_loop(lambda: _of(admin).close_window())
    return {"policy": _of(admin).policy}


async def import_(admin: "Administration", _author: Author, *, csv: str, how: str) -> Any:
    from ringkey.keyserver import enrolment_list as lists

    listed, problems = lists.parse(csv.splitlines(keepends=True))
    if problems:
        more = len(problems) - lists.MAX_PROBLEMS
        shown = problems[: lists.MAX_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])
        raise UserError("nothing was imported\n  " + "\n  ".join(shown))

    def write() -> int:
        found = _of(admin)
        before = lists.Listed() if how == "replace" else found.listed()
        after = before - listed if how == "remove" else before | listed
        found.write_list(after)
        return len(after)

    return {"listed": await admin.off_loop(write), "given": len(listed), "policy": _of(admin).policy}


def _of(admin: "Administration") -> "Enrolment":
    from ringkey.keyserver.enrolment import Enrolment

    return Enrolment(admin.config.need_keyserver().enrolment)


_WINDOW = thing({"open": FLAG, "seconds_left": INTEGER, "phones_left": maybe(INTEGER), "let_in": INTEGER})

QUERIES = (
    Query(
        "enrolment",
        Role.VIEWER,
        "Who gets keys: policy, window, list",
        ("enrol", "status"),
        enrolment,
        (),
        thing(
            {
                "policy": TEXT,
                "window": _WINDOW,
                "listed": INTEGER,
                "per_source": INTEGER,
                "per_extension": INTEGER,
                "open": FLAG,
                "until": maybe(SECONDS),
            }
        ),
    ),
)

ACTIONS = (
    Action(
        "enrolment.open",
        Role.OPERATOR,
        "Open the enrolment window: phones that come get keys",
        ("enrol", "open"),
        open_,
        (
            Parameter(
                "minutes", "integer", "for how long", required=False, default=30, least=1, most=MAX_MINUTES
            ),
            Parameter(
                "phones", "integer", "for how many; else any number", required=False, least=1, most=MAX_PHONES
            ),
        ),
        thing({"until": SECONDS, "phones": maybe(INTEGER), "policy": TEXT}),
    ),
    Action(
        "enrolment.close",
        Role.OPERATOR,
        "Close the enrolment window",
        ("enrol", "close"),
        close,
        (),
        thing({"policy": TEXT}),
    ),
    Action(
        "enrolment.import",
        Role.OPERATOR,
        "Put extensions and serial numbers on the list of those who get keys",
        ("enrol", "import"),
        import_,
        (
            Parameter("csv", "text", "EXT,SERIAL on each line", most=MAX_CSV, lines=True),
            Parameter(
                "how", "choice", "what becomes of the list", required=False, choices=HOW, default="add"
            ),
        ),
        thing({"listed": INTEGER, "given": INTEGER, "policy": TEXT}),
    ),
)
