"""Kamailio as the peer of bench/gatekeeper.py: digest from SQLite, locations in memory, driven by sipp."""

import csv
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import load
from bench.load import BenchError

CHILDREN = 2
_STARTING = 20.0  # s
_LIMIT = 580.0  # s for one run of sipp
_CONFIG = """\
#!KAMAILIO
debug=-1
log_stderror=yes
fork=yes
children={children}
disable_tcp=yes
auto_aliases=no
listen=udp:127.0.0.1:{port}
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "db_sqlite.so"
loadmodule "auth_db.so"
modparam("usrloc", "db_mode", 0)
modparam("usrloc", "hash_size", 14)
modparam("registrar", "default_expires", 3600)
modparam("auth_db", "db_url", "sqlite://{database}")
modparam("auth_db", "calculate_ha1", 1)
modparam("auth_db", "password_column", "password")
modparam("auth_db", "load_credentials", "")
request_route {{
    if (method == "REGISTER") {{
        if (!auth_check("bench", "subscriber", "1")) {{
            auth_challenge("bench", "0");
            exit;
        }}
        if (!save("location")) {{ sl_reply_error(); }}
        exit;
    }}
    sl_send_reply("405", "Method Not Allowed");
}}
"""
_REGISTER = """\
REGISTER sip:bench SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:[field0]@bench>;tag=[call_number]
To: <sip:[field0]@bench>
Call-ID: [call_id]
CSeq: {number} REGISTER
Contact: <sip:[field0]@[local_ip]:[local_port]>
Expires: 3600
{authentication}Content-Length: 0

"""
_SCENARIO = """\
<?xml version="1.0" encoding="UTF-8"?>
<scenario name="register">
<send retrans="2000" start_rtd="1"><![CDATA[

{first}]]></send>
<recv response="401" auth="true"/>
<send retrans="2000"><![CDATA[

{second}]]></send>
<recv response="200" rtd="1"/>
</scenario>
"""


def missing() -> str | None:
    """Return why this machine can not run the peer, or None."""
    for program, package in (("kamailio", "kamailio kamailio-sqlite-modules"), ("sipp", "sip-tester")):
        try:
            load.find(program, package)
        except BenchError as error:
            return str(error)
    if not list(Path("/usr/lib").glob("*/kamailio/modules/db_sqlite.so")):
        return "Kamailio has no db_sqlite (try: apt-get install kamailio-sqlite-modules)"
    return None


class Kamailio:
    """A Kamailio that runs; `pids` of all its processes."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, users: Path) -> None:
        self._process = process
        self._users = users
        self.port = port

    @property
    def pids(self) -> list[int]:
        """The process and its children."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def cpu_seconds(self) -> float:
        """Return the CPU time that all of it has taken."""
        return sum(load.cpu_seconds(pid) for pid in self.pids)

    def memory(self) -> int:
        """Return the octets in use; those that its processes share are counted once."""
        total = 0
        for pid in self.pids:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def register(self, scratch: Path, count: int, window: int, core: str | None) -> dict[str, Any]:
        """Register `count` users, `window` at a time; return the figures, as bench/gatekeeper.py has them."""
        for old in scratch.glob("*_rtt.csv"):
            old.unlink()
        before = self.cpu_seconds()
        command = [*(("taskset", "-c", core) if core else ()), load.find("sipp", "sip-tester")]
        command += [f"127.0.0.1:{self.port}", "-i", "127.0.0.1", "-sf", str(scratch / "register.xml")]
        command += ["-inf", str(self._users), "-m", str(count), "-l", str(window)]
        command += ["-r", "20000", "-trace_rtt", "-rtt_freq", "1", "-nostdin", "-timeout", str(int(_LIMIT))]
        command += ["-recv_timeout", "30000", "-buff_size", str(4 << 20)]
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=scratch, capture_output=True, text=True, timeout=_LIMIT + 20, check=False
        )
        seconds = time.monotonic() - began
        used = self.cpu_seconds() - before
        if done.returncode != 0:
            raise BenchError(f"sipp: exit {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
        times = sorted(_times(scratch))
        if len(times) < count:
            raise BenchError(f"sipp: {len(times)} of {count} registrations were answered")
        return {
            "registrations": count,
            "rate": count / seconds,
            "cpu": 1e6 * used / count,
            "p50": times[len(times) // 2],
            "p99": times[int(0.99 * len(times))],
        }


def _times(scratch: Path) -> Iterator[float]:
    for file in scratch.glob("*_rtt.csv"):
        with file.open() as lines:
            for row in list(csv.reader(lines, delimiter=";"))[1:]:
                yield float(row[1])


@contextmanager
def running(scratch: Path, users: dict[str, str], core: str | None) -> Iterator[Kamailio]:
    """Run Kamailio with these users and passwords; raises BenchError."""
    database = scratch / "kamailio.db"
    _fill(database, users)
    table = scratch / "users.csv"
    table.write_text(
        "SEQUENTIAL\n"
        + "".join(f"{u};[authentication username={u} password={p}]\n" for u, p in users.items())
    )
    first = _REGISTER.format(number=1, authentication="")
    second = _REGISTER.format(number=2, authentication="[field1]\n")
    (scratch / "register.xml").write_text(_SCENARIO.format(first=first, second=second))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    config = scratch / "kamailio.cfg"
    config.write_text(_CONFIG.format(children=CHILDREN, port=port, database=database))
    home = scratch / "kamailio-run"
    home.mkdir(exist_ok=True)
    said = scratch / "kamailio.log"
    with said.open("wb") as log:
        process = subprocess.Popen(
            [
                *(("taskset", "-c", core) if core else ()),
                *(load.find("kamailio", "kamailio"), "-f", str(config), "-DD", "-m", "512"),
                *("-Y", str(home), "-P", str(home / "pid")),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + _STARTING
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > end:
                raise BenchError(f"Kamailio does not start\n{said.read_text(errors='replace')[-2000:]}")
        yield Kamailio(process, port, table)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)
        shutil.rmtree(home, ignore_errors=True)


def _fill(database: Path, users: dict[str, str]) -> None:
    database.unlink(missing_ok=True)
    with sqlite3.connect(database) as db:
        db.execute("CREATE TABLE version (table_name TEXT PRIMARY KEY, table_version INTEGER)")
        db.execute("INSERT INTO version VALUES ('subscriber', 7), ('location', 9)")
        db.execute(
            "CREATE TABLE subscriber (id INTEGER PRIMARY KEY, username TEXT NOT NULL, domain TEXT NOT NULL,"
            " password TEXT NOT NULL, ha1 TEXT DEFAULT '', ha1b TEXT DEFAULT '')"
        )
        db.executemany(
            "INSERT INTO subscriber (username, domain, password) VALUES (?, 'bench', ?)", users.items()
        )
        db.execute("CREATE UNIQUE INDEX subscriber_account ON subscriber (username, domain)")
    db.close()


def _answers(port: int) -> bool:
    """Tell whether it answers a request that it does not take."""
    request = (
        "OPTIONS sip:bench SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{{0}};branch=z9hG4bKx{time.monotonic_ns()}\r\n"
        "From: <sip:a@bench>;tag=1\r\nTo: <sip:a@bench>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n"
        "Content-Length: 0\r\n\r\n"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind(("127.0.0.1", 0))
        asking.settimeout(0.3)
        try:
            asking.sendto(request.format(asking.getsockname()[1]).encode(), ("127.0.0.1", port))
            return asking.recv(4096).startswith(b"SIP/2.0")
        except OSError:
            return False
