"""One target under atheris: `drive.py NAME [libFuzzer's arguments]`.  Needs the venv of `make fuzz-NAME`.

libFuzzer ends the process itself, so what there is to say about a run is said by run.py.
"""

import importlib
import shlex
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Instrument the core, then fuzz."""
    name, *arguments = sys.argv[1:]
    with atheris.instrument_imports(include=["ras"], enable_loader_override=False):
        # Those that the core loads only when a message of their kind comes.
        for file in sorted((ROOT / "firmware" / "ras").glob("*.py")):
            importlib.import_module(f"ras.{file.stem}")
    if name == "registrar":
        with atheris.instrument_imports(include=["ringkey.gatekeeper"], enable_loader_override=False):
            importlib.import_module("ringkey.gatekeeper.direct")
    target = importlib.import_module(f"fuzz_{name}")
    # To merge, libFuzzer starts itself again by the words of its own command, through a shell.
    own = shlex.join([sys.executable, __file__, name])
    atheris.Setup([own, f"-max_len={target.MAX_INPUT}", *arguments], target.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
