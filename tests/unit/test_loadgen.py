"""The load generator's messages against the core's own encoder and decoder, without a gatekeeper."""

import os
import random
from xml.dom import minidom

import pytest
from bench import plot, soak
from loadgen import keys as keysets
from loadgen.answers import Answers
from loadgen.attack import pool
from loadgen.keys import Keys
from loadgen.templates import Requests, Template, TemplateError
from ras import answers, build, profile
from ras.errors import RemoteProtocolError
from ras.keys import SHA1, SHA256
from ras.message import GCF, GRQ, RCF, RRQ, URQ, decode_message, verify

RAS = ("127.64.0.7", 40001)
SUITES = pytest.mark.parametrize("suite", [SHA1, SHA256], ids=lambda suite: suite.name)


def drawn(suite, ext):
    return ext, os.urandom(16), os.urandom(3), os.urandom(16), os.urandom(16), os.urandom(suite.key)


@SUITES
@pytest.mark.parametrize("length", [1, 4, 5, 20])
def test_patched_requests_are_octet_for_octet_the_cores(suite, length):
    requests = Requests(suite, length, RAS)
    for _ in range(20):
        ext = "".join(random.choices("0123456789", k=length))
        number = random.randrange(1, 65536)
        ext, g, cvm, re, rg, ka = drawn(suite, ext)
        named = {profile.G: g, profile.CVM_ID: cvm, profile.RE: re}
        value = build.gatekeeper_request(number, ext, RAS)
        assert requests.grq(number, ext, g, cvm, re, ka) == profile.seal(GRQ, value, named, suite, ka)
        value = build.registration_request(number, ext, RAS, RAS, 300)
        wanted = profile.seal(RRQ, value, {**named, profile.RG: rg}, suite, ka)
        assert requests.rrq(number, ext, g, cvm, re, rg, ka) == wanted
        identifier = os.urandom(8).hex()
        octets = identifier.encode("utf-16-be")
        kept = {profile.RE: re, profile.RG: rg}
        value = build.keep_alive(number, identifier, RAS, RAS, 300)
        assert requests.keep_alive(number, octets, re, rg, ka) == profile.seal(RRQ, value, kept, suite, ka)
        value = build.unregistration_request(number, identifier, RAS, None)
        assert requests.urq(number, octets, re, rg, ka) == profile.seal(URQ, value, kept, suite, ka)


def test_a_field_that_has_no_place_of_its_own_is_an_error():
    def make(fields):
        # The same octets twice: they differ in two places.
        return build.unregistration_confirm(7), {profile.RE: fields["re"], profile.RG: fields["re"]}

    with pytest.raises(TemplateError, match="re is not 16 octets in one place"):
        Template("UCF", SHA256, make, {"re": (bytes(16), b"\xff" * 16, 16)})


@SUITES
def test_answers_are_read_by_their_layout(suite):
    found = Answers()
    for number in (1, 0x0102, 65535, *random.choices(range(1, 65536), k=20)):
        key, re, rg, sid = (os.urandom(n) for n in (suite.key, 16, 16, 16))
        value = answers.gatekeeper_confirm(number, ("127.0.0.1", 1719), ())
        gcf = profile.seal(GCF, value, {profile.RE: re, profile.RG: rg}, suite, key)
        layout = found.layout(gcf)
        assert layout.kind == GCF
        assert (found.number(gcf, layout), gcf[slice(*layout.re)], gcf[slice(*layout.rg)]) == (number, re, rg)
        assert found.genuine(gcf, layout, suite.name, key)
        assert not found.genuine(gcf, layout, suite.name, os.urandom(suite.key))
        identifier = os.urandom(8).hex()
        value = answers.registration_confirm(number, identifier, ("127.0.0.1", 1300), 300, ())
        elements = {profile.RE: re, profile.RG: rg, profile.SID: sid}
        rcf = profile.seal(RCF, value, elements, suite, key)
        layout = found.layout(rcf)
        assert rcf[slice(*layout.identifier)].decode("utf-16-be") == identifier
        assert found.genuine(rcf, layout, suite.name, key)
        assert not found.genuine(rcf[:-1] + bytes([rcf[-1] ^ 1]), layout, suite.name, key)
    assert found.layout(b"") is None
    assert found.layout(os.urandom(30)[:1] + bytes(40)) is None
    assert len(found.layouts) == 4


def some_keys(count):
    return [
        Keys.of(str(1000 + i), f"{i:06}", SHA256, os.urandom(16), os.urandom(32), os.urandom(3))
        for i in range(count)
    ]


def test_a_key_set_on_disk(tmp_path):
    file, made = tmp_path / "keys", some_keys(5)
    keysets.save(file, made)
    assert file.stat().st_mode & 0o777 == 0o600
    assert keysets.load(file) == made
    assert keysets.load(file, 2) == made[:2]
    for one in made:
        for secret in (one.pin, one.kg.hex(), repr(one.kg)[2:-1], repr(one.ka)[2:-1]):
            assert secret not in repr(one)
    with pytest.raises(keysets.KeySetError, match="has 5 keys, not 6"):
        keysets.load(file, 6)
    file.write_text("{}\n")
    with pytest.raises(keysets.KeySetError, match="is no key set"):
        keysets.load(file)
    assert len(set(keysets.draw_pins(100, 50).values())) > 40


def test_what_a_flood_consists_of():
    keys = some_keys(1)[0]
    made = pool("random-g", keys, [])
    for octets in made[:50]:
        message = decode_message(octets)
        assert message.kind == GRQ
        found = profile.elements(message)
        assert (found[profile.CVM_ID], found[profile.G][:6]) == (keys.cvm, keys.g[:6])
        assert not verify(message, SHA256, keys.ka)
    assert len(set(made)) == len(made)
    assert set(pool("replay", keys, [b"one", b"two"])) == {b"one", b"two"}
    wrong = 0
    for octets in pool("garbage", keys, []):
        try:
            wrong += decode_message(octets).kind in (GRQ, RRQ) and False
        except RemoteProtocolError:
            wrong += 1
    assert wrong > 1000


def test_a_soak_that_is_not_flat_is_told():
    flat = [{"seconds": 10.0 * i, "octets": 5e7, "register p99": 9.0, "refresh p99": 4.0} for i in range(40)]
    fine = {"operations": {"register": {"done": 10}, "wrong-pin": {"done": 0, "silence": 5}}}
    assert soak.judge(flat, fine) == []
    grown = [{**row, "octets": 5e7 * (1 + i / 100)} for i, row in enumerate(flat)]
    assert "memory has grown" in soak.judge(grown, fine)[0]
    slow = [{**row, "register p99": 9.0 + 5 * i} for i, row in enumerate(flat)]
    assert "register p99 has grown" in soak.judge(slow, fine)[0]
    bad = {"operations": {"refresh": {"done": 9, "silence": 1}, "wrong-pin": {"done": 1}}}
    assert len(soak.judge(flat, bad)) == 2


def test_a_plot_is_an_svg():
    text = plot.svg("a < b", [0.0, 1.0, 2.0], "minutes", {"one": [1.0, 2.0, 3.0], "two": [0.0, 0.0, 0.0]})
    root = minidom.parseString(text).documentElement  # noqa: S318 - it is ours
    assert root.tagName == "svg"
    assert len(root.getElementsByTagName("polyline")) == 2
