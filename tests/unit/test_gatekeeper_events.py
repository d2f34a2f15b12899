"""An event that tells several is to everybody what those would have been, told one by one."""

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from ras.held import Held
from ras.keys import SHA256
from ras.message import GRQ, RRQ
from ringkey.gatekeeper import metrics, observed, record, timeline
from ringkey.gatekeeper.events import GREETED, LOGGED_IN, apart
from ringkey.gatekeeper.latencies import BUCKETS
from ringkey.gatekeeper.news import News
from ringkey.gatekeeper.observed import Observed

HERE, THERE = ("192.0.2.5", 1719), ("192.0.2.6", 1719)
CVM = b"\1\2\3"


def held(ext, source=HERE):
    return Held(ext, SHA256, source, *([bytes(16)] * 3), bytes(32), bytes(32), CVM)


def log_in(ext, source=HERE, old=None):
    return [(GREETED, source, ext, bytes(16), "sha256", CVM, True), (LOGGED_IN, held(ext, source), old)]


# What happens to a few phones, one of which is known from a failure, one comes back from elsewhere.
STORY = [
    ("request", HERE, "1001"),
    ("refused", HERE, "1001", 1),
    *log_in("1001"),
    *log_in("1002", THERE),
    *log_in("1001", HERE, held("1001")),
    ("dropped", HERE, "RRQ: wrong ICV"),
    *log_in("1001", THERE, held("1001", HERE)),
    ("ended", held("1001", THERE), "ttlExpired"),
]


def both(make, take):
    """Return what takes the story as it is, and what takes it told one by one."""
    together, singly = make(), make()
    for event in STORY:
        take(together, event)
        for one in apart(event):
            take(singly, one)
    return together, singly


def test_counts_and_latencies(monkeypatch):
    monkeypatch.setattr(observed.time, "perf_counter", lambda: 5.0)
    monkeypatch.setattr(observed.time, "monotonic", lambda: 7.0)

    def take(one, event):
        if event[0] in (GREETED, "request", LOGGED_IN, "lookup"):
            one.came(b"\0")
        one.event(event)

    one, other = both(Observed, take)
    assert one.outcomes == other.outcomes
    assert one.times() == other.times()
    assert len(one.times()["RRQ"]) == 4
    assert one.failing() == other.failing()
    assert [one._ext_of.get(source) for source in (HERE, THERE)] == [
        other._ext_of.get(source) for source in (HERE, THERE)
    ]
    assert one._open == other._open


def test_time_lines_and_changes():
    one, other = both(lambda: News(clock=lambda: 3.0), News.event)
    for ext in ("1001", "1002"):
        assert one.line(ext) == other.line(ext)
    assert len(one.line("1001")) == timeline.MAX_ENTRIES
    assert len(one._strangers) == len(other._strangers) == 0
    assert list(dict.fromkeys(one._changes)) == list(dict.fromkeys(other._changes))


def test_a_time_line_keeps_no_more_than_it_shows():
    news = News(clock=iter(range(10_000)).__next__)
    for number in range(100):
        for event in log_in("1001", HERE, held("1001") if number else None):
            news.event(event)
        assert len(news._lines.get("1001")) <= timeline.UNTIDY
    assert len(news.line("1001")) == timeline.MAX_ENTRIES
    assert news.line("1001")[-1]["at"] == 199


@pytest.mark.parametrize("lines", [0, 1, 2, 5, 7, 100])
def test_lines_of_the_log(capfd, monkeypatch, lines):
    clock = [100.0]
    monkeypatch.setattr(record.time, "monotonic", lambda: clock[0])

    def told(split):
        clock[0] += 100
        found = record.Record(lines)
        for _ in range(2):
            for event in STORY:
                for one in apart(event) if split else [event]:
                    found.event(one, (CVM,))
            clock[0] += 1
        out = capfd.readouterr().out
        return found.counts, [line.split("[", 1)[1] for line in out.splitlines()]  # less date and time

    together, singly = told(split=False), told(split=True)
    assert together == singly
    assert together[0]["registered"] == 8


def test_histograms_say_what_prometheus_clients_own_say():
    ours, theirs = metrics.Metrics(), CollectorRegistry()
    answers = Histogram(
        "ringkey_ras_answer_seconds",
        "Seconds from a GRQ to its GCF, and from an RRQ that registers to its RCF.",
        ["message"],
        buckets=BUCKETS,
        registry=theirs,
    )
    keys = Histogram(
        "ringkey_key_look_up_seconds",
        "Seconds until the key server had answered for a key, or none had.",
        buckets=BUCKETS,
        registry=theirs,
    )
    timed = {GRQ: answers.labels(GRQ), RRQ: answers.labels(RRQ), "key": keys}
    for kind, histogram in timed.items():
        for seconds in (0.0, 0.0001, *BUCKETS, 0.3, 7.0)[:: 1 + (kind == RRQ)]:
            ours.time(kind, seconds)
            histogram.observe(seconds)

    def lines(text):
        # When the counting began is another moment.
        return sorted(line.split(" 1.7")[0] for line in text.decode().splitlines() if "process_" not in line)

    mine = [line if "_created" not in line else line.split(" ")[0] for line in lines(ours.text())]
    wanted = [
        line if "_created" not in line else line.split(" ")[0] for line in lines(generate_latest(theirs))
    ]
    assert mine == wanted
