"""The host's codec against the core's: the same values and the same octets, whatever comes in."""

import os
import random

import pytest
from ras import build, profile
from ras.codec import Codec
from ras.errors import RemoteProtocolError
from ras.keys import SHA1, SHA256
from ras.message import GRQ, RRQ, UCF, URQ, decode_message, encode_message, sign
from ringkey.gatekeeper.codec import HostCodec
from ringkey.gatekeeper.shapes import MAX_OF_ONE_LENGTH, MAX_SHAPES, Shaped, Shapes

RAS = ("192.0.2.7", 40000)
IDENTIFIER = "0123456789abcdef"


def request(kind, suite=SHA256, ext="100001", number=7, life=300, ras=RAS, identifier=IDENTIFIER):  # noqa: PLR0917 - as many as the message has fields
    """Return the octets of a request as a phone sends it, with random g, Re, Rg and key."""
    values = {
        "GRQ": lambda: build.gatekeeper_request(number, ext, ras),
        "RRQ": lambda: build.registration_request(number, ext, ras, ras, life),
        "keepAlive": lambda: build.keep_alive(number, identifier, ras, ras, life),
        "URQ": lambda: build.unregistration_request(number, identifier, ras, None),
        "UCF": lambda: build.unregistration_confirm(number),
    }
    elements = {profile.RE: os.urandom(16)}
    if kind != "GRQ":
        elements[profile.RG] = os.urandom(16)
    if kind in ("GRQ", "RRQ"):
        elements.update({profile.G: os.urandom(16), profile.CVM_ID: os.urandom(3)})
    return profile.seal(name_of(kind), values[kind](), elements, suite, os.urandom(suite.key))


def name_of(kind):
    return {"GRQ": GRQ, "RRQ": RRQ, "keepAlive": RRQ, "URQ": URQ, "UCF": UCF}[kind]


KINDS = ("GRQ", "RRQ", "keepAlive", "URQ", "UCF")


def outcome(decode, octets):
    """Return what a decoder makes of octets, an error as its text."""
    try:
        message = decode(octets)
    except RemoteProtocolError as error:
        return str(error)
    return message.kind, message.value, message.octets, message.icv


def parts(codec, message):
    """Return what a codec says of a message besides its value, an error as its text."""
    said = [codec.is_plain(message) if message.kind in (GRQ, RRQ) else None]
    for ask in (codec.elements, codec.suite_of, codec.extension):
        try:
            said.append(ask(message))
        except (RemoteProtocolError, KeyError) as error:
            said.append(str(error))
    brief = codec.brief(message)
    scalars = ("requestSeqNum", "keepAlive", "timeToLive", "endpointIdentifier")
    return [*said, *[brief.get(name) for name in scalars]]


def learned(*messages):
    shapes = Shapes()
    for octets in messages:
        shapes.learn(decode_message(octets))
    return shapes


@pytest.mark.parametrize("suite", [SHA1, SHA256], ids=lambda suite: suite.name)
@pytest.mark.parametrize("kind", KINDS)
def test_every_bit_flipped_and_every_length_decode_alike(kind, suite):
    octets = request(kind, suite)
    shapes = learned(octets)
    assert isinstance(shapes.decode(octets), Shaped)
    covered = 0
    host, core = HostCodec(), Codec()
    host.shapes = shapes
    for at in range(8 * len(octets)):
        flipped = bytearray(octets)
        flipped[at >> 3] ^= 1 << (at & 7)
        flipped = bytes(flipped)
        assert outcome(shapes.decode, flipped) == outcome(decode_message, flipped), at
        try:
            wanted = decode_message(flipped)
        except RemoteProtocolError:
            continue
        assert parts(host, host.decode(flipped)) == parts(core, wanted), at
        key = bytes(suite.key)
        assert host.verify(host.decode(flipped), suite, key) == core.verify(wanted, suite, key)
        try:
            covered += isinstance(shapes.decode(flipped), Shaped)
        except RemoteProtocolError:
            continue
    # g, Re, Rg and the ICV at the least are values, not shape.
    assert covered > 8 * (16 + suite.icv)
    for n in range(len(octets)):
        assert outcome(shapes.decode, octets[:n]) == outcome(decode_message, octets[:n])
        assert outcome(shapes.decode, octets + octets[:n]) == outcome(decode_message, octets + octets[:n])


@pytest.mark.parametrize("kind", KINDS)
def test_other_values_of_the_same_shape_are_covered(kind):
    shapes = learned(request(kind))
    for i in range(200):
        number = random.randrange(1, 65536)
        octets = request(
            kind,
            ext=str(random.randrange(100000, 1000000)),
            number=number,
            life=random.randrange(257, 65537),
            ras=(f"10.0.{i}.1", random.randrange(1, 65536)),
            identifier=os.urandom(8).hex(),
        )
        found = shapes.decode(octets)
        assert isinstance(found, Shaped), octets.hex()
        assert outcome(shapes.decode, octets) == outcome(decode_message, octets)


@pytest.mark.parametrize("suite", [SHA1, SHA256], ids=lambda suite: suite.name)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_known_by_shape_verifies_under_its_key_alone(kind, suite):
    host = HostCodec()
    for i in range(3):
        key = os.urandom(suite.key)
        octets, icv = encode_message(name_of(kind), decode_message(request(kind, suite)).value)
        sign(octets, icv, suite, key)
        message = host.decode(bytes(octets))
        assert isinstance(message, Shaped) == (i > 0)
        assert host.verify(message, suite, key)
        assert not host.verify(message, suite, os.urandom(suite.key))
        assert not host.verify(message, SHA1 if suite is SHA256 else SHA256, key)
        host.verified(message)


@pytest.mark.parametrize("ext", ["1", "12", "123", "1234567", "9" * 20])
def test_extensions_of_each_length(ext):
    shapes = learned(request("GRQ", ext=ext))
    octets = request("GRQ", ext="8" * len(ext))
    assert isinstance(shapes.decode(octets), Shaped)
    assert outcome(shapes.decode, octets) == outcome(decode_message, octets)


def test_splices_and_noise_decode_alike():
    pool = [
        request(kind, suite, ext) for kind in KINDS for suite in (SHA1, SHA256) for ext in ("12", "1234567")
    ]
    shapes = learned(*pool)
    draw = random.Random(6)
    for _ in range(4000):
        one, other = draw.choice(pool), draw.choice(pool)
        at = draw.randrange(len(one))
        octets = bytearray(one[:at] + other[at:])
        for _ in range(draw.randrange(4)):
            octets[draw.randrange(len(octets))] = draw.randrange(256)
        assert outcome(shapes.decode, bytes(octets)) == outcome(decode_message, bytes(octets)), octets.hex()


def test_the_table_is_bounded():
    shapes = Shapes()
    for life in (1, 300, 70000, 20000000):  # timeToLive in one to four octets
        for n in range(1, 21):
            for suite in (SHA1, SHA256):
                for kind in ("RRQ", "keepAlive"):
                    shapes.learn(decode_message(request(kind, suite, "7" * n, life=life)))
    assert 0 < len(shapes) <= MAX_SHAPES
    same = Shapes()
    base = request("UCF")
    for version in range(3 * MAX_OF_ONE_LENGTH):
        octets = bytearray(request("GRQ"))
        octets[octets.index(b"\x00\x08\x91\x4a\x00\x06") + 5] = version
        same.learn(decode_message(bytes(octets)))
    same.learn(decode_message(base))
    assert len(same) == MAX_OF_ONE_LENGTH + 1


def test_answers_are_octet_for_octet_the_cores():
    host, core = HostCodec(), Codec()
    others = ((), (("192.0.2.9", 1719),))
    for i in range(60):
        for suite in (SHA1, SHA256):
            key, number = os.urandom(suite.key), random.randrange(1, 65536)
            place, life = (f"192.0.2.{1 + i % 2}", 1719), (60, 300, 70000)[i % 3]
            elements = {profile.RE: os.urandom(16), profile.RG: os.urandom(16)}
            both = (elements, suite, key)
            one = (number, place, others[i % 2], *both)
            assert host.gatekeeper_confirm(*one) == core.gatekeeper_confirm(*one)
            one = (number, os.urandom(8).hex(), place, life, others[i % 2], *both)
            assert host.registration_confirm(*one) == core.registration_confirm(*one)
            elements[profile.SID] = os.urandom(16)
            assert host.registration_confirm(*one) == core.registration_confirm(*one)
            elements[profile.REFRESH] = b"\x01"
            assert host.registration_confirm(*one) == core.registration_confirm(*one)
            one = (number, {profile.RE: os.urandom(16), profile.RG: os.urandom(16)}, suite, key)
            assert host.unregistration_confirm(*one) == core.unregistration_confirm(*one)
