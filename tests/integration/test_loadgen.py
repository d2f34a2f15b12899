"""The load generator against a real key server and a real gatekeeper, as a person runs it."""

import json
import subprocess
import sys

import pytest
from conftest import environment
from harness import sites

COUNT = 40


def loadgen(*args):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "loadgen", *map(str, args)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_register_churn_and_attack_against_a_real_gatekeeper(site, run_service, ringkey, tmp_path):
    # More lines than the budget has by default: each line of this test is looked for.
    sites.set_values(site, "gatekeeper", log_lines=1000)
    run_service(site, "keyserver", "serve")
    keys, csv = tmp_path / "keys.jsonl", tmp_path / "pins.csv"
    done = loadgen("keys", "--site", site, "--count", COUNT, "--out", keys, "--csv", csv)
    assert done.returncode == 0, done.stderr
    run_service.secrets.update(json.loads(line)["kg"] for line in keys.read_text().splitlines())
    ringkey("--site", site, "extension", "import", csv)
    gatekeeper = run_service(site, "gatekeeper", "serve")
    gatekeeper.wait_for("key_server_ready")
    out = tmp_path / "out.json"

    def run(scenario, *args):
        done = loadgen(scenario, "--site", site, "--keys", keys, "--json", out, *args)
        assert done.returncode == 0, done.stdout + done.stderr
        assert scenario in done.stdout
        return json.loads(out.read_text())

    found = run("register", "--window", 8, "--sockets", 4)
    assert found["operations"]["register"]["done"] == found["registered"] == COUNT
    assert found["operations"]["register"]["p99"] > 0
    held = ringkey("--site", site, "status").stdout
    assert str(COUNT) in held

    found = run("churn", "--seconds", 3, "--rate", 60, "--sockets", 4)
    operations = found["operations"]
    # It knows nothing of the registrations before, so all begin anew; a wrong PIN gets silence.
    assert operations["register"]["done"] > 10
    assert operations["refresh"]["done"] > 10
    assert all("silence" not in row for name, row in operations.items() if name != "wrong-pin"), operations
    assert operations.get("wrong-pin", {"done": 0})["done"] == 0
    for name in ("registered", "kept_alive"):
        assert gatekeeper.wait_for(name)

    found = run("storm", "--loss", 10, "--sockets", 8)
    assert found["locked_out"] == 0
    assert found["registered"] == COUNT
    assert found["lost"] > 0

    found = run("attack", "--seconds", 2, "--rate", 10, "--flood", "mixed", "--flood-rate", 500)
    assert found["flood_datagrams"] > 100
    assert found["operations"]["register"]["done"] >= 15


@pytest.mark.parametrize("args", [("register", "--help"), ("--help",)])
def test_help_has_examples(args):
    done = loadgen(*args)
    assert done.returncode == 0
    assert "usage: loadgen" in done.stdout
    assert ("examples" in done.stdout) == (args == ("--help",))


def test_what_is_missing_is_said(tmp_path):
    done = loadgen("register", "--site", tmp_path, "--keys", tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no key set" in done.stderr
    assert "Traceback" not in done.stderr
