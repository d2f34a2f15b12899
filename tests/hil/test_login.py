"""Logging in and out: what a user does with the keys and sees on the display."""

import pytest

SILENCE = 40.0  # s: three tries take 14 to 17.5 s (protocol.md section 6)


def test_first_log_in(phone, keyserver, gatekeeper):
    ext, pin = phone.user
    phone.transition("prompting")
    phone.log_in(ext, pin)
    keys = phone.expect_event("key-file")
    for way, message in (("out", "GRQ"), ("in", "GCF"), ("out", "RRQ"), ("in", "RCF")):
        phone.expect_event("ras", way=way, message=message)
    phone.expect_event("registered", ext=ext)
    phone.expect_event("commit", ok=True)
    assert "PSK" in phone.expect_event("channel", state="open")["cipher"]
    phone.expect_display(f"^Registered\n{ext}")
    assert keyserver.expect("key_issued", ext=ext)["g"] == keys["g"]
    compared = gatekeeper.expect("check_value_compared", ext=ext)
    assert (compared["same"], compared["cvm"]) == (True, [keys["cvm"]])
    gatekeeper.expect("channel_open", ext=ext)


def test_a_reboot_needs_no_key_server(phone, keyserver, gatekeeper):
    phone.transition("registered")
    keyserver.stop()
    gatekeeper.mark()
    assert phone.reset()["store"] == "provisioned"
    phone.expect_display(f"^Registered\n{phone.user[0]}")
    again = gatekeeper.expect("registered", ext=phone.user[0])
    assert again["replaces"] is not None, "the registration before the reboot"


def test_logging_out_ends_the_registration_and_forgets_the_keys(phone, gatekeeper, site):
    phone.transition("registered")
    phone.press("L")
    phone.expect_event("erase", ok=True)
    phone.expect_event("ras", way="out", message="URQ")
    phone.expect_event("ras", way="in", message="UCF")
    phone.expect_display("^Extension:")
    gatekeeper.expect("registration_ended", ext=phone.user[0], reason="logged out")
    assert phone.user[0] not in [held["ext"] for held in site.registrations()]
    assert phone.reset()["store"] == "fresh"
    phone.expect_display("^Extension:")


def test_another_extension_on_the_same_phone(phone, gatekeeper, site):
    phone.transition("registered")
    first = phone.user[0]
    user = site.user()
    phone.user = (user.ext, user.pin)
    phone.transition("registered")
    assert phone.display == ("Registered", user.ext)
    gatekeeper.expect("registration_ended", ext=first)
    assert phone.reset()["store"] == "provisioned"
    phone.expect_display(f"^Registered\n{user.ext}")


def test_a_wrong_pin_and_then_the_right_one(phone, gatekeeper):
    ext, pin = phone.user
    phone.transition("prompting")
    phone.log_in(ext, phone.wrong_pin)
    gatekeeper.expect("dropped", reason="GRQ: wrong ICV")
    phone.expect_display("^Log-in failed", SILENCE)
    answers = [e for e in phone.events if e["e"] == "ras" and e["way"] == "in"]
    assert answers == [], "silence is all that a wrong PIN gets"
    phone.expect_display("^Extension:")
    phone.log_in(ext, pin)
    phone.expect_display(f"^Registered\n{ext}")


def test_an_extension_that_nobody_knows(phone, gatekeeper):
    phone.transition("prompting")
    phone.log_in("987654", "1234567")
    phone.expect_event("ras", way="in", message="GRJ")
    phone.expect_display("Gatekeeper: ext.\nis not known")
    gatekeeper.expect("refused", ext="987654", reason="unknown extension")
    phone.expect_display("^Extension:")
    assert phone.reset()["store"] == "fresh", "nothing was stored"


def test_transitions_go_from_any_state_to_any_and_may_be_repeated(phone):
    for state in ("off", "booted", "registered", "prompting", "provisioned", "off", "registered"):
        for _ in range(2):
            phone.transition(state)
            assert phone.state in (state, "registered", "prompting", "provisioned")
    assert phone.state == "registered"
    before = len(phone.events)
    phone.transition("registered")
    assert phone.events[before:] == [], "nothing is done where nothing is to be done"


@pytest.mark.parametrize("keys", ["12*", "1234567L", "123#45", "123#45L"])
def test_what_is_half_typed_leads_nowhere(phone, keyserver, keys):
    phone.transition("prompting")
    phone.press(keys)
    phone.press("L")
    phone.expect_display("^Extension:\n$")
    phone.transition("registered")
    assert [e["ext"] for e in keyserver.log if e["event"] == "key_issued"] == [phone.user[0]]
