"""TPKT frames: whole, in pieces, and what is refused."""

from ras.errors import LocalProtocolError, RemoteProtocolError
from ras.tpkt import MAX_PAYLOAD, Deframer, encode

from support import raises


def test_frame_of_rfc1006():
    assert encode(b"abc") == b"\x03\x00\x00\x07abc"
    assert encode(b"") == b"\x03\x00\x00\x04"


def test_round_trip_in_one_piece_and_in_octets():
    payloads = [b"a", b"", b"x" * 300, b"last"]
    stream = b"".join([encode(p) for p in payloads])
    assert Deframer(300).receive(stream) == payloads
    d = Deframer(300)
    got = []
    for i in range(len(stream)):
        got += d.receive(stream[i : i + 1])
    assert got == payloads


def test_limits():
    assert Deframer(MAX_PAYLOAD).receive(encode(b"x" * MAX_PAYLOAD)) == [b"x" * MAX_PAYLOAD]
    with raises(LocalProtocolError):
        encode(b"x" * (MAX_PAYLOAD + 1))
    with raises(RemoteProtocolError):
        Deframer(10).receive(b"\x03\x00\x00\x0f")  # by the header alone
    assert Deframer(10).receive(encode(b"x" * 10)) == [b"x" * 10]


def test_refused_and_never_found_again():
    for bad in (b"\x02\x00\x00\x07", b"\x03\x00\x00\x03", b"\x00\x00\x00\x00", b"GET "):
        d = Deframer(100)
        with raises(RemoteProtocolError):
            d.receive(bad)
        with raises(RemoteProtocolError):
            d.receive(encode(b"good"))


def test_reserved_octet_is_not_judged():
    assert Deframer(10).receive(b"\x03\xff\x00\x05x") == [b"x"]
