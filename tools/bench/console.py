"""The console at a large site: its pages, its search, and what fifty open consoles cost registrations.

    make bench-console        (or: python tools/bench/console.py --json out.json)

All of it is real and on 127.0.0.1: a key server that has issued the keys, a gatekeeper with 5,000 phones of
tools/loadgen registered, a directory of 10,000 extensions, a console with TLS and a session.  Times of
pages are from the request on a kept connection to the answer's last octet: they hold the server's time, TLS
and a loopback.  For the last figure phones register again in turns: with no console open; with 50 streams
open (--streams); with 50 open that fetch their page again as static/live.js does.  Exits 1 where a target
is missed.
"""

import argparse
import http.client
import json
import os
import platform
import re
import selectors
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from harness import sites

from bench import gatekeepers, servers
from bench.load import BenchError

EXTENSIONS, PHONES, STREAMS = 10_000, 5000, 50
# Targets of issue 7: milliseconds of a first page and of a search, octets, share of registrations.
PAGE_MS, SEARCH_MS, PAGE_OCTETS, SLOWER = 300.0, 100.0, 200_000, 0.05
PAGES = ("/", "/phones", "/extensions", "/keys", "/audit")
SEARCHED = ("/phones", "/extensions")
SESSIONS = 10  # of one person
# As ringkey-console.service has it: whoever looks at lists shall not slow who registers.
NICE = 10
_PASSWORD = "a bench of ten thousand extensions"  # noqa: S105 - of a site that lives as long as the bench
# ms between two fetches of one page, as static/live.js has it, and how many times the last one took.
_LEAST, _TIMES = 2.0, 20


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--extensions", type=int, default=EXTENSIONS)
    parser.add_argument("--phones", type=int, default=PHONES, help="of them, those that register")
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each kind; the median counts")
    parser.add_argument("--run", type=int, default=5000, help="registrations of a turn")
    parser.add_argument("--requests", type=int, default=40, help="for each page")
    parser.add_argument("--keep", type=Path, help="a directory for site and keys, used again the next time")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="ringkey-bench-") as scratch:
            found = measure(args, Path(scratch))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    show(found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if all(one["met"] for one in found["targets"]) else 1


def measure(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Return all figures; raises BenchError."""
    keep = args.keep or scratch
    keep.mkdir(exist_ok=True)
    found: dict[str, Any] = {
        "machine": {
            "python": platform.python_version(),
            "processors": os.cpu_count(),
            "load": os.getloadavg()[0],
        },
        "extensions": args.extensions,
        "phones": args.phones,
        "streams": args.streams,
    }
    with ExitStack() as stack:
        site, keys = gatekeepers.prepare(stack, keep, args.phones)
        _more(site, keep, args.extensions - args.phones)
        pid = stack.enter_context(gatekeepers.gatekeeper(site, scratch))
        ours = gatekeepers.Ours(site, pid, keys)
        stack.callback(ours.close)
        ours.fill()
        port = stack.enter_context(console(site, scratch))
        client = Client(site, port)
        stack.callback(client.close)
        client.enter(site, "bench")
        # Consoles are people with sessions: one session may not have them all (console/sse.py), nor
        # one person all sessions (administration/accounts/sessions.py).
        cookies: list[str] = []
        while len(cookies) < args.streams:
            other = Client(site, port)
            if len(cookies) % SESSIONS == 0:
                name = other.enter(site, f"bench-{len(cookies) // SESSIONS}")
            else:
                other.log_in(name)
            cookies.append(other.cookie)
            other.close()
        found["pages"] = {path: client.time(path, args.requests) for path in PAGES}
        found["searches"] = {path: client.search(path, args.requests) for path in SEARCHED}
        found["turns"] = turns(args, scratch, ours, (port, cookies))
    found["targets"] = targets(found)
    return found


def _more(site: Path, keep: Path, count: int) -> None:
    """Add extensions without phones, once."""
    done = keep / "more.done"
    if count <= 0 or done.exists():
        return
    rows = "".join(f"{200_000 + i},{481_516 + i},Room {i // 4} of house {i % 7}\n" for i in range(count))
    sites.ringkey("extension", "import", "-", site=site, typed=rows)
    done.touch()


@contextmanager
def console(site: Path, scratch: Path) -> Iterator[int]:
    """Run the site's console as its unit does; gives its port."""
    with servers.service(site, scratch, "console", before=("nice", "-n", str(NICE))) as server:
        yield server.ports["console"]


class Client:
    """One administrator with a session, on one connection."""

    def __init__(self, site: Path, port: int) -> None:
        self.port = port
        self.context = ssl.create_default_context(cafile=str(site / "ca" / "root.crt"))
        self.cookies: dict[str, str] = {}
        self._connection = http.client.HTTPSConnection("localhost", port, context=self.context, timeout=60)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def enter(self, site: Path, who: str) -> str:
        """Make an administrator, and log in by the invitation; return the name."""
        name = f"{who}-{int(time.time())}"  # another one with a site that is kept
        words = ("user", "invite", name, "--role", "administrator", "--json")
        path = json.loads(sites.ringkey(*words, site=site))["path"]
        self._form(path, {"password": _PASSWORD, "again": _PASSWORD})
        return name

    def log_in(self, name: str) -> None:
        """Begin a session of its own."""
        self._form("/login", {"name": name, "password": _PASSWORD, "code": "", "next": "/"})

    def _form(self, path: str, fields: dict[str, str]) -> None:
        _, page = self.ask("GET", path)
        token = re.search(rb'name="csrf" value="([^"]+)"', page)
        if token is None:
            raise BenchError(f"{path} has no form")
        status, _ = self.ask("POST", path, urlencode({"csrf": token[1].decode(), **fields}))
        if status != 303:
            raise BenchError(f"{path}: HTTP {status}")

    def ask(self, method: str, path: str, body: str | None = None, **more: str) -> tuple[int, bytes]:
        """Send a request; return (status, body)."""
        headers = {"Cookie": self.cookie, "Origin": f"https://localhost:{self.port}", **more}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer.status, content

    @property
    def cookie(self) -> str:
        """The header's value."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items() if value)

    def time(self, path: str, count: int) -> dict[str, float]:
        """Return milliseconds of `count` requests, and octets."""
        return self._time([path] * count)

    def search(self, path: str, count: int) -> dict[str, float]:
        """Return milliseconds of searches as somebody types them, each another one."""
        texts = [f"{100_000 + 37 * i}"[: 3 + i % 4] for i in range(count // 2)]
        texts += [f"house {i % 7}"[: 3 + i % 5] for i in range(count - len(texts))]
        return self._time([f"{path}?{urlencode({'q': text})}" for text in texts])

    def _time(self, paths: list[str]) -> dict[str, float]:
        took, octets = [], 0
        for path in paths:
            began = time.perf_counter()
            status, content = self.ask("GET", path, **{"X-Patch": "1"})
            took.append(1000 * (time.perf_counter() - began))
            octets = max(octets, len(content))
            if status != 200:
                raise BenchError(f"{path}: HTTP {status}")
        return {
            "first": took[0],
            "median": statistics.median(took),
            "p95": sorted(took)[int(0.95 * (len(took) - 1))],
            "octets": octets,
        }


# -- turns

Consoles = tuple[int, list[str]]
"""(port, cookies of as many sessions)"""


def turns(
    args: argparse.Namespace, scratch: Path, ours: "gatekeepers.Ours", consoles: "Consoles"
) -> dict[str, dict[str, Any]]:
    """Return registrations a second without consoles, with streams, and with pages that are fetched again."""
    found: dict[str, list[dict[str, Any]]] = {"none": [], "streams": [], "pages": []}
    ours.run(args.run)  # whoever comes first warms up for the others
    for turn in range(args.rounds):
        order = list(found) if turn % 2 == 0 else list(reversed(found))
        for kind in order:
            with watchers(scratch, consoles, kind) as count:
                row = ours.run(args.run)
                row["messages"] = count()
            found[kind].append(row)
    return {
        kind: {
            **{
                name: statistics.median(row[name] for row in rows)
                for name in ("rate", "cpu", "p99", "messages")
            },
            "rates": [row["rate"] for row in rows],
        }
        for kind, rows in found.items()
    }


@contextmanager
def watchers(scratch: Path, consoles: "Consoles", kind: str) -> Iterator[Any]:
    """Keep so many consoles open, in a process of their own; gives what counts their messages."""
    if kind == "none":
        yield lambda: 0
        return
    counted = scratch / "watchers.json"
    counted.unlink(missing_ok=True)
    port, cookies = consoles
    process = subprocess.Popen(
        [sys.executable, __file__, str(port), kind, str(counted)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None  # noqa: S101 - asked for above
    assert process.stdin is not None  # noqa: S101
    process.stdin.write(json.dumps(cookies) + "\n")  # arguments and environment may be read by others
    process.stdin.flush()
    if process.stdout.readline().strip() != "open":
        raise BenchError("the streams were not opened")

    def count() -> int:
        # What is under way comes within the half second that a stream gathers.
        time.sleep(1)
        process.terminate()
        process.wait(20)
        return int(json.loads(counted.read_text())["messages"])

    try:
        yield count
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def watch(cookies: list[str], port: int, kind: str, counted: Path) -> None:
    """Be a console for each cookie until SIGTERM."""
    import signal

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # S501: both ends are this bench's
    selector = selectors.DefaultSelector()
    for cookie in cookies:
        raw = socket.create_connection(("127.0.0.1", port))
        stream = context.wrap_socket(raw, server_hostname="localhost")
        stream.sendall(f"GET /live HTTP/1.1\r\nHost: localhost:{port}\r\nCookie: {cookie}\r\n\r\n".encode())
        if b" 200 " not in stream.recv(65536).partition(b"\r\n")[0]:
            return
        stream.setblocking(False)
        selector.register(stream, selectors.EVENT_READ, [0.0, 0.0, cookie])
    print("open", flush=True)
    page = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
    ended: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    messages = 0
    while not ended:
        for key, _ in selector.select(0.2):
            stream = key.fileobj  # type: ignore[assignment]
            try:
                while data := stream.recv(65536):
                    messages += data.count(b"event: change") + data.count(b"event: reload")
            except ssl.SSLWantReadError:
                pass
            last, took, cookie = key.data
            if kind == "pages" and time.monotonic() - last >= max(_LEAST, _TIMES * took):
                began = time.monotonic()
                page.request("GET", "/phones", headers={"Cookie": cookie, "X-Patch": "1"})
                page.getresponse().read()
                key.data[:] = [time.monotonic(), time.monotonic() - began, cookie]
    counted.write_text(json.dumps({"messages": messages}))


# -- what came of it


def targets(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was aimed for and what was reached."""
    rows = []

    def add(what: str, target: float, reached: float) -> None:
        rows.append({"what": what, "target": target, "reached": reached, "met": reached <= target})

    pages, searches, took = found["pages"], found["searches"], found["turns"]
    add("first page, ms (p95)", PAGE_MS, pages["/"]["p95"])
    add("slowest page, ms (p95)", PAGE_MS, max(one["p95"] for one in pages.values()))
    add("search, ms (p95)", SEARCH_MS, max(one["p95"] for one in searches.values()))
    add("largest page, octets", PAGE_OCTETS, max(one["octets"] for one in pages.values()))
    # Turn by turn, since they follow each other: what else the machine did hit both.
    pairs = zip(took["none"]["rates"], took["streams"]["rates"], strict=True)
    slower = statistics.median(1 - with_streams / without for without, with_streams in pairs)
    add(f"registrations slower with {found['streams']} consoles open", SLOWER, slower)
    return rows


def show(found: dict[str, Any]) -> None:
    """Print the figures as tables."""
    machine = found["machine"]
    print(
        f"Python {machine['python']}, {machine['processors']} processors, load {machine['load']:.1f} at the "
        f"start; {found['extensions']} extensions, {found['phones']} phones registered\n"
    )
    print(f"{'page':<24}{'first ms':>10}{'median ms':>11}{'p95 ms':>9}{'octets':>10}")
    for name, row in (
        *found["pages"].items(),
        *((f"search in {path}", row) for path, row in found["searches"].items()),
    ):
        print(
            f"{name:<24}{row['first']:>10.0f}{row['median']:>11.0f}{row['p95']:>9.0f}{row['octets']:>10.0f}"
        )
    names = {
        "none": "no console",
        "streams": f"{found['streams']} streams",
        "pages": f"{found['streams']} that fetch",
    }
    print(f"\n{'open':<24}{'reg./s':>10}{'CPU µs each':>12}{'p99 ms':>9}{'messages':>10}")
    for kind, row in found["turns"].items():
        print(
            f"{names[kind]:<24}{row['rate']:>10.0f}{row['cpu']:>12.0f}{row['p99']:>9.1f}{row['messages']:>10.0f}"
        )
    print()
    for one in found["targets"]:
        mark = "ok  " if one["met"] else "MISS"
        print(f"{mark} {one['what']}: {one['reached']:.4g} (target {one['target']:g})")


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1].isdigit():
        watch(json.loads(sys.stdin.readline()), int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    else:
        sys.exit(main())
