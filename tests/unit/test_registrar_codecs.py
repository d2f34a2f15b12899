"""The registrar with the host's codec beside the registrar with the core's: the same to every octet."""

import random

import pytest
from loadgen.answers import Answers
from loadgen.templates import Requests
from ras import profile
from ras.codec import Codec
from ras.generator import pack
from ras.keys import SHA1, SHA256, authentication_key, check_value, device_key, master_key, reject_key
from ras.message import GRJ, RCF, UCF, decode_message, verify
from ras.registrar import Lookup, Registrar, Settings
from ringkey.gatekeeper.codec import HostCodec

PLACES = (("192.0.2.1", 1719), ("192.0.2.1", 1300))
SOURCE = ("192.0.2.7", 40000)


class Site:
    """A registrar whose look-ups are answered at once, and what makes a phone's requests."""

    def __init__(self, suite, codec, at_once=False, **settings):
        draw = random.Random(7)
        self.suite = suite
        km = master_key(suite, bytes(16))
        self.cvm = check_value(suite, km)
        self.registrar = Registrar(
            Settings(lambda _host: PLACES, suites=("sha1", "sha256"), **settings), draw.randbytes, codec
        )
        self.registrar.set_site((self.cvm,))
        if at_once:
            self.registrar.at_once = lambda ext, g, cvm: self.known.setdefault(
                ext, Lookup(kg=self.kg[g], pin="4711")
            )
        self.known = {}
        self.kg = {}
        self.draw = draw
        self.km = km
        self.requests = Requests(suite, 6, SOURCE)
        self.answers = Answers()
        self.now = 0

    def key(self, ext):
        g = pack(b"\2\0\0\0\0\1", ext, int(ext))
        self.kg[g] = device_key(self.suite, self.km, g)
        return g, authentication_key(self.suite, self.kg[g], "4711")

    def send(self, octets):
        """Return the one answer, or None."""
        self.now += 10
        self.registrar.receive_datagram(bytes(octets), SOURCE, self.now)
        while (event := self.registrar.next_event()) is not None:
            if event[0] == "lookup" and event[1]:
                self.registrar.provide(event[1], Lookup(kg=self.kg[event[3]], pin="4711"), self.now)
        sent = [octets for octets, _ in self.registrar.datagrams_to_send()]
        return sent[0] if sent else None

    def register(self, ext, number=1):
        g, ka = self.key(ext)
        re = self.draw.randbytes(16)
        gcf = self.send(self.requests.grq(number, ext, g, self.cvm, re, ka))
        rg = gcf[slice(*self.answers.layout(gcf).rg)]
        return ka, rg, self.send(self.requests.rrq(number + 1, ext, g, self.cvm, re, rg, ka))


def life_of_phones(site):
    """Return all answers to phones that register, stay, mistype, and leave."""
    out = []
    for i in range(6):
        ka, rg, rcf = site.register(str(100001 + i), 1000 * i + 1)
        out.append(rcf)
        identifier = decode_message(rcf).value["endpointIdentifier"].encode("utf-16-be")
        for counter in (1, 2, 2, 3):  # the one that comes again is a replay
            re = counter.to_bytes(8, "big") + site.draw.randbytes(8)
            out.append(site.send(site.requests.keep_alive(77 + counter, identifier, re, rg, ka)))
        wrong = site.draw.randbytes(len(ka))
        g = site.key(str(100001 + i))[0]
        out.append(
            site.send(site.requests.grq(5, str(100001 + i), g, site.cvm, site.draw.randbytes(16), wrong))
        )
        re = (9).to_bytes(8, "big") + site.draw.randbytes(8)
        out.append(site.send(site.requests.urq(99, identifier, re, rg, ka)))
    return out


@pytest.mark.parametrize("suite", [SHA1, SHA256], ids=lambda suite: suite.name)
def test_both_codecs_give_the_same_answers(suite):
    host = HostCodec()
    fast = life_of_phones(Site(suite, host))
    assert fast == life_of_phones(Site(suite, Codec()))
    kinds = [octets and decode_message(octets).kind for octets in fast[:7]]
    assert kinds == [RCF, RCF, RCF, None, RCF, None, UCF]
    assert len(host.shapes) == 4  # GRQ, RRQ, keepAlive, URQ: what they came back as was by shape


def test_look_ups_that_are_at_hand_give_the_same_answers():
    fast = Site(SHA256, HostCodec(), at_once=True)
    assert life_of_phones(fast) == life_of_phones(Site(SHA256, Codec()))
    assert all(lookup.ka for lookup in fast.known.values()), "made once, and kept"
    assert len(fast.registrar._pending) == 0


def test_strangers_teach_nothing():
    host = HostCodec()
    site = Site(SHA256, host)
    for i in range(20):
        g, _ = site.key(str(100001 + i))
        site.send(site.requests.grq(i + 1, str(100001 + i), g, site.cvm, site.draw.randbytes(16), bytes(32)))
    assert len(host.shapes) == 0


def test_a_site_sets_how_many_are_held():
    site = Site(SHA256, HostCodec(), most=2, others=(("192.0.2.9", 1719),))
    for ext in ("100001", "100002", "100001"):
        assert decode_message(site.register(ext)[2]).kind == RCF
    g, ka = site.key("100003")
    answer = decode_message(
        site.send(site.requests.grq(1, "100003", g, site.cvm, site.draw.randbytes(16), ka))
    )
    assert answer.kind == GRJ
    assert verify(answer, SHA256, reject_key(SHA256, site.kg[g]))
    assert answer.value["altGKInfo"]["alternateGatekeeper"]
    assert profile.elements(answer)[profile.ERROR] == bytes([profile.OTHER_GATEKEEPER])
    assert len(site.registrar.held()) == 2


def test_registering_again_and_again_leaves_nothing_behind():
    site = Site(SHA256, HostCodec())
    for ext in ("100001", "100002"):
        for number in range(1, 600, 2):
            assert decode_message(site.register(ext, number)[2]).kind == RCF
    assert len(site.registrar.held()) == 2
    held = site.registrar._registrations
    timers = len(held._timers) + sum(map(len, held._later.values()))
    assert timers <= 2 * 2 + 64 + 1
    due = site.registrar.get_timer()
    site.registrar.handle_timer(due + 600_000)
    assert site.registrar.held() == []
