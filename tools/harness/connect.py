"""Phones by what the user calls them: a port's name, a URL, or "unix"; and what is on them."""

import hashlib
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import diagnosis
from harness.errors import HarnessError
from harness.line import BAUD, SerialLine
from harness.phone import Phone
from harness.phonelog import PhoneLog
from harness.power import CommandPower, NoPower, Power, PulsePower
from harness.timeline import Add
from harness.unixphone import REPOSITORY, find_micropython

UNIX = "unix"  # a process on a pseudo-terminal, made by the harness
_FLASHING = 600.0  # s: 4 MB at 115200 baud
_ASKING = 30.0  # s
_VERSION = "import sys; print('.'.join(map(str, sys.implementation[1][:3])), sys.version.split(';')[-1])"


def open_phone(
    url: str,
    *,
    name: str = "phone",
    board: str | None = None,
    baud: int = BAUD,
    power_command: str | None = None,
    log: PhoneLog | None = None,
    add: Add | None = None,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> Phone:
    """Return the phone behind a port or URL, its line open, the phone as it was.

    power_command: a command with {on|off} in it, and {phone} for the URL where there are several;
    without one, the port's RTS resets the board.  Raises LineError, HarnessError.
    """
    line = SerialLine(url, baud)
    power: Power
    if power_command is not None:
        power = CommandPower(power_command.replace("{phone}", url))
    elif url.startswith("socket://"):
        power = NoPower(url)
    else:
        power = PulsePower(line)
    phone = Phone(line, power, name=name, board=board, log=log, add=add, on_event=on_event)
    phone.attach()
    return phone


def flash(port: str, board: str, *, site: Path, base: Path | None = None, erase: bool = False) -> None:
    """Write the image for `board` to the board on `port`: `make flash`.  Raises HarnessError."""
    words = ["make", "-s", "-C", str(REPOSITORY), "flash", f"PORT={port}", f"BOARD={board}", f"SITE={site}"]
    words += [f"BASE={base}"] if base is not None else []
    words += ["ERASE=1"] if erase else []
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_FLASHING, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HarnessError(f"{port}: make flash: {error}") from None
    if done.returncode != 0:
        raise HarnessError(diagnosis.of_flash(port, board, done.stdout + done.stderr))


def properties(boards: list[str], base: Path | None) -> dict[str, str]:
    """Return what a report says of the things under test."""
    from ringkey import __version__

    found = {"board": ", ".join(dict.fromkeys(boards))}
    if UNIX in boards:
        found["base firmware"] = _micropython()
        found["image"] = f"sha256 {image_hash(('firmware', 'boards/unix'))} (sources)"
    if base is not None:
        found["base firmware"] = f"{base.name} sha256 {hashlib.sha256(base.read_bytes()).hexdigest()}"
    for board in dict.fromkeys(boards):
        built = sorted((REPOSITORY / "build").glob(f"**/*{board}*.bin"), key=lambda p: p.stat().st_mtime)
        if board != UNIX:
            digest = hashlib.sha256(built[-1].read_bytes()).hexdigest() if built else ""
            found["image"] = f"{built[-1].name} sha256 {digest}" if built else "not built in this checkout"
    found["ringkey"] = f"{__version__} {_revision()}".strip()
    found["python"] = f"{platform.python_version()} on {platform.platform()}"
    return found


def image_hash(folders: tuple[str, ...]) -> str:
    """Return the SHA-256 over the names and octets of all sources in folders of the repository."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((REPOSITORY / folder).rglob("*")):
            if path.suffix in (".py", ".json") and path.is_file():
                content = path.read_bytes()
                digest.update(f"{path.relative_to(REPOSITORY)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _micropython() -> str:
    words = [find_micropython(), "-c", _VERSION]
    return _said(words) or "not known"


def _revision() -> str:
    return _said(["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"])


def _said(words: list[str]) -> str:
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_ASKING, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
