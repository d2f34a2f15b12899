"""A phone's power: what switches it on, cuts it off at any moment, and resets it.

Three kinds: a process is started and killed; a board's reset line (EN) is pulled by the serial
port's RTS; and a command of the user's own switches a relay, a hub's port or an emulator.
"""

import os
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import HarnessError
from harness.line import PtyLine, SerialLine

PULSE = 0.1  # s that EN is held low: its capacitor takes 10 ms of it
_COMMAND = 60.0  # s for a power command; an emulator takes some to come up
_CHOICE = "{on|off}"


class Power:
    """on(), off() and reset(); `is_on` as far as anybody knows."""

    is_on = False

    def on(self) -> None:
        """Switch it on; nothing happens where it is on."""
        raise NotImplementedError

    def off(self) -> None:
        """Cut it off, whatever the phone is doing; nothing happens where it is off."""
        raise NotImplementedError

    def reset(self) -> None:
        """Off, and on."""
        self.off()
        self.on()


class ProcessPower(Power):
    """The phone is a process on a pseudo-terminal; kill -9 is its power cut.  folder: where it runs."""

    def __init__(
        self,
        line: PtyLine,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: "Path | None" = None,
    ) -> None:
        self._line = line
        self._command = list(command)
        self._folder = folder
        self.environment = dict(environment)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def is_on(self) -> bool:  # type: ignore[override]
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def on(self) -> None:
        if self.is_on:
            return
        self._line.forget_input()
        slave = self._line.slave
        self.process = subprocess.Popen(
            self._command,
            env={**os.environ, **self.environment},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            cwd=self._folder,
            umask=0o077,  # its store holds keys, and MicroPython has no chmod
        )

    def off(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class PulsePower(Power):
    """A board's EN line, pulled low by RTS as esptool does it; off holds it low."""

    is_on = True  # a board on a cable: nothing says otherwise

    def __init__(self, line: SerialLine) -> None:
        self._line = line

    def on(self) -> None:
        self._line.control(rts=False, dtr=False)
        self.is_on = True

    def off(self) -> None:
        if not self._line.control(rts=True, dtr=False):
            raise HarnessError(f"{self._line.name} has no RTS line: give --power-command")
        self.is_on = False
        # Nothing tells that the chip has stopped; this is how long it surely takes.
        time.sleep(PULSE)


class CommandPower(Power):
    """A command with {on|off} in it, which becomes one of the two."""

    is_on = True

    def __init__(self, command: str) -> None:
        if _CHOICE not in command:
            raise HarnessError(f'--power-command {command!r} has no {_CHOICE}: such as "relay 1 {_CHOICE}"')
        self._command = command

    def on(self) -> None:
        self._run("on")
        self.is_on = True

    def off(self) -> None:
        self._run("off")
        self.is_on = False

    def _run(self, which: str) -> None:
        words = shlex.split(self._command.replace(_CHOICE, which))
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_COMMAND, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HarnessError(f"--power-command: {shlex.join(words)}: {error}") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it says nothing"]
            raise HarnessError(f"--power-command: {shlex.join(words)}: exit {done.returncode}: {said[0]}")


class NoPower(Power):
    """A phone that nobody here can switch: a line without control lines, and no command."""

    is_on = True

    def __init__(self, name: str) -> None:
        self._name = name

    def on(self) -> None:
        """Nothing: it is on."""

    def off(self) -> None:
        raise HarnessError(
            f"{self._name} has no reset line: give --power-command 'COMMAND {_CHOICE}' to cut its power"
        )
