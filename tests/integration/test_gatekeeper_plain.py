"""Plain H.323 endpoints beside the phones of a gatekeeper that runs, of one process and of two workers."""

import json
import select
import socket
from http.client import HTTPConnection

import pytest
from harness import sites
from ras import build
from ras.message import RRQ, URQ, decode_message, encode_message
from ras_phone import PIN, SILENCE, Phone, fetch_keys, now, record_of
from ringkey.gatekeeper.addresses import place
from ringkey.gatekeeper.workers.shards import of_extension
from ringkey.site import runtime

# Of both workers, where there are two.
DOOR, BELL = "2001", "2006"
HERE, THERE, OUTSIDE = "127.0.0.1", "127.0.0.3", "127.0.0.77"
STARTING = 120.0  # s, on a machine that does other things as well


class Endpoint:
    """An H.323 endpoint of another maker, on a socket: the core's codec, and none of its machines."""

    def __init__(self, host, gatekeeper):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.address = self.socket.getsockname()
        self.gatekeeper = gatekeeper
        self.number = 0
        self.identifier = None

    def ask(self, kind, value, timeout=10):
        """Return the answer, decoded, None for silence."""
        octets = bytes(encode_message(kind, value)[0])
        self.socket.sendto(octets, self.gatekeeper)
        if not select.select([self.socket], [], [], timeout)[0]:
            return None
        answer = self.socket.recv(65536)
        assert 2 * len(answer) <= 3 * len(octets)
        found = decode_message(answer)
        assert found.value["requestSeqNum"] == self.number
        assert "tokens" not in found.value
        return found

    def discover(self, ext):
        self.number += 1
        return outcome(self.ask("GRQ", build.gatekeeper_request(self.number, ext, self.address)))

    def register(self, ext):
        self.number += 1
        value = build.registration_request(self.number, ext, self.address, self.address, 300, "door 2.1")
        answer = self.ask(RRQ, value)
        if answer.kind == "RCF":
            self.identifier = answer.value["endpointIdentifier"]
            assert answer.value["callSignalAddress"] == []
        return outcome(answer)

    def keep_alive(self):
        self.number += 1
        value = build.keep_alive(self.number, self.identifier, self.address, self.address, 300)
        return outcome(self.ask(RRQ, value))

    def leave(self, identifier=None, timeout=10):
        self.number += 1
        value = build.unregistration_request(self.number, identifier or self.identifier, self.address, None)
        return outcome(self.ask(URQ, value, timeout))


def outcome(answer):
    if answer is None:
        return "silence"
    reason = answer.value.get("rejectReason")
    return answer.kind if reason is None else reason[0]


class World:
    def __init__(self, site, run_service, ringkey):
        self.site = site
        self.run_service = run_service
        self.ringkey = lambda *args: ringkey("--site", site, *args)
        self.sockets = []
        self.add("1001")
        self.keyserver = run_service(site, "keyserver", "serve", ready=False)
        self.keyserver.wait_for("ready", STARTING)
        self.start()
        # The same port after a restart: nobody asks for it again.
        sites.set_values(site, "gatekeeper", port=self.address[1])

    def start(self):
        self.gatekeeper = self.run_service(self.site, "gatekeeper", "serve", ready=False)
        self.gatekeeper.wait_for("ready", STARTING)
        self.address = ("127.0.0.1", self.gatekeeper.ports["ras"])

    def add(self, ext):
        file = self.site / "import.csv"
        file.write_text(f"{ext},{PIN}\n")
        self.ringkey("extension", "import", file)
        file.unlink()

    def phone(self, ext):
        keys = fetch_keys(self.site, self.keyserver.ports["files"], ext)
        phone = Phone(record_of(keys, ext, PIN), self.address)
        self.sockets.append(phone.socket)
        return phone

    def endpoint(self, host=HERE):
        endpoint = Endpoint(host, self.address)
        self.sockets.append(endpoint.socket)
        return endpoint

    def status(self):
        found = runtime.ask(self.site / "run", "gatekeeper")["status"]
        return found["registrations"], found["plain"]

    def listed(self):
        return json.loads(self.ringkey("gatekeeper", "plain", "--json").stdout)["plain"]

    def metrics(self):
        connection = HTTPConnection("127.0.0.1", self.gatekeeper.ports["gatekeeper_admin"], timeout=10)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode().splitlines()
        finally:
            connection.close()


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def world(site, run_service, ringkey, request):
    run_service.secrets.add(PIN)
    sites.set_values(site, "gatekeeper", workers=request.param)
    sites.set_values(
        site,
        "gatekeeper.plain",
        networks=["127.0.0.0/30"],
        extensions=[DOOR, f"{BELL}-2099"],
    )
    world = World(site, run_service, ringkey)
    yield world
    for one in world.sockets:
        one.close()


def test_their_extensions_are_of_both_workers():
    assert {of_extension(ext, 2) for ext in (DOOR, BELL)} == {0, 1}


def test_they_register_beside_the_phones_and_are_told_apart(world):
    phone = world.phone("1001")
    assert phone.register() is not None
    door, bell = world.endpoint(), world.endpoint()
    for one, ext in ((door, DOOR), (bell, BELL)):
        assert one.discover(ext) == "GCF"
        assert one.register(ext) == "RCF"
        world.gatekeeper.wait_for("plain_registered", ext=ext)
        assert one.keep_alive() == "RCF"
    everybody_else_is_told_no(world, door, phone)
    an_administrator_sees_them(world, door, bell)
    they_register_again_after_a_restart(world, door, bell, phone)
    an_extension_that_gets_a_pin_is_a_phones(world, door)
    assert bell.leave() == "UCF"
    assert world.gatekeeper.wait_for("plain_ended", ext=BELL)["reason"] == "logged out"
    assert bell.keep_alive() == "fullRegistrationRequired"
    assert world.status() == (2, 0)
    assert world.listed() == []
    phone.endpoint.log_out(now())
    assert phone.run(("left",)) is not None


def everybody_else_is_told_no(world, door, phone):
    other, outside = world.endpoint(THERE), world.endpoint(OUTSIDE)
    assert other.register(DOOR) == "duplicateAlias"
    refused = world.gatekeeper.wait_for("plain_refused", ext=DOOR)
    assert (refused["source"], refused["reason"]) == (place(other.address), "duplicateAlias")
    assert other.register("1001") == "securityDenial", "it has a PIN"
    assert other.register("2002") == "securityDenial"
    assert outside.discover(DOOR) == outside.register(DOOR) == "securityDenial"
    other.identifier = outside.identifier = door.identifier
    assert outside.keep_alive() == "securityDenial"
    assert other.keep_alive() == "fullRegistrationRequired"
    assert other.leave(timeout=SILENCE) == outside.leave(timeout=SILENCE) == "silence"
    assert door.keep_alive() == "RCF"
    (held,) = [one for one in phone.events if one[0] == "registered"]
    assert world.endpoint().leave(held[1].identifier, SILENCE) == "silence"


def an_administrator_sees_them(world, door, bell):
    assert world.status() == (1, 2)
    rows = world.listed()
    assert [one["ext"] for one in rows] == [DOOR, BELL]
    assert [one["source"] for one in rows] == [place(one.address) for one in (door, bell)]
    assert {one["software"] for one in rows} == {"ringkey door 2.1"}
    assert all(0 < one["expires_in"] <= 310 for one in rows)
    lines = world.ringkey("gatekeeper", "plain").stdout.splitlines()
    assert lines[0].split() == ["EXT", "ADDRESS", "SOFTWARE", "EXPIRES", "IN"]
    assert lines[1].split()[:2] == [DOOR, place(door.address)]
    assert len(lines) == 3
    text = world.metrics()
    outcome = 'ringkey_ras_outcomes_total{message="RRQ",outcome='
    for line in (
        'ringkey_table_entries{table="plain"} 2.0',
        'ringkey_table_entries{table="registrations"} 1.0',
        outcome + '"plain-registered",reason=""} 2.0',
        outcome + '"plain-refused",reason="duplicateAlias"} 1.0',
        outcome + '"registered",reason=""} 1.0',
    ):
        assert line in text


def they_register_again_after_a_restart(world, door, bell, phone):
    world.gatekeeper.kill()
    world.start()
    assert world.status() == (1, 0), "the phone's registration is kept, theirs are not"
    for one, ext in ((door, DOOR), (bell, BELL)):
        before = one.identifier
        assert one.keep_alive() == "fullRegistrationRequired"
        assert one.register(ext) == "RCF"
        assert one.identifier != before
        assert one.keep_alive() == "RCF"
    assert world.status() == (1, 2)
    heard = len(phone.heard)
    phone.endpoint.handle_timer(phone.endpoint.get_timer())  # its keep-alive, before it is due
    for octets, to in phone.endpoint.datagrams_to_send():
        phone.socket.sendto(octets, to)
    answer = phone.receive(10)
    assert decode_message(answer).kind == "RCF"
    phone.endpoint.receive_datagram(answer, world.address, now())
    assert (phone.endpoint.state, len(phone.heard)) == ("registered", heard)


def an_extension_that_gets_a_pin_is_a_phones(world, door):
    world.add(DOOR)
    assert door.keep_alive() == "securityDenial"
    assert world.gatekeeper.wait_for("plain_ended", ext=DOOR)["reason"] == "not allowed"
    assert world.status() == (1, 1)
    assert door.register(DOOR) == "securityDenial"
    assert world.phone(DOOR).register() is not None
    assert world.status() == (2, 1)
    assert door.register(DOOR) == "securityDenial"
    assert door.leave(timeout=SILENCE) == "silence"


def test_without_the_table_none_registers(site, run_service, ringkey):
    """As every site until it says otherwise; no key server is needed to say so."""
    gatekeeper = run_service(site, "gatekeeper", "serve")
    endpoint = Endpoint(HERE, ("127.0.0.1", gatekeeper.ports["ras"]))
    try:
        assert endpoint.discover(DOOR) == endpoint.register(DOOR) == "securityDenial"
        endpoint.identifier = "0123456789abcdef-plain"
        assert endpoint.keep_alive() == "securityDenial"
    finally:
        endpoint.socket.close()
    assert gatekeeper.wait_for("dropped")["code"] == "no-token"
    shown = ringkey("--site", site, "gatekeeper", "plain").stdout
    assert "None may register" in shown
    assert gatekeeper.stop() == 0
    assert ringkey("--site", site, "gatekeeper", "plain", check=False).returncode == 1
