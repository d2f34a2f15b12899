"""The command: `python -m loadgen SCENARIO …`; prints a table and writes JSON."""

import argparse
import json
import resource
import socket
import sys
import time
from pathlib import Path
from typing import Any

from ringkey.site import runtime

from loadgen import attack, keys, scenarios
from loadgen.engine import Engine

_EXAMPLES = """\
examples, with a site in ./site whose servers run (make servers):
  python -m loadgen keys --site site --count 1000 --out keys.jsonl --csv pins.csv
  ringkey --site site extension import pins.csv
  python -m loadgen register --site site --keys keys.jsonl --window 128
  python -m loadgen register --site site --keys keys.jsonl --rate 200 --seconds 30
  python -m loadgen churn --site site --keys keys.jsonl --seconds 60 --rate 500
  python -m loadgen storm --site site --keys keys.jsonl --loss 5 --json storm.json
  python -m loadgen attack --site site --keys keys.jsonl --flood mixed --seconds 60 --rate 50
One address must be allowed to fetch many keys: [keyserver.enrolment] per_source = 0.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    args = _parser().parse_args(arguments)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        found = _make_keys(args) if args.scenario == "keys" else _run(args)
    except keys.KeySetError as error:
        print(f"loadgen: {error}", file=sys.stderr)
        return 2
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    return 1 if found.get("locked_out") else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loadgen",
        description="Simulated endpoints against a running gatekeeper.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="scenario", required=True)
    make = commands.add_parser("keys", help="fetch a key set from the site's key server, and draw PINs")
    make.add_argument("--first", type=int, default=100000, help="first extension (default %(default)s)")
    make.add_argument("--count", type=int, default=1000)
    make.add_argument("--out", type=Path, required=True, help="where the key set goes (mode 0600)")
    make.add_argument(
        "--csv", type=Path, required=True, help="where EXT,PIN goes, for ringkey extension import"
    )
    for name, text in (
        ("register", "each endpoint registers: --window at a time, or --rate a second (open loop)"),
        ("churn", "register, keep alive, leave, mistype the PIN, for --seconds"),
        ("storm", "all register at once, until they are registered; exit 1 where one is locked out"),
        ("attack", "genuine registrations at --rate beside a --flood"),
    ):
        one = commands.add_parser(name, help=text)
        one.add_argument("--keys", type=Path, required=True, help="key set made by `loadgen keys`")
        one.add_argument("--endpoints", type=int, help="how many of them (default: all)")
        one.add_argument("--gatekeeper", help="host:port (default: the site's)")
        one.add_argument("--sockets", type=int, default=256, help="sources (default %(default)s)")
        one.add_argument("--loss", type=float, default=0.0, help="%% of datagrams lost, each way")
        one.add_argument("--window", type=int, default=128, help="under way at a time (default %(default)s)")
        one.add_argument("--rate", type=float, help="operations a second")
        one.add_argument("--seconds", type=float, default=10.0)
        one.add_argument("--spread", type=float, default=0.0, help="s over which a storm's phones wake up")
        one.add_argument("--flood", choices=attack.KINDS, default="mixed")
        one.add_argument("--flood-rate", type=float, help="datagrams a second (default: as fast as it goes)")
    for command in commands.choices.values():
        command.add_argument("--site", type=Path, default=Path("site"))
        command.add_argument("--json", type=Path, help="write the figures here")
    return parser


def _make_keys(args: argparse.Namespace) -> dict[str, Any]:
    port = runtime.ports(args.site / "run", "keyserver").get("files")
    if port is None:
        raise keys.KeySetError(f"the key server of {args.site} does not run (ringkey keyserver serve)")
    pins = keys.draw_pins(args.first, args.count)
    began = time.monotonic()
    found = keys.fetch(port, args.site / "ca" / "root.crt", pins)
    keys.save(args.out, found)
    keys.save_private(args.csv, keys.csv_of(pins))
    print(f"{len(found)} keys in {time.monotonic() - began:.1f} s: {args.out}; PINs: {args.csv}")
    return {"keys": len(found)}


def _run(args: argparse.Namespace) -> dict[str, Any]:
    found = keys.load(args.keys, args.endpoints)
    gatekeeper = _gatekeeper(args)
    engine = Engine(gatekeeper, found, sockets=args.sockets, loss=args.loss / 100)
    began = time.process_time()
    try:
        figures = _scenario(args, engine, gatekeeper)
    finally:
        engine.close()
    figures["generator_cpu_seconds"] = time.process_time() - began
    show(args.scenario, figures)
    return {"scenario": args.scenario, "endpoints": len(found), **figures}


def _scenario(args: argparse.Namespace, engine: Engine, gatekeeper: tuple[str, int]) -> dict[str, Any]:
    if args.scenario == "register":
        if args.rate:
            return scenarios.open_loop(engine, rate=args.rate, seconds=args.seconds)
        return scenarios.register(engine, window=args.window)
    if args.scenario == "churn":
        return scenarios.churn(engine, seconds=args.seconds, rate=args.rate, window=args.window)
    if args.scenario == "storm":
        return scenarios.storm(engine, spread=args.spread)
    # Genuine messages to replay: those of some registrations before the flood.
    heard = []
    for endpoint in engine.endpoints[:50]:
        engine.start(endpoint, "register")
        heard.append(bytes(endpoint.message))
    while engine.in_flight:
        engine.turn(0.05)
    engine.figures.__init__()  # type: ignore[misc]
    flood = attack.Flood(gatekeeper, args.flood, engine.endpoints[0].keys, heard, args.flood_rate)
    flood.start()
    try:
        found = scenarios.open_loop(engine, rate=args.rate or 50.0, seconds=args.seconds)
    finally:
        sent = flood.stop()
    return {**found, "flood": args.flood, "flood_datagrams": sent}


def _gatekeeper(args: argparse.Namespace) -> tuple[str, int]:
    if args.gatekeeper:
        host, _, port = args.gatekeeper.rpartition(":")
        return socket.getaddrinfo(host, int(port), socket.AF_INET, socket.SOCK_DGRAM)[0][4][:2]  # type: ignore[return-value]
    port = runtime.ports(args.site / "run", "gatekeeper").get("ras")
    if port is None:
        raise keys.KeySetError(f"the gatekeeper of {args.site} does not run (ringkey gatekeeper serve)")
    return "127.0.0.1", port


def show(scenario: str, found: dict[str, Any]) -> None:
    """Print the figures as a table."""
    print(f"{scenario}: {found['seconds']:.1f} s; times in ms")
    head = ("operation", "done", "a second", "p50", "p99", "max", "silence", "refused")
    print(f"{head[0]:<12}" + "".join(f"{name:>10}" for name in head[1:]))
    for name, row in found["operations"].items():
        times = "".join("         -" if row[t] is None else f"{row[t]:>10.1f}" for t in ("p50", "p99", "max"))
        print(
            f"{name:<12}{row['done']:>10}{row['rate']:>10.0f}{times}"
            f"{row.get('silence', 0):>10}{row.get('refused', 0):>10}"
        )
    skip = ("seconds", "operations")
    print(
        ", ".join(
            f"{k}: {v:.3g}" if isinstance(v, float) else f"{k}: {v}"
            for k, v in found.items()
            if k not in skip
        )
    )


if __name__ == "__main__":
    sys.exit(main())
