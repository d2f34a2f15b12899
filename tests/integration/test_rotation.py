"""Rotation of Km with phones registered: none is ever without a registration, and all have moved in time.

Simulated endpoints over the real services, and three phones on MicroPython.  RINGKEY_LONG=1 has 200 of
them (make test-long).
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from conftest import configure, environment
from harness.unixphone import UnixPhone, write_settings
from keyserver_client import Client
from ras_phone import Phone, fetch_keys, record_of
from ringkey.keyserver import trail
from ringkey.site import control, runtime
from sim_phones import Farm
from sites import seeds_of

LONG = bool(os.environ.get("RINGKEY_LONG"))
ENDPOINTS = 200 if LONG else 20
OVERLAP = 60 if LONG else 25  # s
SPREAD = 30_000 if LONG else 8_000  # ms
PIN = "8675309123450"
REAL = ("3001", "3002", "3003")


class Watch:
    """Asks the gatekeeper several times a second who is registered, and with keys of which generation."""

    def __init__(self, run, extensions):
        self.run, self.extensions = run, set(extensions)
        self.missing = []
        self.looks = 0
        self.task = None

    def look(self):
        held = control.ask(self.run, "gatekeeper", "registrations")["registrations"]
        found = {one["ext"]: one["cvm"] for one in held}
        self.looks += 1
        return found

    async def watch(self):
        while True:
            found = await asyncio.to_thread(self.look)
            gone = self.extensions - found.keys()
            if gone:
                self.missing.append((time.monotonic(), sorted(gone)))
            await asyncio.sleep(0.1)


async def until(condition, seconds):
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < end, condition
        await asyncio.sleep(0.1)


@pytest.fixture
def phones(tmp_path):
    made = []
    yield made
    for phone in made:
        phone.power_cut()


def real_phone(folder, site, service):
    settings = write_settings(
        folder,
        site / "phone" / "root.der",
        [f"127.0.0.1:{service.ports['files']}"],
        renew_spread=SPREAD,
    )
    return UnixPhone(settings)


def log_in(phone, ext):
    phone.power_on()
    phone.expect_display("^Extension:")
    phone.press(ext + "#")
    phone.expect_display("^PIN:")
    phone.press(PIN + "#")


@pytest.mark.timeout(900 if LONG else 200)
def test_nobody_loses_service(site, run_service, ringkey, tmp_path, phones):
    configure(site, ("time_to_live = 300", "time_to_live = 12"))
    simulated = [str(4000 + i) for i in range(ENDPOINTS)]
    pins = tmp_path / "pins.csv"
    pins.write_text("ext,pin\n" + "".join(f"{ext},{PIN}\n" for ext in (*simulated, *REAL)))
    ringkey("--site", site, "extension", "import", pins)
    keyserver = run_service(site, "keyserver", "serve")
    gatekeeper = run_service(site, "gatekeeper", "serve")
    for ext in REAL:
        phones.append(real_phone(tmp_path / ext, site, keyserver))
        log_in(phones[-1], ext)
    for phone in phones:
        phone.expect_event("channel", state="open")
    asyncio.run(rotation(ringkey, keyserver, gatekeeper, simulated, phones))


async def rotation(ringkey, keyserver, gatekeeper, simulated, phones):
    site = keyserver.site
    farm = Farm(keyserver.ports["files"], site / "ca" / "root.crt", SPREAD)
    await farm.start(dict.fromkeys(simulated, PIN))
    watch = Watch(site / "run", (*simulated, *REAL[:-1]))
    try:
        await until(lambda: all(phone.login.state == "online" for phone in farm.phones), 60)
        old = Client(keyserver).fetch("3003")["CVM"]
        assert set(watch.look().values()) == {old}
        # One phone sleeps through all of it.
        sleeper = phones[-1]
        sleeper.power_cut()
        watching = asyncio.create_task(watch.watch())
        begun = time.monotonic()
        done = await asyncio.to_thread(ringkey, "--site", site, "seed", "rotate", "--overlap", f"{OVERLAP}s")
        assert "generation    2" in done.stdout
        commanded = time.monotonic()
        gatekeeper.wait_for("key_server_ready", cvm=in_force(keyserver))
        told = time.monotonic() - commanded
        assert told < 1
        new = Client(keyserver).fetch("3003")["CVM"]
        assert new != old
        awake = set(watch.extensions)
        await until(lambda: all(watch.look().get(ext) == new for ext in awake), OVERLAP)
        moved = time.monotonic() - begun
        await until(lambda: len(in_force(keyserver)) == 1, OVERLAP + 5)
        await until(lambda: gatekeeper_knows(site) == [new], 1)
        for phone in phones[:-1]:
            phone.expect_event("key-file", cvm=new, timeout=1)
            phone.expect_event("commit", ok=True)
            phone.expect_event("channel", state="open")
            assert phone.display[0].startswith("Registered")
        await asyncio.sleep(1)
        watching.cancel()
        assert watch.missing == []
        assert {ext: cvm for ext, cvm in watch.look().items() if ext in awake} == dict.fromkeys(awake, new)
        assert all(phone.prompts == [None] for phone in farm.phones)
        # Whoever slept through it comes back by itself.
        await asyncio.to_thread(sleeper.power_on)
        await asyncio.to_thread(sleeper.expect_event, "key-file", 20, cvm=new)
        await asyncio.to_thread(sleeper.expect_event, "channel", 20, state="open")
        assert watch.look()[REAL[-1]] == new
        ended = [e["reason"] for e in gatekeeper.events if e["event"] == "registration_ended"]
        assert set(ended) <= {"reregistered", "ttlExpired"}
        assert ended.count("reregistered") >= len(awake)
        print(
            f"\n{len(simulated)} simulated and {len(REAL)} real phones: the gatekeeper knew {told:.2f} s "
            f"after the command; all awake had new keys after {moved:.0f} s of {OVERLAP} s; "
            f"nobody was missing in {watch.looks} looks; the one asleep came back by itself"
        )
    finally:
        with contextlib.suppress(UnboundLocalError):
            watching.cancel()
        await farm.stop()
    report = trail.verify(site / "keyserver" / "audit.jsonl")
    assert report.problem is None
    assert len(seeds_of(site)) == 2


def in_force(keyserver):
    return Client(keyserver).advanced("/status.json")[1]["cvm"]


def gatekeeper_knows(site):
    return runtime.ask(site / "run", "gatekeeper")["status"]["cvm"]


def test_two_key_servers_a_generation_apart(site, run_service, ringkey, tmp_path):
    """The gatekeeper takes keys of either generation while one of its key servers is behind."""
    second = tmp_path / "second"
    shutil.copytree(site, second)
    ids = [json.loads((site / "keyserver" / "counter").read_text())["server_id"], "02000000000b"]
    first_id = ":".join(ids[0][i : i + 2] for i in range(0, 12, 2))
    configure(second, (f'"{first_id}"', '"02:00:00:00:00:0b"'), ("peers = []", f'peers = ["{first_id}"]'))
    configure(site, ("peers = []", 'peers = ["02:00:00:00:00:0b"]'))
    one = run_service(site, "keyserver", "serve")
    two = run_service(second, "keyserver", "serve")
    urls = ", ".join(f'"https://localhost:{service.ports["advanced"]}"' for service in (one, two))
    configure(site, ('key_servers = ["https://localhost:0"]', f"key_servers = [{urls}]"))
    pins = tmp_path / "pins.csv"
    pins.write_text(f"ext,pin\n1001,{PIN}\n1002,{PIN}\n")
    ringkey("--site", site, "extension", "import", pins)
    gatekeeper = run_service(site, "gatekeeper", "serve")

    where = ("127.0.0.1", gatekeeper.ports["ras"])

    def register(service, ext):
        phone = Phone(record_of(fetch_keys(site, service.ports["files"], ext), ext, PIN), where)
        try:
            return phone.register(), phone.record.cvm.hex()
        finally:
            phone.socket.close()

    old = register(one, "1001")[1]
    old_phone = Phone(record_of(fetch_keys(site, one.ports["files"], "1002"), "1002", PIN), where)
    words = ringkey("--site", second, "seed", "rotate", "--overlap", "1d").stdout
    new = Client(two).fetch()["CVM"]
    assert register(two, "1001")[1] == new
    registration, cvm = register(one, "1002")
    # Not told to fetch soon: the key server that it would ask may be this one, which has no others.
    assert (cvm, registration.fetch_soon) == (old, False)
    text = " ".join(re.findall(r"\b[a-z]{3,8}\b", words.split("check value")[0]))
    entered = subprocess.run(
        [
            sys.executable,
            "-m",
            "ringkey",
            "--site",
            str(site),
            "seed",
            "rotate",
            "--enter",
            "--overlap",
            "1d",
        ],
        env=environment(),
        input=text,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert new in entered
    gatekeeper.wait_for("key_server_ready", cvm=[new, old])
    # The phone with old keys is told now, with its next registration.
    assert old_phone.register().fetch_soon
    old_phone.socket.close()
