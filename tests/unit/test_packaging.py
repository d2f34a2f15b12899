"""pyproject.toml against the sources: what a wheel of ringkey holds, where nothing lies beside it."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
# What an interpreter or a compiler puts beside a source, and .gitignore keeps out.
MADE = {".pyc", ".pyo", ".so", ".c", ".mpy"}


def files():
    """Return (package's first name, path below its directory) of each source file."""
    return [
        (first, path.relative_to(ROOT / directory))
        for first, directory in SETTINGS["package-dir"].items()
        for path in (ROOT / directory).rglob("*")
        if path.is_file() and path.suffix not in MADE
    ]


def test_each_directory_with_modules_is_a_package_and_listed():
    found = {".".join((first, *path.parts[:-1])) for first, path in files() if path.suffix == ".py"}
    marked = {".".join((first, *path.parts[:-1])) for first, path in files() if path.name == "__init__.py"}
    assert marked == found
    assert SETTINGS["packages"] == sorted(found)


def test_each_file_that_is_no_module_is_packed_and_each_pattern_finds_one():
    found = {ROOT / SETTINGS["package-dir"][first] / path for first, path in files() if path.suffix != ".py"}
    patterns = [(name, one) for name, ones in SETTINGS["package-data"].items() for one in ones]
    packed = set()
    for package, pattern in patterns:
        assert package in SETTINGS["packages"]
        first, *rest = package.split(".")
        matched = set((ROOT / SETTINGS["package-dir"][first]).joinpath(*rest).glob(pattern)) & found
        assert matched, f"{package}: {pattern} finds nothing"
        packed |= matched
    assert packed == found
