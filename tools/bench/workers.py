"""A gatekeeper of one process beside one of several workers: registrations a second, and what they cost.

    PYTHONPATH=tools python tools/bench/workers.py --workers 1 2 --size 1000

CPU time says what each process could do at most on a processor of its own; rates need a machine with a
processor for each of them, and one for the endpoints.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness import sites
from loadgen import keys as keysets
from loadgen import scenarios
from loadgen.engine import REGISTER, Engine, Figures
from ringkey.site import runtime

from bench import gatekeepers, load
from bench.load import BenchError

_HEAD = f"{'workers':>7} {'load':>6} {'reg./s':>8} {'p99 ms':>8} {'at most/s':>10}  CPU µs a registration"


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of workers, in turn")
    parser.add_argument("--size", type=int, default=1000, help="endpoints (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="measured runs of each; the median counts")
    parser.add_argument("--run", type=int, default=3000, help="registrations of a run (default %(default)s)")
    parser.add_argument("--keep", type=Path, help="a directory for site and keys, used again the next time")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="ringkey-bench-") as scratch, ExitStack() as stack:
            keep = args.keep or Path(scratch)
            keep.mkdir(exist_ok=True)
            site, keys = gatekeepers.prepare(stack, keep, args.size)
            print(_HEAD)
            rows = [measure(args, site, keys, Path(scratch), workers) for workers in args.workers]
    except (BenchError, keysets.KeySetError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def measure(
    args: argparse.Namespace, site: Path, keys: list[keysets.Keys], scratch: Path, workers: int
) -> dict[str, Any]:
    """Return the figures of a gatekeeper with so many workers."""
    sites.set_values(site, "gatekeeper", workers=workers)
    with gatekeepers.gatekeeper(site, scratch) as pid:
        engine = Engine(("127.0.0.1", runtime.ports(site / "run", "gatekeeper")["ras"]), keys[: args.size])
        try:
            scenarios.register(engine, window=gatekeepers.WINDOW, count=args.size)
            processes = [pid, *_children(pid)]
            runs = []
            for _ in range(args.rounds):
                engine.figures = Figures()
                before = [load.cpu_seconds(one) for one in processes]
                found = scenarios.register(engine, window=gatekeepers.WINDOW, count=args.run)
                spent = [load.cpu_seconds(one) - was for one, was in zip(processes, before, strict=True)]
                row = found["operations"].get(REGISTER, {})
                if not row.get("done"):
                    raise BenchError("no registration was confirmed")
                runs.append({**row, "cpu": [1e6 * one / row["done"] for one in spent]})
        finally:
            engine.close()
        return show(workers, runs)


def show(workers: int, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Print a line for a number of workers, as soon as there is one; return the figures."""
    cpu = [statistics.median(costs) for costs in zip(*(one["cpu"] for one in runs), strict=True)]
    row = {
        "workers": workers,
        "load": os.getloadavg()[0],
        "rate": statistics.median(one["rate"] for one in runs),
        "p99": statistics.median(one["p99"] for one in runs),
        # Of one process it is all that there is; of several the first is the supervisor.
        "cpu": cpu,
        # What the busiest of them could do with a processor of its own.
        "most": 1e6 / max(cpu),
    }
    names = ["process"] if workers == 1 else ["supervisor", *["worker"] * workers]
    costs = ", ".join(f"{name} {cost:.0f}" for name, cost in zip(names, cpu, strict=True))
    print(
        f"{workers:>7} {row['load']:>6.1f} {row['rate']:>8.0f} {row['p99']:>8.0f} "
        f"{row['most']:>10.0f}  {costs}",
        flush=True,
    )
    return row


def _children(pid: int) -> list[int]:
    """Return a process's children: of a gatekeeper its workers, oldest first."""
    return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


if __name__ == "__main__":
    sys.exit(main())
