"""The phone's modules, in the order of what they import."""

import ast
from pathlib import Path

from harness.unixphone import REPOSITORY
from image import modules


def ordered() -> "list[str]":
    """Return the names of the phone's modules, each after those that it imports when it is loaded."""
    files = {
        ".".join(file.relative_to(REPOSITORY / "firmware").with_suffix("").parts): file for file in _files()
    }
    found: list[str] = []

    def put(name: str) -> None:
        if name in files and name not in found:
            for other in _imports(files[name]):
                put(other)
            found.append(name)

    for name in files:
        put(name)
    return found


def _files() -> "list[Path]":
    firmware = REPOSITORY / "firmware"
    paths = modules.of_every_phone(firmware)
    return [firmware / path for path in paths if not path.endswith("__init__.py")]


def _imports(file: Path) -> "list[str]":
    """Return what a file imports when it is loaded, and not in a function."""
    found = []
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found
