"""kill -9 at random moments while clients fetch keys: no g twice, and the record whole.

Two key servers with one seed; now and then one of them gets its data directory back from a copy that
was taken while it ran.  RINGKEY_LONG=1 has the full numbers (make test-long).
"""

import contextlib
import json
import os
import random
import shutil
import signal
import threading
import time
from http.client import HTTPException, HTTPSConnection

import pytest
from conftest import configure
from keyserver_client import Client, fields, kg_of, trusting
from ringkey.keyserver import books, register, trail
from ringkey.site.config import Site, load

LONG = bool(os.environ.get("RINGKEY_LONG"))
KILLS = 50 if LONG else 6
ISSUES = 20_000 if LONG else 800
CLIENTS = 8
OTHER_ID = "02:00:00:00:00:0b"


class Load:
    """Clients that fetch keys one after the other until the server is gone."""

    def __init__(self, service, clients):
        self.got = []  # in the order of the answers
        self.other = []  # what else was answered
        port = service.ports["files"]
        context = trusting(service.site / "ca" / "root.crt")
        self.threads = [
            threading.Thread(target=self._fetch, args=(port, context, str(100 + i))) for i in range(clients)
        ]
        for thread in self.threads:
            thread.start()

    def _fetch(self, port, context, ext):
        connection = HTTPSConnection("localhost", port, context=context, timeout=10)
        with contextlib.suppress(OSError, HTTPException), contextlib.closing(connection):
            while True:
                connection.request("GET", f"/keys/kkg.txt?ext={ext}")
                answer = connection.getresponse()
                text = answer.read().decode()
                if answer.status == 200:
                    self.got.append((ext, fields(text)["G"]))
                else:
                    self.other.append((answer.status, text))
                    time.sleep(0.01)

    def join(self):
        for thread in self.threads:
            thread.join()
        return self.got


def on_record(site):
    """Return every g that the register has; for a key server that is not running."""
    config = load(Site(site)).need_keyserver()
    engine = register.open_to_read(config.register, books.PATIENCE)
    try:
        with engine.connect() as connection:
            return {key.g.hex() for key in register.keys(connection)}
    finally:
        engine.dispose()


def assert_whole_trail(where):
    report = trail.verify(where / "keyserver" / "audit.jsonl")
    assert report.problem is None, report


def assert_whole(where):
    """No file is half written, and none is left over, of a key server that has stopped."""
    assert_whole_trail(where)
    listed = sorted(p.name for p in (where / "keyserver").iterdir() if not p.name.endswith(".damaged"))
    assert listed == [
        *("audit.jsonl", "audit.jsonl.lock", "counter", "counter.lock", "register.db"),
        *("seed", "seed.key", "server.crt", "server.key"),
    ]
    assert json.loads((where / "keyserver" / "counter").read_text())["version"] == 2


@pytest.mark.timeout(3600 if LONG else 300)
def test_no_g_twice_and_the_record_whole(site, run_service, tmp_path):
    chance = random.Random(os.environ.get("RINGKEY_SEED", "never twice"))
    second = tmp_path / "second"
    shutil.copytree(site, second)
    own = load(Site(site)).need_keyserver().server_id.hex(":")
    configure(second, (f'"{own}"', f'"{OTHER_ID}"'), ("peers = []", f'peers = ["{own}"]'))
    configure(site, ("peers = []", f'peers = ["{OTHER_ID}"]'))
    copy = tmp_path / "copy"
    seen, kept = [], {site: set(), second: set()}
    restores = 0
    begun = time.monotonic()
    for kill in range(KILLS):
        services = {where: run_service(where, "keyserver", "serve", log=False) for where in (site, second)}
        victim = chance.choice((site, second))
        loads = {where: Load(service, CLIENTS // 2) for where, service in services.items()}
        before = {where: len(load_.got) for where, load_ in loads.items()}
        restore = kill % 5 == 3
        if restore:
            time.sleep(chance.uniform(0.05, 0.3))
            kept_at_copy = kept[victim] | {g for _, g in list(loads[victim].got)}
            shutil.copytree(victim / "keyserver", copy)
        wanted = (ISSUES - len(seen)) // (KILLS - kill)
        end = time.monotonic() + 60
        while sum(len(one.got) for one in loads.values()) < wanted and time.monotonic() < end:
            time.sleep(chance.uniform(0, 0.02))
        for where in sorted(services, key=lambda where: where != victim):
            number = signal.SIGKILL if where == victim or chance.random() < 0.7 else signal.SIGTERM
            services[where].stop(number)
        for where, load_ in loads.items():
            new = [g for _, g in load_.join()]
            assert load_.other == []
            seen += new
            kept[where] |= set(new)
            assert before[where] <= len(new)
            assert_whole_trail(where)
        if restore:
            shutil.rmtree(victim / "keyserver")
            copy.rename(victim / "keyserver")
            kept[victim] = kept_at_copy
            restores += 1
        assert len(set(seen)) == len(seen), f"twice after kill {kill}"
    assert len(seen) >= ISSUES * 0.9
    for where in (site, second):
        service = run_service(where, "keyserver", "serve", log=False)
        client = Client(service)
        for ext, g in chance.sample(loads[where].got, 3):
            if g in kept[where]:
                assert client.look_up(g, ext)[1]["kg"] == kg_of(site, g)
        service.stop()
        # What a client has got is on record, but for what a restored copy did not have.
        assert kept[where] <= on_record(where)
        assert_whole(where)
    seconds = time.monotonic() - begun
    print(
        f"\n{len(seen)} keys by {CLIENTS} clients from 2 key servers, {KILLS} kills, {restores} restores "
        f"from a copy of a running one: no g twice, trail whole; {seconds:.0f} s"
    )
