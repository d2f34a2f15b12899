"""Two phones at one gatekeeper."""


def test_two_phones_register_at_the_same_time(phone, phone2, gatekeeper, site):
    for one in (phone, phone2):
        one.transition("prompting")
    for one in (phone, phone2):
        one.log_in(*one.user)
    for one in (phone, phone2):
        one.expect_display(f"^Registered\n{one.user[0]}")
        gatekeeper.expect("channel_open", ext=one.user[0])
    assert {phone.user[0], phone2.user[0]} <= {held["ext"] for held in site.registrations()}


def test_one_takes_the_others_extension_over_and_the_first_is_told(phone, phone2, gatekeeper, site):
    phone.transition("registered")
    phone2.user = phone.user
    gatekeeper.mark()
    phone2.transition("registered")
    phone.expect_event("ras", way="in", message="URQ")
    phone.expect_event("ras", way="out", message="UCF")
    phone.expect_display("^Gatekeeper has\nlogged you out")
    phone.expect_display("^Extension:")
    gatekeeper.expect("registration_ended", ext=phone.user[0], reason="undefinedReason")
    assert phone2.state == "registered"
    held = [h for h in site.registrations() if h["ext"] == phone.user[0]]
    assert len(held) == 1
    assert held[0]["channel"] is not None
    # And back: each has keys of its own for it.
    phone.log_in(*phone.user)
    phone.expect_display(f"^Registered\n{phone.user[0]}")
    phone2.expect_display("^Gatekeeper has\nlogged you out")
