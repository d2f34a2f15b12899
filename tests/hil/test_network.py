"""A bad network: datagrams that are lost, late, doubled, damaged, replayed; and none at all."""

import pytest
from harness import patience
from harness.errors import HarnessError
from harness.faults import DOWN, UP

SILENCE = 40.0  # s
ALIVE = ("RRQ-alive", "RCF-alive")
LOG_IN = ("GRQ", "GCF", "RRQ", "RCF")
LOG_OUT = ("URQ", "UCF")


def provoke(phone, site, kind):
    """Do what makes a message of this kind go over the network; return after what it leads to."""
    if kind in LOG_IN:
        phone.transition("registered")
    elif kind in ALIVE:
        phone.transition("registered")
        site.gatekeeper.mark()
        site.gatekeeper.expect("kept_alive", ext=phone.user[0])
        phone.expect_event("ras", SILENCE, way="in", message="RCF")
        assert phone.state == "registered"
    elif kind in LOG_OUT:
        phone.transition("registered")
        phone.press("L")
        phone.expect_display("^Extension:", SILENCE)
        site.gatekeeper.expect("registration_ended", ext=phone.user[0], reason="logged out")
    elif kind == "GRJ":
        phone.transition("prompting")
        phone.log_in("987654", "1234567")
        phone.expect_display("Gatekeeper: ext.\nis not known")
    else:
        raise AssertionError(kind)


@pytest.mark.parametrize("kind", [*LOG_IN, *ALIVE, *LOG_OUT, "GRJ"])
def test_a_message_that_is_lost_is_sent_again(phone, site, relay, kind):
    lost = relay.ras.drop(kind)
    provoke(phone, site, kind)
    assert len(lost.hits) == 1


@pytest.mark.parametrize("kind", [*LOG_IN, *ALIVE, *LOG_OUT, "GRJ"])
def test_a_message_that_is_damaged_is_as_good_as_lost(phone, site, relay, kind):
    damaged = relay.ras.corrupt(kind)
    provoke(phone, site, kind)
    assert len(damaged.hits) == 1


def test_a_release_that_is_damaged_is_sent_again(phone, site, relay):
    """URQ of the gatekeeper, and the phone's UCF."""
    phone.transition("registered")
    rules = [relay.ras.corrupt("URQ", way=DOWN), relay.ras.corrupt("UCF", way=UP)]
    assert site.end_registration(phone.user[0])
    phone.expect_display("^Gatekeeper has\nlogged you out")
    assert rules[1].wait().way == UP
    relay.ras.watch("UCF", way=UP).wait()
    assert rules[0].hits


@pytest.mark.parametrize("fault", ["late", "twice", "overtaken"])
def test_messages_that_are(phone, site, relay, fault):
    if fault == "late":
        relay.ras.delay(None, 0.4, times=None)
    elif fault == "twice":
        relay.ras.double(None, 0.05, times=None)
    else:
        relay.ras.reorder(None, times=None)
    phone.transition("registered")
    provoke(phone, site, "URQ")
    phone.transition("registered")


def test_a_network_that_loses_a_fifth_of_all(phone, site, relay):
    """One exchange in ten fails all three tries: then the user keys in once more, and that is all."""
    relay.ras.drop(None, times=None, chance=0.2)
    for _ in range(3):
        try:
            phone.transition("registered", SILENCE)
        except HarnessError:
            phone.transition("registered", SILENCE)
        phone.transition("prompting", SILENCE)


@pytest.mark.parametrize("kind", [*LOG_IN, *ALIVE, *LOG_OUT])
def test_a_message_that_is_replayed_does_nothing(phone, site, relay, gatekeeper, kind):
    """From elsewhere at once, and from the same place when the registration is another one."""
    provoke(phone, site, kind)
    phone.transition("registered")
    replayed = relay.ras.last(kind)
    before = len(phone.events)
    gatekeeper.mark()
    for _ in range(3):
        relay.ras.replay(replayed)
        relay.ras.replay(replayed, elsewhere=True)
    if replayed.way == UP:
        dropped = gatekeeper.expect("dropped")
        assert any(word in dropped["reason"] for word in ("replay", "Rg is not ours", "no such")), dropped
        assert [e for e in gatekeeper.log if e["event"] in ("registered", "registration_ended")] == []
    else:
        phone.expect_event("ras", way="in")
    gatekeeper.expect("kept_alive", ext=phone.user[0])
    assert phone.state == "registered"
    assert [e for e in phone.events[before:] if e["e"] in ("registered", "reason", "commit", "erase")] == []


@pytest.mark.parametrize("phase", ["fetching", *LOG_IN, "opening"])
def test_a_network_that_is_lost_and_comes_back(phone, relay, phase):
    """For 3 s from that moment on: nobody has to do anything about it."""
    phone.transition("prompting")
    ext, pin = phone.user
    phone.press(ext + "#")
    phone.expect_display("^PIN:")
    if phase in ("fetching", "opening"):
        target = relay.files if phase == "fetching" else relay.signalling
        count = target.connections + 1
        phone.press(pin + "#", secret=True)
        target.wait(count)
    else:
        rule = relay.ras.drop(phase)
        phone.press(pin + "#", secret=True)
        rule.wait()
    with relay.blackout(), patience.none(), pytest.raises(Exception, match="no display"):
        phone.expect_display("^Registered\n(?!opening)", 3)
    phone.expect_display("^Registered\n(?!opening)", SILENCE)


def test_a_network_that_is_lost_while_registered(phone, relay, gatekeeper):
    """Longer than the registration lives: the phone registers anew by itself."""
    phone.transition("registered")
    with relay.blackout():
        gatekeeper.expect("registration_ended", SILENCE, ext=phone.user[0], reason="ttlExpired")
    gatekeeper.mark()
    gatekeeper.expect("registered", SILENCE, ext=phone.user[0])
    phone.expect_display("^Registered\n(?!opening)", SILENCE)


def test_a_channel_that_is_cut_is_opened_again(phone, relay):
    phone.transition("registered")
    relay.signalling.cut()
    phone.expect_display("^Channel failed")
    phone.expect_event("channel", state="open")
    phone.expect_display("^Registered\n(?!opening)")
