"""The compiled modules (tools/compiled): what may be among them, and that `make test-compiled` runs them."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from compiled.modules import sources

ROOT = Path(__file__).parents[2]
MODULES = [
    ".".join(Path(one).with_suffix("").parts[1:]) for one in sources()
]  # firmware/ras/mac.py -> ras.mac
compiled = pytest.mark.skipif(
    not os.environ.get("RINGKEY_COMPILED"), reason="of `make test-compiled`, which sets RINGKEY_COMPILED"
)


def trees():
    return [(one, ast.parse((ROOT / one).read_text())) for one in sources()]


def test_each_is_there_and_named_once():
    assert len(set(sources())) == len(sources())
    assert [one for one in sources() if not (ROOT / one).is_file()] == []


def test_none_has_a_coroutine():
    """mypyc drives them by a form of `throw` that CPython has deprecated, and warnings are errors here."""
    found = [
        one for one, tree in trees() if any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(tree))
    ]
    assert found == []


def test_whatever_inherits_from_one_of_them_is_compiled_too():
    """An interpreted class cannot inherit from a compiled one; found out here, not when it is imported."""
    ours = {node.name for _, tree in trees() for node in tree.body if isinstance(node, ast.ClassDef)}
    places = [*(ROOT / "host" / "ringkey").rglob("*.py"), *(ROOT / "firmware" / "ras").glob("*.py")]
    others = []
    for place in places:
        name = str(place.relative_to(ROOT))
        if name in sources():
            continue
        tree = ast.parse(place.read_text())
        taken = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module in MODULES
            for alias in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                others += [f"{name}: {node.name}" for base in bases & taken if base in ours]
    assert others == []


@compiled
@pytest.mark.parametrize("name", MODULES)
def test_it_is_the_compiled_one_that_is_tested(name):
    assert not str(importlib.import_module(name).__file__).endswith(".py")


@compiled
def test_a_gatekeeper_that_is_started_is_compiled_too():
    """What integration tests start gets it by PYTHONPATH."""
    program = f"import {MODULES[0]} as one; print(one.__file__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not done.stdout.strip().endswith(".py")
