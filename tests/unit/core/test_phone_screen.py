"""What is on the display (phone/screen.py, phone/words.py), events (phone/events.py), and the clock."""

import json

from phone import clock
from phone.events import MARK, Events, ras_kind
from phone.screen import COLUMNS, Screen
from phone.words import REASONS, STEPS, words


class Display:
    def __init__(self):
        self.shown = []

    def show(self, lines):
        self.shown.append(lines)


class Loose:
    def show(self, lines):
        raise OSError(19)


def told(events):
    """Return the events of what was written, each line checked for its form."""
    found = []
    for line in events:
        assert line[0] == MARK == chr(0x1E)
        assert line[-1] == "\n"
        assert "\n" not in line[:-1]
        found.append(json.loads(line[1:]))
    return found


def entries(table):
    """Return [name, first line, second line] of each entry."""
    lines = table.split("\n")
    assert lines[0] == lines[-1] == ""
    return [line.split("|") for line in lines[1:-1]]


def test_all_words_fit():
    # The widest things that are put into them: an extension of 16 shown digits is cut, a
    # check value has 6, an HTTP status 3, and the name of a task 9.
    widest = {
        "keys": "abcdef",
        "server-refused": "500",
        "fault": "datagrams",
        "was-hung": "registering",
        "was-faulty": "datagrams",
    }
    for table in (STEPS, REASONS):
        for name, _, _ in entries(table):
            for line in words(name, widest.get(name, "1001")):
                assert len(line) <= COLUMNS, name
                assert all(" " <= c <= "~" for c in line), name


def test_no_word_means_two_things():
    names = [entry[0] for table in (STEPS, REASONS) for entry in entries(table)]
    assert len(set(names)) == len(names)
    texts = [(first, second) for _, first, second in entries(REASONS)]
    assert len(set(texts)) == len(texts)


def test_a_failure_names_its_step():
    assert words("wrong-root") == ("Key server cert", "wrong root CA")
    assert words("expired") == ("Key server cert", "has expired")
    assert words("server-refused", "404") == ("Key server", "refuses: 404")
    assert words("registered", "1001") == ("Registered", "1001")
    # A word that nobody has thought of is shown as it is, not swallowed.
    assert words("something-new") == ("something-new", "")


def test_only_changes_are_drawn_on_every_display():
    one, two, lines = Display(), Display(), []
    shown = Screen([one, Loose(), two], Events(lines.append))
    shown.show(("Extension:", ""))
    shown.show(("Extension:", ""))
    shown.show(("Extension:", "1" * 20))
    assert one.shown == two.shown == [("Extension:", ""), ("Extension:", "1" * COLUMNS)]
    assert told(lines) == [
        {"e": "display", "lines": ["Extension:", ""]},
        {"e": "display", "lines": ["Extension:", "1" * COLUMNS]},
    ]


def test_a_step_is_told_even_where_the_display_stays():
    lines = []
    shown = Screen([], Events(lines.append))
    shown.step("fetching")
    shown.step("fetching")
    assert [event["e"] for event in told(lines)] == ["step", "display", "step"]


def test_events_drop_what_is_not_allowed():
    lines = []
    events = Events(lines.append)
    events.tell("step", step="fetching", pin="4711", kg=b"\x01\x02")
    events.tell("no-such-event", step="fetching")
    events.tell("key-file", g=b"\x01\xff", server="k:1", kg=b"secret", gatekeepers=("a:1", "b:2"))
    assert told(lines) == [
        {"e": "step", "step": "fetching"},
        {"e": "key-file", "g": "01ff", "server": "k:1", "gatekeepers": ["a:1", "b:2"]},
    ]


def test_no_event_has_room_for_a_secret():
    from phone.events import FIELDS

    for line in FIELDS.split("\n"):
        for member in line.split(" ")[1:]:
            assert member not in ("pin", "kg", "ka", "ks", "km", "kr", "key", "keys", "record", "icv")


def test_events_escape_and_cut_what_they_say():
    lines = []
    events = Events(lines.append)
    events.tell("end", reason='x"\n\x1e' + "y" * 500)
    events.tell("end", reason=object())
    first, second = told(lines)
    assert first["reason"].startswith('x"\n\x1e')
    assert len(first["reason"]) == 120
    assert second["reason"] == "?"
    assert lines[0].count(MARK) == 1


def test_events_of_addresses_and_datagrams():
    lines = []
    events = Events(lines.append)
    events.tell("ras", way="in", message=bytes([1 << 2]) + b"secret", peer=("2001:db8::1", 1719))
    events.tell("key-file", gatekeepers=(("a", 1), ("b", 2)))
    assert told(lines) == [
        {"e": "ras", "message": "GCF", "way": "in", "peer": "[2001:db8::1]:1719"},
        {"e": "key-file", "gatekeepers": ["a:1", "b:2"]},
    ]


def test_ras_kinds():
    assert ras_kind(bytes([0 << 2])) == "GRQ"
    assert ras_kind(bytes([4 << 2 | 1])) == "RCF"
    assert ras_kind(bytes([7 << 2])) == "UCF"
    assert ras_kind(bytes([9 << 2])) == ras_kind(b"") == ras_kind(b"\xff") == "?"


def test_the_clock_never_wraps():
    ticks = [0]
    period = 1 << 30

    def difference(a, b):
        return ((a - b + period // 2) % period) - period // 2

    ticks[0] = period - 10
    now = clock.Clock(lambda: ticks[0], difference)
    assert now.now() == 0
    for passed in (5, 15, 1000, 1 << 28, 1 << 28, 1 << 28, 1 << 28):
        before = now.now()
        ticks[0] = (ticks[0] + passed) % period
        assert now.now() == before + passed
        assert now.now() == before + passed
    ticks[0] -= 3  # a counter that is read out of order
    assert now.now() == before + passed
