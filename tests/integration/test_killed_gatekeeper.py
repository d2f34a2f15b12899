"""kill -9 of the gatekeeper at random moments while phones register, keep alive and leave.

After each restart every confirmed registration is there, and none that was ended is back; no phone has
to register again.  RINGKEY_LONG=1 has the full numbers (make test-long).
"""

import contextlib
import os
import random
import resource
import signal
import socket
import time

import pytest
from fleet import IDLE, KEEP, LEAVE, REGISTER, WINDOW, Fleet, Phone, fetch_all
from harness import sites
from ras.message import GRQ, decode_message
from ras.server_nonce import RG_SPAN
from ringkey.site import control

LONG = bool(os.environ.get("RINGKEY_LONG"))
PHONES = int(os.environ.get("RINGKEY_PHONES") or (5_000 if LONG else 120))
KILLS = 20 if LONG else 3
SAMPLE = 200 if LONG else 40
STARTING = 120.0  # s: reading 5,000 registrations on a machine that does other things as well
PIN = "4711"


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def fleet(site, run_service, ringkey):
    """Phones with keys, and a gatekeeper on a port that it has again after each restart."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    exts = [str(20_000 + n) for n in range(PHONES)]
    file = site / "import.csv"
    file.write_text("".join(f"{ext},{PIN}\n" for ext in exts))
    ringkey("--site", site, "extension", "import", file)
    with contextlib.ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard > 0 else soft, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        keyserver = run_service(site, "keyserver", "serve", log=False, ready=False)
        stack.callback(keyserver.stop)
        keyserver.wait_for("ready", STARTING)
        records = fetch_all(site, keyserver.ports["files"], exts, PIN)
        sites.set_values(site, "gatekeeper", port=free_port())
        gatekeeper = run_service(site, "gatekeeper", "serve", log=False, ready=False)
        stack.callback(gatekeeper.stop)
        gatekeeper.wait_for("ready", STARTING)
        fleet = Fleet([records[ext] for ext in exts], ("127.0.0.1", gatekeeper.ports["ras"]))
        stack.callback(fleet.close)
        fleet.gatekeeper = gatekeeper
        stack.callback(stop_last, fleet)
        gatekeeper.wait_for("key_server_ready", STARTING)
        yield fleet


def stop_last(fleet):
    """Stop the gatekeeper that runs at the end."""
    fleet.gatekeeper.stop()


def listed(site):
    return {one["ext"] for one in control.ask(site / "run", "gatekeeper", "registrations")["registrations"]}


def churn(fleet, chance, seconds):
    """Let random phones do random things until the time is up, some of them still at it then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        busy = len(fleet.busy())
        for phone in chance.sample(fleet.phones, min(WINDOW - busy, len(fleet.phones) // 4)):
            if phone.doing != IDLE:
                continue
            if not phone.there:
                fleet.start(phone, Phone.register)
            else:
                doing = chance.choices((Phone.keep_alive, Phone.leave, Phone.register), (6, 3, 2))[0]
                fleet.start(phone, doing)
        fleet.step(0.005)


@pytest.mark.timeout(3600 if LONG else 300)
def test_what_was_confirmed_is_there_and_what_was_ended_is_not(site, fleet, run_service):
    chance = random.Random(os.environ.get("RINGKEY_SEED", "killed"))
    begun = time.monotonic()
    fleet.run(fleet.phones, Phone.register)
    assert all(phone.there for phone in fleet.phones)
    filled = time.monotonic() - begun
    print(f"\n{PHONES} phones registered in {filled:.0f} s")
    figures = {"confirmed": 0, "ended": 0, "unknown": 0, "in flight": 0, "churned": 0}
    starts = []
    for kill in range(KILLS):
        done = fleet.done
        churn(fleet, chance, chance.uniform(0.3, 2.5))
        ended = [phone for phone in fleet.phones if phone.there and phone.doing == IDLE][:2]
        for phone in ended:  # by the administrator, who is told only when it is for good
            answer = control.ask(site / "run", "gatekeeper", "end", ext=phone.record.ext)
            assert answer == {"ended": True}
            phone.there, phone.surely_gone = False, True
        with fleet.paused():
            fleet.gatekeeper.stop(signal.SIGKILL)
            started = time.monotonic()
            fleet.gatekeeper = run_service(site, "gatekeeper", "serve", log=False, ready=False)
            fleet.gatekeeper.wait_for("ready", STARTING)
            starts.append(time.monotonic() - started)
        there = listed(site)
        for phone in fleet.phones:
            ext = phone.record.ext
            if phone.there and phone.doing in (IDLE, KEEP, REGISTER):
                assert ext in there, f"kill {kill}: {ext} was confirmed ({phone.doing}), and is lost"
                figures["confirmed"] += 1
            elif phone.surely_gone and phone.doing == IDLE:
                assert ext not in there, f"kill {kill}: {ext} had ended, and is back"
                figures["ended"] += 1
            else:  # a UCF that did not come in time tells nothing
                assert phone.doing in (LEAVE, REGISTER) or not (phone.there or phone.surely_gone)
                figures["unknown"] += 1
            figures["in flight"] += phone.doing != IDLE
        figures["churned"] += fleet.done - done
        gone = [phone for phone in fleet.phones if phone.surely_gone and phone.doing == IDLE and phone.last]
        forged = [(phone, phone.forged_keep_alive()) for phone in gone[:SAMPLE]]
        # The GRQ of a phone that was between GCF and RCF is on disk within 25 ms and a commit, not at once
        # (docs/gatekeeper-state.md, "Replays"): of those, only what came after it.
        replayed = [
            (phone, data)
            for phone in chance.sample(fleet.phones, SAMPLE)
            for data in phone.sent[-2:]
            if phone.doing != REGISTER or decode_message(data).kind != GRQ
        ]
        for phone in ended:  # the URQ may be lost with the process; a phone finds out by itself
            phone.endpoint = type(phone.endpoint)(os.urandom, phone.socket.getsockname())
            phone.doing = IDLE
        fleet.run((), None)  # what was under way comes to its end
        assert fleet.answers(forged) == [], "an ended registration answers"
        assert fleet.answers(replayed) == [], "a replay is answered"
        living = [phone for phone in fleet.phones if phone.there]
        fleet.run(chance.sample(living, min(SAMPLE, len(living))), Phone.keep_alive)
        # A start that takes longer than an Rg lives is no fault of the gatekeeper's: let it be seen here.
        assert [phone.record.ext for phone in fleet.phones if phone.again] == [], (
            f"had to register again; an Rg lives {RG_SPAN // 1000} s, this start took {starts[-1]:.1f} s"
        )
        for phone in fleet.phones:
            phone.sent.clear()
        print(f"kill {kill + 1}: {figures}, {time.monotonic() - begun:.0f} s")
    starts.sort()
    print(
        f"{PHONES} phones, {KILLS} kills, over all of them: {figures}; "
        f"a start takes {starts[len(starts) // 2]:.1f} s (median, worst {starts[-1]:.1f}); "
        f"{time.monotonic() - begun:.0f} s"
    )
