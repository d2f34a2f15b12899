"""The gatekeeper as a process, beside a real key server: UDP and TLS-PSK from the outside.

The phone here is the core's own endpoint on a socket, without MicroPython around it.
"""

import json
import os
import socket
import sys
import time

import pytest
from harness import sites
from ras import profile, q931, tpkt
from ras.keys import CVM, NONCE
from ras.message import GCF, GRJ, RCF, XRS, decode_message
from ras_phone import PIN, Line, Phone, fetch_keys, now, record_of
from ringkey.site import control
from tlspsk.errors import RemoteAlert


class World:
    """A site with an extension, its two servers running apart, and phones made as needed."""

    def __init__(self, site, run_service, ringkey):
        self.site = site
        self.ringkey = lambda *args, **more: ringkey("--site", site, *args, **more)
        self.add("1001", PIN)
        self.keyserver = run_service(site, "keyserver", "serve")
        self.gatekeeper = run_service(site, "gatekeeper", "serve")
        self.gatekeeper.wait_for("key_server_ready")
        self.address = ("127.0.0.1", self.gatekeeper.ports["ras"])
        self.phones = []
        self.lines = []

    def add(self, ext, pin):
        file = self.site / "import.csv"
        file.write_text(f"{ext},{pin}\n")
        self.ringkey("extension", "import", file)
        file.unlink()

    def keys(self, ext="1001"):
        return fetch_keys(self.site, self.keyserver.ports["files"], ext)

    def phone(self, record=None, pin=PIN, ext="1001"):
        phone = Phone(record or record_of(self.keys(ext), ext, pin), self.address)
        self.phones.append(phone)
        return phone

    def line(self, registration):
        self.lines.append(Line(registration))
        return self.lines[-1].open()


@pytest.fixture
def world(site, run_service, ringkey):
    run_service.secrets.add(PIN)
    world = World(site, run_service, ringkey)
    yield world
    for phone in world.phones:
        run_service.secrets.update(phone.record.__dict__[name].hex() for name in ("kg", "ka"))
        for event in phone.events:
            if event[0] == "registered":
                run_service.secrets.add(event[1].ks.hex())
    for one in (*world.phones, *world.lines):
        one.socket.close()


def kinds(datagrams):
    return [decode_message(data).kind for data in datagrams]


def test_the_whole_way_and_its_log(world):
    phone = world.phone()
    registration = phone.register()
    assert registration is not None, world.gatekeeper.output
    assert kinds(phone.heard) == [GCF, RCF]
    assert registration.signalling == ("127.0.0.1", world.gatekeeper.ports["signalling"])
    assert registration.time_to_live == 300
    line = world.line(registration)
    opened = world.gatekeeper.wait_for("channel_open", ext="1001")
    assert opened["cipher"] in ("PSK-AES128-CBC-SHA256", "TLS_PSK_WITH_AES_128_CBC_SHA256")
    line.send(tpkt.encode(q931.status_enquiry()))
    octets = bytes(line.wait_for("data")[1])
    assert octets == tpkt.encode(bytes.fromhex("080280007d0802809e140100"))
    phone.endpoint.log_out(now())
    assert phone.run(("left",)) is not None
    assert line.closed()
    dropped = world.gatekeeper.wait_for("channel_dropped", ext="1001")
    assert dropped["reason"] == "registration ended: logged out"
    names = [event["event"] for event in world.gatekeeper.events]
    wanted = [
        "key_server_ready",
        "grq_received",
        "check_value_compared",
        "key_fetched",
        "gcf_sent",
        "registered",
        "channel_open",
        "registration_ended",
        "channel_dropped",
    ]
    assert [name for name in dict.fromkeys(names) if name in wanted] == wanted
    compared = world.gatekeeper.wait_for("check_value_compared")
    assert compared["cvm"] == [phone.record.cvm.hex()]


def test_a_retransmission_gets_the_identical_answer(world):
    phone = world.phone()
    assert phone.register() is not None
    for request, answer in zip(phone.sent, phone.heard, strict=True):
        assert phone.exchange(request) == answer
        assert phone.exchange(request) == answer
    stranger = world.phone(phone.record)
    for request in phone.sent:
        assert stranger.exchange(request) is None, "the same octets from elsewhere are a replay"


def test_garbage_gets_silence(world):
    phone = world.phone()
    assert phone.register() is not None
    request = phone.sent[0]
    stranger = world.phone(phone.record)
    cut = (1, len(request) // 2, len(request) - 1)
    for data in (b"", b"\0", os.urandom(40), os.urandom(1400), os.urandom(9000), *(request[:n] for n in cut)):
        answer = stranger.exchange(data, 0.15)
        # One in some hundred random texts begins like a request of H.225.0 that is none of ours.
        assert answer is None or decode_message(answer).kind == XRS
    for at in range(0, len(request), 7):
        flipped = bytearray(request)
        flipped[at] ^= 0x10
        answer = stranger.exchange(bytes(flipped), 0.05)
        # An unsigned GRJ tells what is wrong with g, CVm or extension; nothing is confirmed.
        assert answer is None or decode_message(answer).kind not in (GCF, RCF)
    assert world.phone().register() is not None, "and the next phone is served"


def test_a_wrong_pin_gets_silence(world):
    phone = world.phone(pin="999")
    phone.endpoint.register(phone.record, (phone.gatekeeper,), now())
    [(request, _)] = phone.endpoint.datagrams_to_send()
    assert phone.exchange(request) is None
    assert world.gatekeeper.wait_for("dropped", reason="GRQ: wrong ICV")


def refused(world, record, code, signed):
    phone = world.phone(record)
    started = time.monotonic()
    assert phone.register(10) is None
    assert phone.events[-1] == ("refused", code), phone.events
    assert kinds(phone.heard) == [GRJ]
    # The phone believes a GRJ that nobody signed only after its doubt of 2 s.
    assert (time.monotonic() - started < 1.5) == signed


def test_refusals_are_told(world):
    keys = world.keys()
    obsolete = record_of(keys, "1001")
    obsolete.cvm = bytes(CVM)
    refused(world, obsolete, profile.OBSOLETE, signed=False)
    assert world.gatekeeper.wait_for("refused")["cvm"] == [keys.cvm.hex()]
    refused(world, record_of(world.keys("2002"), "2002"), profile.UNKNOWN_EXTENSION, signed=True)
    forged = record_of(keys, "1001")
    forged.g = keys.g[:10] + bytes(6)  # never issued
    refused(world, forged, profile.OBSOLETE, signed=False)


def test_what_the_command_line_does_counts_at_once(world):
    assert world.phone().register() is not None
    listed = json.loads(world.ringkey("extension", "list", "--json").stdout)
    assert [one["registered"]["suite"] for one in listed] == ["sha256"]
    phone = world.phones[0]
    done = world.ringkey("extension", "disable", "1001")
    assert "registration of 1001 was ended" in done.stdout
    assert phone.run(("ended",)) == ("ended", "securityDenial")
    phone.flush()  # its UCF
    refused(world, phone.record, profile.UNKNOWN_EXTENSION, signed=True)
    world.ringkey("extension", "enable", "1001")
    assert world.phone(phone.record).register() is not None
    world.add("1002", "4711")
    assert world.phone(ext="1002", pin="4711").register() is not None
    answer = control.ask(world.site / "run", "gatekeeper", "registrations")
    assert sorted(one["ext"] for one in answer["registrations"]) == ["1001", "1002"]
    status = json.loads(world.ringkey("status", "--json").stdout)["gatekeeper"]
    assert (status["registrations"], status["extensions"], status["key_server"]) == (2, 2, "ready")


def test_a_new_registration_takes_the_extension_and_the_channel(world):
    first = world.phone()
    held = first.register()
    line = world.line(held)
    world.gatekeeper.wait_for("channel_open")
    second = world.phone()  # with a g of its own
    assert second.register() is not None
    assert line.closed()
    assert first.run(("ended",)) is not None, "the first phone is told"
    with pytest.raises(RemoteAlert):
        world.line(held)
    refusal = world.gatekeeper.wait_for("channel_refused")
    assert refusal["reason"] == "unknown identity"
    assert len(control.ask(world.site / "run", "gatekeeper", "registrations")["registrations"]) == 1


def test_a_channel_opened_again_replaces_the_old_one(world):
    held = world.phone().register()
    old = world.line(held)
    world.gatekeeper.wait_for("channel_open")
    new = world.line(held)
    assert old.closed()
    new.send(tpkt.encode(q931.status_enquiry(5)))
    assert bytes(new.wait_for("data")[1])[4:8] == bytes.fromhex("08028005")
    [one] = control.ask(world.site / "run", "gatekeeper", "registrations")["registrations"]
    assert "PSK" in one["channel"]


@pytest.mark.parametrize(
    "octets", [b"GET / HTTP/1.1\r\n\r\n", tpkt.encode(b"\x08\x02\x00"), tpkt.encode(b"hello")]
)
def test_a_malformed_frame_closes_the_channel(world, octets):
    held = world.phone().register()
    line = world.line(held)
    line.send(tpkt.encode(b""))  # an empty frame only keeps the connection alive
    line.send(octets)
    assert line.closed()
    assert world.gatekeeper.wait_for("channel_dropped")["frames"] in (1, 2)


def test_known_phones_register_while_the_key_server_is_down(world):
    known = world.phone()
    assert known.register() is not None
    stranger = record_of(world.keys(), "1001")
    world.keyserver.stop()
    again = world.phone(known.record)
    assert again.register() is not None
    assert world.phone(stranger).register(3) is None
    assert world.gatekeeper.wait_for("key_unavailable")["ext"] == "1001"


def test_it_starts_before_its_key_server(site, run_service, ringkey):
    gatekeeper = run_service(site, "gatekeeper", "serve")
    assert gatekeeper.wait_for("key_server_unavailable")["next_step"] == "ringkey keyserver serve"
    run_service(site, "keyserver", "serve")
    gatekeeper.wait_for("key_server_ready")


def test_a_second_gatekeeper_of_the_site_is_refused(world, ringkey):
    done = ringkey("--site", world.site, "gatekeeper", "serve", check=False)
    assert done.returncode == 1
    assert "running already" in done.stderr
    assert world.phone().register() is not None, "and the first one goes on"


def test_a_port_that_is_taken_is_named(site, ringkey):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        sites.set_values(site, "gatekeeper", port=port)
        done = ringkey("--site", site, "gatekeeper", "serve", check=False)
    assert done.returncode == 1
    assert f"UDP port {port}" in done.stderr
    assert "ss -lunp" in done.stderr


def test_after_kill_the_next_start_cleans_up(world, run_service):
    world.gatekeeper.kill()
    again = run_service(world.site, "gatekeeper", "serve")
    again.wait_for("key_server_ready")
    assert control.ask(world.site / "run", "gatekeeper", "registrations") == {"registrations": []}
    assert again.stop() == 0
    assert control.ask(world.site / "run", "gatekeeper", "registrations") is None
    assert not list((world.site / "run").glob("gatekeeper*"))


@pytest.mark.skipif(sys.platform != "linux", reason="multicast on the loopback as Linux does it")
def test_discovery_by_multicast(site, run_service, ringkey, configure):
    configure(site, ("multicast = false", "multicast = true"))
    gatekeeper = run_service(site, "gatekeeper", "serve")
    if any(event["event"] == "no_multicast" for event in gatekeeper.events):
        pytest.skip("this machine has no interface for multicast")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        phone.bind(("127.0.0.1", 0))
        phone.sendto(b"\x00" * NONCE, ("224.0.1.41", 1718))
        source = f"127.0.0.1:{phone.getsockname()[1]}"
        gatekeeper.wait_for("dropped", source=source)


def test_forwarded_ports_are_what_phones_are_told(site, run_service, ringkey, configure):
    """Behind a router that forwards ports, GCF's rasAddress and RCF's callSignalAddress are the router's."""
    router = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    router.bind(("127.0.0.1", 0))
    ras = router.getsockname()[1]
    configure(
        site,
        ("time_to_live", f"advertise_port = {ras}\nadvertise_signalling_port = 40300\ntime_to_live"),
    )
    world = World(site, run_service, ringkey)
    phone = world.phone()
    phone.endpoint.register(phone.record, (world.address,), now())
    phone.flush()
    phone.endpoint.receive_datagram(phone.receive(5), world.address, now())
    [(request, destination)] = phone.endpoint.datagrams_to_send()
    assert destination == ("127.0.0.1", ras), "RRQ goes to the GCF's rasAddress"
    phone.socket.sendto(request, world.address)
    phone.endpoint.receive_datagram(phone.receive(5), world.address, now())
    while (event := phone.endpoint.next_event())[0] != "registered":
        pass
    assert event[1].signalling == ("127.0.0.1", 40300)
    for one in (router, phone.socket):
        one.close()
