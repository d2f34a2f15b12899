"""ApacheBench (`ab`) as the load: what it is told, and what it found."""

import csv
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Seconds for one run; a server that is slower than that is told by the run's failure.
LIMIT = 120.0
_RATE = re.compile(r"^Requests per second:\s+([0-9.]+)", re.MULTILINE)
_COMPLETE = re.compile(r"^Complete requests:\s+([0-9]+)", re.MULTILINE)
_FAILED = re.compile(r"^Failed requests:\s+([0-9]+)", re.MULTILINE)
_OTHER = re.compile(r"^Non-2xx responses:\s+([0-9]+)", re.MULTILINE)


class BenchError(Exception):
    """The benchmark cannot be run, or what it measured is worth nothing; says which."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run: requests a second; milliseconds at the 50th and 99th of 100; server CPU milliseconds each."""

    rate: float
    p50: float
    p99: float
    cpu: float


def find(name: str, package: str) -> str:
    """Return the path of a program, from $BENCH_NAME, PATH or /usr/sbin; raises BenchError."""
    named = os.environ.get("BENCH_" + name.upper())
    found = named or shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    if not found:
        raise BenchError(f"{name} is not installed (try: apt-get install {package})")
    return found


def run(
    url: str,
    server: int,
    scratch: Path,
    *,
    requests: int,
    clients: int,
    keep: bool = False,
    pair: Path | None = None,
    body: Path | None = None,
) -> Result:
    """Send `requests` for `url` from `clients` at a time; raises BenchError unless all are answered.

    server: process whose CPU time is taken; keep: one connection for each client, else one for each
    request; pair: PEM of certificate and key; body: a JSON file to POST.
    """
    table = scratch / "percentiles.csv"
    # The server has core 0 (see servers.py); with a single core they share it.
    core = str(1 % (os.cpu_count() or 1))
    command = ["taskset", "-c", core, find("ab", "apache2-utils"), "-q", "-f", "TLS1.3", "-e", str(table)]
    command += ["-n", str(requests), "-c", str(clients)]
    command += ["-k"] if keep else []
    command += ["-E", str(pair)] if pair else []
    command += ["-p", str(body), "-T", "application/json"] if body else []
    before = cpu_seconds(server)
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=LIMIT, check=False)
    used = cpu_seconds(server) - before
    rate, complete, failed = (found.search(done.stdout) for found in (_RATE, _COMPLETE, _FAILED))
    if done.returncode or rate is None or complete is None or failed is None:
        raise BenchError(f"ab: exit {done.returncode}\n{done.stdout}{done.stderr}")
    if int(complete[1]) != requests or int(failed[1]) or _OTHER.search(done.stdout):
        raise BenchError(f"not every request was answered\n{done.stdout}")
    with table.open() as file:
        times = {row[0]: float(row[1]) for row in list(csv.reader(file))[1:]}
    return Result(float(rate[1]), times["50"], times["99"], 1000 * used / requests)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has taken, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Return the octets of memory that a process has in use."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise BenchError(f"process {pid} is gone")
