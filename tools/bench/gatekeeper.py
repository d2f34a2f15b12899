"""The gatekeeper beside Kamailio: registrations a second, CPU and memory a registration, latency.

    make bench-gatekeeper        (or: python tools/bench/gatekeeper.py --json out.json)

All of it is on 127.0.0.1.  The gatekeeper's keys are issued by a real key server, its PINs are in a
real directory, and the endpoints of tools/loadgen check every ICV.  Kamailio (digest
authentication, SQLite, locations in memory, 2 children) is driven by sipp and takes turns with the
gatekeeper at the same number of endpoints; where it is not installed, that part is left out, with
the reason.  With --compiled, which `make bench-gatekeeper` gives, each size is measured a second time with
the modules of tools/compiled, and the targets are theirs.  Exits 1 where a target is missed.

CPU time a registration is what a busy machine falsifies least; rates and latencies want a quiet one.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from harness import sites
from loadgen import keys as keysets
from loadgen import scenarios
from loadgen.engine import REGISTER, Engine, Figures
from ringkey.site import runtime

from bench import kamailio, load, servers
from bench.load import BenchError

SIZES = (1000, 10_000, 100_000)
PEERS_SIZE = 10_000
WINDOW = 128
# Registrations of one measured run: enough for a p99, and no more than a size has endpoints.
RUN = 10_000
SHARE, FLAT, MEMORY = 0.5, 0.10, 1536
COMPILED = "compiled"
WAYS = ("gatekeeper", COMPILED)


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="endpoints (default %(default)s)")
    parser.add_argument("--peer-size", type=int, default=PEERS_SIZE, help="endpoints beside Kamailio")
    parser.add_argument("--rounds", type=int, default=5, help="measured runs of each; the median counts")
    parser.add_argument("--run", type=int, default=RUN, help="registrations of a run (default %(default)s)")
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


def measure(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Return all figures; raises BenchError."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sizes = sorted({*args.sizes, args.peer_size})
    keep = args.keep or scratch
    keep.mkdir(exist_ok=True)
    missing = kamailio.missing()
    found: dict[str, Any] = {
        "machine": {
            "python": platform.python_version(),
            "processors": os.cpu_count(),
            "load": os.getloadavg()[0],
        },
        "window": WINDOW,
        "kamailio": None,
        "kamailio_left_out": missing,
        "share": {},
    }
    with ExitStack() as stack:
        site, keys = prepare(stack, keep, sizes[-1])
        for way in WAYS if args.compiled else WAYS[:1]:
            found[way] = {}
            for size in sizes:
                for old in site.glob("gatekeeper/state.db*"):
                    old.unlink()  # each size begins with nothing registered
                library = args.compiled.absolute() if way == COMPILED else None
                with gatekeeper(site, scratch, library) as pid, ExitStack() as beside:
                    ours = Ours(site, pid, keys[:size])
                    cold = ours.fill()
                    peer = None
                    if size == args.peer_size and missing is None:
                        users = {one.ext: one.pin for one in keys[:size]}
                        peer = beside.enter_context(kamailio.running(scratch, users, None))
                        before = peer.memory()
                        peer.register(scratch, size, WINDOW, None)
                        grown = (peer.memory() - before) / size
                    runs, theirs = [], []
                    for _ in range(args.rounds):
                        runs.append(ours.run(min(args.run, 5 * size)))
                        if peer is not None:
                            theirs.append(peer.register(scratch, min(args.run, size), WINDOW, None))
                    ours.close()
                    found[way][str(size)] = {**_median(runs), **cold}
                    if peer is not None:
                        found["kamailio"] = {"endpoints": size, **_median(theirs), "octets": grown}
                        # Run by run, since they take turns: what else the machine did in a round hit both.
                        pairs = zip(runs, theirs, strict=True)
                        found["share"][way] = statistics.median(a["rate"] / b["rate"] for a, b in pairs)
    found["targets"] = targets(found, args.peer_size)
    return found


def prepare(stack: ExitStack, keep: Path, count: int) -> tuple[Path, list[keysets.Keys]]:
    """Return a site whose key server runs, and the keys it has issued; made anew where `keep` has none."""
    site, file = keep / "site", keep / "keys.jsonl"
    if not site.exists():
        sites.make(site)
        sites.set_values(site, "keyserver.enrolment", per_source=0, per_extension=0)
        sites.set_values(site, "gatekeeper", max_registrations=max(20_000, count), log_lines=LOG_LINES)
    key_server = stack.enter_context(servers.key_server(site, keep))
    if not file.exists():
        pins = keysets.draw_pins(100_000, count)
        began = time.monotonic()
        keysets.save(file, keysets.fetch(key_server.ports["files"], site / "ca" / "root.crt", pins))
        print(f"{count} keys issued in {time.monotonic() - began:.0f} s", file=sys.stderr)
        pairs = list(pins.items())
        table = keep / "pins.csv"
        keysets.save_private(table, keysets.csv_of(dict(pairs)))
        sites.ringkey("extension", "import", str(table), site=site)
        table.unlink()
    return site, keysets.load(file, count)


# A line of the log takes half as long as a registration.  On a quiet machine the default budget of 100
# and 200 lines a second is 2 % of the work; on a busy one that does 200 registrations a second it would
# be nearly all of it, and Kamailio writes none.
LOG_LINES = 10


@contextmanager
def gatekeeper(site: Path, scratch: Path, library: Path | None = None) -> Iterator[int]:
    """Run the site's gatekeeper as a site would; gives its process id.  library: of compiled modules."""
    before = () if library is None else ("env", f"PYTHONPATH={library}")
    with servers.service(site, scratch, "gatekeeper", event="key_server_ready", before=before) as server:
        yield server.pid


class Ours:
    """Endpoints against a gatekeeper that runs."""

    def __init__(self, site: Path, pid: int, keys: list[keysets.Keys]) -> None:
        self._pid = pid
        port = runtime.ports(site / "run", "gatekeeper")["ras"]
        self._engine = Engine(("127.0.0.1", port), keys)

    def close(self) -> None:
        """Close the sockets."""
        self._engine.close()

    def fill(self) -> dict[str, Any]:
        """Let each endpoint register for the first time, its key being looked up; return what that took."""
        count = len(self._engine.endpoints)
        before = load.memory(self._pid)
        row = self.run(count)
        for one in [one for one in self._engine.endpoints if not one.registered]:
            # On a machine that is busy with something else a look-up may take longer than a phone's patience.
            self._engine.start(one, REGISTER)
        while self._engine.in_flight:
            self._engine.turn(0.05)
        missing = [one for one in self._engine.endpoints if not one.registered]
        if missing:
            raise BenchError(f"{len(missing)} of {count} endpoints were not registered")
        return {
            "octets": (load.memory(self._pid) - before) / count,
            "first_rate": row["rate"],
            "first_cpu": row["cpu"],
        }

    def run(self, count: int) -> dict[str, Any]:
        """Let `count` of them register; return the figures."""
        engine = self._engine
        engine.figures = Figures()
        cpu, mine = load.cpu_seconds(self._pid), time.process_time()
        found = scenarios.register(engine, window=WINDOW, count=count)
        cpu, mine = load.cpu_seconds(self._pid) - cpu, time.process_time() - mine
        row = found["operations"].get(REGISTER, {})
        done = row.get("done", 0)
        if not done:
            raise BenchError("no registration was confirmed")
        return {
            "registrations": done,
            "unanswered": count - done,
            "retransmissions": found["retransmissions"],
            "rate": row["rate"],
            "cpu": 1e6 * cpu / done,
            "generator_cpu": 1e6 * mine / done,
            "p50": row["p50"],
            "p99": row["p99"],
        }


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    found = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return {**found, "rates": [run["rate"] for run in runs], "cpus": [run["cpu"] for run in runs]}


def targets(found: dict[str, Any], peer_size: int) -> list[dict[str, Any]]:
    """Return what was aimed for and what was reached."""
    way = COMPILED if COMPILED in found else WAYS[0]
    rows = found[way]
    out = []

    def add(what: str, target: float, reached: float, met: bool) -> None:
        out.append({"what": what, "target": target, "reached": reached, "met": met})

    if way in found["share"]:
        share = found["share"][way]
        add("rate, as a share of Kamailio's", SHARE, share, share >= SHARE)
    cpus = [row["cpu"] for row in rows.values()]
    spread = max(cpus) / min(cpus) - 1
    add("CPU a registration, most to least of the sizes", FLAT, spread, spread <= FLAT)
    octets = rows[str(peer_size)]["octets"]
    add("octets a registered endpoint", MEMORY, octets, octets <= MEMORY)
    return out


def show(found: dict[str, Any]) -> None:
    """Print the figures as tables."""
    machine = found["machine"]
    print(
        f"Python {machine['python']}, {machine['processors']} processors, load {machine['load']:.1f} "
        f"at the start; window {found['window']}; medians\n"
    )
    head = ("endpoints", "reg./s", "CPU µs", "p50 ms", "p99 ms", "octets each", "first/s", "first µs")
    print(f"{'':<12}" + "".join(f"{one:>12}" for one in head))
    names = ("rate", "cpu", "p50", "p99", "octets", "first_rate", "first_cpu")
    for way in WAYS:
        for size, row in found.get(way, {}).items():
            print(f"{way:<12}{size:>12}" + "".join(f"{row[name]:>12.0f}" for name in names))
    if found["kamailio"] is None:
        print(f"{'kamailio':<12} left out: {found['kamailio_left_out']}")
    else:
        row = found["kamailio"]
        shown = [row[name] for name in ("rate", "cpu", "p50", "p99", "octets")]
        print(f"{'kamailio':<12}{row['endpoints']:>12}" + "".join(f"{value:>12.0f}" for value in shown))
    print()
    for one in found["targets"]:
        mark = "ok  " if one["met"] else "MISS"
        print(f"{mark} {one['what']}: {one['reached']:.2f} (target {one['target']:g})")


if __name__ == "__main__":
    sys.exit(main())
