"""Sites for demo and tests: made by the real `ringkey init`, on 127.0.0.1, every port free for the taking."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from harness.errors import HarnessError


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


def make(path: Path, environment: "Mapping[str, str] | None" = None) -> str:
    """Make a site at `path` for this machine only; return what `ringkey init` printed."""
    printed = ringkey("init", str(path), "--ip", "127.0.0.1", "--name", "localhost", environment=environment)
    free_ports(path)
    return printed


def free_ports(path: Path) -> None:
    """Let a site's services take any free port, on 127.0.0.1 only, without multicast."""
    file = path / "ringkey.toml"
    text = file.read_text()
    for old, new in (
        ('listen = "0.0.0.0"', 'listen = "127.0.0.1"'),
        ("8443", "0"),
        ("8444", "0"),
        ("8445", "0"),
        (":1719", ":0"),
        ("port = 1719", "port = 0"),
        ("signalling_port = 1300", "signalling_port = 0"),
        ("multicast = true", "multicast = false"),
    ):
        if old not in text:
            raise HarnessError(
                f"{file} has no {old!r}: ringkey init writes another file than the harness knows"
            )
        text = text.replace(old, new)
    file.write_text(text)
