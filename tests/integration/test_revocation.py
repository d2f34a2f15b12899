"""A revoked key: its registration ends, its channel closes, its next GRQ gets GRJ 4; across gaps too."""

import http.client
import json
import re
import secrets
import time

import pytest
from conftest import configure
from keyserver_client import Client
from ras import profile
from ras.message import GRJ, decode_message
from ras_phone import PIN, Line, Phone, fetch_keys, now, record_of
from ringkey.keyserver import trail
from standins import wait_until


class World:
    """A key server and a gatekeeper, apart; phones that are the core on sockets."""

    def __init__(self, site, run_service, ringkey):
        self.site, self.run_service, self.ringkey = site, run_service, ringkey
        self.open = []  # sockets
        self.keyserver = run_service(site, "keyserver", "serve")
        self.pin_port(self.keyserver)
        self.gatekeeper = run_service(site, "gatekeeper", "serve")
        self.gatekeeper.wait_for("changes_followed")

    def pin_port(self, service):
        """Let the key server have the same ports when it starts again."""
        text = (self.site / "ringkey.toml").read_text()
        text = re.sub(r"^port = 0", f"port = {service.ports['files']}", text, count=1, flags=re.M)
        text = re.sub(r"^advanced_port = 0", f"advanced_port = {service.ports['advanced']}", text, flags=re.M)
        (self.site / "ringkey.toml").write_text(text)

    def phone(self, ext):
        keys = fetch_keys(self.site, self.keyserver.ports["files"], ext)
        phone = Phone(record_of(keys, ext, PIN), ("127.0.0.1", self.gatekeeper.ports["ras"]))
        self.open.append(phone.socket)
        return phone

    def registered(self, ext):
        phone = self.phone(ext)
        registration = phone.register()
        assert registration is not None, phone.events
        line = Line(registration)
        self.open.append(line.socket)
        return phone, line.open()

    def do(self, *args, **more):
        return self.ringkey("--site", self.site, *args, **more)


@pytest.fixture
def world(site, run_service, ringkey):
    from ringkey.gatekeeper.directory import Directory

    with Directory.open(site / "gatekeeper" / "directory.db", site / "gatekeeper" / "pin.key") as directory:
        for ext in ("1001", "1002", "1003"):
            directory.add(ext, PIN)
    world = World(site, run_service, ringkey)
    yield world
    for one in world.open:
        one.close()


def next_grq(phone):
    """Send a GRQ with the phone's keys; return the error code of the GRJ that comes, or None."""
    phone.heard.clear()
    phone.endpoint.register(phone.record, (phone.gatekeeper,), now())
    end = time.monotonic() + 6
    while time.monotonic() < end and phone.run(("registered", "no-answer"), 0.05) is None:
        for data in phone.heard:
            message = decode_message(data)
            if message.kind == GRJ:
                return profile.elements(message)[profile.ERROR][0]
    return None


def test_within_two_seconds_of_the_command(world):
    phone, line = world.registered("1001")
    other, other_line = world.registered("1002")
    begun = time.monotonic()
    done = world.do("key", "revoke", "--ext", "1001", "--reason", "lost on the train")
    command = time.monotonic() - begun
    assert "1 key of ext 1001 revoked" in done.stdout
    assert phone.run(("ended",), 2)[1] == "securityDenial"
    assert line.closed()
    ended = time.monotonic() - begun
    assert next_grq(phone) == profile.REVOKED
    assert time.monotonic() - begun < 2 + command
    print(f"\ncommand {command:.2f} s; registration and channel ended {ended:.2f} s after its start")
    assert client_says(world, phone.record) == (410, "revoked")
    # The other phone notices nothing; the first comes back with new keys only.
    assert other.run(("ended",), 0.3) is None
    assert next_grq(phone) == profile.REVOKED
    again, _ = world.registered("1001")
    assert again.record.g != phone.record.g
    listed = json.loads(world.do("key", "list", "--ext", "1001", "--json").stdout)
    assert [key["revoked"] for key in listed] == [None, "lost on the train"]
    assert "lost on the train" in world.do("key", "show", phone.record.g.hex()).stdout
    refused = world.do("key", "revoke", "--g", phone.record.g.hex(), check=False)
    assert "revoked already" in refused.stderr


def client_says(world, record):
    status, body = Client(world.keyserver).look_up(record.g.hex(), record.ext)
    return status, body.get("error")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_after_a_gap_at_once_on_reconnection(world, end):
    phone, line = world.registered("1001")
    getattr(world.keyserver, end)()
    # Nobody runs to be asked: the command writes it down itself.
    world.do("key", "revoke", "--g", phone.record.g.hex(), "--reason", "while it was down")
    assert phone.run(("ended",), 0.5) is None
    world.keyserver = world.run_service(world.site, "keyserver", "serve")
    begun = time.monotonic()
    assert phone.run(("ended",), 8)[1] == "securityDenial"
    print(f"\n{time.monotonic() - begun:.2f} s after the key server was ready")
    assert line.closed()
    assert next_grq(phone) == profile.REVOKED


def test_a_gatekeeper_that_was_away(world):
    phone, _ = world.registered("1001")
    world.gatekeeper.kill()
    world.do("key", "revoke", "--ext", "1001")
    world.gatekeeper = world.run_service(world.site, "gatekeeper", "serve")
    world.gatekeeper.wait_for("changes_followed")
    phone.gatekeeper = ("127.0.0.1", world.gatekeeper.ports["ras"])
    assert next_grq(phone) == profile.REVOKED
    # And it goes on to refuse while no key server can be asked.
    world.keyserver.stop()
    assert next_grq(phone) == profile.REVOKED


def test_by_serial_and_generation(world):
    client = Client(world.keyserver)
    assert client.files("?ext=1001&serial=00:1a:2b")[0] == 200
    done = world.do("key", "revoke", "--serial", "00:1a:2b", "--reason", "sold")
    assert "1 key of serial 00:1a:2b revoked" in done.stdout
    again = world.do("key", "revoke", "--serial", "00:1a:2b", check=False)
    assert "no key of serial 00:1a:2b is in use" in again.stderr
    phone, line = world.registered("1002")
    refused = world.do("key", "revoke", "--generation", "1", check=False)
    assert "try: ringkey" in refused.stderr
    assert "seed rotate --overlap 0" in refused.stderr
    world.do("seed", "rotate", "--overlap", "1d")
    assert phone.run(("ended",), 0.7) is None
    world.do("key", "revoke", "--generation", "1", "--reason", "the seed was seen")
    # A whole generation: phones come back by themselves, with new keys.
    assert phone.run(("ended",), 2)[1] == "reregistrationRequired"
    assert line.closed()
    assert next_grq(phone) == profile.OBSOLETE
    world.registered("1002")
    for wrong in (("--ext", "x"), ("--g", "12"), ("--serial", "a b"), ("--generation", "x"), ()):
        assert world.do("key", "revoke", *wrong, check=False).returncode == 2


def test_a_peers_g_is_refused_here_too(world):
    client = Client(world.keyserver)
    configure(world.site, ("peers = []", 'peers = ["02:00:00:00:00:0b"]'))
    world.keyserver.stop()
    world.keyserver = world.run_service(world.site, "keyserver", "serve")
    client = Client(world.keyserver)
    from ras.generator import pack

    g = pack(bytes.fromhex("02000000000b"), "1001", 77).hex()
    assert client.look_up(g, "1001")[0] == 200
    world.do("key", "revoke", "--g", g)
    assert client.look_up(g, "1001") == (410, {"error": "revoked", "detail": "this key was revoked"})


def test_the_stream(world):
    client = Client(world.keyserver)
    g = client.fetch("1003")["G"]
    lines = stream(client, "/changes.jsonl?since=0")
    hello = next(lines)
    assert (hello["version"], set(hello)) == (1, {"version", "stream", "n"})
    first = next(lines)
    assert first["what"] == "generations"
    world.do("key", "revoke", "--g", g)
    found = next(line for line in lines if line.get("what") == "revoked")
    assert found["g"] == [g]
    # Whoever knows that much hears only what is new; whoever knows another history hears all.
    n = found["n"]
    later = stream(client, f"/changes.jsonl?since={n}&stream={hello['stream']}")
    assert "stream" in next(later)
    assert next(later) == {"n": n}
    other = stream(client, f"/changes.jsonl?since={n}&stream=other")
    next(other)
    assert next(other)["what"] == "generations"
    future = stream(client, f"/changes.jsonl?since={n + 100}&stream={hello['stream']}")
    next(future)
    assert next(future)["what"] == "generations"
    assert client.advanced("/changes.jsonl?since=x")[0] == 400
    report = trail.verify(world.site / "keyserver" / "audit.jsonl")
    assert report.problem is None


def stream(client, path):
    """Yield the lines of a stream."""
    connection = http.client.HTTPSConnection(
        "localhost", client.ports["advanced"], context=client.gatekeeper, timeout=10
    )
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 200
    try:
        while line := answer.readline():
            yield json.loads(line)
    finally:
        connection.close()


def test_what_is_on_record(world):
    phone, _ = world.registered("1001")
    world.do("key", "revoke", "--ext", "1001", "--reason", "a")
    world.keyserver.stop()
    lines = [json.loads(line) for line in (world.site / "keyserver" / "audit.jsonl").read_text().splitlines()]
    said = [line["what"] for line in lines]
    for what in ("started", "generations", "issued", "looked-up", "revoked", "stopped"):
        assert what in said
    issued = next(line for line in lines if line["what"] == "issued")
    assert (issued["source"], issued["ext"], issued["g"]) == ("127.0.0.1", "1001", phone.record.g.hex())
    looked = next(line for line in lines if line["what"] == "looked-up")
    assert (looked["gatekeeper"], looked["ext"]) == ("main", "1001")
    text = (world.site / "keyserver" / "audit.jsonl").read_text()
    for secret in (phone.record.kg.hex(), phone.record.ka.hex(), PIN, secrets.token_hex(1) * 40):
        assert secret not in text
    out = world.do("audit", "verify").stdout
    head = re.search(r"hash +([0-9a-f]{64})", out)[1]
    assert "whole:" in out
    world.do("audit", "verify", "--head", head)
    cut = (world.site / "keyserver" / "audit.jsonl").read_text().splitlines(keepends=True)
    (world.site / "keyserver" / "audit.jsonl").write_text("".join(cut[:-1]))
    assert world.do("audit", "verify").returncode == 0
    assert world.do("audit", "verify", "--head", head, check=False).returncode == 1
    (world.site / "keyserver" / "audit.jsonl").write_text("".join(cut[:2] + cut[3:]))
    bad = world.do("audit", "verify", check=False)
    assert bad.returncode == 1
    assert "line 3: it does not follow the line before it" in bad.stderr


def test_the_stream_goes_on_under_a_renewed_certificate(world):
    phone, line = world.registered("1001")
    world.do("cert", "renew", "gatekeeper")
    world.gatekeeper.wait_for("reloaded", service="gatekeeper")
    wait_until(lambda: [e["event"] for e in world.gatekeeper.events].count("changes_followed") == 2)
    world.do("key", "revoke", "--ext", "1001", "--reason", "renewed")
    assert phone.run(("ended",), 2)[1] == "securityDenial"
    assert line.closed()
