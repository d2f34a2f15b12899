"""Logging in and out: what a user does with keys and sees on the display."""


def test_first_log_in(phone, keyserver, gatekeeper):
    ext, pin = phone.user
    phone.power_on()
    assert phone.wait_boot()["store"] == "fresh"
    phone.log_in(ext, pin)
    keys = phone.expect_event("key-file")
    for way, message in (("out", "GRQ"), ("in", "GCF"), ("out", "RRQ"), ("in", "RCF")):
        phone.expect_event("ras", way=way, message=message)
    phone.expect_event("registered", ext=ext)
    phone.expect_event("commit", ok=True)
    assert "PSK" in phone.expect_event("channel", state="open")["cipher"]
    phone.expect_display(f"^Registered\n{ext}")
    assert phone.state == "registered"
    assert keyserver.expect("key_issued", ext=ext)["g"] == keys["g"]
    compared = gatekeeper.expect("check_value_compared", ext=ext)
    assert (compared["same"], compared["cvm"]) == (True, [keys["cvm"]])
    gatekeeper.expect("channel_open", ext=ext)
