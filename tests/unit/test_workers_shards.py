"""Whose datagram it is: a function of what a message says, found without decoding, and never an exception."""

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ras import build, profile
from ras.errors import RemoteProtocolError
from ras.keys import MAX_EXT, SHA256, authentication_key, check_value, device_key, master_key
from ras.message import GRQ, RRQ, UCF, URQ, decode_message, encode_message
from ras.policy import Settings
from ras.registrar import Lookup, Registrar
from ringkey.gatekeeper.codec import HostCodec
from ringkey.gatekeeper.workers.finder import Finder
from ringkey.gatekeeper.workers.shards import key_of, marked, of_extension, shard_of

PLACE = ("192.0.2.7", 40000)
GATEKEEPER = (("192.0.2.1", 1719), ("192.0.2.1", 1300))
KINDS = ("GRQ", "RRQ", "keepAlive", "URQ", "UCF")
EXTS = st.text("0123456789", min_size=1, max_size=MAX_EXT)
SHARDS = st.integers(1, 32)


def message(kind, ext="100001", identifier="0123456789abcdef", re=None, alias=None):
    """Return the octets of a phone's message under a random key."""
    values = {
        "GRQ": lambda: build.gatekeeper_request(7, ext, PLACE),
        "RRQ": lambda: build.registration_request(7, ext, PLACE, PLACE, 300),
        "keepAlive": lambda: build.keep_alive(7, identifier, PLACE, PLACE, 300),
        "URQ": lambda: build.unregistration_request(7, identifier, PLACE, None),
        "UCF": lambda: build.unregistration_confirm(7),
    }
    value = values[kind]()
    if alias is not None:
        value["endpointAlias" if kind == "GRQ" else "terminalAlias"] = alias
    elements = {profile.RE: os.urandom(16) if re is None else re}
    if kind != "GRQ":
        elements[profile.RG] = os.urandom(16)
    if kind in ("GRQ", "RRQ"):
        elements.update({profile.G: os.urandom(16), profile.CVM_ID: os.urandom(3)})
    name = {"GRQ": GRQ, "RRQ": RRQ, "keepAlive": RRQ, "URQ": URQ, "UCF": UCF}[kind]
    return profile.seal(name, value, elements, SHA256, os.urandom(32))


def decoded(octets, shards):
    """Return the worker that the decoder's values say, None for none of them, or no message."""
    try:
        key = key_of(decode_message(octets))
    except RemoteProtocolError:
        return None
    return None if key is None else shard_of(key, shards)


@settings(max_examples=20, deadline=None)
@given(EXTS, SHARDS)
def test_all_messages_of_an_extension_have_one_worker(ext, shards):
    wanted = of_extension(ext, shards)
    assert 0 <= wanted < shards
    draw = marked(os.urandom, wanted, shards)
    identifier, re = draw(8).hex(), bytes(8) + draw(8)
    finder = Finder(shards)
    for kind in KINDS:
        octets = message(kind, ext, identifier, re)
        assert finder.find(octets) is None, "nothing is known of it yet"
        assert decoded(octets, shards) == wanted
        finder.learn(octets)
        again = message(kind, ext, identifier, re)
        assert finder.find(again) == wanted == decoded(again, shards)


@settings(max_examples=20, deadline=None)
@given(EXTS, SHARDS)
def test_a_plain_endpoint_has_the_worker_of_its_extension(ext, shards):
    """By what it says, and by the identifier that a registrar has given it; nothing is learned of it."""
    wanted = of_extension(ext, shards)

    class Everybody:
        def allows(self, _ext, _host):
            return True

    registrar = Registrar(
        Settings(lambda _host: GATEKEEPER, plain=Everybody()), marked(os.urandom, wanted, shards), HostCodec()
    )
    rrq = build.registration_request(7, ext, PLACE, PLACE, 300)
    registrar.receive_datagram(bytes(encode_message(RRQ, rrq)[0]), PLACE, 0)
    ((answer, _),) = registrar.datagrams_to_send()
    identifier = decode_message(answer).value["endpointIdentifier"]
    for kind, value in (
        (GRQ, build.gatekeeper_request(7, ext, PLACE)),
        (RRQ, rrq),
        (RRQ, build.keep_alive(7, identifier, PLACE, PLACE, 300)),
        (URQ, build.unregistration_request(7, identifier, PLACE, None)),
    ):
        octets = bytes(encode_message(kind, value)[0])
        assert decoded(octets, shards) == wanted
        assert Finder(shards).find(octets) is None
        registrar.receive_datagram(octets, PLACE, 1)
    assert [decode_message(one).kind for one, _ in registrar.datagrams_to_send()] == [
        *("GCF", "RCF", "RCF", "UCF")
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_bit_is_flipped_the_finder_says_what_the_decoder_says_or_nothing(knowing, kind):
    shards, finder = 3, knowing
    octets = message(kind)
    agreed = 0
    for bit in range(8 * len(octets)):
        flipped = bytearray(octets)
        flipped[bit >> 3] ^= 0x80 >> (bit & 7)
        found = finder.find(bytes(flipped))
        assert found is None or found == decoded(bytes(flipped), shards)
        agreed += found is not None
    assert agreed > len(octets), "most bits are of values"
    for length in range(len(octets)):
        found = finder.find(octets[:length])
        assert found is None or found == decoded(octets[:length], shards)


@pytest.fixture(scope="module")
def knowing():
    """A finder for 3 workers that knows a shape of each kind."""
    finder = Finder(3)
    for kind in KINDS:
        finder.learn(message(kind))
    return finder


@settings(max_examples=200, deadline=None)
@given(octets=st.binary(max_size=1500), host=st.ip_addresses())
def test_any_octets_have_a_worker(knowing, octets, host):
    knowing.learn(octets)  # a worker that is out of order
    assert knowing.find(octets) in (None, 0, 1, 2)
    assert knowing.by_source(str(host)) in (0, 1, 2)


@pytest.mark.parametrize("identifier", ["", "z", "zz", "٣٣", " 1", "+1", "-1", "1_", "0", "\ufffd\ufffd"])
def test_an_identifier_that_nobody_has_drawn_is_nobodys(identifier):
    assert shard_of(("identifier", identifier), 3) is None


def test_the_extension_is_the_one_that_the_registrar_reads():
    for alias, wanted in (
        ([("h323-ID", "1002"), ("dialledDigits", "1001"), ("dialledDigits", "1002")], "1001"),
        ([("dialledDigits", "12#"), ("dialledDigits", "1001")], None),
        ([("h323-ID", "1001")], None),
        ([], None),
    ):
        for kind in ("GRQ", "RRQ"):
            octets = message(kind, alias=alias)
            assert key_of(decode_message(octets)) == (None if wanted is None else ("ext", wanted))
            finder = Finder(7)
            finder.learn(octets)
            assert finder.find(octets) in (None, decoded(octets, 7))


def test_strays_are_whose_they_are():
    finder = Finder(2)
    octets = message("keepAlive", identifier="00" * 8)
    finder.learn(octets)
    assert finder.find(octets) == 0
    finder.strays["00" * 8] = 1
    assert finder.find(octets) == 1


@given(st.binary(min_size=8, max_size=8), SHARDS, st.data())
def test_a_mark_is_an_octet_and_the_rest_is_as_it_was_drawn(octets, shards, data):
    shard = data.draw(st.integers(0, shards - 1))
    drawn = marked(lambda _n: octets, shard, shards)(8)
    assert len(drawn) == 8
    assert drawn[1:] == octets[1:]
    assert drawn[0] % shards == shard


def test_what_a_registrar_gives_out_to_be_found_by_bears_its_mark_and_nothing_else_does():
    """It draws 8 octets for identifiers and its URQs' Re, and for nothing else."""
    draw, drawn = random.Random(3), []

    def count(n):
        drawn.append(n)
        return draw.randbytes(n)

    shard, shards = 4, 7
    registrar = Registrar(Settings(lambda _host: GATEKEEPER), marked(count, shard, shards), HostCodec())
    km = master_key(SHA256, bytes(16))
    g = b"\2\0\0\0\0\1" + bytes(4) + bytes(6)
    kg, cvm = device_key(SHA256, km, g), check_value(SHA256, km)
    ka = authentication_key(SHA256, kg, "4711")
    registrar.set_site((cvm,))

    def send(kind, value, elements):
        registrar.receive_datagram(profile.seal(kind, value, elements, SHA256, ka), PLACE, 1000)
        while (event := registrar.next_event()) is not None:
            if event[0] == "lookup" and event[1]:
                registrar.provide(event[1], Lookup(kg=kg, pin="4711"), 1000)
        ((octets, _),) = registrar.datagrams_to_send()
        return decode_message(octets)

    common = {profile.G: g, profile.CVM_ID: cvm, profile.RE: os.urandom(16)}
    gcf = send(GRQ, build.gatekeeper_request(1, "1001", PLACE), common)
    rg = profile.elements(gcf)[profile.RG]
    common = {**common, profile.RG: rg}
    rcf = send(RRQ, build.registration_request(2, "1001", PLACE, PLACE, 300), common)
    assert drawn.count(8) == 1
    assert shard_of(("identifier", rcf.value["endpointIdentifier"]), shards) == shard
    assert registrar.end_registration("1001", "undefinedReason", 2000)
    ((urq, _),) = registrar.datagrams_to_send()
    assert drawn.count(8) == 2
    re = profile.elements(decode_message(urq))[profile.RE]
    ucf = profile.seal(UCF, build.unregistration_confirm(9), {profile.RE: re, profile.RG: rg}, SHA256, ka)
    assert decoded(ucf, shards) == shard
