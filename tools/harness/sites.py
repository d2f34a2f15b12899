"""Sites for demo and tests: made by the real `ringkey init`, on 127.0.0.1, every port free for the taking."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import HarnessError

FILE = "ringkey.toml"


def ringkey(
    *args: str,
    site: "Path | None" = None,
    typed: str = "",
    environment: "Mapping[str, str] | None" = None,
) -> str:
    """Run `ringkey ARGS` to its end, with `typed` as its input; return what it printed.

    Raises HarnessError.
    """
    done = subprocess.run(
        [sys.executable, "-m", "ringkey", *(("--site", str(site)) if site else ()), *args],
        env=dict(os.environ if environment is None else environment),
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise HarnessError(f"ringkey {' '.join(args)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def make(
    path: Path, environment: "Mapping[str, str] | None" = None, addresses: Sequence[str] = ("127.0.0.1",)
) -> str:
    """Make a site at `path` for this machine only; return what `ringkey init` printed.

    addresses: what the key server's certificate is made out to, besides localhost.
    """
    named = [word for address in addresses for word in ("--ip", address)]
    printed = ringkey("init", str(path), *named, "--name", "localhost", environment=environment)
    free_ports(path)
    return printed


def free_ports(path: Path) -> None:
    """Let a site's services take any free port, on 127.0.0.1 only, without multicast."""
    set_values(path, "keyserver", listen="127.0.0.1", port=0, advanced_port=0, gatekeepers=["127.0.0.1:0"])
    set_values(path, "keyserver.admin", port=0)
    if _heading("console", (path / FILE).read_text()):  # a site of an older version has none
        set_values(path, "console", listen="127.0.0.1", port=0)
    set_values(
        path,
        "gatekeeper",
        listen="127.0.0.1",
        port=0,
        signalling_port=0,
        multicast=False,
        key_servers=["https://localhost:0"],
    )
    set_values(path, "gatekeeper.admin", port=0)


def _heading(table: str, text: str) -> "re.Match[str] | None":
    return re.search(rf"^\[{re.escape(table)}\][^\n]*\n", text, re.MULTILINE)


def set_values(path: Path, table: str, **values: "str | int | bool | Sequence[str]") -> None:
    """Set keys of one table of a site's ringkey.toml, which must have that table, or the one it is a part of.

    The comments of what `ringkey init` wrote stay.
    """
    file = path / FILE
    text = file.read_text()
    begin = _heading(table, text)
    if begin is None and "." in table and _heading(table.partition(".")[0], text):
        # A site of an older version: its services take the defaults of what it does not name.
        text = f"{text.rstrip()}\n\n[{table}]\n"
        begin = _heading(table, text)
    if begin is None:
        raise HarnessError(
            f"{file} has no [{table}]: ringkey init writes another file than the harness knows"
        )
    end = re.compile(r"^\[", re.MULTILINE).search(text, begin.end())
    body = text[begin.end() : end.start() if end else len(text)]
    for key, value in values.items():
        shown = json.dumps(value)  # of these kinds, a JSON text is a TOML text
        there = re.search(rf"^{key} *= *([^\n#]*?)(?=[ \t]*(?:#|$))", body, re.MULTILINE)
        if there is None:
            body = f"{key} = {shown}\n{body}"
        else:
            body = body[: there.start(1)] + shown + body[there.end(1) :]
    rest = text[end.start() :] if end else ""
    file.write_text(text[: begin.end()] + body + rest)
