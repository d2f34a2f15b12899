"""The prompt for extension and PIN (phone/prompt.py)."""

from phone.prompt import IDLE, Prompt
from phone.screen import COLUMNS
from ras.keys import MAX_EXT, MAX_PIN


def pressed(keys, now=0):
    prompt = Prompt()
    for key in keys:
        prompt.key(key, now)
    return prompt


def test_it_asks_for_extension_then_pin():
    prompt = Prompt()
    assert prompt.lines == ("Extension:", "")
    prompt = pressed("1001")
    assert prompt.lines == ("Extension:", "1001")
    prompt = pressed("1001#")
    assert prompt.lines == ("PIN:", "")
    prompt = pressed("1001#471")
    assert prompt.lines == ("PIN:", "...")
    assert prompt.next_event() is None
    prompt = pressed("1001#4711#")
    assert prompt.next_event() == ("entered", "1001", "4711")
    assert prompt.next_event() is None
    assert prompt.lines == ("Extension:", "")
    assert prompt.get_timer() is None


def test_star_rubs_out():
    assert pressed("12*3").lines == ("Extension:", "13")
    assert pressed("12***").lines == ("Extension:", "")
    assert pressed("12#34*").lines == ("PIN:", ".")
    # From an empty PIN back to the extension.
    assert pressed("12#3**").lines == ("Extension:", "12")
    prompt = pressed("12#3**3#45#")
    assert prompt.next_event() == ("entered", "123", "45")


def test_an_empty_enter_stays():
    assert pressed("#").lines == ("Extension:", "")
    assert pressed("12##").lines == ("PIN:", "")
    assert pressed("12##").next_event() is None


def test_at_the_limit_it_says_so():
    prompt = pressed("9" * MAX_EXT)
    assert prompt.lines == ("Extension:", "9" * COLUMNS)
    prompt.key("1", 0)
    assert prompt.lines == ("At most 20", "9" * COLUMNS)
    prompt.key("*", 0)
    assert prompt.lines[0] == "Extension:"
    prompt = pressed("1#" + "5" * MAX_PIN)
    assert prompt.lines == ("PIN:", "." * MAX_PIN)
    prompt.key("5", 0)
    assert prompt.lines == ("At most 16", "." * MAX_PIN)
    prompt.key("#", 0)
    assert prompt.next_event() == ("entered", "1", "5" * MAX_PIN)


def test_a_long_extension_shows_its_end():
    assert pressed("12345678901234567890").lines == ("Extension:", "5678901234567890")


def test_idle_returns_to_the_start():
    prompt = Prompt()
    assert prompt.get_timer() is None
    prompt.key("1", 1000)
    prompt.key("#", 2000)
    assert prompt.get_timer() == 2000 + IDLE
    prompt.handle_timer(1999 + IDLE)
    assert prompt.lines == ("PIN:", "")
    prompt.handle_timer(2000 + IDLE)
    assert prompt.lines == ("Extension:", "")
    assert prompt.get_timer() is None
    # Nothing of what was keyed in is left.
    for key in "7#8#":
        prompt.key(key, 999999)
    assert prompt.next_event() == ("entered", "7", "8")


def test_rubbed_out_to_nothing_is_not_idle():
    assert pressed("1*").get_timer() is None


def test_a_held_star_logs_out_from_anywhere():
    for before in ("", "10", "10#", "10#22"):
        prompt = pressed(before + "L")
        assert prompt.next_event() == ("log-out",)
        assert prompt.next_event() is None
        assert prompt.lines == ("Extension:", "")


def test_other_keys_are_ignored():
    prompt = Prompt()
    for key in ("A", "", "12", "\x00", "l", "²"):
        prompt.key(key, 5)
    assert prompt.lines == ("Extension:", "")
    assert prompt.get_timer() is None


def test_the_pin_is_never_shown():
    prompt = pressed("1001#")
    for key in "83614":
        prompt.key(key, 0)
        assert "8" not in "".join(prompt.lines)
        assert "8" not in repr(prompt)
    for line in prompt.lines:
        assert len(line) <= COLUMNS
