"""Rg: of each exchange another one, and the same for the same."""

from ras import server_nonce as module
from ras.server_nonce import server_nonce

KEY, G, RE = bytes(range(32)), b"g" * 16, b"r" * 16
HERE = ("192.0.2.1", 1719)


def made(key=KEY, source=HERE, ext="1001", g=G, re=RE, span=7):
    return server_nonce(key, source, ext, g, re, span)


def test_each_part_of_an_exchange_counts():
    other = (
        made(key=bytes(32)),
        made(source=("192.0.2.2", 1719)),
        made(source=("192.0.2.1", 1720)),
        made(ext="1002"),
        made(g=b"h" * 16),
        made(re=b"s" * 16),
        made(span=8),
        # What follows one on the other does not run together.
        made(source=("192.0.2.1", 17), ext="19 1001"),
        made(source=("192.0.2.1", 171), ext="91001"),
    )
    assert len(set(other + (made(),))) == 1 + len(other)
    assert made() == made()
    assert len(made()) == 16


def test_where_there_is_no_blake2s():
    there = module._blake2s
    with_it = made()
    module._blake2s = None
    try:
        without = made()
        assert len(without) == 16
        assert without == made() != made(span=8)
        assert (without == with_it) == (there is None)
    finally:
        module._blake2s = there
