"""The state's file, written: what each kind of batch leaves there, and what one that fails does not."""

import os
import random
import sqlite3
import time
from contextlib import closing

import pytest
from ras.message import GRQ
from ringkey.gatekeeper.errors import StateBusyError, StateUnavailableError
from ringkey.gatekeeper.state import journal, store, ticks
from ringkey.gatekeeper.state.store import Batch, Store
from state_run import KEY, on_disk

RECORD, REPLIES = b"journal:%d", b"replies:%d"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.db"


@pytest.fixture
def opened(path, monkeypatch):
    monkeypatch.setattr(store, "PATIENCE", 0.2)
    found = Store(path, KEY)
    found.open()
    yield found
    found.close()


def rows(opened, path):
    """Return what the tables have: records and answers opened, the rest as it is."""
    unseal = opened._sealer.open
    with closing(sqlite3.connect(path)) as raw:
        records = {
            n: journal.unpack(unseal(RECORD % n, sealed))
            for n, sealed in raw.execute("SELECT n, sealed FROM journal")
        }
        answers = {
            (slot, n): store.split(unseal(REPLIES % n, sealed))
            for slot, n, sealed in raw.execute("SELECT slot, n, sealed FROM answer")
        }
        names = [name for (name,) in raw.execute("SELECT name FROM note")]
        failures = raw.execute("SELECT * FROM failure").fetchall()
        keys = [name for (name,) in raw.execute("SELECT name FROM device_key")]
    return records, answers, names, failures, keys


def usual(n, **more):
    return Batch(
        ticks.moment(),
        registrations={str(n): b"held %d" % n},
        nonces=[(GRQ, b"nonce %d" % n)],
        answers=[b"a%d" % n, b"b%d" % n],
        **more,
    )


def traced(opened):
    """Return what will have the statements that are run from now on."""
    statements = []

    def note(statement):
        # Each step of a trigger is told of as the statement that it belongs to.
        if statement not in statements[-1:]:
            statements.append(statement)

    with opened._opened().connect() as connection:
        connection.connection.driver_connection.set_trace_callback(note)
    return statements


@pytest.mark.parametrize("more", [{}, {"base": True}, {"begins": True, "base": True}, {"ends": True}])
def test_a_usual_batch_is_one_statement(opened, path, more):
    statements = traced(opened)
    opened.apply(usual(1, **more))
    opened.apply(Batch(ticks.moment()))
    assert len(statements) == 2
    with closing(sqlite3.connect(path)) as raw:
        names = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type != 'table'")}
    assert not {name for name in names if not name.startswith("sqlite_autoindex")}, "nothing new in the file"


def test_each_commit_is_synced(opened):
    with opened._opened().connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA trusted_schema").scalar_one() == 0


def test_rows_of_batches(opened, path):
    opened.apply(usual(1))
    opened.apply(Batch(ticks.moment(), registrations={"1": None}))
    opened.apply(usual(2, keys={b"key": b"k"}, notes={"rg": b"r"}, failures={"f": (1, 2, 3)}))
    opened.apply(usual(3, keys={b"key": None, b"other": b"k"}))
    records, answers, *rest = rows(opened, path)
    assert [record.registrations for record in records.values()] == [
        {"1": b"held 1"},
        {"1": None},
        {"2": b"held 2"},
        {"3": b"held 3"},
    ]
    assert list(records) == [0, 1, 2, 3]
    assert answers == {(0, 0): [b"a1", b"b1"], (2, 2): [b"a2", b"b2"], (4, 4): [b"a3", b"b3"]}
    assert rest == [["rg"], [("f", 1, 2, 3)], [b"other"]]
    opened.apply(usual(4, whole=True, base=True, notes={"rg": b"r"}))
    records, answers, *rest = rows(opened, path)
    assert list(records) == [4, 5]
    assert (records[4].base, records[4].registrations, records[5].registrations) == (
        True,
        {},
        {"4": b"held 4"},
    )
    assert answers == {(6, 6): [b"a4", b"b4"]}
    assert rest == [["rg"], [], []]


def test_all_of_many_registrations_are_in_a_few_statements(opened, path):
    statements = traced(opened)
    everyone = {str(n): os.urandom(200) for n in range(10_000)}
    opened.apply(Batch(ticks.moment(), whole=True, base=True, registrations=everyone, answers=[b"a"]))
    assert len(statements) < 15
    found = on_disk(path)
    assert (found.registrations, found.answers) == (everyone, [b"a"])


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_leaves_the_same_however_it_is_written(tmp_path, monkeypatch, seed):
    """Two files: one of batches that are usual where they may be, one where each counts a failure as well."""
    monkeypatch.setattr(store, "MAX_ANSWERS", 20)
    monkeypatch.setattr(store, "_GONE_AT_ONCE", 2)
    chance = random.Random(seed)
    paths = [tmp_path / "one.db", tmp_path / "two.db"]
    both = [Store(path, KEY) for path in paths]
    for one in both:
        one.open()
    sweeping = False
    for n in range(120):
        begins = not sweeping and chance.random() < 0.2
        ends = sweeping and chance.random() < 0.3
        sweeping = (sweeping or begins) and not ends
        more = {
            "base": begins,
            "begins": begins,
            "ends": ends,
            "registrations": {str(chance.randrange(9)): chance.choice([None, b"%d" % n])},
            "nonces": [(GRQ, b"%d" % n)] * chance.randrange(3),
            "answers": [b"%d %d" % (n, i) for i in range(chance.choice([0, 0, 1, 7]))],
        }
        if chance.random() < 0.03:
            more |= {"whole": True, "base": True, "begins": False, "ends": False}
            sweeping = False
        moment = ticks.moment()
        both[0].apply(Batch(moment, **more))
        both[1].apply(Batch(moment, failures={"f": (n, n, n)}, **more))
        assert both[0].octets == both[1].octets
        if chance.random() < 0.1:
            found = [rows(one, path)[:2] for one, path in zip(both, paths, strict=True)]
            assert found[0] == found[1]
            loaded = [on_disk(path) for path in paths]
            for one in loaded:
                assert one.broken == 0
                one.failures = {}
            assert loaded[0] == loaded[1]
    for one in both:
        one.close()


BATCHES = [{}, {"notes": {"rg": b"r"}}, {"whole": True, "base": True}]


@pytest.mark.parametrize("more", BATCHES)
def test_a_file_that_is_held_is_waited_for_and_the_next_batch_is_written(opened, path, more):
    opened.apply(usual(1))
    before = rows(opened, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(StateBusyError):
            opened.apply(usual(2, **more))
        assert time.monotonic() - began >= 0.2
        assert rows(opened, path) == before
        other.execute("ROLLBACK")
    opened.apply(usual(2))
    opened.apply(usual(3))
    records, answers, *rest = rows(opened, path)
    assert [list(record.registrations) for record in records.values()] == [["1"], ["2"], ["3"]]
    assert list(records) == [0, 1, 2]
    assert list(answers) == [(0, 0), (2, 2), (4, 4)]
    found = on_disk(path)
    assert list(found.registrations) == ["1", "2", "3"]
    assert (found.broken, len(found.nonces), len(found.answers)) == (0, 3, 6)


@pytest.mark.parametrize("more", BATCHES)
@pytest.mark.parametrize("table", ["journal", "answer"])
@pytest.mark.parametrize("what", ["ABORT", "ROLLBACK"])
def test_what_fails_halfway_leaves_nothing(opened, path, more, table, what):
    opened.apply(usual(1))
    before = rows(opened, path)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(f"CREATE TRIGGER no AFTER INSERT ON {table} BEGIN SELECT RAISE({what}, 'secret'); END")
    for _ in range(2):
        with pytest.raises(StateUnavailableError) as caught:
            opened.apply(usual(2, **more))
        assert "secret" not in str(caught.value)
        assert rows(opened, path) == before
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DROP TRIGGER no")
    opened.apply(usual(2))
    found = on_disk(path)
    assert (list(found.registrations), found.broken, len(found.answers)) == (["1", "2"], 0, 4)


@pytest.mark.parametrize("more", BATCHES)
def test_a_disk_that_is_full_leaves_nothing(opened, path, more):
    opened.apply(usual(1))
    before, octets = rows(opened, path), opened.octets

    def limit(pages):
        with opened._opened().connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    limit(1)
    large = {str(n): bytes(400) for n in range(2, 200)}
    # The record finds room, the answers do not; and the record does not.
    for what in ({"answers": [bytes(100_000)]}, {"registrations": large}):
        with pytest.raises(StateUnavailableError, match="the disk is full"):
            opened.apply(Batch(ticks.moment(), **what, **more))
        assert rows(opened, path) == before
        assert opened.octets == octets
    limit(1_000_000)
    opened.apply(Batch(ticks.moment(), registrations=large, answers=[bytes(100_000)]))
    found = on_disk(path)
    assert found.registrations == {"1": b"held 1"} | large
    assert (found.broken, len(found.answers)) == (0, 3)


def test_an_error_of_ours_in_the_middle_of_a_batch_leaves_nothing(opened, path):
    opened.apply(usual(1))
    before = rows(opened, path)
    # SQLite has no number as large; the key of the same batch is written by then.
    with pytest.raises(OverflowError):
        opened.apply(usual(2, failures={"f": (1, 2, 1 << 70)}, keys={b"key": b"k"}))
    assert rows(opened, path) == before
    opened.apply(usual(2))
    assert list(on_disk(path).registrations) == ["1", "2"]


def test_a_file_that_is_closed_is_not_written(opened, path):
    opened.apply(usual(1))
    opened.close()
    with pytest.raises(StateUnavailableError, match="closed"):
        opened.apply(usual(2))
    opened.open()
    opened.load()
    opened.apply(usual(2))
    assert list(on_disk(path).registrations) == ["1", "2"]
