"""What of the gatekeeper around the core is not seen from outside: mappings, limits, bad input."""

import asyncio
import json
import socket

import pytest
from ras import profile
from ras.errors import LocalProtocolError
from ras.held import Held
from ras.keys import SHA256, authentication_key
from ringkey.errors import UserError
from ringkey.gatekeeper import flow, ras_port, record
from ringkey.gatekeeper.addresses import Addresses
from ringkey.gatekeeper.answers import BadAnswerError, Found, Refused, Unavailable, parse_status
from ringkey.gatekeeper.directory import Directory
from ringkey.gatekeeper.lookups import Lookups
from ringkey.gatekeeper.phone_records import PhoneRecords
from ringkey.gatekeeper.ras_port import RasPort
from ringkey.gatekeeper.record import Budget
from ringkey.gatekeeper.signalling import Signalling
from ringkey.site import control, runtime

ANY = "0.0.0.0"  # noqa: S104 - nothing is bound to it here
KG = bytes(range(32))
G = bytes(range(16))
CVM = b"\1\2\3"
FOUND = Found(KG, SHA256, CVM)


class Keys:
    """A key client that has one answer."""

    def __init__(self, outcome, cached=None):
        self.outcome = outcome
        self.memory = cached
        self.since = -1.0
        self.records = PhoneRecords()

    def cached(self, g, ext, cvm=None):
        return self.memory

    def fresh_since(self):
        return self.since

    def prove(self, g, ext, cvm):
        self.records.put(ext, g, self.memory, 0.0)

    async def device_key(self, g, ext, cvm=None):
        return self.outcome


@pytest.fixture
def directory(tmp_path):
    with Directory.open(tmp_path / "directory.db", tmp_path / "pin.key") as directory:
        directory.add("1001", "4711")
        directory.add("1002", "4711")
        directory.disable("1002")
        yield directory


@pytest.mark.parametrize(
    ("ext", "outcome", "wanted"),
    [
        ("1001", FOUND, (0, KG, "4711", True)),
        # Unknown and disabled ones look alike; Kg is there so that the reject can be signed.
        ("1003", FOUND, (profile.UNKNOWN_EXTENSION, KG, None, True)),
        ("1002", FOUND, (profile.UNKNOWN_EXTENSION, KG, None, True)),
        ("1003", Unavailable("x"), (profile.UNKNOWN_EXTENSION, None, None, True)),
        ("1003", Refused("revoked"), (profile.UNKNOWN_EXTENSION, None, None, True)),
        ("1001", Refused("revoked"), (profile.REVOKED, None, None, True)),
        ("1001", Refused("not-issued"), (profile.OBSOLETE, None, None, True)),
        ("1001", Refused("other-extension"), (profile.OBSOLETE, None, None, True)),
        ("1001", Refused("not-allowed"), (profile.UNKNOWN_EXTENSION, None, None, True)),
        ("1001", Refused("something-new"), (profile.OBSOLETE, None, None, True)),
        ("1001", Refused("malformed"), (0, None, None, False)),
        ("1001", Unavailable("x"), (0, None, None, False)),
    ],
)
def test_what_directory_and_key_server_say_together(directory, ext, outcome, wanted):
    answer = asyncio.run(Lookups(directory, Keys(outcome), Budget()).ask(ext, bytes(16)))
    assert (answer.code, answer.kg, answer.pin, answer.available) == wanted


def test_a_key_in_memory_is_answered_at_once(directory):
    assert Lookups(directory, Keys(FOUND), Budget()).memory.look("1001", bytes(16)) is None
    answer = Lookups(directory, Keys(FOUND, FOUND), Budget()).memory.look("1001", bytes(16))
    assert (answer.kg, answer.pin) == (KG, "4711")


def test_the_directory_is_asked_once_a_turn_and_a_change_holds_from_the_next_one_on(directory, tmp_path):
    asked = []
    version = directory.version
    directory.version = lambda: asked.append(1) or version()
    lookups = Lookups(directory, Keys(FOUND, FOUND), Budget())
    lookups.memory.turn = 1
    lookups.memory.look("1001", G, CVM)
    lookups.memory.proven(G, "1001", CVM)
    again = lookups.memory.look("1001", G, CVM)
    assert (again.kg, again.pin, again.ka) == (KG, "4711", authentication_key(SHA256, KG, "4711"))
    assert len(asked) == 1
    with Directory.open(tmp_path / "directory.db", tmp_path / "pin.key") as another:
        another.set_pin("1001", "5555")
    lookups.memory.turn = 2
    for _ in range(2):
        again = lookups.memory.look("1001", G, CVM)
        assert (again.pin, again.ka) in {("5555", None), ("5555", authentication_key(SHA256, KG, "5555"))}
    assert again.ka is not None
    assert len(asked) == 2
    with Directory.open(tmp_path / "directory.db", tmp_path / "pin.key") as another:
        another.disable("1001")
    assert asyncio.run(lookups.ask("1001", bytes(16))).code == profile.UNKNOWN_EXTENSION, "not of a turn"
    lookups.memory.turn = None
    for _ in range(2):
        assert lookups.memory.look("1001", bytes(16)).code == profile.UNKNOWN_EXTENSION
    lookups.memory.turn = 3
    assert lookups.memory.look("1001", G, CVM).code == profile.UNKNOWN_EXTENSION
    directory.enable("1001")
    lookups.memory.turn = 4
    assert lookups.memory.look("1001", G, CVM).pin == "5555"
    lookups._keys.memory = Found(bytes(32), SHA256, CVM)
    lookups.memory.proven(G, "1001", CVM)
    for _ in range(2):
        known = lookups.memory.look("1001", G, CVM)
        assert known.kg == bytes(32)
        assert known.ka in {None, authentication_key(SHA256, bytes(32), "5555")}, "another Kg, another Ka"


def test_a_key_that_was_forgotten_or_is_too_old_is_asked_for_anew_within_a_turn(directory):
    keys = Keys(FOUND, FOUND)
    lookups = Lookups(directory, keys, Budget())
    lookups.memory.turn = 1
    lookups.memory.look("1001", G, CVM)
    lookups.memory.proven(G, "1001", CVM)
    keys.memory = None
    assert lookups.memory.look("1001", G, CVM).kg == KG, "the same turn, nothing has changed"
    assert lookups.memory.look("1001", bytes(15) + b"1", CVM) is None, "another g"
    assert lookups.memory.look("1001", G) is None, "no check value"
    assert lookups.memory.look("1001", G, b"\1\2\4") is None, "another check value"
    keys.memory = Refused("revoked")
    keys.records.take("1001")
    assert lookups.memory.look("1001", G, CVM).code == profile.REVOKED
    keys.memory = FOUND
    assert lookups.memory.look("1001", G, CVM).kg == KG
    lookups.memory.proven(G, "1001", CVM)
    keys.since, keys.memory = 1.0, FOUND  # from now on a key asked for at 0 is too old
    lookups.memory.turn = 2
    assert lookups.memory.look("1001", G, CVM).kg == KG, "as the cache says"
    keys.memory = None
    assert lookups.memory.look("1001", G, CVM) is None


def test_a_stranger_first_in_a_turn_makes_no_old_key_good(directory):
    keys = Keys(FOUND, FOUND)
    lookups = Lookups(directory, keys, Budget())
    lookups.memory.turn = 1
    assert lookups.memory.look("1001", G, CVM).kg == KG
    lookups.memory.proven(G, "1001", CVM)
    keys.since = 1.0  # a key server is there again, say, or a minute has gone by
    lookups.memory.turn = 2
    assert lookups.memory.look("1003", G, CVM).code == profile.UNKNOWN_EXTENSION
    keys.memory = None
    assert lookups.memory.look("1001", G, CVM) is None, "asked for at 0"


def test_a_directory_that_fails_drops_the_request(directory):
    directory.close()
    raw = directory._path
    raw.write_bytes(b"no database" * 1000)
    answer = asyncio.run(Lookups(directory, Keys(FOUND), Budget()).ask("1001", bytes(16)))
    assert not answer.available


def test_no_lookup_shows_a_secret(directory):
    answer = Lookups(directory, Keys(FOUND, FOUND), Budget()).memory.look("1001", bytes(16))
    assert "4711" not in repr(answer)
    assert KG.hex() not in repr(answer)
    assert repr(KG)[2:-1] not in repr(answer)


@pytest.mark.parametrize(
    ("listen", "advertise", "source", "host"),
    [
        (ANY, None, "127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", None, "127.0.0.1", "127.0.0.2"),
        ("127.0.0.2", "192.0.2.7", "127.0.0.1", "192.0.2.7"),
        (ANY, "192.0.2.7", "127.0.0.1", "192.0.2.7"),
    ],
)
def test_the_address_that_phones_are_told(listen, advertise, source, host):
    assert Addresses(listen, advertise, 1719, 1300)(source) == ((host, 1719), (host, 1300))


def test_status_may_name_servers():
    body = {"version": 1, "suite": "sha256", "cvm": ["010203"], "servers": ["020000000001"]}
    assert parse_status(json.dumps(body).encode()).servers == (bytes.fromhex("020000000001"),)
    for bad in ({"servers": ["02"]}, {"servers": "020000000001"}, {"cvm": []}, {"cvm": ["010203"] * 9}):
        with pytest.raises(BadAnswerError):
            parse_status(json.dumps({**body, **bad}).encode())


def test_a_flood_does_not_fill_the_log(capfd, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(record.time, "monotonic", lambda: clock[0])
    told = record.Record()
    for _ in range(1000):
        told.event(("dropped", ("192.0.2.1", 5), "malformed"), ())
    held = Held("1001", SHA256, ("192.0.2.1", 5), *([bytes(16)] * 3), KG, KG, CVM)
    told.event(("registered", held, None), ())  # whoever can cause this has a key
    clock[0] += 1
    told.event(("dropped", ("192.0.2.1", 5), "malformed"), ())
    out = capfd.readouterr().out
    assert out.count("malformed") == record.MAX_LINES + 1
    assert "lines=900" in out
    assert "registered" in out
    assert told.counts == {"dropped": 1001, "registered": 1}


class Registrar:
    """A registrar that asks for one look-up for each datagram, and fails on b"bug"."""

    def __init__(self):
        self.events = []
        self.out = []
        self.provided = []
        self.tickets = 0

    def receive_datagram(self, data, source, now):
        if data == b"bug":
            raise LocalProtocolError("a bug")
        self.tickets += 1
        asked = ("lookup", self.tickets, "1001", bytes(16), "sha256", "GRQ", bytes(3))
        self.events.append((*asked, source, False))
        self.source = source

    def failed(self, data, source, now):
        self.events.append(("dropped", source, "a fault"))

    def provide(self, ticket, answer, now):
        self.provided.append(answer)
        self.out.append((b"answer", self.source))

    def next_event(self):
        return self.events.pop(0) if self.events else None

    def datagrams_to_send(self):
        out, self.out = self.out, []
        return out

    def get_timer(self):
        return None

    def held(self):
        return []


class Waiting:
    """Look-ups that wait until they are told to answer."""

    def __init__(self):
        self.go = asyncio.Event()
        self.waiting = 0
        self.memory = self
        self.turn = None

    def look(self, ext, g, cvm):
        return None

    async def ask(self, ext, g, cvm):
        self.waiting += 1
        await self.go.wait()
        raise OSError("whatever happens in there")


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.01)


@pytest.mark.skipif(
    not str(flow.__file__).endswith(".py"), reason="compiled, only a registrar can be in a registrar's place"
)
def test_lookups_are_bounded_and_each_is_answered(monkeypatch):
    monkeypatch.setattr(ras_port, "MAX_TASKS", 3)

    async def main():
        registrar, lookups = Registrar(), Waiting()
        port = RasPort(registrar, lookups, lambda event: None)
        await port.start("127.0.0.1", 0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.connect(port.address)
            phone.settimeout(5)
            phone.send(b"bug")
            for _ in range(5):
                phone.send(b"x")
            await until(lambda: port.received == 6 and lookups.waiting == 3)
            assert [answer.available for answer in registrar.provided] == [False, False]
            lookups.go.set()
            await until(lambda: len(registrar.provided) == 5)
            for _ in range(5):
                assert await asyncio.to_thread(phone.recv, 100) == b"answer"
        await port.stop()

    asyncio.run(main())


def test_the_control_socket_answers_only_what_it_knows(tmp_path):
    def fail(request):
        raise UserError("no such thing", "do another")

    async def main():
        commands = {"echo": lambda request: {"got": request["x"]}, "fail": fail}
        server = control.ControlServer(tmp_path, "gatekeeper", commands)
        await server.start()
        assert (tmp_path / "gatekeeper-control.sock").stat().st_mode & 0o777 == 0o600
        with pytest.raises(UserError, match="running already"):
            await control.ControlServer(tmp_path, "gatekeeper", {}).start()
        assert await asyncio.to_thread(control.ask, tmp_path, "gatekeeper", "echo", x=5) == {"got": 5}
        for do, text in (("fail", "no such thing"), ("nonsense", "there are the commands echo, fail")):
            with pytest.raises(UserError, match=text):
                await asyncio.to_thread(control.ask, tmp_path, "gatekeeper", do)
        for request in (b"", b"[1]", b'{"do": []}', b"{" * 4000, b"\xff\xfe\x00"):
            assert b"error" in await asyncio.to_thread(raw, tmp_path, request + b"\n")
        assert await asyncio.to_thread(raw, tmp_path, b"x" * 10_000 + b"\n") == b""
        await server.stop()
        assert control.ask(tmp_path, "gatekeeper", "echo", x=5) is None
        assert list(tmp_path.iterdir()) == []

    asyncio.run(main())


def raw(run, request):
    with runtime.socket_name(run, "gatekeeper-control") as path, socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(path)
        connection.sendall(request)
        try:
            return connection.recv(65536)
        except ConnectionResetError:
            return b""


def test_connections_of_strangers_do_not_fill_the_log(capsys):
    signalling = Signalling(lambda _: None, lambda _: None, budget=Budget(3))
    for port in range(1000, 1600):
        signalling._refused(("198.51.100.9", port), "not TLS")
    assert 3 <= capsys.readouterr().out.count("channel_refused") <= 2 * 3
