"""The README's commands for two key servers, run as they stand there."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import environment
from sites import seeds_of

ROOT = Path(__file__).resolve().parents[2]


def script():
    """Return the first shell block after the README's heading."""
    text = (ROOT / "README.md").read_text()
    section = text.split("## Two key servers", 1)[1]
    return re.search(r"```sh\n(.*?)```", section, re.S)[1]


def free_ports(count):
    found = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in found]
    for one in found:
        one.close()
    return ports


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_the_commands_of_the_readme(tmp_path):
    text = script()
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "ringkey").write_text(f'#!/bin/sh\nexec "{sys.executable}" -W error -m ringkey "$@"\n')
    (commands / "ringkey").chmod(0o755)
    # What a test must not do: write to /srv, or take the ports that somebody else may have.
    text = text.replace("/srv/", f"{tmp_path}/srv/")
    known = ("8443", "8444", "8445", "8446", "9443", "9444", "9445", "1719", "1300")
    ports = dict(zip(known, free_ports(len(known)), strict=True))
    own = "".join(f"s/\\b{old}\\b/{new}/;" for old, new in ports.items())
    config = f"{tmp_path}/srv/ringkey/ringkey.toml"
    lines = text.splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line.startswith("ringkey init"))
    multicast = "s/multicast = true/multicast = false/;"
    for i in (*range(at), *range(at + 1, len(lines))):
        for old, new in ports.items():
            lines[i] = re.sub(rf"\b{old}\b", str(new), lines[i])
    lines.insert(at + 1, f"sed -i '{own}{multicast}' '{config}'\n")
    path = tmp_path / "walkthrough.sh"
    path.write_text("set -eu\n" + "".join(lines))
    process = subprocess.Popen(
        ["bash", str(path)],
        cwd=tmp_path,
        env={**environment(), "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output = process.communicate(timeout=120)[0]
    finally:
        # The services that it leaves running in the background.
        # Where the commands failed there may be none, and what they printed is to be seen.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    assert process.returncode == 0, output
    first, second = tmp_path / "srv" / "ringkey", tmp_path / "srv" / "second"
    checks = re.findall(r"^generation (\d) +check value ([0-9a-f]{6})", output, re.M)
    # Before the rotation, and after it; the same on both each time.
    assert [number for number, _ in checks] == ["1", "1", "1", "2", "1", "2"]
    assert checks[0] == checks[1] == checks[2] == checks[4]
    assert checks[3] == checks[5] != checks[0]
    assert seeds_of(first) == seeds_of(second)
    assert len(set(seeds_of(first))) == 2
    assert "1 key of ext 1001 revoked" in output
    assert "REVOKED lost on the train" in output
    assert output.count("\nwhole: ") == 2, "the key server's record, at each"
    assert output.count(" is whole, too: ") == 2, "the administration's"
    shown = output + "".join(
        path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.suffix in (".log", ".jsonl")
    )
    assert not any(seed.hex() in shown for seed in seeds_of(first))
