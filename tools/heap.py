"""`make heap`: what the phone takes of MicroPython's heap, per module and per phase.

The phone, compiled as an image has it, runs on the unix port against the real servers.  On
an interpreter of 32 bits (MICROPYTHON=...) the numbers are a board's; on one of 64 bits they
are larger (docs/memory.md has the ratio).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.unixphone import REPOSITORY, find_micropython
from heapmeter import boards, modules, phases
from image import bytecode
from ringkey.errors import UserError


def measure_modules(folder: Path) -> "dict[str, int]":
    """Return octets of the heap per module, imported in the order of their dependencies."""
    done = subprocess.run(
        [find_micropython(), "-X", "heapsize=8M", "-m", "measure_modules", *modules.ordered()],
        env={**os.environ, "MICROPYPATH": ":.frozen"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise HarnessError(f"the modules cannot be measured:\n{done.stdout}{done.stderr}")
    return dict(json.loads(done.stdout))


def bits() -> int:
    """Return the interpreter's word size."""
    done = subprocess.run(
        [find_micropython(), "-c", "import sys; print(64 if sys.maxsize > 1 << 31 else 32)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def measure() -> "dict[str, Any]":
    """Measure everything; raises HarnessError."""
    found: dict[str, Any] = {"bits": bits(), "options": bytecode.OPTIMISATION, "phases": {}, "loaded": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with phases.running_site(folder) as site:
            for board in boards.NAMES:
                tree = boards.compile_tree(board, folder / board)
                if board == boards.UNIX:
                    found["modules"] = measure_modules(tree)
                for psk in (phases.OWN, phases.NATIVE):
                    meter = phases.measure(board, folder / f"{board}-{psk}", site, tree, psk)
                    found["phases"][f"{board} {psk}"] = meter.used
                    found["loaded"][f"{board} {psk}"] = {
                        phase: sorted(names) for phase, names in meter.modules.items()
                    }
    return found


def show(found: "dict[str, Any]") -> None:
    """Print the tables."""
    print(f"MicroPython of {found['bits']} bits, mpy-cross {found['options']}: octets of heap\n")
    loaded = found["loaded"]["unix own"]
    registered = set(loaded["registered"])
    ever = set().union(*loaded.values())
    print(f"{'module':<24}{'octets':>8}   on the phone")
    for module, octets in found["modules"].items():
        if module in registered or module == "asyncio":
            when = "while registered"
        else:
            when = "at times" if module in ever else "never"
        print(f"{module:<24}{octets:>8}   {when}")
    columns = list(found["phases"])
    print(f"\n{'the most that is alive':<24}" + "".join(f"{name:>22}" for name in columns))
    for phase in phases.PHASES:
        print(f"{phase:<24}" + "".join(f"{found['phases'][name].get(phase, 0):>22}" for name in columns))


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog="Example: make heap"
    )
    parser.add_argument("--json", type=Path, default=REPOSITORY / "build" / "heap.json", help="where to")
    path = parser.parse_args().json.resolve()
    try:
        found = measure()
    except (HarnessError, UserError) as error:
        print(f"heap: {error}", file=sys.stderr)
        return 1
    show(found)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\nAlso in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
