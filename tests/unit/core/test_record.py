"""The octets of what a phone keeps (ras/record_octets.py)."""

from ras.errors import RemoteProtocolError
from ras.keys import MAX_EXT, MAX_PIN, SHA1, SHA256
from ras.record import MAX_GATEKEEPERS, Record
from ras.record_octets import MAX_RECORD, decode, encode

from support import raises

G = bytes(range(16))
CVM = b"\x01\x02\x03"
GATEKEEPERS = (("gk.example", 1719), ("10.0.0.2", 65535))


def record(suite=SHA256, ext="1001", pin="4711", gatekeepers=GATEKEEPERS, fill=7):
    return Record(
        ext, pin, suite, G, bytes([fill]) * suite.key, CVM, bytes([fill + 1]) * suite.key, gatekeepers
    )


def test_a_record_comes_back():
    for suite in (SHA1, SHA256):
        for gatekeepers in ((), GATEKEEPERS, (("h" * 255, 1),) * MAX_GATEKEEPERS):
            before = record(suite, gatekeepers=gatekeepers)
            after = decode(encode(before))
            assert after == before
            assert (after.ext, after.pin, after.suite, after.g) == ("1001", "4711", suite, G)
            assert (after.kg, after.cvm, after.ka) == (before.kg, CVM, before.ka)
            assert after.gatekeepers == gatekeepers


def test_the_layout_is_fixed():
    assert encode(record(SHA1, "12", "34", (("a", 0x1234),))) == (
        b"\x01\x01\x0212\x0234" + G + b"\x07" * 16 + CVM + b"\x08" * 16 + b"\x01\x01a\x12\x34"
    )


def test_the_longest_is_within_the_limit():
    longest = record(SHA256, "9" * MAX_EXT, "9" * MAX_PIN, (("h" * 255, 1),) * MAX_GATEKEEPERS)
    assert len(encode(longest)) == MAX_RECORD


def test_its_repr_shows_no_secret():
    text = repr(record(ext="1001", pin="83614"))
    assert "1001" in text
    for secret in ("83614", "0707", "0808", "\\x07"):
        assert secret not in text


def test_fields_out_of_range_are_not_written():
    for bad in (
        record(ext=""),
        record(ext="1" * (MAX_EXT + 1)),
        record(pin="12a4"),
        record(gatekeepers=(("", 1),)),
        record(gatekeepers=(("h" * 256, 1),)),
        record(gatekeepers=(("h", 0),)),
        record(gatekeepers=(("h", 65536),)),
        record(gatekeepers=GATEKEEPERS * 5),
        Record("1", "2", SHA1, G, bytes(15), CVM, bytes(16), ()),
        Record("1", "2", SHA1, G, bytes(16), CVM, bytes(32), ()),
        Record("1", "2", SHA1, G[:15], bytes(16), CVM, bytes(16), ()),
    ):
        with raises(ValueError):
            encode(bad)


def test_cut_off_or_with_more_behind_is_none():
    data = encode(record())
    for end in range(len(data)):
        with raises(RemoteProtocolError):
            decode(data[:end])
    with raises(RemoteProtocolError):
        decode(data + b"\0")


def test_any_octet_changed_is_another_record_or_none():
    data = encode(record(SHA1, "12", "34", (("ab", 1719),)))
    original = decode(data)
    for at in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            changed = bytearray(data)
            changed[at] ^= flip
            try:
                found = decode(bytes(changed))
            except RemoteProtocolError as error:
                found = None
                shown = str(error)
                assert "34" not in shown
            assert found != original


def test_another_version_or_suite_is_none():
    data = encode(record())
    for head in (b"\x00\x02", b"\x02\x02", b"\x01\x00", b"\x01\x03"):
        with raises(RemoteProtocolError):
            decode(head + data[2:])
