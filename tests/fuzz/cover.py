"""What of the core a target's inputs reach: `cover.py NAME FOLDER`; prints a line a module."""

import importlib
import io
import json
import sys
from pathlib import Path

import coverage

ROOT = Path(__file__).resolve().parents[2]
# What a target is about; of the rest of the core it uses a part by the way.
ABOUT = {
    "decoder": ("aper", "per", "message", "profile", "h225*", "h235"),
    "registrar": (
        "registrar",
        "held",
        "registrations",
        "throttle",
        "replay",
        "answers",
        "direct",
        "codec",
        "shapes",
    ),
    "tpkt": ("tpkt", "q931"),
}


def main() -> None:
    """Run every input once, counting lines and branches."""
    name, folder = sys.argv[1:]
    rooms = (ROOT / "firmware" / "ras", ROOT / "host" / "ringkey" / "gatekeeper")
    include = [str(room / f"{module}.py") for module in ABOUT[name] for room in rooms]
    counted = coverage.Coverage(data_file=None, branch=True, include=include, config_file=False)
    counted.start()
    target = importlib.import_module(f"fuzz_{name}")
    files = sorted(Path(folder).iterdir())
    for file in files:
        target.one(file.read_bytes())
    counted.stop()
    report = io.StringIO()
    counted.report(file=report, show_missing=True)
    print(report.getvalue())
    print(json.dumps({"inputs": len(files)}))


if __name__ == "__main__":
    main()
