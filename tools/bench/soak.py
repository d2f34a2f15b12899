"""A soak: phones register, keep alive, leave and fail for MINUTES; memory and latency are to stay flat.

    make soak-gatekeeper MINUTES=20

Writes what was sampled every 10 s as JSON and as a plot.  Exits 1 where, from the first quarter of
the time to the last, memory has grown by more than 10 %, or the median p99 by more than a half and
50 ms; or where an operation other than a wrong PIN stayed without an answer.  Before the time begins, as
many registrations as fill the tables of nonces: what is left to grow is what should not.
"""

import argparse
import json
import statistics
import sys
import tempfile
from array import array
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from loadgen import scenarios
from loadgen.__main__ import show
from loadgen.engine import REFRESH, REGISTER, SILENCE, WRONG_PIN, Engine, Figures
from loadgen.keys import KeySetError
from ras.registrar import MAX_NONCES
from ringkey.site import runtime

from bench import load, plot
from bench.gatekeepers import gatekeeper, prepare
from bench.load import BenchError

SAMPLE = 10.0  # s
FULL = 2 * MAX_NONCES  # registrations; a table that is full goes on to grow as it is tidied up
GROWTH = 0.10
# A p99 of 10 s on a busy machine jumps; only what is more than this counts.
SLOWER, SLOWER_MS = 0.5, 50.0


class Samples:
    """What was seen each SAMPLE seconds of the gatekeeper `pid`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._next = 0.0
        self._cpu = load.cpu_seconds(pid)
        self._seen: dict[str, int] = {}
        self.rows: list[dict[str, float]] = []

    def take(self, seconds: float, engine: Engine) -> None:
        """Take a sample where it is time for one."""
        if seconds < self._next:
            return
        self._next = seconds + SAMPLE
        row = {"seconds": seconds, "octets": float(load.memory(self._pid))}
        for operation in (REGISTER, REFRESH):
            times = engine.figures.milliseconds.get(operation, array("f"))
            new = sorted(times[self._seen.get(operation, 0) :])
            self._seen[operation] = len(times)
            if new:
                row[f"{operation} p50"] = new[len(new) // 2]
                row[f"{operation} p99"] = new[int(0.99 * len(new))]
        cpu = load.cpu_seconds(self._pid)
        row["cpu"] = (cpu - self._cpu) / SAMPLE
        self._cpu = cpu
        self.rows.append(row)


def main() -> int:
    """Run the soak; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--phones", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=200.0, help="operations a second")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--svg", type=Path, help="write the plot here")
    parser.add_argument("--keep", type=Path, help="a directory for site and keys, used again the next time")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="ringkey-soak-") as scratch, ExitStack() as stack:
            keep = args.keep or Path(scratch)
            keep.mkdir(exist_ok=True)
            site, keys = prepare(stack, keep, args.phones)
            with gatekeeper(site, Path(scratch)) as pid:
                engine = Engine(("127.0.0.1", runtime.ports(site / "run", "gatekeeper")["ras"]), keys)
                scenarios.register(engine, count=FULL)
                engine.figures = Figures()
                samples = Samples(pid)
                found = scenarios.churn(
                    engine, seconds=60 * args.minutes, rate=args.rate, window=512, sample=samples.take
                )
                engine.close()
    except (BenchError, KeySetError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    show("soak", found)
    # The first minute fills caches; what is left is a shorter soak's first quarter.
    rows = [row for row in samples.rows if row["seconds"] >= min(60.0, 15 * args.minutes)]
    problems = judge(rows, found)
    for problem in problems:
        print(f"MISS {problem}")
    if args.json:
        args.json.write_text(
            json.dumps({**found, "samples": samples.rows, "problems": problems}, indent=1) + "\n"
        )
    if args.svg:
        args.svg.write_text(
            plot.svg(
                f"{args.phones} phones, {args.rate:g} operations a second",
                [row["seconds"] / 60 for row in samples.rows],
                "minutes",
                {
                    "memory, MiB": [row["octets"] / 2**20 for row in samples.rows],
                    "registration p99, ms": [row.get("register p99", 0.0) for row in samples.rows],
                    "keep-alive p99, ms": [row.get("refresh p99", 0.0) for row in samples.rows],
                    "CPU, % of one core": [100 * row["cpu"] for row in samples.rows],
                },
            )
        )
    return 1 if problems else 0


def judge(rows: list[dict[str, float]], found: dict[str, Any]) -> list[str]:
    """Return what was not flat, or failed."""
    out = []
    quarter = max(1, len(rows) // 4)
    first, last = rows[:quarter], rows[-quarter:]

    def middle(some: list[dict[str, float]], name: str) -> float:
        return statistics.median([row[name] for row in some if name in row] or [0.0])

    before, after = middle(first, "octets"), middle(last, "octets")
    print(f"memory: {before / 2**20:.1f} MiB in the first quarter, {after / 2**20:.1f} MiB in the last")
    if after > (1 + GROWTH) * before:
        out.append(f"memory has grown by {after / before - 1:.0%}")
    for operation in (REGISTER, REFRESH):
        name = f"{operation} p99"
        before, after = middle(first, name), middle(last, name)
        print(f"{name}: {before:.1f} ms in the first quarter, {after:.1f} ms in the last")
        if after > (1 + SLOWER) * before + SLOWER_MS:
            out.append(f"{name} has grown from {before:.0f} to {after:.0f} ms")
    for operation, row in found["operations"].items():
        if operation != WRONG_PIN and row.get(SILENCE):
            out.append(f"{row[SILENCE]} of {operation} stayed without an answer")
        if operation == WRONG_PIN and row["done"]:
            out.append(f"{row['done']} wrong PINs were taken")
    return out


if __name__ == "__main__":
    sys.exit(main())
