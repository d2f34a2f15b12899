"""Replay memory and throttle (protocol.md section 5)."""

from ras.replay import Recent
from ras.throttle import Throttle, network_of


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
