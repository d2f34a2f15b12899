"""Replay memory and throttle (protocol.md section 5)."""

from ras.replay import Erasable, Nonces, Recent
from ras.throttle import Throttle, network_of

from support import Random


def test_recent_forgets_by_age_and_by_number():
    recent = Recent(3, 100)
    for i in range(4):
        recent.put(i, "v%d" % i, i)
    assert recent.get(0, 4) is None
    assert recent.get(1, 4) == "v1"
    assert recent.get(1, 101) is None
    assert recent.get(3, 102) == "v3"
    assert len(recent) == 1
    recent.put(3, "new", 102)
    assert recent.get(3, 102) == "new"
    assert recent.get(3, 103) is None


def test_recent_without_a_span_keeps_until_full():
    recent = Recent(2, None)
    recent.put("a", 1, 0)
    assert recent.get("a", 10**12) == 1
    recent.put("b", 1, 1)
    recent.put("c", 1, 2)
    assert recent.get("a", 3) is None


def test_what_is_taken_out_leaves_the_order_of_the_others():
    random = Random(11)
    table = Erasable(20)
    there = []  # [key, value], oldest first
    for n in range(4000):
        key = random(1)[0] % 40
        if random(1)[0] < 110:
            table.take(key)
            there = [one for one in there if one[0] != key]
        else:
            known = [one for one in there if one[0] == key]
            if known:
                known[0][1] = n
            else:
                there.append([key, n])
            table.put(key, n, 0)
            # One that was taken out may still have its place for a while, so that another goes early.
            gone = [one for one in there if one[0] not in table._entries]
            assert gone in ([], there[:1]), "the oldest"
            there = there[len(gone) :]
        assert [(one, table.get(one, 0)) for one, _ in there] == [(one, value) for one, value in there]
        assert len(table) == len(there) <= 20
        assert len(table._order) <= 20
        if n % 100 == 0:
            assert table.keys() == [one for one, _ in there]
    full = Erasable(200)
    for n in range(300):
        full.put(n, n, 0)
        if n < 100:
            full.take(n)
    assert full.keys() == list(range(100, 300)), "nobody goes for the sake of those that were taken out"
    for n in range(1000, 9000):
        full.put(n, n, 0)
        full.take(n)
    assert len(full._order) <= 2 * len(full) + 64


def test_a_nonce_is_of_each_kind_of_request_by_itself():
    seen = Nonces(3, ("GRQ", "RRQ"))
    seen.add("GRQ", b"a")
    assert seen.has("GRQ", b"a")
    assert not seen.has("RRQ", b"a")
    seen.add("RRQ", b"b")
    assert seen.has("RRQ", b"b")
    assert not seen.has("GRQ", b"b")
    seen.add("RRQ", b"a")
    seen.add("GRQ", b"c")
    assert seen.pairs() == [("GRQ", b"a"), ("RRQ", b"a"), ("RRQ", b"b"), ("GRQ", b"c")]
    seen.add("GRQ", b"d")
    assert not seen.has("GRQ", b"a")
    assert not seen.has("RRQ", b"a")
    assert seen.has("RRQ", b"b")
    assert len(seen) == 3


def test_of_a_nonce_fifteen_octets_are_remembered():
    seen = Nonces(3, ("GRQ", "RRQ"))
    seen.add("GRQ", bytes(16))
    assert seen.has("GRQ", bytes(15) + b"x")
    assert not seen.has("GRQ", bytes(14) + b"xx")
    for kind, nonce in seen.pairs():
        again = Nonces(3, ("GRQ", "RRQ"))
        again.add(kind, nonce)
        assert again.has("GRQ", bytes(16))


def test_a_ban_doubles_up_to_its_longest():
    throttle = Throttle(limit=3, window=10000, first=1000, longest=4000)
    now = 0
    for _ in range(2):
        throttle.failed("x", now)
        assert not throttle.ignores("x", now)
    bans = []
    for _ in range(5):
        throttle.failed("x", now)
        ban = 0
        while throttle.ignores("x", now + ban):
            ban += 500
        bans.append(ban)
        now += ban
    assert bans == [1000, 2000, 4000, 4000, 4000]
    assert not throttle.ignores("y", 0)


def test_failures_are_forgotten_after_the_window_or_a_success():
    throttle = Throttle(limit=3, window=10000, first=1000, longest=4000)
    throttle.failed("x", 0)
    throttle.failed("x", 1)
    throttle.failed("x", 10002)
    assert not throttle.ignores("x", 10002)
    throttle.failed("y", 0)
    throttle.failed("y", 0)
    throttle.succeeded("y", 0)
    throttle.failed("y", 0)
    assert not throttle.ignores("y", 0)
    throttle.succeeded("nobody", 0)


def test_networks():
    assert network_of("192.0.2.77") == network_of("192.0.2.1") != network_of("192.0.3.1")
    assert network_of("2001:db8::1") == network_of("2001:db8:0:0:5::9") != network_of("2001:db8:1::")
