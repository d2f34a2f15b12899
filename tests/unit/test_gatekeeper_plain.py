"""Which plain endpoints a site lets in, and what is told of them: lines of the log, counts, rows."""

import ipaddress

import pytest
from ras.plain import PlainEndpoint
from ringkey.gatekeeper import record as record_module
from ringkey.gatekeeper.directory import Directory
from ringkey.gatekeeper.news import News
from ringkey.gatekeeper.observed import Observed
from ringkey.gatekeeper.office import Office
from ringkey.gatekeeper.plain import Policy
from ringkey.gatekeeper.record import Budget, Record
from ringkey.gatekeeper.workers import merge
from ringkey.site.plain_table import PlainConfig
from ringkey.site.scope import Scope
from structlog.testing import capture_logs

HERE, THERE = ("192.0.2.80", 1719), ("192.0.2.81", 5)
CONFIG = PlainConfig(
    (ipaddress.IPv4Network("192.0.2.0/25"), ipaddress.IPv4Network("198.51.100.7")),
    Scope(("2001", "2100-2199")),
)


@pytest.fixture
def directory(tmp_path):
    with Directory.open(tmp_path / "directory.db", tmp_path / "pin.key") as found:
        yield found


def test_networks_and_extensions(directory):
    policy = Policy(CONFIG, directory, Budget())
    for host in ("192.0.2.0", "192.0.2.127", "198.51.100.7"):
        assert policy.allows(None, host)
        assert policy.allows("2001", host)
        assert policy.allows("2150", host)
        assert not policy.allows("2002", host)
        assert not policy.allows("02001", host)
    for host in ("192.0.2.128", "198.51.100.8", "2001:db8::1", "::ffff:192.0.2.1", "gk", ""):
        assert not policy.allows(None, host)
        assert not policy.allows("2001", host)


def test_what_the_directory_has_is_secured_enabled_or_not(directory):
    policy = Policy(CONFIG, directory, Budget())
    assert policy.allows("2001", HERE[0])
    directory.add("2001", "4711")
    assert not policy.allows("2001", HERE[0])
    assert policy.allows("2100", HERE[0])
    directory.disable("2001")
    assert not policy.allows("2001", HERE[0])
    directory.remove("2001")
    assert policy.allows("2001", HERE[0])


def test_it_is_asked_about_what_is_on_the_list_only(directory, monkeypatch):
    asked = []
    monkeypatch.setattr(directory, "get_entry", asked.append)
    policy = Policy(CONFIG, directory, Budget())
    for ext, host in (("2001", "203.0.113.1"), ("9999", HERE[0]), (None, HERE[0]), ("2100", HERE[0])):
        policy.allows(ext, host)
    assert asked == ["2100"]


def test_a_directory_that_cannot_be_read_lets_none_in(tmp_path):
    directory = Directory.open(tmp_path / "directory.db", tmp_path / "pin.key")
    directory.close()
    (tmp_path / "directory.db").unlink()
    (tmp_path / "directory.db").mkdir()
    policy = Policy(CONFIG, directory, Budget(2))
    with capture_logs() as lines:
        for _ in range(5):
            assert not policy.allows("2001", HERE[0])
    assert [line["event"] for line in lines] == ["directory_failed"] * 2
    assert policy.allows(None, HERE[0]), "it is not asked"


def endpoint(ext="2001", source=HERE):
    return PlainEndpoint(ext, "00112233445566aa-plain", source, 1000, "Door 2.1")


EVENTS = (
    ("plain_confirmed", HERE, None),
    ("plain_confirmed", HERE, "2001"),
    ("plain_registered", endpoint(), None),
    ("plain_registered", endpoint(source=THERE), HERE),
    ("plain_refreshed", endpoint()),
    ("plain_refused", THERE, "2001", "duplicateAlias"),
    ("plain_refused", THERE, None, "fullRegistrationRequired"),
    ("plain_ended", endpoint(), "not allowed"),
)


def test_what_the_log_says_of_them():
    record = Record()
    with capture_logs() as lines:
        for event in EVENTS:
            record.event(event, (b"cvm",))
    named = ("event", "log_level", "ext", "source", "replaces", "reason")
    found = [[str(line[name]) for name in named if name in line] for line in lines]
    here, there = "192.0.2.80:1719", "192.0.2.81:5"
    assert found == [
        ["plain_confirmed", "info", "None", here],
        ["plain_confirmed", "info", "2001", here],
        ["plain_registered", "info", "2001", here, "None"],
        ["plain_registered", "info", "2001", there, here],
        ["plain_kept_alive", "info", "2001", here],
        ["plain_refused", "warning", "2001", there, "duplicateAlias"],
        ["plain_refused", "warning", "None", there, "fullRegistrationRequired"],
        ["plain_ended", "info", "2001", here, "not allowed"],
    ]
    assert record.counts["plain_registered"] == 2


def test_strangers_cause_no_more_lines_by_them(monkeypatch):
    monkeypatch.setattr(record_module.time, "monotonic", lambda: 100.0)
    record = Record(3)
    with capture_logs() as lines:
        for _ in range(5):
            for event in EVENTS:
                record.event(event, ())
    assert len(lines) == 3


def test_they_are_counted_apart_from_phones():
    observed, news = Observed(), News()
    for event in EVENTS:
        observed.event(event)
        news.event(event)
    assert observed.outcomes == {
        ("GRQ", "plain-confirmed", ""): 2,
        ("RRQ", "plain-registered", ""): 2,
        ("RRQ", "plain-kept-alive", ""): 1,
        ("RRQ", "plain-refused", "duplicateAlias"): 1,
        ("RRQ", "plain-refused", "fullRegistrationRequired"): 1,
        ("URQ", "plain-ended", "not-allowed"): 1,
    }
    assert observed.failing() == []
    assert news.line("2001") == [], "the time lines are phones'"


class Parts:
    def __init__(self, plain):
        self.plain = plain

    def registrar(self):
        return self


class Table:
    def all(self):
        return [endpoint("2001"), endpoint("2100", THERE)]


def test_the_office_lists_them_and_workers_do_together():
    office = Office(Parts(Table()), News(), Observed())
    told = office.commands()["plain"]({"do": "plain"})
    assert [(one["ext"], one["source"], one["software"]) for one in told["plain"]] == [
        ("2001", "192.0.2.80:1719", "Door 2.1"),
        ("2100", "192.0.2.81:5", "Door 2.1"),
    ]
    for parts in (Parts(None), type("None_", (), {"registrar": lambda _self: None})()):
        assert Office(parts, News(), Observed()).plain({}) == {"plain": []}
    both = merge.together([told, {"plain": []}, told])
    assert len(both["plain"]) == 4
