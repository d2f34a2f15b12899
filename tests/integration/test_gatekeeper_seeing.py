"""Metrics, health and `ringkey gatekeeper top` of a gatekeeper that runs; its log, read by a program."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest
from conftest import environment
from ras.keys import CVM
from ras_phone import PIN, Phone, fetch_keys, record_of

DOC = Path(__file__).resolve().parents[2] / "docs" / "gatekeeper-seeing.md"


def ask(port, path):
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def value(text, start):
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return float(line.rsplit(" ", 1)[1])


class World:
    def __init__(self, site, run_service, ringkey):
        self.site = site
        file = site / "import.csv"
        file.write_text(f"1001,{PIN}\n1002,{PIN}\n1004,{PIN}\n")
        ringkey("--site", site, "extension", "import", file)
        file.unlink()
        self.keyserver = run_service(site, "keyserver", "serve")
        self.gatekeeper = run_service(site, "gatekeeper", "serve")
        self.gatekeeper.wait_for("key_server_ready")
        self.phones = []

    def phone(self, ext, pin=PIN, **changes):
        record = record_of(fetch_keys(self.site, self.keyserver.ports["files"], ext), ext, pin)
        for name, what in changes.items():
            setattr(record, name, what)
        self.phones.append(Phone(record, ("127.0.0.1", self.gatekeeper.ports["ras"])))
        return self.phones[-1]

    def admin(self, path):
        return ask(self.gatekeeper.ports["gatekeeper_admin"], path)


@pytest.fixture
def world(site, run_service, ringkey):
    """A gatekeeper at which 1001 is registered, 1002 guesses, 1003 is unknown, and a stranger talks."""
    run_service.secrets.add(PIN)
    world = World(site, run_service, ringkey)
    assert world.phone("1001").register() is not None
    for data in (b"\x00" * 40, b"what is this"):
        assert world.phones[0].exchange(data, 0.05) is None
    world.phone("1002", "0000").register(0.5)
    world.phone("1001", cvm=bytes(CVM)).register(3)
    world.phone("1003").register()
    yield world
    for phone in world.phones:
        run_service.secrets.update((phone.record.kg.hex(), phone.record.ka.hex()))
        phone.socket.close()


def test_what_happened_is_counted_logged_and_shown(world, no_secret, ringkey):
    metrics_count_what_happened_and_show_no_secret(world, no_secret)
    events_are_for_programs(world)
    top_once(world, ringkey)
    for how in ("q", "Ctrl-C"):
        top_on_a_terminal(world, how)


def metrics_count_what_happened_and_show_no_secret(world, no_secret):
    status, text = world.admin("/metrics")
    assert status == 200
    outcome = "ringkey_ras_outcomes_total{"
    for labels, count in {
        'message="GRQ",outcome="confirmed",reason=""': 1,
        'message="RRQ",outcome="registered",reason=""': 1,
        'message="GRQ",outcome="refused",reason="obsolete"': 1,
        'message="GRQ",outcome="refused",reason="unknown-extension"': 1,
        'message="GRQ",outcome="dropped",reason="wrong-icv"': 1,
        'message="other",outcome="dropped",reason="malformed"': 2,
    }.items():
        assert value(text, outcome + labels) == count, text
    assert value(text, "ringkey_registrations ") == 1
    assert value(text, "ringkey_channels ") == 0
    assert value(text, 'ringkey_ras_received_total{message="RRQ"}') == 1
    for whose in ("phones", "strangers"):
        assert value(text, f'ringkey_ras_kernel_dropped_total{{socket="{whose}"}}') == 0
    assert value(text, 'ringkey_ras_sent_total{message="RCF"}') == 1
    assert value(text, 'ringkey_ras_sent_total{message="GRJ"}') == 2
    for message in ("GRQ", "RRQ"):
        assert value(text, f'ringkey_ras_answer_seconds_count{{message="{message}"}}') == 1
        assert 0 < value(text, f'ringkey_ras_answer_seconds_sum{{message="{message}"}}') < 5
    assert value(text, "ringkey_ras_throttled_total") == 0
    assert value(text, 'ringkey_key_look_ups_total{outcome="found"}') == 3
    assert value(text, 'ringkey_key_look_ups_total{outcome="memory"}') == 1
    assert value(text, "ringkey_key_requests_total") == 3
    assert value(text, "ringkey_key_look_up_seconds_count") == 3
    assert value(text, "ringkey_key_server_ready") == 1
    assert value(text, 'ringkey_table_entries{table="throttle"}') > 0
    assert value(text, "ringkey_certificate_end_seconds") > 1.8e9
    assert value(text, "process_resident_memory_bytes") > 1e6
    assert not [name for name in ("1001", "1002", "1003", "127.0.0.1") if f'"{name}' in text]
    no_secret(text, {world.site}, {phone.record.kg.hex() for phone in world.phones})
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ringkey")}
    missing = {name for name in names if f"`{name}`" not in DOC.read_text()}
    assert not {one for one in missing if not one.endswith("_created")}, "not in docs/gatekeeper-seeing.md"


def test_health_and_readiness(world):
    assert world.admin("/healthz") == (200, "ok\n")
    assert json.loads(world.admin("/readyz")[1]) == {"ready": True, "problems": {}}
    certificate = world.site / "gatekeeper" / "gatekeeper.crt"
    certificate.rename(certificate.with_suffix(".away"))
    phone = world.phone("1004")
    world.keyserver.kill()
    assert phone.register(0.5) is None  # nobody has its key, which is how the gatekeeper finds out
    world.gatekeeper.wait_for("key_server_unavailable")
    status, text = world.admin("/readyz")
    assert status == 503
    assert set(json.loads(text)["problems"]) == {"key_server", "certificate"}
    assert world.admin("/healthz")[0] == 200
    assert value(world.admin("/metrics")[1], "ringkey_key_server_ready") == 0


def events_are_for_programs(world):
    """Every event of the log is documented; the fields of a refusal have stable names."""
    events = world.gatekeeper.events
    refused = [event for event in events if event["event"] == "refused"]
    assert [(event["ext"], event["code"]) for event in refused] == [
        ("1001", "obsolete"),
        ("1003", "unknown-extension"),
    ]
    dropped = [event["code"] for event in events if event["event"] == "dropped"]
    assert dropped == ["malformed", "malformed", "wrong-icv"]
    text = DOC.read_text()
    assert not {event["event"] for event in events if f"`{event['event']}`" not in text}


def top_once(world, ringkey):
    done = ringkey("--site", world.site, "gatekeeper", "top", "--once", "--json", "--interval", "0.2")
    seen = json.loads(done.stdout)
    assert seen["tables"]["registrations"] == 1
    assert seen["key_server"]["ready"] is True
    totals = {(one["message"], one["outcome"], one["reason"]): one["total"] for one in seen["rates"]}
    assert totals["RRQ", "registered", ""] == 1
    failing = {one["ext"]: one for one in seen["failing"]}
    assert list(failing) == ["1003", "1001", "1002"]
    assert (failing["1002"]["step"], failing["1002"]["words"]) == (
        "GRQ",
        "wrong PIN, or another device's key",
    )
    assert set(seen["latencies"]) == {"GRQ", "RRQ", "key"}
    text = ringkey("--site", world.site, "gatekeeper", "top", "--once", "--interval", "0.2").stdout
    assert "registrations 1 " in text
    assert re.search(r"^1002 +\d+s +1  GRQ   wrong PIN", text, re.M), text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert len(text.splitlines()) <= 24
    assert PIN not in text


def test_top_of_none_that_runs(site, ringkey):
    done = ringkey("--site", site, "gatekeeper", "top", "--once", check=False)
    assert done.returncode == 1
    assert "no gatekeeper" in done.stderr
    assert "gatekeeper serve" in done.stderr


class Terminal:
    """`ringkey gatekeeper top` on a terminal of 80x24."""

    def __init__(self, site):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(slave)
        command = [sys.executable, "-W", "error", "-m", "ringkey", "--site", str(site), "gatekeeper", "top"]
        self.process = subprocess.Popen(
            [*command, "--interval", "0.2"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(),
            start_new_session=True,
        )
        self.slave = slave
        self.shown = b""

    def wait_for(self, text, times=1):
        end = time.monotonic() + 20
        while self.shown.count(text) < times:
            assert time.monotonic() < end, self.shown
            if select.select([self.master], [], [], 0.1)[0]:
                self.shown += os.read(self.master, 65536)

    def end(self):
        self.wait_for(b"\x1b[?1049l")  # first: a terminal that nobody reads lets nobody end
        code = self.process.wait(20)
        assert termios.tcgetattr(self.slave) == self.before, "the terminal is not as it was"
        os.close(self.master)
        os.close(self.slave)
        return code


def top_on_a_terminal(world, how):
    terminal = Terminal(world.site)
    terminal.wait_for(b"\x1b[2J", 2)
    # While it shows: what happens is in the next picture.
    ext = {"q": "1002", "Ctrl-C": "1004"}[how]
    assert world.phone(ext).register() is not None
    terminal.wait_for(b"registrations 2 " if how == "q" else b"registrations 3 ")
    if how == "q":
        os.write(terminal.master, b"xq")
    else:
        os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.end() == 0
    for picture in terminal.shown.decode().split("\x1b[2J")[1:]:
        lines = re.sub(r"\x1b\[[?0-9]*[a-zA-Z]", "", picture).split("\r\n")
        assert len(lines) <= 24
        assert max(map(len, lines)) <= 80
    assert b"Traceback" not in terminal.shown
