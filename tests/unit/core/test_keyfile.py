"""The key file, as section 3 of protocol.md has it."""

from ras import hostport, keyfile, keys
from ras.address import join_address
from ras.errors import RemoteProtocolError

from support import raises

KEYS = keyfile.KeyFile(
    keys.SHA256,
    bytes(range(16)),
    bytes(range(32)),
    b"\x01\x02\x03",
    (("gk.example", 1719), ("192.0.2.7", 17190)),
)
TEXT = b"""VERSION 1
SUITE sha256
G 000102030405060708090a0b0c0d0e0f
KG 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
CVM 010203
GATEKEEPER gk.example:1719
GATEKEEPER 192.0.2.7:17190
"""


def same(a, b):
    return (a.suite, a.g, a.kg, a.cvm, a.gatekeepers) == (b.suite, b.g, b.kg, b.cvm, b.gatekeepers)


def test_it_is_written_as_published():
    assert keyfile.encode(KEYS).encode() == TEXT


def test_it_reads_back():
    assert same(keyfile.decode(TEXT), KEYS)


def test_comments_unknown_names_blank_lines_and_crlf_are_passed_over():
    text = b"# made today\r\n\r\nCOLOUR blue\r\n" + TEXT.replace(b"\n", b"\r\n") + b"LATER 2\n"
    assert same(keyfile.decode(text), KEYS)


def test_no_gatekeeper_is_allowed():
    assert keyfile.decode(b"\n".join(TEXT.split(b"\n")[:5])).gatekeepers == ()


def test_sha1_has_shorter_keys():
    text = TEXT.replace(b"sha256", b"sha1").replace(b"101112131415161718191a1b1c1d1e1f", b"")
    assert keyfile.decode(text).kg == bytes(range(16))


def test_what_is_wrong_is_refused_and_named_without_its_value():
    lines = TEXT.split(b"\n")
    for i in range(5):
        name = lines[i].split()[0].decode()
        for bad in (
            b"\n".join(lines[:i] + lines[i + 1 :]),  # missing
            TEXT + lines[i] + b"\n",  # twice
            TEXT.replace(lines[i], name.encode() + b" zz"),
            TEXT.replace(lines[i], name.encode()),
            TEXT.replace(lines[i], lines[i] + b"00"),
        ):
            with raises(RemoteProtocolError) as caught:
                keyfile.decode(bad)
            assert name in str(caught.value)
            assert "1011121314" not in str(caught.value)


def test_absurd_sizes_and_addresses_are_refused():
    for bad in (b"#" * (keyfile.MAX_FILE + 1), b"\xff\xfe" + TEXT):
        with raises(RemoteProtocolError):
            keyfile.decode(bad)
    for address in (
        b"gk",
        b"gk:",
        b"gk:0",
        b"gk:65536",
        b":1719",
        b"g k:1",
        b"[::1",
        b"[::1]1719",
        b"h" * 300 + b":1",
    ):
        with raises(RemoteProtocolError):
            keyfile.decode(TEXT + b"GATEKEEPER " + address + b"\n")


def test_gatekeepers_beyond_the_limit_are_passed_over():
    text = TEXT + b"GATEKEEPER gk.example:1719\n" * 20
    assert len(keyfile.decode(text).gatekeepers) == keyfile.MAX_GATEKEEPERS


def test_addresses():
    assert hostport.split_address("[2001:db8::1]:1719") == ("2001:db8::1", 1719)
    assert hostport.split_address("gk", 1719) == ("gk", 1719)
    assert join_address("2001:db8::1", 1719) == "[2001:db8::1]:1719"


def test_its_repr_shows_no_key():
    assert "10111213" not in repr(KEYS)
