"""tools/find-python: what it prints runs, and has what was asked for."""

import os
import subprocess
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "find-python"


def find(*arguments, **environment):
    """Return (exit status, what it prints)."""
    there = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    done = subprocess.run(
        ["sh", str(TOOL), *arguments],
        capture_output=True,
        text=True,
        env=there | environment,
        check=False,
    )
    return done.returncode, done.stdout.strip()


def said_by(python, what):
    code = f"import os, ssl, sys, sysconfig; print({what})"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_one_that_is_given_is_taken():
    assert find(PYTHON="/nowhere/python") == (0, "/nowhere/python")


def test_the_one_for_all_has_tls_psk_where_its_version_could():
    status, python = find()
    assert status == 0
    assert said_by(python, "sys.version_info >= (3, 11)") == "True"
    assert said_by(python, "sys.version_info < (3, 13) or ssl.HAS_PSK") == "True"


@pytest.mark.parametrize(
    ("argument", "what"),
    [
        ("11", "sys.version_info[:2] == (3, 11)"),
        ("system", "os.path.exists(sysconfig.get_path('include') + '/Python.h')"),
    ],
)
def test_one_of_a_kind_is_of_that_kind_or_there_is_none(argument, what):
    status, python = find(argument, PYTHON="/nowhere/python")
    if status:
        assert python == ""
    else:
        assert said_by(python, what) == "True"
