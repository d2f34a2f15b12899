"""A registration in one object: what it says, and what it forgets (ras/held.py)."""

import sys

from ras import held, keys
from ras.held import Held, key_of, new_sid, octets_of

from pair import Gatekeeper, Network, Phone, Site
from support import Random

SOURCE = ("192.0.2.7", 40000)
SID, G, RG, CVM = bytes(range(16)), b"g" * 16, b"r" * 16, b"\1\2\3"


def made(suite=keys.SHA256, identifier=None):
    return Held("1001", suite, SOURCE, SID, G, RG, b"a" * suite.key, b"s" * suite.key, CVM, identifier)


def test_a_registration_says_what_was_put_in():
    for suite in (keys.SHA1, keys.SHA256):
        one = made(suite)
        assert (one.ext, one.suite, one.source, one.proven) == ("1001", suite, SOURCE, SOURCE)
        assert (one.identifier, one.sid) == ("0001020304050607", "000102030405060708090a0b0c0d0e0f")
        assert (one.g, one.rg, one.ka, one.ks) == (G, RG, b"a" * suite.key, b"s" * suite.key)
        assert (one.cvm, one.key) == (CVM, 0x00010203040506)
        assert one.parts() == (SID[:8], SID, G, RG, one.ka, one.ks)
        other = made(suite, b"\xff" * 8)
        assert (other.identifier, other.sid) == ("ff" * 8, one.sid)
        assert other.parts()[1:] == one.parts()[1:]


def test_keys_go_and_nothing_else():
    for suite in (keys.SHA1, keys.SHA256):
        for steps in (("ks",), ("keys",), ("ks", "keys"), ("keys", "ks"), ("ks", "ks", "keys", "keys")):
            one = made(suite)
            for step in steps:
                if step == "ks":
                    one.forget_ks()
                else:
                    one.forget_keys()
            assert one.ks == b""
            assert one.ka == (b"" if "keys" in steps else b"a" * suite.key)
            assert (one.identifier, one.sid, one.g, one.rg) == ("0001020304050607", SID.hex(), G, RG)
            assert b"sss" not in one._packed
            assert "keys" not in steps or b"aaa" not in one._packed


def test_no_text_of_it_shows_a_key():
    text = repr(made())
    assert text == "Held(1001, 0001020304050607)"


def test_only_what_was_given_out_is_an_identifier():
    assert octets_of("00ff02030405060a") == b"\x00\xff\x02\x03\x04\x05\x06\x0a"
    assert key_of("00ff02030405060a") == 0x00FF0203040506
    for text in (
        None,
        "",
        "00ff02030405060",
        "00ff02030405060a0",
        "00FF02030405060a",
        "00 ff 2030405060",
        " 0ff02030405060a",
        "+0ff02030405060a",
        "0x0f02030405060a",
        "0_ff02030405060a",
        "00ff0203040506\u0660\u0660",
        "g0ff02030405060a",
        "\0" * 16,
    ):
        assert octets_of(text) == b"", text
        assert key_of(text) is None, text


def test_a_sid_begins_with_what_is_drawn_for_the_identifier():
    drawn = []

    def random(n):
        drawn.append(n)
        return bytes((len(drawn),)) * n

    assert new_sid(random) == b"\1" * 8 + b"\2" * 8
    assert drawn == [held.IDENTIFIER, keys.NONCE]


def test_a_channel_is_found_by_the_whole_sid_while_the_phone_is_registered():
    random = Random(5)
    site = Site(random)
    gatekeeper, phone, net = Gatekeeper(site, random), Phone(site, random), Network(random)
    net.add(gatekeeper)
    net.add(phone)
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(5000, lambda: phone.login.state == "online")
    registrar = gatekeeper.registrar
    one = registrar.registration("1001")
    assert one.sid.startswith(one.identifier)
    assert registrar.with_sid(one.sid) is one
    assert len(registrar.psk(one.sid)) == 32
    last = "0" if one.sid[-1] != "0" else "1"
    for text in (one.sid[:-1] + last, one.identifier, one.sid + "00", one.sid.upper() + "!", ""):
        assert registrar.with_sid(text) is None
        assert registrar.psk(text) is None
    registrar.end_registration("1001", "undefinedReason", net.now)
    assert registrar.count() == 1, "it waits for the UCF"
    assert registrar.with_sid(one.sid) is None
    assert (one.ks, len(one.ka)) == (b"", 32)


def test_the_sid_of_a_version_before_is_found_too_and_forgotten():
    random = Random(6)
    registrar = Gatekeeper(Site(random), random).registrar
    old = made(identifier=b"\xee" * 8)
    old.expires = 1000000
    registrar._registrations.put_back(old)
    assert registrar.with_sid(old.sid) is old
    assert registrar.psk(old.sid) == b"s" * 32
    assert registrar.with_sid("ee" * 8 + old.sid[16:]) is None
    registrar.end_registration("1001", "undefinedReason", 0)
    assert registrar.with_sid(old.sid) is None
    assert not registrar._registrations._by_sid


def test_of_two_with_one_number_the_end_of_one_is_not_the_others():
    random = Random(7)
    registrar = Gatekeeper(Site(random), random).registrar
    first, second = made(), Held("1002", keys.SHA256, SOURCE, SID[:7] + b"x" * 9, G, RG, RG * 2, RG * 2, CVM)
    assert (first.key, first.identifier == second.identifier) == (second.key, False)
    for one in (first, second):
        one.expires = 1000000
        registrar._registrations.put_back(one)
    assert registrar.with_sid(second.sid) is second
    assert registrar.with_sid(first.sid) is None, (
        "in 2^56: it registers anew when nobody answers its keepAlive"
    )
    registrar._registrations._end(first, "expire", "ttlExpired")
    assert registrar.with_sid(second.sid) is second
    assert registrar.registered() == 1


def test_a_registration_takes_few_octets():
    sizeof = getattr(sys, "getsizeof", None)
    if sizeof is None:
        return  # MicroPython
    one = made()
    assert sizeof(one._packed) <= 160
    assert sizeof(one) <= 128
