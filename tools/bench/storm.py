"""A storm: all phones of a site register at once after a power cut, with loss.

    make storm-gatekeeper        (or: python tools/bench/storm.py --json out.json)

Twice: the gatekeeper had stayed on, and it had lost its power too, so that each key is looked up
anew.  Every phone has stored keys and behaves as a phone does: three tries of 2 s, doubling, then all
over.  Exits 1 where one of them is still without a registration after 2 minutes.
"""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from loadgen import scenarios
from loadgen.__main__ import show
from loadgen.engine import Engine
from loadgen.keys import Keys, KeySetError
from ringkey.site import runtime

from bench import load
from bench.gatekeepers import gatekeeper, prepare
from bench.load import BenchError


def main() -> int:
    """Run the storms; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--phones", type=int, default=5000)
    parser.add_argument("--loss", type=float, default=5.0, help="%% of datagrams lost, each way")
    parser.add_argument("--keep", type=Path, help="a directory for site and keys, used again the next time")
    args = parser.parse_args()
    found: dict[str, Any] = {"phones": args.phones, "loss": args.loss / 100}
    try:
        with tempfile.TemporaryDirectory(prefix="ringkey-storm-") as scratch, ExitStack() as stack:
            keep = args.keep or Path(scratch)
            keep.mkdir(exist_ok=True)
            site, keys = prepare(stack, keep, args.phones)
            with gatekeeper(site, Path(scratch)) as pid:
                found["gatekeeper restarted"] = _storm(site, pid, keys, args.loss / 100)
                found["gatekeeper stayed on"] = _storm(site, pid, keys, args.loss / 100)
    except (BenchError, KeySetError) as error:
        print(f"storm: {error}", file=sys.stderr)
        return 2
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    return 1 if any(row["locked_out"] for row in found.values() if isinstance(row, dict)) else 0


def _storm(site: Path, pid: int, keys: list[Keys], loss: float) -> dict[str, Any]:
    engine = Engine(("127.0.0.1", runtime.ports(site / "run", "gatekeeper")["ras"]), keys, loss=loss)
    before = load.cpu_seconds(pid)
    try:
        row = scenarios.storm(engine)
    finally:
        engine.close()
    row["gatekeeper_cpu_seconds"] = load.cpu_seconds(pid) - before
    row["gatekeeper_octets"] = load.memory(pid)
    show("storm", row)
    return row


if __name__ == "__main__":
    sys.exit(main())
