"""Time lines in few octets (gatekeeper/timeline.py), and tables that forget by halves (generations.py)."""

import sys

from hypothesis import example, given
from hypothesis import strategies as st
from ras.held import Held
from ras.keys import SHA256
from ringkey.gatekeeper import news as module
from ringkey.gatekeeper import timeline
from ringkey.gatekeeper.events import GREETED, LOGGED_IN, apart
from ringkey.gatekeeper.generations import Generations
from ringkey.gatekeeper.news import News

HERE, THERE = ("192.0.2.5", 1719), ("2001:db8::1", 65535)
CVM = b"\1\2\3"


def held(source):
    return Held("1001", SHA256, source, *([bytes(16)] * 3), bytes(32), bytes(32), CVM)


def greeted(source, suite="sha256"):
    return GREETED, source, "1001", bytes(16), suite, CVM, True


def logged_in(source, old=None):
    return LOGGED_IN, held(source), None if old is None else held(old)


class Clock:
    """Seconds since 1970, as whoever asks is told."""

    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


SOURCES = st.sampled_from((HERE, THERE, ("192.0.2.5", 1720)))
EVENTS = st.one_of(
    st.builds(greeted, SOURCES, st.sampled_from(("sha1", "sha256"))),
    st.builds(logged_in, SOURCES, st.none() | SOURCES),
    st.builds(lambda source: ("request", source, "1001"), SOURCES),
    st.builds(lambda source, code: ("refused", source, "1001", code), SOURCES, st.integers(1, 7)),
    st.builds(
        lambda source, why: ("ended", held(source), why), SOURCES, st.sampled_from(("ttlExpired", "x" * 999))
    ),
    st.builds(lambda source: ("dropped", source, "GRQ: wrong ICV"), SOURCES),
)
GAPS = st.sampled_from((0.0, 0.0004, 0.003, 0.255, 0.256, 1.0, -5.0))


@given(st.lists(st.tuples(GAPS, EVENTS), max_size=40))
def test_a_log_in_in_one_entry_reads_as_its_steps_do(story):
    clock = Clock()
    together, singly = News(clock), News(clock)
    for gap, event in story:
        clock.now += gap
        together.event(event)
        for one in apart(event):
            singly.event(one)
        assert together.line("1001") == singly.line("1001")
        assert len(together.line("1001")) <= timeline.MAX_ENTRIES


def test_phones_that_say_nothing_more_after_a_gcf_are_in_their_time_lines_all_the_same(monkeypatch):
    monkeypatch.setattr(module, "MAX_GREETED", 3)
    news = News(Clock())
    for n in range(10):
        news.event((GREETED, HERE, str(n), bytes(16), "sha256", CVM, True))
        assert len(news._greetings) <= 3
    assert [len(news.line(str(n))) for n in range(10)] == [3] * 10


def told(*events, gap=0.003):
    clock = Clock()
    news = News(clock)
    for event in events:
        news.event(event)
        clock.now += gap
    return news._lines.get("1001"), news.line("1001")


def test_a_log_in_in_order_is_one_entry_with_both_its_times():
    octets, shown = told(greeted(HERE), logged_in(HERE))
    assert [(one["what"], round(one["at"] - 1.8e9, 3)) for one in shown] == [
        ("request", 0),
        ("compared", 0),
        ("confirmed", 0),
        ("registered", 0.003),
    ]
    assert sys.getsizeof(octets) <= 64
    again, _ = told(*[greeted(HERE), logged_in(HERE, HERE)] * 2)
    assert len(again) == 2 * len(octets)


def test_what_is_not_one_log_in_stays_two_entries():
    short, _ = told(greeted(HERE), logged_in(HERE))
    for events, gap in (
        ((greeted(HERE), logged_in(("192.0.2.5", 1720))), 0.003),
        ((greeted(HERE), logged_in(HERE, THERE)), 0.003),
        ((greeted(HERE), ("ended", held(HERE), "ttlExpired"), logged_in(HERE)), 0.003),
        ((greeted(HERE), logged_in(HERE)), 0.3),
        ((greeted(HERE), logged_in(HERE)), -1.0),
    ):
        assert len(told(*events, gap=gap)[0]) > len(short)


def test_a_text_that_is_too_long_is_cut_off_and_nothing_behind_it():
    found = timeline.entries(
        timeline.add(timeline.add(b"", 1.0, "ended", "é" * 999, ""), 2.0, "dropped", "why", "")
    )
    assert [one[1] for one in found] == ["ended", "dropped"]
    assert found[0][2].startswith("é" * 127)


def test_ten_thousand_lines_take_little():
    news = News(Clock())
    for ext in range(10_000):
        source = (f"10.0.{ext >> 8}.{ext & 255}", 40_000)
        one = Held(str(100_000 + ext), SHA256, source, *([bytes(16)] * 3), bytes(32), bytes(32), CVM)
        news.event((GREETED, source, one.ext, bytes(16), "sha256", CVM, True))
        news.event((LOGGED_IN, one, None))
    young, old = news._lines._young, news._lines._old
    octets = sum(sys.getsizeof(table) for table in (young, old)) + sum(map(sys.getsizeof, young.values()))
    assert len(news._lines) == 10_000
    assert octets / 10_000 < 110


@given(st.integers(1, 9), st.lists(st.tuples(st.sampled_from("pgx"), st.integers(0, 12)), max_size=80))
@example(1, [("p", 2), ("p", 0), ("p", 1), ("x", 0), ("x", 1)])
def test_half_of_a_table_stays_and_it_is_never_larger_than_it_may(most, steps):
    table = Generations(most)
    put: list[int] = []
    values = {}
    for number, (step, key) in enumerate(steps):
        if step == "p":
            table.put(key, number)
            values[key] = number
            put = [one for one in put if one != key] + [key]
        elif step == "x":
            found = table.pop(key)
            assert found in {None, values.get(key)}
            values.pop(key, None)
        assert table.get(key) in {None, values.get(key)}
        assert len(table) <= max(2, most)
        for one in put[-max(1, most // 2) :]:
            # What was taken out has had its place all the same.
            assert table.get(one) == values.get(one), "one of those that were put last"
