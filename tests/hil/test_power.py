"""Power cuts at every moment, reboots, and a phone that was in a drawer."""

import os
from pathlib import Path

import pytest
from harness.errors import HarnessError

REBOOTS = 100
CUTS = 24  # at the commit
MESSAGES = ("GRQ", "GCF", "RRQ", "RCF")
FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


def test_a_power_cut_while_keying_in(phone):
    phone.transition("prompting")
    phone.press(phone.user[0] + "#")
    phone.expect_display("^PIN:")
    phone.press("12", secret=True)
    phone.expect_display("^PIN:\n\\.\\.$")
    assert phone.reset()["store"] == "fresh"
    phone.transition("registered")


@pytest.mark.parametrize("phase", ["fetching", *MESSAGES, "opening", "registered"])
def test_a_power_cut_at_the_first_log_in(phone, relay, phase):
    phone.transition("prompting")
    cut_at(phone, relay, phase)
    boot = phone.reset()
    assert boot["store"] == ("provisioned" if phase in ("opening", "registered") else "fresh")
    relay.clear()
    phone.transition("registered")


@pytest.mark.parametrize("phase", [*MESSAGES, "opening"])
def test_a_power_cut_with_keys_in_the_store(phone, relay, phase):
    phone.transition("registered")
    phone.power_cut()
    cut_at(phone, relay, phase)
    assert phone.reset()["store"] == "provisioned"
    relay.clear()
    phone.expect_display("^Registered\n(?!opening)")


def cut_at(phone, relay, phase):
    """Bring it on its way and cut its power when it has come this far."""
    waits = {"fetching": relay.files, "opening": relay.signalling}
    if phase in waits:
        count = waits[phase].connections + 1
        waits[phase].stall()
        go(phone)
        waits[phase].wait(count)
        phone.drain()
    elif phase == "registered":
        go(phone)
        phone.expect_display("^Registered\n(?!opening)")
    else:
        held = relay.ras.hold(phase)
        go(phone)
        held.wait()
    phone.power_cut()


def go(phone):
    if phone.is_on:
        phone.log_in(*phone.user)
    else:
        phone.power_on()


def test_a_power_cut_at_the_commit_leaves_the_old_keys_or_the_new_ones(phone, relay, site):
    """Cut at many moments from RCF's arrival on: before, within and after the write."""
    users = [site.user() for _ in range(2)]
    stored = None  # whose keys are in the store
    found = set()
    # On a machine that is busy the write comes later: cuts go on, ever later, until one was after it.
    delays = [number * 0.0005 for number in range(CUTS)] + [0.02 * 2**step for step in range(8)]
    for number, delay in enumerate(delays):
        if number >= CUTS and stored is not None:
            break
        user = users[number % 2]
        phone.transition("prompting")  # which erases: so the commit goes over an erased store
        phone.user = (user.ext, user.pin)
        seen = relay.ras.watch("RCF")
        phone.log_in(*phone.user)
        seen.wait()
        # From the network's side, 0 to 12 ms later at first: the write takes about one.
        try:
            phone.stream.find_event(lambda e: False, delay)
        except HarnessError:
            raise AssertionError("unreachable") from None
        phone.power_cut()
        store = phone.reset()["store"]
        found.add(store)
        assert store in ("fresh", "provisioned"), "never half of it"
        if store == "provisioned":
            stored = user.ext
            phone.expect_display(f"^Registered\n{stored}")
    assert stored is not None
    assert "provisioned" in found


def test_a_hundred_reboots(phone, keyserver, gatekeeper, site):
    phone.transition("registered")
    free = []
    for _ in range(REBOOTS):
        assert phone.reset()["store"] == "provisioned"
        phone.expect_event("registered", ext=phone.user[0])
        free.append(phone.expect_event("memory")["free"])
        phone.expect_display("^Registered\n(?!opening)")
    assert max(free) - min(free) < 4096, "each boot has the same memory"
    assert len([e for e in keyserver.log if e["event"] == "key_issued"]) == 1
    assert [held["ext"] for held in site.registrations()].count(phone.user[0]) == 1
    assert len([e for e in gatekeeper.log if e["event"] == "channel_open"]) == REBOOTS + 1


def test_a_phone_that_comes_back_after_a_week(case, gatekeeper, keyserver):
    """Its registration is forgotten, its clock a week on (libfaketime): it needs no new keys."""
    phone = case.unix_phone()
    if FAKETIME is None:
        pytest.skip("no libfaketime: apt-get install faketime")
    phone.transition("registered")
    phone.power_cut()
    gatekeeper.restart()
    keyserver.mark()
    phone.power.environment.update(LD_PRELOAD=str(FAKETIME), FAKETIME="+7d")
    assert phone.reset()["store"] == "provisioned"
    phone.expect_display(f"^Registered\n{phone.user[0]}")
    assert [e for e in keyserver.log if e["event"] == "key_issued"] == []


def test_a_phone_whose_clock_has_passed_the_certificate(case, site):
    """A week on, the key server's certificate of three days has expired; stored keys still do."""
    phone = case.unix_phone()
    if FAKETIME is None:
        pytest.skip("no libfaketime: apt-get install faketime")
    from datetime import timedelta

    from ringkey.site import ca

    root = ca.load((site.path / "ca/root.crt").read_bytes(), (site.path / "ca/root.key").read_bytes())
    pair = ca.server(root, (site.host, "localhost"), timedelta(days=3))
    site.certificate(pair.certificate_pem(), pair.key_pem())
    site.keyserver.restart()
    phone.transition("registered")
    phone.power.environment.update(LD_PRELOAD=str(FAKETIME), FAKETIME="+7d")
    assert phone.reset()["store"] == "provisioned"
    phone.expect_display("^Registered\n(?!opening)")
    phone.transition("prompting")
    phone.log_in(*phone.user)
    phone.expect_display("^Key server cert\nhas expired")


def test_no_keys_are_left_where_others_can_read_them(case):
    phone = case.unix_phone()
    phone.transition("registered")
    for path in (phone.settings.parent / "state").iterdir():
        assert os.stat(path).st_mode & 0o077 == 0
