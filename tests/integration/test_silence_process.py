"""What nobody sent so, against a gatekeeper as a process: silence, and the phone registers all the same.

tests/unit/core/test_silence.py is exhaustive; here a sample of each goes over real sockets.
"""

import random
import time

import pytest
from ras.message import GCF, RCF, decode_message
from ras_phone import PIN, Phone, answers, fetch_keys, now, record_of
from ringkey.site import control


class World:
    def __init__(self, site, run_service, ringkey):
        self.site = site
        file = site / "import.csv"
        file.write_text(f"1001,{PIN}\n1002,{PIN}\n")
        ringkey("--site", site, "extension", "import", file)
        self.keyserver = run_service(site, "keyserver", "serve")
        self.gatekeeper = run_service(site, "gatekeeper", "serve")
        self.gatekeeper.wait_for("key_server_ready")
        self.address = ("127.0.0.1", self.gatekeeper.ports["ras"])
        self.phones = []

    def phone(self, ext="1001", record=None):
        if record is None:
            record = record_of(fetch_keys(self.site, self.keyserver.ports["files"], ext), ext)
        self.phones.append(Phone(record, self.address))
        return self.phones[-1]

    def registrations(self):
        found = control.ask(self.site / "run", "gatekeeper", "registrations")["registrations"]
        return [{k: one[k] for k in ("ext", "source", "suite", "cvm")} for one in found]


@pytest.fixture
def world(site, run_service, ringkey):
    run_service.secrets.add(PIN)
    world = World(site, run_service, ringkey)
    yield world
    for phone in world.phones:
        run_service.secrets.update(phone.record.__dict__[name].hex() for name in ("kg", "ka"))
        phone.socket.close()


def exchange(phone):
    """Register, keep alive and log out; return all that was sent and heard."""
    assert phone.register() is not None
    phone.endpoint._refresh(now())
    assert phone.run(("refreshed",)) is not None
    phone.endpoint.log_out(now())
    assert phone.run(("left",)) is not None
    assert [decode_message(data).kind for data in phone.sent] == ["GRQ", "RRQ", "RRQ", "URQ"]
    return phone.sent, phone.heard


def test_replayed_reflected_flipped_and_cut(world):
    phone = world.phone()
    sent, heard = exchange(phone)
    other = world.phone("1002")
    assert other.register() is not None
    before = world.registrations()
    assert [one["ext"] for one in before] == ["1002"]
    stranger = world.phone(record=phone.record)
    chosen = random.Random(6)
    assert answers(stranger, sent) == [], "replayed from elsewhere"
    assert answers(stranger, heard) == [], "reflected"
    assert answers(phone, heard) == [], "reflected from the phone's own address"
    assert answers(phone, [octets[: chosen.randrange(len(octets))] for octets in sent]) == []
    flipped = []
    for octets in sent:
        for _ in range(10):
            bad = bytearray(octets)
            bad[chosen.randrange(len(bad))] ^= 1 << chosen.randrange(8)
            flipped.append(bytes(bad))
    for answer in answers(stranger, flipped):
        assert decode_message(answer).kind not in (GCF, RCF)
        assert "integrityCheckValue" not in decode_message(answer).value
        assert len(answer) <= 1.5 * max(map(len, sent))
    assert world.registrations() == before
    again = world.phone(record=phone.record)
    assert again.register() is not None, world.gatekeeper.output
    assert sorted(one["ext"] for one in world.registrations()) == ["1001", "1002"]


def test_replayed_from_the_same_place_after_ten_seconds(world):
    phone = world.phone()
    sent, _ = exchange(phone)
    done = time.monotonic()
    assert len(answers(phone, sent[:1])) == 1, "a retransmission"
    while time.monotonic() < done + 10.5:  # nothing happens then but that it is over: there is no event
        time.sleep(0.1)
    assert answers(phone, sent) == []
    assert world.registrations() == []
    assert phone.register() is not None


def test_replayed_at_another_gatekeeper(world, run_service, ringkey, configure, tmp_path):
    """Another gatekeeper of the site, its own process, and in its memory nothing of the first."""
    phone = world.phone()
    sent, heard = exchange(phone)
    # The first has gone: one directory belongs to one gatekeeper at a time.
    world.gatekeeper.stop()
    state = ('# state = "gatekeeper/state.db"', 'state = "gatekeeper/second.db"')
    configure(world.site, state)
    second = run_service(world.site, "gatekeeper", "serve")
    second.wait_for("key_server_ready")
    address = ("127.0.0.1", second.ports["ras"])
    stranger = world.phone(record=phone.record)
    stranger.gatekeeper = phone.gatekeeper = address
    for one in (stranger, phone):
        assert answers(one, sent[1:]) == []
        assert answers(one, heard) == []
    won = answers(stranger, sent[:1])
    assert [decode_message(data).kind for data in won] == [GCF], "worth nothing without the phone's key"
    assert world.registrations() == []
    assert phone.register() is not None
