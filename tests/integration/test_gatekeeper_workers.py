"""A gatekeeper of two workers, as its phones, its administrator and its enemies see it: real processes."""

import contextlib
import os
import random
import re
import secrets
import shutil
import signal
import socket
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest
from conftest import Running, assert_no_secret, run_ringkey
from fleet import IDLE, LEAVE, REGISTER, WINDOW, Fleet, fetch_all
from fleet import Phone as FleetPhone
from harness import sites
from harness.unixphone import UnixPhone, write_settings
from ras import q931, tpkt
from ras.endpoint import Endpoint
from ras.message import GCF, decode_message
from ras_phone import Line, Phone, answers, now, record_of
from ringkey.gatekeeper.workers.shards import of_extension
from ringkey.site import control, runtime

PIN = "8675309123450"
PHONES = [str(20_000 + n) for n in range(50)]
ALICE, BOB, REAL = "1001", "1002", "3001"  # of worker 1, of worker 0, and one on MicroPython
CAROL = "1005"  # whose keys are replaced
TARGETS = [str(5_000 + n) for n in range(40)]  # of a guesser
GUESSER = "127.0.0.77"
STARTING = 120.0  # s, on a machine that does other things as well
WORKERS = 2


class World:
    """A site with a key server and a gatekeeper of several workers; its phones' keys."""

    def __init__(self, site):
        self.site = site
        self.run = site / "run"
        self.started = []
        exts = [*PHONES, ALICE, BOB, CAROL, REAL, *TARGETS]
        file = site / "import.csv"
        file.write_text("".join(f"{ext},{PIN}\n" for ext in exts))
        run_ringkey("--site", site, "extension", "import", file)
        sites.set_values(site, "gatekeeper", workers=WORKERS)
        self.keyserver = self._service("keyserver")
        self.records = fetch_all(site, self.keyserver.ports["files"], [e for e in exts if e != REAL], PIN)
        self.begin()
        self.address = ("127.0.0.1", self.gatekeeper.ports["ras"])
        sites.set_values(site, "gatekeeper", port=self.address[1])
        self.fleet = Fleet([self.records[ext] for ext in PHONES], self.address)
        self.phones = []

    def _service(self, name):
        service = Running(self.site, (name, "serve"))
        self.started.append(service)
        try:
            service.wait_for("ready", STARTING)
        except BaseException:
            for one in self.started:  # the fixture does not come to its end
                one.kill()
            raise
        return service

    def begin(self):
        self.gatekeeper = self._service("gatekeeper")

    def stop(self):
        """Stop the gatekeeper as systemd does, with a patience that a busy machine may need."""
        self.gatekeeper.process.send_signal(signal.SIGTERM)
        self.gatekeeper.process.wait(STARTING)
        return self.gatekeeper.stop()

    def pids(self):
        """Return the process ids of the workers, in their order."""
        found = {}
        for event in list(self.gatekeeper.events):
            if event["event"] == "worker_ready":
                found[event["worker"]] = event["pid"]
        return [found[worker] for worker in sorted(found)]

    def phone(self, ext, host="127.0.0.1", record=None):
        phone = Phone(record or self.records[ext], self.address)
        if host != "127.0.0.1":
            phone.socket.close()
            phone.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            phone.socket.bind((host, 0))
            phone.endpoint = Endpoint(secrets.token_bytes, phone.socket.getsockname())
        self.phones.append(phone)
        return phone

    def ask(self, do, **more):
        return control.ask(self.run, "gatekeeper", do, **more)

    def registrations(self):
        return {one["ext"]: one for one in self.ask("registrations")["registrations"]}

    def status(self):
        return runtime.ask(self.run, "gatekeeper")["status"]

    def dropped(self, reason):
        """Return how many messages were dropped for a reason, over all workers."""
        return sum(count for *_, why, count in self.ask("figures")["outcomes"] if why == reason)

    def close(self):
        self.fleet.close()
        for phone in self.phones:
            phone.socket.close()
        with contextlib.ExitStack() as stack:
            for service in self.started:
                stack.callback(service.stop)
            if self.gatekeeper.process.poll() is None:
                self.stop()
        output = "".join(service.output for service in self.started)
        of_phones = {getattr(r, name).hex() for r in self.records.values() for name in ("kg", "ka")}
        assert_no_secret(output, {self.site}, {PIN, *of_phones})


@pytest.fixture(scope="module")
def world(site_template, tmp_path_factory):
    path = tmp_path_factory.mktemp("workers") / "site"
    shutil.copytree(site_template, path)
    sites.free_ports(path)
    sites.set_values(path, "keyserver.enrolment", per_source=0, per_extension=0)
    world = World(path)
    yield world
    world.close()


def test_the_extensions_of_these_tests_are_of_both_workers():
    assert (of_extension(ALICE, WORKERS), of_extension(BOB, WORKERS)) == (1, 0)
    for exts in (PHONES, TARGETS):
        assert {of_extension(ext, WORKERS) for ext in exts} == {0, 1}


def test_fifty_phones_register_stay_and_leave(world):
    fleet = world.fleet
    fleet.run(fleet.phones, FleetPhone.register)
    assert sorted(world.registrations()) == PHONES
    fleet.run(fleet.phones, FleetPhone.keep_alive)
    fleet.run(fleet.phones[::5], FleetPhone.leave)
    there = [phone.record.ext for phone in fleet.phones if phone.there]
    assert len(there) == 40
    assert sorted(world.registrations()) == there
    assert not any(phone.again for phone in fleet.phones)
    fleet.run(fleet.phones[::5], FleetPhone.register)


def test_a_real_phone_registers_and_has_its_channel(world, tmp_path):
    files = f"127.0.0.1:{world.keyserver.ports['files']}"
    settings = write_settings(
        tmp_path, world.site / "phone" / "root.der", [files], [f"127.0.0.1:{world.address[1]}"]
    )
    phone = UnixPhone(settings)
    try:
        phone.power_on()
        phone.expect_display("^Extension:")
        phone.press(REAL + "#")
        phone.expect_display("^PIN:")
        phone.press(PIN + "#")
        phone.expect_event("registered", ext=REAL)
        assert "PSK" in phone.expect_event("channel", state="open")["cipher"]
        assert "PSK" in world.registrations()[REAL]["channel"]
        phone.press("L")
        phone.expect_display("^Extension:")
    finally:
        phone.power_cut()
    assert REAL not in world.registrations()


def test_each_worker_has_its_own_channels_and_all_are_seen_as_one(world):
    ports = set()
    for ext in (ALICE, BOB):
        registration = world.phone(ext).register()
        ports.add(registration.signalling[1])
        line = Line(registration).open()
        line.send(tpkt.encode(q931.status_enquiry()))
        line.wait_for("data")
        assert "PSK" in world.ask("phone", ext=ext)["registered"]["channel"]
        line.socket.close()
    assert len(ports) == WORKERS
    status = world.status()
    assert status["registrations"] == len(PHONES) + 2 == len(world.registrations())
    assert (status["workers"], status["state"], status["key_server"]) == ("2 of 2", "kept", "ready")
    assert status["extensions"] == len(PHONES) + 4 + len(TARGETS)
    figures = world.ask("figures")
    registered = {(m, o): n for m, o, _, n in figures["outcomes"]}
    assert registered["RRQ", "registered"] >= len(PHONES) + 12
    assert figures["tables"]["registrations"] == len(PHONES) + 2
    assert figures["latencies"]["RRQ"]["p50"] > 0
    top = run_ringkey("--site", world.site, "gatekeeper", "top", "--once").stdout
    assert f"registrations {len(PHONES) + 2} " in top
    connection = HTTPConnection("127.0.0.1", world.gatekeeper.ports["gatekeeper_admin"], timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    assert f"\nringkey_registrations {len(PHONES) + 2}.0\n" in text
    assert "\nringkey_workers 2.0\n" in text
    assert "\nringkey_lanes_dropped_total 0.0\n" in text
    assert '\nringkey_ras_kernel_dropped_total{socket="strangers"} 0.0\n' in text
    total = re.search(
        r'ringkey_ras_outcomes_total\{message="RRQ",outcome="registered",reason=""\} (\d+)', text
    )
    assert int(total[1]) >= len(PHONES) + 12
    connection.request("GET", "/readyz")
    assert connection.getresponse().status == 200
    connection.close()


def test_an_administrator_reaches_the_worker_of_an_extension(world):
    assert world.phone(CAROL).register() is not None
    answer = world.ask("registrations", failing=True)
    assert world.ask("refresh", ext=CAROL)["asked"]
    for ext in (ALICE, BOB):
        assert world.ask("end", ext=ext) == {"ended": True}
        assert world.ask("end", ext=ext) == {"ended": False}
    news = world.ask("events", mark=answer["mark"], wait=8)
    wanted = dict.fromkeys((ALICE, BOB, CAROL))
    assert {one["ext"]: one["registered"] for one in news["phones"]} == wanted
    started = time.monotonic()
    assert world.ask("events", mark=news["mark"], wait=0.3)["phones"] == []
    assert time.monotonic() - started >= 0.3
    assert world.ask("settings")["applied"]
    assert len(world.registrations()) == len(PHONES)


def test_an_extension_is_taken_over_from_elsewhere(world):
    for ext in (ALICE, BOB):
        first = world.phone(ext)
        assert first.register() is not None
        other = fetch_all(world.site, world.keyserver.ports["files"], [ext], PIN)[ext]  # keys of its own
        second = world.phone(ext, "127.0.0.5", other)
        assert second.register() is not None
        assert first.run(("ended",)) is not None, "it is told"
        first.flush()  # its UCF, which only the worker of the URQ can take
        assert world.registrations()[ext]["source"].startswith("127.0.0.5:")
        second.endpoint.log_out(now())
        assert second.run(("left",)) is not None
        assert ext not in world.registrations()


def test_what_is_replayed_meets_silence_whichever_worker_could_be_meant(world):
    exchanges = []
    for ext in (ALICE, BOB):
        phone = world.phone(ext)
        assert phone.register() is not None
        phone.endpoint._refresh(now())
        assert phone.run(("refreshed",)) is not None
        phone.endpoint.log_out(now())
        assert phone.run(("left",)) is not None
        assert [decode_message(data).kind for data in phone.sent] == ["GRQ", "RRQ", "RRQ", "URQ"]
        exchanges.append(phone)
    before = world.registrations()
    done = time.monotonic()
    for n in range(8):  # from several addresses: a worker that was chosen by them would be another one
        stranger = world.phone(ALICE, f"127.0.1.{n + 1}")
        for phone in exchanges:
            assert answers(stranger, phone.sent if n < 2 else phone.sent[:1]) == [], "from elsewhere"
    for phone in exchanges:
        assert answers(phone, phone.heard) == [], "reflected"
        again = answers(phone, phone.sent[:1])
        assert [decode_message(data).kind for data in again] == [GCF], "a retransmission"
    while time.monotonic() < done + 10.5:  # nothing happens then but that it is over: there is no event
        time.sleep(0.1)
    for phone in exchanges:
        assert answers(phone, phone.sent) == [], "from the same place later"
    assert world.registrations().keys() == before.keys()
    for ext in (ALICE, BOB):
        phone = world.phone(ext)
        assert phone.register() is not None, "the right phone registers all the same"
        phone.endpoint.log_out(now())
        assert phone.run(("left",)) is not None


def test_guesses_at_many_extensions_are_throttled_in_total(world):
    before = world.dropped("wrong-icv"), world.dropped("throttled")
    for ext in TARGETS:
        guesser = world.phone(ext, GUESSER, record_of(world.records[ext], ext, "0000"))
        guesser.endpoint.register(guesser.record, (guesser.gatekeeper,), now())
        guesser.flush()
        end = time.monotonic() + 10
        while unanswered(world, before) <= TARGETS.index(ext):
            assert time.monotonic() < end, ext
    assert world.dropped("wrong-icv") - before[0] == 10
    assert world.dropped("throttled") - before[1] == len(TARGETS) - 10
    assert world.phone(TARGETS[0]).register() is not None, "somebody else, elsewhere"
    assert world.ask("end", ext=TARGETS[0]) == {"ended": True}


def unanswered(world, before):
    return sum(map(world.dropped, ("wrong-icv", "throttled"))) - sum(before)


def churn(fleet, chance, seconds):
    """Let random phones do random things until the time is up, some of them still at it then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for phone in chance.sample(fleet.phones, min(WINDOW - len(fleet.busy()), len(fleet.phones) // 4)):
            if phone.doing == IDLE:
                # No keepAlive: the fleet does them before their time, and so asks again only long after.
                leaves = phone.there and chance.random() < 0.5
                fleet.start(phone, FleetPhone.leave if leaves else FleetPhone.register)
        fleet.step(0.005)


@contextlib.contextmanager
def away(world):
    """Let the phones' time stand still, and not the gatekeeper's; yield those who may miss an answer by it.

    What was under way is answered after a restart for 10 s (docs/gatekeeper-state.md), which on a machine
    that does other things a start can take; and a phone's next try is up to 2 s away.
    """
    missed = []
    busy = world.fleet.busy()
    began = time.monotonic()
    with world.fleet.paused():
        yield missed
    if time.monotonic() - began > 5:
        missed += busy


def check(world, what, missed=()):
    """Hold the gatekeeper's registrations to what the phones were told.

    missed: of whom an answer may have come too late.
    """
    fleet, there = world.fleet, world.registrations()
    for phone in fleet.phones:
        ext = phone.record.ext
        if phone.there and phone.doing in (IDLE, REGISTER):
            assert ext in there, f"{what}: {ext} was confirmed ({phone.doing}), and is lost"
        elif phone.surely_gone and phone.doing == IDLE:
            assert ext not in there, f"{what}: {ext} had ended, and is back"
        else:
            assert phone.doing in (LEAVE, REGISTER) or not (phone.there or phone.surely_gone)
    fleet.run((), None)  # what was under way comes to its end
    fleet.run([phone for phone in fleet.phones if phone.there], FleetPhone.keep_alive)
    again = [phone.record.ext for phone in fleet.phones if phone.again and phone not in missed]
    assert again == [], "had to register again"
    for phone in fleet.phones:
        phone.again = 0


def alive(pid):
    """Tell whether a process runs; one that is dead and not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_worker_that_is_killed_comes_back_with_its_registrations(world):
    chance = random.Random("workers")
    fleet = world.fleet
    fleet.run([phone for phone in fleet.phones if not phone.there], FleetPhone.register)
    worker = 1
    churn(fleet, chance, 1.0)
    with away(world) as missed:
        pid, seen = world.pids()[worker], len(list(world.gatekeeper.events))
        port = world.gatekeeper.wait_for("worker_ready", worker=worker)["ports"]["signalling"]
        os.kill(pid, signal.SIGKILL)
        world.gatekeeper.wait_for("worker_died", STARTING, seen, worker=worker, status=-signal.SIGKILL)
        back = world.gatekeeper.wait_for("worker_ready", STARTING, seen, worker=worker)
        assert back["pid"] != pid
        assert back["ports"]["signalling"] == port
    check(world, f"worker {worker}", missed)
    assert world.status()["workers"] == "2 of 2"


def test_a_supervisor_that_is_killed_leaves_no_orphan_and_nothing_is_lost(world):
    chance = random.Random("supervisor")
    churn(world.fleet, chance, 0.7)
    with away(world) as missed:
        pids = world.pids()
        assert all(map(alive, pids))
        world.gatekeeper.stop(signal.SIGKILL)  # which waits for the end of all that can write to its log
        end = time.monotonic() + 5
        while any(map(alive, pids)):
            assert time.monotonic() < end, "orphans"
        world.begin()
    check(world, "supervisor", missed)


def test_another_number_of_workers_takes_all_over(world):
    there = sorted(world.registrations())
    assert len(there) > 20
    for workers in (1, 3):
        with world.fleet.paused():  # none of them is busy
            assert world.stop() == 0
            sites.set_values(world.site, "gatekeeper", workers=workers)
            world.begin()
        assert sorted(world.registrations()) == there
        check(world, f"{workers} workers")  # under identifiers that say another worker, too
        state = sorted(one.name for one in (world.site / "gatekeeper").glob("state*.db"))
        assert state == (
            ["state.db"] if workers == 1 else [f"state-{n}of{workers}.db" for n in range(workers)]
        )


def taken_after_a_free_one():
    """Return a listening socket whose port is the second of two that nobody else had, nor gets by chance.

    They are below those that the system gives to whoever asks for any (ip(7), ip_local_port_range).
    """
    for port in range(20_000, 30_000, 2):
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return socket.create_server(("127.0.0.1", port + 1))
    pytest.fail("no two ports are free")


def test_what_one_worker_cannot_have_ends_the_start(world):
    with taken_after_a_free_one() as taken:
        port = taken.getsockname()[1] - 1  # the first worker's
        with world.fleet.paused():
            assert world.stop() == 0
            sites.set_values(world.site, "gatekeeper", signalling_port=port, workers=WORKERS)
            failed = run_ringkey("--site", world.site, "gatekeeper", "serve", check=False)
    assert failed.returncode != 0
    assert f"cannot open TCP port {port + 1}" in failed.stderr
