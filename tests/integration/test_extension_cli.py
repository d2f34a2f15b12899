"""`ringkey extension …` as a person and as a script use it."""

import json
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest
from ringkey.gatekeeper.directory import Directory

ROOT = Path(__file__).resolve().parents[2]
PIN = "8675309123450"
SCRIPT = [sys.executable, "-W", "error", "-m", "ringkey"]


@pytest.fixture
def extension(site):
    """`extension("add", "1001", stdin="4711")` runs the command and returns the CompletedProcess."""

    def run(*args, stdin="", check=True):
        done = subprocess.run(
            [*SCRIPT, "--site", str(site), "extension", *map(str, args)],
            env=environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert not check or done.returncode == 0, done.stderr
        return done

    return run


def environment():
    paths = [str(ROOT / "firmware"), str(ROOT / "host")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def pins(site):
    with Directory.open(site / "gatekeeper" / "directory.db", site / "gatekeeper" / "pin.key") as directory:
        return {entry.ext: directory.get(entry.ext).pin for entry in directory.list()}


def test_add_list_change_remove(site, extension):
    assert (
        "extension 1001 added" in extension("add", "1001", "--pin-stdin", "--label", "Ann", stdin=PIN).stdout
    )
    assert pins(site) == {"1001": PIN}
    listed = extension("list").stdout
    assert re.search(r"1001 +enabled +\? +20\d\d-\d\d-\d\d +Ann\n", listed)
    extension("pin", "1001", "--pin-stdin", stdin="4711\n")
    extension("disable", "1001")
    [one] = json.loads(extension("list", "--json").stdout)
    assert (one["ext"], one["enabled"], one["label"], one["registered"]) == ("1001", False, "Ann", None)
    extension("enable", "1001")
    assert pins(site) == {"1001": "4711"}
    extension("remove", "1001")
    assert "no extensions yet" in extension("list").stdout
    assert json.loads(extension("list", "--json").stdout) == []


def test_no_list_shows_a_pin(extension):
    extension("add", "1001", "--pin-stdin", stdin=PIN)
    for args in (("list",), ("list", "--json"), ("disable", "1001"), ("add", "1001", "--generate")):
        done = extension(*args, check=False)
        assert PIN not in done.stdout + done.stderr


def test_a_pin_is_no_argument(extension):
    for args in (("add", "1001", PIN), ("add", "1001", "--pin", PIN), ("pin", "1001", PIN)):
        assert extension(*args, check=False).returncode == 2


def test_a_drawn_pin_is_shown_once(site, extension):
    drawn = []
    for ext in ("1", "2", "3"):
        shown = extension("add", ext, "--generate").stdout
        drawn.append(re.search(r"^PIN (\d{6}) ", shown, re.MULTILINE)[1])
        assert pins(site)[ext] == drawn[-1]
    assert len(set(drawn)) == 3
    changed = extension("pin", "1", "--generate").stdout
    assert pins(site)["1"] in changed
    assert not any(pin in extension("list", "--json").stdout for pin in pins(site).values())


@pytest.mark.parametrize(
    ("args", "stdin", "status", "text"),
    [
        (("add", "x1", "--pin-stdin"), "1", 1, "extension: digits 0 to 9 only"),
        (("add", "1", "--pin-stdin"), "12x", 1, "PIN: digits 0 to 9 only"),
        (("add", "1", "--pin-stdin"), "", 1, "PIN: 1 to 16 digits"),
        (("add", "1", "--pin-stdin"), "1" * 1000, 1, "PIN: 1 to 16 digits"),
        (("add", "1", "--pin-stdin", "--generate"), "1", 2, "exclude each other"),
        (("add", "1"), "1", 2, "--pin-stdin or --generate"),
        (("pin", "7", "--generate"), "", 1, "extension add 7"),
        (("remove", "7"), "", 1, "extension list"),
        (("enable", "7"), "", 1, "extension list"),
        (("disable", "7"), "", 1, "extension list"),
        (("import", "nowhere.csv"), "", 1, "ls -l nowhere.csv"),
    ],
)
def test_errors_say_what_and_what_next(extension, args, stdin, status, text):
    done = extension(*args, stdin=stdin, check=False)
    assert done.returncode == status
    assert text in done.stderr


def test_a_second_add_names_the_way_to_change(site, extension):
    extension("add", "1001", "--generate")
    before = pins(site)
    done = extension("add", "1001", "--generate", check=False)
    assert done.returncode == 1
    assert f"try: ringkey --site {site} extension pin 1001" in done.stderr
    assert pins(site) == before


def test_import(site, extension, tmp_path):
    file = tmp_path / "phones.csv"
    file.write_text("\ufeffEXT,PIN,Label\r\n1001,4711,Ann\r\n1002,0815\r\n", newline="")
    assert extension("import", file).stdout == "2 extensions added\n"
    assert pins(site) == {"1001": "4711", "1002": "0815"}
    assert extension("import", "-", stdin="1003,1\n").stdout == "1 extension added\n"
    done = extension("import", "-", stdin="1004,1\n1001,99887766\n1005,9988x\n", check=False)
    assert done.returncode == 1
    assert "line 3: PIN: digits 0 to 9 only" in done.stderr
    assert "9988" not in done.stderr
    assert sorted(pins(site)) == ["1001", "1002", "1003"]
    file.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in extension("import", file, check=False).stderr


def at_a_terminal(site, args, answers):
    """Run a command on a terminal of its own, answer its prompts; return (exit status, what it showed)."""
    main, side = pty.openpty()
    try:
        process = subprocess.Popen(
            [*SCRIPT, "--site", str(site), "extension", *args],
            env=environment(),
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
        )
        shown = ""
        for prompt, answer in answers:
            shown = _until(main, shown, prompt)
            os.write(main, answer.encode() + b"\n")
        status = process.wait(30)
        while select.select([main], [], [], 0.1)[0]:
            shown += os.read(main, 4096).decode()
        return status, shown
    finally:
        os.close(main)
        os.close(side)


def _until(main, shown, prompt):
    while not shown.rstrip().endswith(prompt):
        ready, _, _ = select.select([main], [], [], 30)
        assert ready, f"no {prompt!r} in {shown!r}"
        shown += os.read(main, 4096).decode()
    return shown


def test_the_prompt_hides_the_pin_and_asks_twice(site):
    answers = [("PIN:", PIN), ("PIN again:", PIN)]
    status, shown = at_a_terminal(site, ["add", "1001"], answers)
    assert status == 0, shown
    assert "extension 1001 added" in shown
    assert PIN not in shown
    assert pins(site) == {"1001": PIN}


def test_a_slip_at_the_prompt_is_asked_again(site):
    answers = [("PIN:", "1"), ("PIN again:", "2"), ("PIN:", "4711"), ("PIN again:", "4711")]
    status, shown = at_a_terminal(site, ["add", "1001"], answers)
    assert status == 0, shown
    assert pins(site) == {"1001": "4711"}


def test_help_has_examples(extension):
    for name in ("add", "pin", "remove", "enable", "disable", "list", "import"):
        shown = extension(name, "--help").stdout
        assert f"ringkey extension {name}" in shown.split("Example")[1]


def test_a_directory_that_cannot_be_read_is_a_clear_error(site, extension):
    extension("add", "1001", "--generate")
    (site / "gatekeeper" / "pin.key").chmod(0o644)
    done = extension("list", check=False)
    assert done.returncode == 1
    assert "try: chmod 600" in done.stderr
    (site / "gatekeeper" / "pin.key").unlink()
    done = extension("add", "1002", "--generate", check=False)
    assert done.returncode == 1
    assert "pin.key is missing" in done.stderr
