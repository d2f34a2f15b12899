"""A gatekeeper that is killed and started again, as its phones and its administrator see it."""

import json
import secrets
import sqlite3
import time
from contextlib import closing

import pytest
from harness import sites
from ras import q931, tpkt
from ras.message import GCF, decode_message
from ras_phone import PIN, SILENCE, Line, Phone, fetch_keys, now, record_of
from ringkey.gatekeeper.state.store import Loaded, Store
from ringkey.site import control


class World:
    """A site whose gatekeeper is killed now and then; phones that go on."""

    def __init__(self, site, run_service, ringkey):
        self.site = site
        self.run_service = run_service
        self.ringkey = lambda *args: ringkey("--site", site, *args)
        self.sockets = []
        file = site / "import.csv"
        file.write_text("".join(f"{ext},{PIN}\n" for ext in ("1001", "1002", "1003", "1004")))
        self.ringkey("extension", "import", file)
        self.keyserver = run_service(site, "keyserver", "serve", ready=False)
        self.keyserver.wait_for("ready", 60.0)
        self.start()
        # The same port after each restart: phones do not ask for it again.
        sites.set_values(site, "gatekeeper", port=self.address[1])

    def start(self):
        self.gatekeeper = self.run_service(self.site, "gatekeeper", "serve", ready=False)
        self.gatekeeper.wait_for("ready", 60.0)
        self.address = ("127.0.0.1", self.gatekeeper.ports["ras"])

    def restart(self, meanwhile=lambda: None):
        """Kill it and start it; `meanwhile` is done while there is none."""
        self.gatekeeper.kill()
        meanwhile()
        self.start()

    def record(self, ext, pin=PIN):
        return record_of(fetch_keys(self.site, self.keyserver.ports["files"], ext), ext, pin)

    def phone(self, record):
        phone = Phone(record, self.address)
        self.sockets.append(phone.socket)
        return phone

    def registrations(self):
        answer = control.ask(self.site / "run", "gatekeeper", "registrations")
        return sorted(one["ext"] for one in answer["registrations"])

    def kept(self, query):
        """Return the one value that a query of the state gives."""
        with closing(sqlite3.connect(self.site / "gatekeeper" / "state.db")) as state:
            return state.execute(query).fetchone()[0]

    def journal(self):
        """Return what the state says of registrations and nonces."""
        path, found = self.site / "gatekeeper" / "state.db", Loaded()
        with closing(sqlite3.connect(path)) as state:
            rows = state.execute("SELECT n, sealed FROM journal ORDER BY n").fetchall()
        Store(path, (self.site / "gatekeeper" / "pin.key").read_bytes())._read(found, rows)
        assert not found.broken
        return found

    def until_kept(self, query, wanted):
        end = time.monotonic() + 20
        while self.kept(query) < wanted:
            assert time.monotonic() < end, f"{query}: {self.kept(query)}"
            time.sleep(0.02)  # another process's file has no event


@pytest.fixture
def world(site, run_service, ringkey):
    run_service.secrets.add(PIN)
    world = World(site, run_service, ringkey)
    yield world
    for one in world.sockets:
        one.close()


def test_phones_go_on_and_what_was_replayed_meets_silence(world):
    phone, leaver, disabled = (world.phone(world.record(ext)) for ext in ("1001", "1002", "1003"))
    registration = phone.register()
    assert registration is not None
    for one in (leaver, disabled):
        assert one.register() is not None
    leaver.endpoint.log_out(now())
    assert leaver.run(("left",)) is not None
    phone.endpoint.handle_timer(phone.endpoint.get_timer())  # keepAlive, before it is due
    assert phone.run(("refreshed",)) is not None
    assert sorted(world.journal().registrations) == ["1001", "1003"], "when the phone has its answer"
    end = time.monotonic() + 20
    while len(world.journal().nonces) < 6:
        assert time.monotonic() < end, world.journal().nonces
        time.sleep(0.02)  # another process's file has no event
    world.restart(lambda: world.ringkey("extension", "disable", "1003"))
    assert world.registrations() == ["1001"]
    read = world.gatekeeper.wait_for("state_read")
    assert (read["registrations"], read["refused"]) == (1, 1)

    # Its channel, by the SID and Ks of before.
    registration.signalling = ("127.0.0.1", world.gatekeeper.ports["signalling"])
    line = Line(registration)
    world.sockets.append(line.socket)
    line.open().send(tpkt.encode(q931.status_enquiry()))
    line.wait_for("data")

    # Replays: all that was ever sent.  (From the same place: tests/unit/core/test_kept.py.)
    stranger = world.phone(phone.record)
    requests = [*phone.sent, *leaver.sent, *disabled.sent]
    for request in requests:
        stranger.socket.sendto(request, world.address)
    assert stranger.receive(SILENCE) is None
    phone.endpoint.handle_timer(phone.endpoint.get_timer())
    assert phone.run(("refreshed", "ended")) == ("refreshed",)
    status = json.loads(world.ringkey("status", "--json").stdout)["gatekeeper"]
    assert (status["registrations"], status["state"]) == (1, "kept")


def test_failures_count_on_after_a_restart(world):
    sites.set_values(world.site, "gatekeeper.throttle", failures=3)
    world.restart()
    right = world.record("1001")
    wrong = world.phone(world.record("1001", "999"))
    for count in (1, 2, 3):
        if count == 3:
            world.restart()
        wrong.endpoint.register(wrong.record, (world.address,), now())
        [(request, _)] = wrong.endpoint.datagrams_to_send()
        wrong.socket.sendto(request, world.address)
        world.until_kept("SELECT coalesce(max(failures), 0) FROM failure", count)
    assert world.phone(right).register(1.5) is None, "the source is ignored"
    world.restart()
    assert world.phone(right).register(1.5) is None, "and is so after a restart"
    assert world.gatekeeper.wait_for("dropped", reason="throttled source")


def test_keys_outlive_key_server_and_gatekeeper_and_a_revocation_ends_them(world):
    known, unknown, revoked = world.record("1001"), world.record("1002"), world.record("1003")
    for record in (known, revoked):
        assert world.phone(record).register() is not None
    world.until_kept("SELECT count(*) FROM device_key", 2)
    world.ringkey("key", "revoke", "--ext", "1003")
    world.gatekeeper.wait_for("keys_revoked")
    world.gatekeeper.wait_for("registration_ended", ext="1003")
    end = time.monotonic() + 20
    while world.kept("SELECT count(*) FROM device_key") != 1:
        assert time.monotonic() < end
        time.sleep(0.02)  # another process's file has no event
    world.keyserver.stop()
    world.restart()
    assert world.registrations() == ["1001"]
    again = world.phone(known)
    assert again.register() is not None, "with keys of before, and nobody to ask"
    assert decode_message(again.heard[0]).kind == GCF
    assert world.phone(unknown).register(1.5) is None
    assert world.phone(revoked).register(1.5) is None
    for record in (known, unknown, revoked):
        world.run_service.secrets.update((record.kg.hex(), record.ka.hex()))


def test_a_damaged_state_is_set_aside_and_phones_are_served(world):
    record = world.record("1001")
    assert world.phone(record).register() is not None
    state = world.site / "gatekeeper" / "state.db"

    def damage():
        state.write_bytes(secrets.token_bytes(20_000))
        state.with_name("state.db-wal").unlink()  # else SQLite mends it from there

    world.restart(damage)
    told = world.gatekeeper.wait_for("state_set_aside")
    assert told["aside"] == str(state) + ".damaged"
    assert world.registrations() == []
    assert world.phone(record).register() is not None
    world.restart()
    assert world.registrations() == ["1001"]


def test_who_asks_while_it_starts_hears_that_registrations_are_back(world):
    phone = world.phone(world.record("1001"))
    assert phone.register() is not None
    world.gatekeeper.kill()
    run = world.site / "run"
    with closing(sqlite3.connect(world.site / "gatekeeper" / "state.db", isolation_level=None)) as state:
        # So that it cannot read yet what it had: without the mode a write-ahead log lets readers in.
        state.execute("PRAGMA locking_mode=EXCLUSIVE")
        state.execute("BEGIN EXCLUSIVE")
        world.gatekeeper = world.run_service(world.site, "gatekeeper", "serve", ready=False)
        end = time.monotonic() + 20
        while (found := control.ask(run, "gatekeeper", "registrations", failing=True)) is None:
            assert time.monotonic() < end
            time.sleep(0.02)  # another process's socket has no event
        assert found["registrations"] == []
    world.gatekeeper.wait_for("ready", 60.0)
    assert control.ask(run, "gatekeeper", "events", mark=found["mark"], wait=5)["gap"]
    assert world.registrations() == ["1001"]
