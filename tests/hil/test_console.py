"""The console: events for programs, keys, the display; garbage; and what production shows."""

import random

from phone.events import FIELDS

FLOOD = 6_000  # octets: half a second at 115200 baud


def garbage(seed, without):
    """Octets of noise, none of which ends or logs out a phone."""
    rng = random.Random(seed)
    return "".join(c for c in map(chr, rng.choices(range(256), k=FLOOD)) if c not in without)


def test_garbage_at_the_prompt(phone, keyserver):
    """Whatever digits are in it, the prompt holds; a held * clears it, and the user logs in."""
    phone.transition("prompting")
    phone.press(garbage(1, "\x03\x04#\r\n"))
    phone.drain()  # a board's UART holds 256 octets, and loses what comes while it is full
    phone.press("L")
    phone.expect_display("^Extension:\n$", 60)
    phone.log_in(*phone.user)
    phone.expect_display("^Registered\n(?!opening)")
    assert [e["ext"] for e in keyserver.log if e["event"] == "key_issued"] == [phone.user[0]]


def test_garbage_while_registered(phone, gatekeeper):
    phone.transition("registered")
    phone.press(garbage(2, "\x03\x04Ll"))
    phone.drain()
    gatekeeper.mark()
    gatekeeper.expect("kept_alive", ext=phone.user[0])
    assert phone.state == "registered"
    phone.press("L")
    phone.expect_display("^Extension:", 60)


def test_events_say_what_their_table_allows_and_nothing_else(phone):
    phone.transition("registered")
    phone.transition("prompting")
    phone.log_in("987654", phone.user[1])
    phone.expect_display("is not known")
    assert {"boot", "display", "key-file", "ras", "registered", "commit", "channel"} <= {
        event["e"] for event in phone.events
    }
    allowed = {line.split()[0]: set(line.split()[1:]) for line in FIELDS.strip().splitlines()}
    for event in phone.events:
        assert set(event) - {"e"} <= allowed[event["e"]], event
    # That neither the PIN nor a key shows is looked for after each test, by the fixture `case`.


def test_an_image_of_production_takes_keys_and_shows_the_display_and_nothing_more(case, gatekeeper):
    phone = case.unix_phone(events=False)
    phone.power_on()
    phone.expect_display("^Extension:")
    phone.log_in(*phone.user)
    phone.expect_display(f"^Registered\n{phone.user[0]}")
    gatekeeper.expect("channel_open", ext=phone.user[0])
    phone.press("L")
    phone.expect_display("^Extension:")
    phone.expect_display("^Extension:") if not phone.display else None
    rest = phone.output
    for picture in phone.stream.pictures(0):
        for line in picture.lines:
            rest = rest.replace(f"| {line:<16} |", "", 1)
    assert rest.strip() == "", "nothing but the display"
    assert phone.events == []
    assert "\x1e" not in phone.output
