"""The gatekeeper's state alone: CPU a registration that is kept, by how many are registered.

    python tools/bench/state.py --sizes 1000 100000        (PYTHONPATH=tools)

A real file, batches as a busy gatekeeper makes them: what has changed collected, packed, sealed, written
and synced, in one thread.  Each registration has two verified requests and two answers beside it.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from ras.held import Held
from ras.keys import SHA256
from ras.message import GRQ, RRQ
from ras.policy import Settings
from ras.registrar import Registrar
from ringkey.gatekeeper.digests import of_request
from ringkey.gatekeeper.state import ticks
from ringkey.gatekeeper.state.collector import Collector
from ringkey.gatekeeper.state.keeper import FULL
from ringkey.gatekeeper.state.restore import Keys
from ringkey.gatekeeper.state.store import Store

# Batches of one measured run, and runs, of which the median counts.
RUN, RUNS = 100, 7
_REQUEST, _ANSWER = 240, 210  # octets of a phone's GRQ and RRQ, and of their answers


class Bench:
    """`count` registrations, and the state that keeps them at `path`."""

    def __init__(self, path: Path, count: int) -> None:
        self._registrar = Registrar(Settings(lambda _host: None, most=count + 1), os.urandom)
        self._collector = Collector(self._registrar, Keys, set())
        self._store = Store(path, bytes(32))
        self._store.open()
        self._exts = [str(100_000 + i) for i in range(count)]
        self._at = 0
        for begin in range(0, count, 1000):
            self.write(self._exts[begin : begin + 1000])

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def register(self, ext: str) -> None:
        """Let an extension be registered anew, as far as the state can tell."""
        now, registrar, news = ticks.moment().mono, self._registrar, self._registrar.news
        if news is None:
            raise RuntimeError("nobody keeps what is verified")
        old = registrar.registration(ext)
        if old is not None:
            registrar._registrations._end(old, "expire", "")
        source = (f"127.0.{int(ext) % 256}.1", 4000)
        sid, g, rg, ka, ks = (os.urandom(n) for n in (16, 16, 16, 32, 32))
        held = Held(ext, SHA256, source, sid, g, rg, ka, ks, b"\1\2\3")
        held.since, held.expires = now, now + 310_000
        registrar._registrations.put_back(held)
        for kind in (GRQ, RRQ):
            request, answer, re = os.urandom(_REQUEST), os.urandom(_ANSWER), os.urandom(16)
            registrar._nonces.add(kind, re)
            key = of_request(source, request)
            registrar._answers.put(key, answer, now)
            news.append((kind, re, key))
        self._collector.event(("registered", held, old))

    def write(self, exts: list[str]) -> int:
        """Let these register, and write the batch; return the nanoseconds of CPU that the state took."""
        for ext in exts:
            self.register(ext)
        began = time.process_time_ns()
        self._store.apply(self._collector.batch(ticks.moment(), whole=False, failures=False))
        return time.process_time_ns() - began

    def run(self) -> float:
        """Write RUN batches, of extensions all over the table; return microseconds a registration."""
        used = 0
        for _ in range(RUN):
            self._at += FULL
            used += self.write(
                [self._exts[i * 7919 % len(self._exts)] for i in range(self._at, self._at + FULL)]
            )
        return used / 1000 / RUN / FULL


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    found = {}
    print(f"{'registered':>12}{'CPU µs':>10}{'file, MB':>10}")
    for size in args.sizes:
        with tempfile.TemporaryDirectory(prefix="ringkey-bench-") as scratch:
            bench = Bench(Path(scratch) / "state.db", size)
            cpu = statistics.median(bench.run() for _ in range(RUNS))
            octets = sum(one.stat().st_size for one in Path(scratch).iterdir())
            bench.close()
        found[size] = {"cpu": cpu, "octets": octets}
        print(f"{size:>12}{cpu:>10.1f}{octets / 1e6:>10.1f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
