"""Which modules of firmware/ a phone needs: the one place that decides it.

tests/unit/test_image_modules.py holds the list to what the phone's modules import.
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from ringkey.errors import UserError

# The gatekeeper's side of the core, which no phone runs; and sealed files, which none fetches yet.
NOT_ON_A_PHONE = frozenset(
    {
        "ras/answers.py",
        "ras/attempts.py",
        "ras/codec.py",
        "ras/dotted.py",
        "ras/kept.py",
        "ras/lookups.py",
        "ras/noise.py",
        "ras/plain.py",
        "ras/policy.py",
        "ras/refusals.py",
        "ras/sealedfile.py",
        "ras/registrar.py",
        "ras/held.py",
        "ras/registrations.py",
        "ras/replay.py",
        "ras/server_nonce.py",
        "ras/throttle.py",
    }
)
ROOMS = ("phone", "ras", "tlspsk")
_DRIVERS = "drivers"


def of_every_phone(firmware: Path) -> list[str]:
    """Return the paths of the modules that every phone has, relative to `firmware`, in order.

    `main.py` is not among them: it stays source (MicroPython starts no main.mpy).
    """
    found = []
    for room in ROOMS:
        for file in sorted((firmware / room).rglob("*.py")):
            name = file.relative_to(firmware).as_posix()
            if name not in NOT_ON_A_PHONE:
                found.append(name)
    return found


def of_the_board(description: dict[str, object], folder: Path, firmware: Path) -> dict[str, Path]:
    """Return the drivers that a board.json names, and what those import in turn.

    folder: the board's own; a module there goes before one of the same name in `firmware`.
    The result has the path in the image -> the source.  Raises UserError: it is nowhere.
    """
    found: dict[str, Path] = {}
    wanted = [(name, f"{folder.name}/board.json") for name in _named(description)]
    while wanted:
        name, who = wanted.pop()
        path = name.replace(".", "/") + ".py"
        if path in found or name.split(".")[0] in ROOMS:
            continue
        source = next((s for s in (folder / path, firmware / path) if s.exists()), None)
        if source is None:
            raise UserError(f"{who} names the driver {name}, which is in none of {folder} and {firmware}")
        found[path] = source
        package = source.parent / "__init__.py"
        if "/" in path and package.exists():
            found[path.rsplit("/", 1)[0] + "/__init__.py"] = package
        for imported in _imports(source):
            own = imported.replace(".", "/") + ".py"
            if (folder / own).exists() or imported.startswith(_DRIVERS + "."):
                wanted.append((imported, source.name))
    return dict(sorted(found.items()))


def _named(description: dict[str, object]) -> Iterator[str]:
    """Yield NAME of every part {"module": NAME} of a board.json: one, or a list of them, under a key."""
    for entries in description.values():
        for entry in entries if isinstance(entries, list) else [entries]:
            if isinstance(entry, dict) and isinstance(entry.get("module"), str):
                yield entry["module"]


def _imports(source: Path) -> Iterable[str]:
    """Yield the dotted names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(source.read_text(), str(source))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom) and node.module == _DRIVERS:
            for alias in node.names:
                yield f"{_DRIVERS}.{alias.name}"
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
