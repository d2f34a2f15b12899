"""The key server beside nginx: new TLS connections, look-ups over mutual TLS, memory of open connections.

    make bench-keyserver        (or: python tools/bench/keyserver.py --json out.json)

All of it is on 127.0.0.1, one worker each on core 0, the load on core 1, in turns within one run.
nginx serves a static file that is as long as a key file; the key server issues each one, counts it
on disk and logs it.  Exits 1 where a target of `TARGETS` is missed.
"""

import argparse
import json
import platform
import resource
import socket
import ssl
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from harness import sites

from bench import load, servers
from bench.load import BenchError, Result

TARGETS = {
    "key files, as a share of nginx's rate": 0.5,
    "look-ups a second in batches": 5000.0,
}
CLIENTS = 16
BATCH = 256
CONNECTIONS = 1000
KEYS = 300  # issued before look-ups are measured


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--requests", type=int, default=2000, help="new connections in each run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, in turns; the median counts")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="ringkey-bench-") as scratch:
            found = measure(Path(scratch), args.requests, args.rounds)
    except BenchError as e:
        print(f"bench: {e}", file=sys.stderr)
        return 2
    show(found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if all(one["met"] for one in found["targets"]) else 1


def measure(scratch: Path, requests: int, rounds: int) -> dict[str, Any]:
    """Return all figures; raises BenchError."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    site = scratch / "site"
    sites.make(site)
    _without_limits(site)
    context = ssl.create_default_context(cafile=site / "ca" / "root.crt")
    pair = scratch / "gatekeeper.pem"
    pair.write_bytes(b"".join((site / "gatekeeper" / f"gatekeeper.{s}").read_bytes() for s in ("crt", "key")))
    with ExitStack() as stack:
        ours = stack.enter_context(servers.key_server(site, scratch))
        files, advanced = ours.ports["files"], ours.ports["advanced"]
        issued = [_fetch(files, context, str(1000 + i)) for i in range(KEYS)]
        peer = stack.enter_context(servers.nginx(site, scratch, issued[0][2]))
        theirs = peer.ports["files"]

        def connections(url: str, pid: int) -> Callable[[], Result]:
            return lambda: load.run(url, pid, scratch, requests=requests, clients=CLIENTS)

        g, ext, _ = issued[0]
        body = scratch / "batch.json"
        body.write_text(json.dumps({"keys": [{"g": g, "ext": ext} for g, ext, _ in issued[:BATCH]]}))
        lookup = f"https://127.0.0.1:{advanced}/keys"
        rows = _in_turns(
            rounds,
            {
                "nginx, static file": connections(f"https://127.0.0.1:{theirs}/static.txt", peer.pid),
                "key server, key file": connections(
                    f"https://127.0.0.1:{files}/keys/kkg.txt?ext=1001", ours.pid
                ),
                "look-ups, one by one": lambda: load.run(
                    f"{lookup}/kkg.json?g={g}&ext={ext}",
                    ours.pid,
                    scratch,
                    requests=requests,
                    clients=4,
                    keep=True,
                    pair=pair,
                ),
                f"look-ups, {BATCH} at a time": lambda: load.run(
                    f"{lookup}/lookup.json",
                    ours.pid,
                    scratch,
                    requests=max(200, requests // 10),
                    clients=2,
                    keep=True,
                    pair=pair,
                    body=body,
                ),
            },
        )
        memory = {
            "nginx": _open_connections(theirs, peer.pid, context),
            "key server": _open_connections(files, ours.pid, context),
        }
    ours_row, peer_row = rows["key server, key file"], rows["nginx, static file"]
    # Run by run, since they take turns: what else the machine did in a round hit both.
    share = statistics.median(a / b for a, b in zip(ours_row["rates"], peer_row["rates"], strict=True))
    batched = BATCH * rows[f"look-ups, {BATCH} at a time"]["rate"]
    reached = dict(zip(TARGETS, (share, batched), strict=True))
    return {
        "machine": {"cpu": _cpu(), "python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION},
        "runs": rows,
        "octets_of_a_key_file": len(issued[0][2]),
        "octets_a_connection": memory,
        "share_of_nginx_by_cpu_time": peer_row["cpu"] / ours_row["cpu"],
        "targets": [
            {"what": what, "target": TARGETS[what], "reached": value, "met": value >= TARGETS[what]}
            for what, value in reached.items()
        ],
    }


def show(found: dict[str, Any]) -> None:
    """Print the figures as tables."""
    machine = found["machine"]
    print(f"{machine['cpu']}; Python {machine['python']}, {machine['openssl']}; 1 worker, TLS 1.3\n")
    print(f"{'':<30} {'requests/s':>11} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8}")
    for name, row in found["runs"].items():
        print(f"{name:<30} {row['rate']:>11.0f} {row['p50']:>8.1f} {row['p99']:>8.1f} {row['cpu']:>8.3f}")
    print(f"\nmemory of {CONNECTIONS} open connections, each (what the process has grown by):")
    for name, octets in found["octets_a_connection"].items():
        print(f"{name:<30} {octets / 1024:>8.1f} KiB")
    print(f"\nby CPU time of the servers alone: {found['share_of_nginx_by_cpu_time']:.2f} of nginx's rate\n")
    for one in found["targets"]:
        mark = "ok  " if one["met"] else "MISS"
        print(f"{mark} {one['what']}: {one['reached']:.2f} (target {one['target']:g})")


def _in_turns(rounds: int, runs: dict[str, Callable[[], Result]]) -> dict[str, dict[str, Any]]:
    """Run each `rounds` times, one after the other, so that what else the machine does hits all alike."""
    found: dict[str, list[Result]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
    return {
        name: {
            **{
                field: statistics.median(getattr(r, field) for r in results)
                for field in ("rate", "p50", "p99", "cpu")
            },
            "rates": [r.rate for r in results],
        }
        for name, results in found.items()
    }


def _fetch(port: int, context: ssl.SSLContext, ext: str) -> tuple[str, str, bytes]:
    """Return (g, ext, key file) of a new key."""
    connection = HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    try:
        connection.request("GET", f"/keys/kkg.txt?ext={ext}")
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise BenchError(f"no key file: {answer.status} {text!r}")
    fields = dict(line.split(" ", 1) for line in text.decode().splitlines())
    return fields["G"], ext, text


def _open_connections(port: int, pid: int, context: ssl.SSLContext) -> float:
    """Return the octets by which a server grows for each of CONNECTIONS that are open and idle."""
    before = load.memory(pid)
    held = []
    try:
        for i in range(CONNECTIONS):
            # From many addresses, as phones are: one alone may not have them all.
            plain = socket.create_connection(("127.0.0.1", port), 10, (f"127.0.1.{1 + i % 200}", 0))
            held.append(context.wrap_socket(plain, server_hostname="localhost"))
        return (load.memory(pid) - before) / CONNECTIONS
    finally:
        for one in held:
            one.close()


def _without_limits(site: Path) -> None:
    """Let one address ask for any number of keys: here it stands for all phones.

    And name a gatekeeper's port in key files, as a site does: looking up one that is left open is
    work for each key file that no site has.
    """
    file = site / "ringkey.toml"
    text = file.read_text()
    for old, new in (
        ("per_source = 120", "per_source = 0"),
        ("per_extension = 30", "per_extension = 0"),
        ('gatekeepers = ["127.0.0.1:0"]', 'gatekeepers = ["127.0.0.1:1719"]'),
    ):
        if old not in text:
            raise BenchError(f"{file} has no {old!r}")
        text = text.replace(old, new)
    file.write_text(text)


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
