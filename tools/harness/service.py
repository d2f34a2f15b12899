"""A ringkey service (`keyserver serve`, `gatekeeper serve`, `serve`) as a process."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from harness.errors import HarnessError
from harness.watched import Watched

STARTING = 30.0  # s: a Raspberry Pi takes 5 of them to import
STOPPING = 15.0  # s


class Service:
    """One process; its log, as JSON, is followed.

    site: the site's directory; args: the sub-command; on_event, on_line: called in a reader
    thread with each event of the log, and with each other line; warnings: what Python's -W
    gets; program: what to run instead of `python -m ringkey`: it gets the same arguments; typed:
    its standard input.
    """

    def __init__(
        self,
        site: Path,
        *args: str,
        on_event: "Callable[[dict[str, Any]], None] | None" = None,
        on_line: "Callable[[str], None] | None" = None,
        environment: "Mapping[str, str] | None" = None,
        warnings: str = "default",
        program: "Sequence[str] | None" = None,
        typed: "str | None" = None,
    ) -> None:
        self.site = site
        self.args = args
        self.lines: Watched[str] = Watched()
        self.events: Watched[dict[str, Any]] = Watched()
        self._on_event = on_event
        self._on_line = on_line
        self.process = subprocess.Popen(
            [
                *(program or (sys.executable, "-W", warnings, "-m", "ringkey")),
                *("--site", str(site), "--log-format", "json", *args),
            ],
            env={**(os.environ if environment is None else environment), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL if typed is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if typed is not None and self.process.stdin is not None:
            self.process.stdin.write(typed)
            self.process.stdin.close()
        self._open = 2
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (self.process.stdout, self.process.stderr)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def name(self) -> str:
        """The sub-command, as one text."""
        return " ".join(self.args)

    @property
    def output(self) -> str:
        """All it has written so far."""
        return "".join(self.lines)

    @property
    def ports(self) -> "dict[str, int]":
        """Its ports by name, once it is ready."""
        ports: dict[str, int] = self.expect("ready", STARTING)["ports"]
        return ports

    def expect(self, event: str, timeout: float = 20.0, start: int = 0, **fields: object) -> "dict[str, Any]":
        """Return the first event of the log, from number `start` on, with this name and these fields.

        Raises HarnessError, with all it has written, after `timeout` seconds.
        """
        found = self.events.find(
            lambda e: e.get("event") == event and all(e.get(k) == v for k, v in fields.items()),
            start,
            timeout,
        )
        if found is None:
            raise HarnessError(
                f"{self.name}: no event {event!r} {fields or ''} within {timeout:.0f} s; it wrote:\n"
                f"{self.output}"
            )
        return found[1]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit status when all it wrote has been read."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(STOPPING)
            late = False
        except subprocess.TimeoutExpired:
            self.process.kill()
            late = True
        status = self.process.wait()
        for thread in self._threads:
            thread.join(STOPPING)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        if late:
            raise HarnessError(f"{self.name} does not stop; it wrote:\n{self.output}")
        return status

    def kill(self) -> int:
        """kill -9."""
        return self.stop(signal.SIGKILL)

    def _read(self, stream: "IO[str]") -> None:
        for line in stream:
            self.lines.add(line)
            event = _event(line)
            if event is not None:
                self.events.add(event)
                if self._on_event is not None:
                    self._on_event(event)
            elif self._on_line is not None:
                self._on_line(line.rstrip())
        with self._lock:
            self._open -= 1
            if not self._open:  # standard output and error both: the process has gone
                self.events.end()


def _event(line: str) -> "dict[str, Any] | None":
    if not line.startswith("{"):
        return None
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return None  # half a line of a process that was killed
    return event
