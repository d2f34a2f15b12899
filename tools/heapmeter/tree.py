"""The phone as a board has it in its file system: every module compiled to .mpy, in one folder."""

import ast
import shutil
from pathlib import Path

from harness.unixphone import REPOSITORY
from image import bytecode
from image.modules import ROOMS

# What the phone on the unix board consists of, and this package's own programs.
_SOURCES = ("firmware", "boards/unix", "tools/heapmeter/onboard")
# Of no account: there is no native code.
_ARCHITECTURE = "xtensawin"


def build(folder: Path) -> Path:
    """Compile the phone into `folder`, made if need be, as an image has it; return it.  Raises UserError."""
    for source in _SOURCES:
        root = REPOSITORY / source
        for file in sorted(root.rglob("*.py")):
            name = file.relative_to(root).as_posix()
            target = (folder / name).with_suffix(".mpy")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(bytecode.compile_module(file.read_bytes(), name, _ARCHITECTURE))
    shutil.copy(REPOSITORY / "boards" / "unix" / "board.json", folder)
    return folder


def modules() -> "list[str]":
    """Return the names of the phone's modules, each after those that it imports when it is loaded."""
    files = {
        ".".join(file.relative_to(REPOSITORY / "firmware").with_suffix("").parts): file
        for room in ROOMS
        for file in sorted((REPOSITORY / "firmware" / room).glob("*.py"))
        if file.stem != "__init__"
    }
    ordered: list[str] = []

    def put(name: str) -> None:
        if name in files and name not in ordered:
            for other in _imports(files[name]):
                put(other)
            ordered.append(name)

    for name in files:
        put(name)
    return ordered


def _imports(file: Path) -> "list[str]":
    """Return what a file imports when it is loaded, and not in a function."""
    found = []
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found
