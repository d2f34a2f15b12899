"""The servers that benchmarks measure: ringkey's services, and nginx.

Those of bench/keyserver.py are each one worker on core 0, with the same certificate and suites.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ringkey.site import runtime

from bench.load import BenchError, find

# s; on a machine that is busy with something else, or that still checkpoints 100,000 imported extensions
STARTING = 60.0
_STOPPING = 30.0  # s
_CORE = ["taskset", "-c", "0"]
_NGINX = """\
worker_processes 1;
daemon off;
pid {scratch}/nginx.pid;
error_log {scratch}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log {scratch}/access.log;
    client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy;
    fastcgi_temp_path {scratch}/fastcgi; uwsgi_temp_path {scratch}/uwsgi; scgi_temp_path {scratch}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl backlog=1024;
        ssl_certificate {site}/keyserver/server.crt;
        ssl_certificate_key {site}/keyserver/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
        ssl_session_cache off;
        keepalive_timeout 60;
        root {scratch}/www;
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs: the process that does the work, its own ports by name."""

    pid: int
    ports: dict[str, int]


@contextmanager
def service(
    site: Path, scratch: Path, name: str, *, event: str = "ready", before: Sequence[str] = ()
) -> Iterator[Server]:
    """Run the `name` of `site` (keyserver, gatekeeper, console) as a site would; given once it says `event`.

    before: a program that sets something and then becomes the service, with its arguments.  The log is
    in `scratch`.  Raises BenchError, with the end of the log, where the service does not start.
    """
    command = [*before, sys.executable, "-m", "ringkey", "--site", str(site)]
    command += ["--log-format", "json", name, "serve"]
    said = scratch / f"{name}.log"
    word = f'"event": "{event}"'.encode()
    run = site / "run"
    with said.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    with _stopped(process):
        _wait(process, lambda: bool(runtime.ports(run, name)) and word in said.read_bytes(), said)
        yield Server(process.pid, runtime.ports(run, name))


@contextmanager
def key_server(site: Path, scratch: Path) -> Iterator[Server]:
    """Run the key server of `site` as a site would: issuing, counting and logging for real."""
    with service(site, scratch, "keyserver", before=_CORE) as server:
        yield server


@contextmanager
def nginx(site: Path, scratch: Path, content: bytes) -> Iterator[Server]:
    """Run nginx with `content` under /static.txt."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    (scratch / "www").mkdir(exist_ok=True)
    (scratch / "www" / "static.txt").write_bytes(content)
    config = scratch / "nginx.conf"
    config.write_text(_NGINX.format(scratch=scratch, site=site.absolute(), port=port))
    # Its worker would be nobody, who may not enter the scratch directory.
    user = ["-g", "user root;"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [*_CORE, find("nginx", "nginx"), "-c", str(config), "-e", str(scratch / "error.log"), *user],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with _stopped(process):
        _wait(process, lambda: _listens(port), scratch / "error.log")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield Server(int(children[0]), {"files": port})


@contextmanager
def _stopped(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Stop it whatever happens."""
    try:
        yield
    finally:
        process.terminate()
        process.wait(_STOPPING)


def _listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def _wait(process: "subprocess.Popen[bytes]", ready: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + STARTING
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            said = log.read_text()[-2000:] if log.exists() else ""
            raise BenchError(f"{' '.join(map(str, process.args))} does not start\n{said}")  # type: ignore[arg-type]
        time.sleep(0.05)
