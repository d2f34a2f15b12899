"""Transport addresses."""

from ras import address
from ras.errors import LocalProtocolError

from support import raises


def test_both_families_round_trip():
    for host in ("192.0.2.1", "0.0.0.0", "2001:db8:0:0:0:0:0:1"):
        assert address.from_transport(address.to_transport((host, 1719))) == (host, 1719)
    assert address.ip_octets("::1") == bytes(15) + b"\x01"
    assert address.ip_octets("fe80::") == b"\xfe\x80" + bytes(14)


def test_names_and_nonsense_are_refused():
    for host in ("gk.example", "1.2.3", "1.2.3.256", "1.2.3.1000", "1::2::3", "12345::", "::g", ":", ""):
        with raises(ValueError):
            address.ip_octets(host)
    with raises(LocalProtocolError):
        address.to_transport(("gk.example", 1))


def test_strange_addresses_are_none():
    assert address.from_transport(("netBios", bytes(16))) is None
    assert address.from_transport(("ipAddress", {"ip": bytes(4), "port": 0})) is None


def test_alternates_come_by_priority():
    entries = address.to_alternates((("192.0.2.1", 1), ("192.0.2.2", 2), ("192.0.2.3", 3)))
    entries.reverse()
    assert address.alternates(entries, 2) == (("192.0.2.1", 1), ("192.0.2.2", 2))
