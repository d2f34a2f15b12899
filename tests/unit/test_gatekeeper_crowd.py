"""In a crowd some turns count as one, and what an administrator has ended stays ended all the same."""

import math
import secrets

import pytest
from loadgen.answers import Answers
from loadgen.templates import Requests
from ras.generator import pack
from ras.keys import SHA256, authentication_key, check_value, device_key, master_key
from ras.message import GCF, RCF, URQ, decode_message
from ras.policy import Settings
from ringkey.gatekeeper import flow
from ringkey.gatekeeper.answers import Found
from ringkey.gatekeeper.codec import HostCodec
from ringkey.gatekeeper.direct import Direct
from ringkey.gatekeeper.directory import Directory
from ringkey.gatekeeper.key_cache import KeyCache
from ringkey.gatekeeper.lookups import Lookups
from ringkey.gatekeeper.phone_records import PhoneRecords
from ringkey.gatekeeper.ras_port import RasPort
from ringkey.gatekeeper.record import Budget

pytestmark = pytest.mark.skipif(
    not str(flow.__file__).endswith(".py"), reason="compiled, its clock can not be another one"
)
EXTS = ("100001", "100002")
HERE, PHONE, STRANGER = ("192.0.2.1", 1719), ("192.0.2.7", 40000), ("198.51.100.1", 9)
PIN = "4711"
KM = master_key(SHA256, bytes(16))
CVM = check_value(SHA256, KM)
REQUESTS, ANSWERS = Requests(SHA256, 6, PHONE), Answers()


class Keys:
    """What a key client has in memory, without a key server."""

    def __init__(self):
        self.records = PhoneRecords()
        self._cache = KeyCache(1000, None, self.records)

    def put(self, g, ext):
        self._cache.put((g, ext, CVM), Found(device_key(SHA256, KM, g), SHA256, CVM))

    def cached(self, g, ext, cvm=None):
        return self._cache.get((g, ext, cvm))

    def prove(self, g, ext, cvm):
        self._cache.prove((g, ext, cvm))

    def fresh_since(self):
        return -math.inf


class Sender:
    """Notes what is sent."""

    def __init__(self, sent):
        self._sent = sent

    def send(self, data, address):
        self._sent.append(data)

    def flush(self):
        pass


class Site:
    """A RAS port without sockets, and the directory as a command would open it besides."""

    def __init__(self, path, clock):
        self.clock = clock
        directory = Directory.open(path / "directory.db", path / "pin.key")
        self.command = Directory.open(path / "directory.db", path / "pin.key")
        keys = Keys()
        for i, ext in enumerate(EXTS):
            self.command.add(ext, PIN)
            keys.put(self.g(ext), ext)
            assert self.g(ext)[-1] == i
        self.registrar = Direct(Settings(lambda _: (HERE, HERE)), secrets.token_bytes, HostCodec())
        self.registrar.set_site((CVM,))
        lookups = Lookups(directory, keys, Budget())

        def on_event(event):
            if event[0] in ("registered", "logged-in"):
                lookups.memory.proven(event[1].g, event[1].ext, event[1].cvm)

        self.sent = []
        self.port = RasPort(self.registrar, lookups, on_event)
        self.port._flow.sender = Sender(self.sent)
        # Its timers want a loop; nothing here waits for one.
        self.port._arm = lambda: None
        self.directories = (directory, self.command)

    @staticmethod
    def g(ext):
        return pack(b"\2\0\0\0\0\1", ext, EXTS.index(ext))

    def turn(self, *datagrams, crowd=False):
        """Let datagrams be read together, in a crowd with strangers' noise; return what kinds answer."""
        self.sent.clear()
        for data in datagrams:
            self.port._take(data, PHONE)
        for _ in range(flow.CROWD * crowd):
            self.port._take(b"\x80", STRANGER)
        self.port._turn_over()
        return [decode_message(data).kind for data in self.sent]

    def greet(self, ext, *, crowd=False):
        """Return the RRQ of a phone that has been greeted."""
        self.clock[0] += 1000
        g, re = self.g(ext), secrets.token_bytes(16)
        ka = authentication_key(SHA256, device_key(SHA256, KM, g), PIN)
        assert self.turn(bytes(REQUESTS.grq(7, ext, g, CVM, re, ka)), crowd=crowd) == [GCF]
        rg = self.sent[0][slice(*ANSWERS.layout(self.sent[0]).rg)]
        return bytes(REQUESTS.rrq(8, ext, g, CVM, re, rg, ka))


@pytest.fixture
def site(tmp_path, monkeypatch):
    clock = [100_000]
    monkeypatch.setattr(flow, "now", lambda: clock[0])
    monkeypatch.setattr("ringkey.gatekeeper.ras_port.now", lambda: clock[0])
    site = Site(tmp_path, clock)
    for ext in EXTS * 2:
        assert site.turn(site.greet(ext)) == [RCF]
    yield site
    for one in site.directories:
        one.close()


def change_pin(directory, ext):
    directory.set_pin(ext, "0815")


@pytest.mark.parametrize("change", [Directory.disable, Directory.remove, change_pin])
def test_what_was_ended_in_a_crowd_does_not_come_back_with_the_old_pin(site, change):
    ext = EXTS[0]
    rrq = site.greet(ext, crowd=True)
    change(site.command, ext)
    assert site.port.end_registration(ext, "securityDenial")
    assert [decode_message(data).kind for data in site.sent[-1:]] == [URQ]
    site.clock[0] += flow.AS_ONE // 2
    assert site.turn(rrq) == []
    assert site.registrar.registration(ext) is None


def test_a_machine_without_a_descriptor_costs_a_datagram_and_no_more(site, capsys):
    settings = site.registrar.settings
    addresses = settings.addresses

    def none_left(_):
        raise OSError(24, "of which nobody is to read")

    rrq = site.greet(EXTS[0])
    settings.addresses = none_left
    assert site.turn(rrq) == []
    settings.addresses = addresses
    assert site.turn(rrq) == [RCF], "nothing had changed"
    assert "reason=OSError" in capsys.readouterr().out


def test_in_the_same_turn_of_a_crowd_memory_is_not_asked_whether_it_still_holds(site):
    """What the test above is about: without the end, the answer stands for AS_ONE ms, and no longer."""
    first, second = (site.greet(ext, crowd=True) for ext in EXTS)
    site.command.disable(EXTS[1])
    site.clock[0] += flow.AS_ONE - 1
    assert site.turn(second) == [RCF]
    site.clock[0] += 1
    site.command.disable(EXTS[0])
    assert site.turn(first) == []
