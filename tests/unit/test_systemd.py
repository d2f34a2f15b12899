"""The systemd units: what systemd itself says of them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).resolve().parents[2] / "host" / "ringkey" / "systemd").glob("*.service"))
# Of 10; 1.2 to 1.3 in systemd 252, for the network that a server needs.
MOST_EXPOSED = 2.0


@pytest.fixture(params=UNITS, ids=lambda path: path.stem)
def unit(request, tmp_path):
    """A unit whose program is there, or systemd would complain of just that."""
    text = request.param.read_text()
    path = tmp_path / request.param.name
    path.write_text(text.replace("/opt/ringkey/.venv/bin/ringkey", "/bin/true"))
    return path


def systemd_analyze(*args):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(["systemd-analyze", *map(str, args)], capture_output=True, text=True, check=False)


def test_there_is_one_for_each_way_to_run():
    assert [path.name for path in UNITS] == [
        "ringkey-console.service",
        "ringkey-gatekeeper.service",
        "ringkey-keyserver.service",
        "ringkey.service",
    ]


def test_systemd_takes_it(unit):
    done = systemd_analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_little_is_left_open(unit):
    done = systemd_analyze("security", "--offline=true", unit)
    found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    if found is None:
        pytest.skip(f"this systemd-analyze cannot look at a file: {done.stderr.strip()}")
    assert float(found[1]) < MOST_EXPOSED


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_it_sees_what_it_needs_only(path):
    text = path.read_text()
    assert "ca/root.key" in re.search("^InaccessiblePaths=(.*)", text, re.MULTILINE)[1]
    assert "LimitCORE=0" in text
    writes = re.search("^ReadWritePaths=(.*)", text, re.MULTILINE)[1]
    assert "/srv/ringkey/ca" not in writes
    assert ("keyserver" in writes) == ("gatekeeper" not in path.stem)
