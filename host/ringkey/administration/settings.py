"""Settings that may be changed from here: those that hold at once, and a few that wait for a start."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringkey.administration.roles import Author, Role
from ringkey.administration.table import (
    ANYTHING,
    FLAG,
    INTEGER,
    TEXT,
    Action,
    Parameter,
    Query,
    listing,
    maybe,
    thing,
)
from ringkey.errors import UserError
from ringkey.site import edit, files
from ringkey.site.config import Config, parse
from ringkey.site.keyserver_tables import POLICIES

if TYPE_CHECKING:
    from ringkey.administration.site import Administration


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of ringkey.toml.  name: with its table; restart: it holds from the next start on."""

    name: str
    kind: str
    title: str
    help: str
    least: int | None = None
    most: int | None = None
    choices: tuple[str, ...] = ()
    restart: bool = False

    @property
    def server(self) -> str:
        """Whose it is: "keyserver" or "gatekeeper"."""
        return self.name.partition(".")[0]

    @property
    def place(self) -> tuple[str, str]:
        """The table and the key in it."""
        table, _, key = self.name.rpartition(".")
        return table, key


# Limits are those of site/config.py, which checks once more.
SETTINGS = (
    Setting(
        "keyserver.enrolment.policy",
        "choice",
        "Who gets keys",
        "everybody, whoever comes while the window is open, or who is listed",
        choices=POLICIES,
    ),
    Setting(
        "keyserver.enrolment.per_source",
        "integer",
        "Key files a minute for one address",
        "0: no limit",
        0,
        1_000_000,
    ),
    Setting(
        "keyserver.enrolment.per_extension",
        "integer",
        "Key files an hour for one extension",
        "from one network; 0: no limit",
        0,
        1_000_000,
    ),
    Setting(
        "gatekeeper.time_to_live",
        "integer",
        "Seconds until a phone must have been heard of again",
        "for phones that register or keep alive from now on",
        10,
        86_400,
    ),
    Setting(
        "gatekeeper.max_registrations",
        "integer",
        "Registrations held at a time",
        "more are sent to the alternates; phones that are registered stay",
        0,
        1_000_000,
    ),
    Setting(
        "gatekeeper.icv_from_kg",
        "flag",
        "Accept a GRQ that proves the key but not the PIN",
        "the RRQ still has to prove the PIN",
    ),
    Setting(
        "gatekeeper.log_lines",
        "integer",
        "Lines of the log a second that strangers may cause",
        "phones may cause twice as many",
        0,
        10_000,
    ),
    Setting(
        "gatekeeper.throttle.failures",
        "integer",
        "Failed log-ins that are free",
        "then their address is ignored for a while",
        1,
        10_000,
        restart=True,
    ),
    Setting(
        "gatekeeper.throttle.window",
        "integer",
        "Seconds within which failed log-ins count",
        "",
        1,
        86_400,
        restart=True,
    ),
    Setting(
        "gatekeeper.throttle.ignore",
        "integer",
        "Seconds for which an address is ignored at first",
        "doubled with each further failure",
        1,
        86_400,
        restart=True,
    ),
    Setting(
        "gatekeeper.throttle.ignore_max",
        "integer",
        "Seconds for which an address is ignored at most",
        "",
        1,
        86_400,
        restart=True,
    ),
    Setting(
        "gatekeeper.multicast",
        "flag",
        "Answer discovery by multicast",
        "224.0.1.41, port 1718",
        restart=True,
    ),
    Setting(
        "keyserver.allow_unnamed",
        "flag",
        "Accept a request for keys that names no extension",
        "",
        restart=True,
    ),
)
_WRITING = asyncio.Lock()


async def settings(admin: "Administration", _author: Author) -> Any:
    config = admin.config
    return {
        "settings": [
            {
                "name": one.name,
                "title": one.title,
                "help": one.help,
                "kind": one.kind,
                "least": one.least,
                "most": one.most,
                "choices": list(one.choices),
                "restart": one.restart,
                "value": _value(config, one),
            }
            for one in SETTINGS
            if getattr(config, one.server) is not None
        ]
    }


async def set_(admin: "Administration", _author: Author, *, name: str, value: str) -> Any:
    setting = next(one for one in SETTINGS if one.name == name)
    made = _made(setting, value)
    async with _WRITING:
        before = await admin.off_loop(lambda: _write(admin, setting, made))
    answer = None if setting.restart else await admin.control(setting.server, "settings")
    applied = answer is not None and setting.name.partition(".")[2] in answer["applied"]
    running = answer is not None or (setting.restart and await _runs(admin, setting.server))
    return {
        "name": name,
        "value": made,
        "before": before,
        "applied": applied,
        "restart": running and not applied,
    }


async def _runs(admin: "Administration", server: str) -> bool:
    from ringkey.site import runtime

    run = admin.site.run
    return run.is_dir() and await asyncio.to_thread(runtime.ask, run, server) is not None


def _write(admin: "Administration", setting: Setting, value: bool | int | str) -> Any:
    path = admin.site.config_file
    text = files.read(path, "configuration").decode()
    before = _value(parse(path, text.encode()), setting)
    table, key = setting.place
    changed = edit.with_value(text, table, key, value)
    if changed is None:
        raise UserError(f"{path}: put {key} = {value} into [{table}] by hand", f"nano {path}")
    parse(path, changed.encode())  # a throttle's limits, say, have to fit each other
    files.write(path, changed.encode(), path.stat().st_mode & 0o777)
    return before


def _value(config: Config, setting: Setting) -> Any:
    found: Any = config
    for name in setting.name.split("."):
        found = getattr(found, name)
    return found


def _made(setting: Setting, text: str) -> bool | int | str:
    if setting.kind == "flag":
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise UserError(f"{setting.name}: true or false is wanted", "ringkey setting list", usage=True)
    if setting.kind == "choice":
        if text in setting.choices:
            return text
        there = ", ".join(setting.choices)
        raise UserError(f"{setting.name}: there are {there}", "ringkey setting list", usage=True)
    least, most = setting.least or 0, setting.most or 0
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not least <= int(text) <= most:
        raise UserError(
            f"{setting.name}: a whole number from {least} to {most} is wanted",
            "ringkey setting list",
            usage=True,
        )
    return int(text)


QUERIES = (
    Query(
        "settings",
        Role.VIEWER,
        "The settings that can be changed from here",
        ("setting", "list"),
        settings,
        (),
        thing(
            {
                "settings": listing(
                    thing(
                        {
                            "name": TEXT,
                            "title": TEXT,
                            "help": TEXT,
                            "kind": {"enum": ["choice", "integer", "flag"]},
                            "least": maybe(INTEGER),
                            "most": maybe(INTEGER),
                            "choices": listing(TEXT),
                            "restart": FLAG,
                            "value": ANYTHING,
                        }
                    )
                )
            }
        ),
    ),
)

ACTIONS = (
    Action(
        "setting.set",
        Role.ADMINISTRATOR,
        "Change a setting; one that needs a start of its server says so",
        ("setting", "set"),
        set_,
        (
            Parameter("name", "choice", "which", choices=tuple(one.name for one in SETTINGS)),
            Parameter("value", "text", "what it shall be", most=100),
        ),
        thing({"name": TEXT, "value": ANYTHING, "before": ANYTHING, "applied": FLAG, "restart": FLAG}),
    ),
)
