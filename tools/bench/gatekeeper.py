"""The gatekeeper beside Kamailio: registrations a second, CPU and memory a registration, latency.

    make bench-gatekeeper        (or: python tools/bench/gatekeeper.py --json out.json)

All of it is on 127.0.0.1.  There is a gatekeeper for each number of endpoints, and with --compiled,
which `make bench-gatekeeper` gives, another one with the modules of tools/compiled, whose figures the targets
are then for.  Each begins with nothing registered.  When all endpoints are, they take turns, so that a
machine that becomes slower meanwhile shows as that and not as the cost of many endpoints; and with Kamailio
(digest authentication, SQLite, locations in memory, 2 children, driven by sipp) at the same number of
endpoints.  Where that is not installed it is left out, with the reason.  Exits 1 where a target is missed.

CPU time a registration is what a busy machine falsifies least; rates and latencies want a quiet one.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadgen import keys as keysets

from bench import gatekeepers, kamailio
from bench.gatekeepers import WINDOW
from bench.load import BenchError

SIZES = (1000, 10_000, 100_000)
PEERS_SIZE = 10_000
# Registrations of one turn: half a second, since a machine that others use as well is another one a second
# later; and no more than five for each endpoint.
RUN = 3000
# Kamailio has more of them in a turn, since its time includes sipp's start, and one turn in so many.
PEERS_RUN, PEERS_TURN = 10_000, 3
SHARE, FLAT, MEMORY = 0.5, 0.10, 1536
COMPILED = "compiled"
WAYS = ("gatekeeper", COMPILED)
PEER = "kamailio"


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="endpoints (default %(default)s)")
    parser.add_argument("--peer-size", type=int, default=PEERS_SIZE, help="endpoints beside Kamailio")
    parser.add_argument("--rounds", type=int, default=27, help="turns of each; the median counts")
    parser.add_argument("--run", type=int, default=RUN, help="registrations of a turn (default %(default)s)")
    parser.add_argument("--compiled", type=Path, help="the compiled modules' directory, for a second row")
    parser.add_argument("--keep", type=Path, help="a directory for site and keys, used again the next time")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="ringkey-bench-") as scratch:
            found = measure(args, Path(scratch))
    except (BenchError, keysets.KeySetError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    show(found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if all(one["met"] for one in found["targets"]) else 1


@dataclass(slots=True)
class Lane:
    """One that takes turns.  register: lets so many register, gives the figures; cold: of the first time;
    runs: the figures, by turn.
    """

    name: str
    size: int
    register: Callable[[int], dict[str, Any]]
    cold: dict[str, Any]
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)


def measure(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Return all figures; raises BenchError."""
    gatekeepers.more_descriptors()
    sizes = sorted({*args.sizes, args.peer_size})
    keep = args.keep or scratch
    keep.mkdir(exist_ok=True)
    missing = kamailio.missing()
    began = time.monotonic()
    with ExitStack() as stack:
        site, keys = gatekeepers.prepare(stack, keep, sizes[-1])
        lanes = []
        for way in WAYS if args.compiled else WAYS[:1]:
            library = args.compiled.absolute() if way == COMPILED else None
            for size in sizes:
                _say(f"{way}: {size} endpoints for the first time")
                lanes.append(_lane(stack, site, scratch / f"{way}-{size}", keys[:size], way, library))
        if missing is None:
            _say(f"Kamailio: {args.peer_size} endpoints for the first time")
            lanes.append(_peer(stack, scratch, {one.ext: one.pin for one in keys[: args.peer_size]}))
        # Those of one size next to each other: what else the machine does meanwhile hits all of them.
        lanes.sort(key=lambda lane: (lane.size == args.peer_size, (WAYS[0], PEER, COMPILED).index(lane.name)))
        for i in range(args.rounds):
            _say(f"turn {i + 1} of {args.rounds}")
            for lane in lanes if i % 2 == 0 else reversed(lanes):
                if lane.name != PEER:
                    lane.runs[i] = lane.register(min(args.run, 5 * lane.size))
                elif i % PEERS_TURN == 0:
                    lane.runs[i] = lane.register(PEERS_RUN)
        if time.monotonic() - began > gatekeepers.LIFE:
            raise BenchError("registrations came to their end meanwhile (try: fewer --rounds)")
    return report(lanes, args.peer_size, missing)


def _lane(  # noqa: PLR0917 - where it runs, with what
    stack: ExitStack, site: Path, path: Path, keys: list[keysets.Keys], way: str, library: Path | None
) -> Lane:
    """Start a gatekeeper with a copy of the site, and register all of `keys` with it."""
    own = gatekeepers.copy(site, path)
    pid = stack.enter_context(gatekeepers.gatekeeper(own, path, library))
    ours = gatekeepers.Ours(own, pid, keys, life=gatekeepers.LIFE)
    stack.callback(ours.close)
    return Lane(way, len(keys), ours.run, ours.fill())


def _peer(stack: ExitStack, scratch: Path, users: dict[str, str]) -> Lane:
    """Start Kamailio, and register all users with it."""
    peer = stack.enter_context(kamailio.running(scratch, users, None))

    def register(count: int) -> dict[str, Any]:
        return peer.register(scratch, min(count, len(users)), WINDOW, None)

    before = peer.memory()
    first = register(len(users))
    octets = (peer.memory() - before) / len(users)
    cold = {"octets": octets, "first_rate": first["rate"], "first_cpu": first["cpu"]}
    return Lane(PEER, len(users), register, cold)


def _say(what: str) -> None:
    """Tell how far it is, to who waits."""
    print(f"bench: {what}", file=sys.stderr, flush=True)


def report(lanes: list[Lane], peer_size: int, missing: str | None) -> dict[str, Any]:
    """Return the figures of all that took turns.  missing: why the peer did not."""
    names = dict.fromkeys(lane.name for lane in lanes)
    found: dict[str, Any] = {
        "machine": {
            "python": platform.python_version(),
            "processors": os.cpu_count(),
            "load": os.getloadavg()[0],
        },
        "window": WINDOW,
        "left_out": missing,
        **{
            name: {
                str(lane.size): {**_median([*lane.runs.values()]), **lane.cold} for lane in _of(lanes, name)
            }
            for name in names
        },
    }
    ways = [way for way in WAYS if way in names]
    # Turn by turn, not of the medians: a slow minute is slow for all.
    found["share"] = {
        way: statistics.median(_ratios(ours, peer, "rate"))
        for way in ways
        for peer in _of(lanes, PEER)
        for ours in _of(lanes, way)
        if ours.size == peer_size
    }
    found["spread"] = {}
    for way in ways:
        first, *others = _of(lanes, way)
        costs = [1.0, *(statistics.median(_ratios(lane, first, "cpu")) for lane in others)]
        found["spread"][way] = max(costs) / min(costs) - 1
    found["targets"] = targets(found, ways[-1], peer_size)
    return found


def _of(lanes: list[Lane], name: str) -> list[Lane]:
    return sorted((lane for lane in lanes if lane.name == name), key=lambda lane: lane.size)


def _ratios(one: Lane, other: Lane, what: str) -> list[float]:
    return [one.runs[i][what] / other.runs[i][what] for i in one.runs if i in other.runs]


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    found = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return {**found, "rates": [run["rate"] for run in runs], "cpus": [run["cpu"] for run in runs]}


def targets(found: dict[str, Any], way: str, peer_size: int) -> list[dict[str, Any]]:
    """Return what was aimed for and what `way` reached."""
    out = []

    def add(what: str, target: float, reached: float, met: bool) -> None:
        out.append({"what": what, "target": target, "reached": reached, "met": met})

    if way in found["share"]:
        share = found["share"][way]
        add("rate, as a share of Kamailio's", SHARE, share, share >= SHARE)
    spread = found["spread"][way]
    add("CPU a registration, most to least of the sizes", FLAT, spread, spread <= FLAT)
    octets = found[way][str(peer_size)]["octets"]
    add("octets a registered endpoint", MEMORY, octets, octets <= MEMORY)
    return out


def show(found: dict[str, Any]) -> None:
    """Print the figures as tables."""
    machine = found["machine"]
    print(
        f"Python {machine['python']}, {machine['processors']} processors, load {machine['load']:.1f} "
        f"at the end; window {found['window']}; medians\n"
    )
    head = ("endpoints", "reg./s", "CPU µs", "p50 ms", "p99 ms", "octets each", "first/s", "first µs")
    print(f"{'':<12}" + "".join(f"{one:>12}" for one in head))
    names = ("rate", "cpu", "p50", "p99", "octets", "first_rate", "first_cpu")
    for way in (*WAYS, PEER):
        for size, row in found.get(way, {}).items():
            print(f"{way:<12}{size:>12}" + "".join(f"{row[name]:>12.0f}" for name in names))
    if found["left_out"] is not None:
        print(f"{PEER:<12} left out: {found['left_out']}")
    print()
    for one in found["targets"]:
        mark = "ok  " if one["met"] else "MISS"
        print(f"{mark} {one['what']}: {one['reached']:.2f} (target {one['target']:g})")


if __name__ == "__main__":
    sys.exit(main())
