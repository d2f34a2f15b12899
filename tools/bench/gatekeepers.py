"""Gatekeepers to measure: a site with a key server and keys it has issued, and endpoints that register.

The key server, its site and the directory of extensions are real; the endpoints are those of
tools/loadgen, which check every ICV.
"""

import random
import resource
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from harness import sites
from loadgen import keys as keysets
from loadgen import scenarios
from loadgen.engine import REGISTER, Engine, Figures
from ringkey.site import runtime

from bench import load, servers
from bench.load import BenchError

WINDOW = 128
# A line of the log takes half as long as a registration.  On a quiet machine the default budget of 100
# and 200 lines a second is 2 % of the work; on a busy one that does 200 registrations a second it would
# be nearly all of it, and Kamailio writes none.
LOG_LINES = 10
# s: all that register stay registered until the last run, with or without a keepAlive.
LIFE = 7200


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


def copy(site: Path, path: Path) -> Path:
    """Return a copy of a site whose key server runs, with a gatekeeper of its own that asks that one."""
    shutil.copytree(site, path, ignore=shutil.ignore_patterns("run", "state.db*", "keyserver"))
    port = runtime.ports(site / "run", "keyserver")["advanced"]
    sites.set_values(
        path, "gatekeeper", key_servers=[f"https://localhost:{port}"], time_to_live=LIFE, log_lines=LOG_LINES
    )
    return path


@contextmanager
def gatekeeper(site: Path, scratch: Path, library: Path | None = None) -> Iterator[int]:
    """Run the site's gatekeeper as a site would; gives its process id.  library: of compiled modules."""
    before = () if library is None else ("env", f"PYTHONPATH={library}")
    with servers.service(site, scratch, "gatekeeper", event="key_server_ready", before=before) as server:
        yield server.pid


def more_descriptors() -> None:
    """Let this process, and those that it starts, open as many files as they may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Ours:
    """Endpoints against a gatekeeper that runs.  life: s, the timeToLive that they ask for."""

    def __init__(self, site: Path, pid: int, keys: list[keysets.Keys], life: int = 300) -> None:
        self._pid = pid
        port = runtime.ports(site / "run", "gatekeeper")["ras"]
        self._engine = Engine(("127.0.0.1", port), keys, life=life)

    def close(self) -> None:
        """Close the sockets."""
        self._engine.close()

    def fill(self) -> dict[str, Any]:
        """Let each endpoint register for the first time, its key being looked up; return what that took."""
        engine = self._engine
        count = len(engine.endpoints)
        before = load.memory(self._pid)
        row = self.run(count)
        for one in [one for one in engine.endpoints if not one.registered]:
            # On a machine that is busy with something else a look-up may take longer than a phone's patience.
            engine.start(one, REGISTER)
        while engine.in_flight:
            engine.turn(0.05)
        missing = [one for one in engine.endpoints if not one.registered]
        if missing:
            raise BenchError(f"{len(missing)} of {count} endpoints were not registered")
        # From now on in another order than the one in which the gatekeeper's memory has them.
        random.shuffle(engine.endpoints)
        return {
            "octets": (load.memory(self._pid) - before) / count,
            "first_rate": row["rate"],
            "first_cpu": row["cpu"],
        }

    def run(self, count: int) -> dict[str, Any]:
        """Let the next `count` of them register; return the figures."""
        engine = self._engine
        engine.figures = Figures()
        cpu, mine = load.cpu_seconds(self._pid), time.process_time()
        found = scenarios.register(engine, window=WINDOW, count=count)
        cpu, mine = load.cpu_seconds(self._pid) - cpu, time.process_time() - mine
        turned = deque(engine.endpoints)
        turned.rotate(-count)
        engine.endpoints = list(turned)
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
