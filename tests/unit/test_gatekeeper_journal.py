"""The state's journal: what a kill leaves of it at any moment, what keeps it short, what damage costs."""

import asyncio
import random
import shutil
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ras import kept
from ras.message import GRQ, RRQ
from ringkey.gatekeeper.digests import of_request
from ringkey.gatekeeper.state import journal, store, sweep, ticks
from ringkey.gatekeeper.state.store import Batch, Store
from ringkey.gatekeeper.state.ticks import Moment
from state_run import FOUND, KEY, NAME, SOURCE, held_in, on_disk, pack_answer, registration, run

NOW = Moment(5, 4, 3, "start")


@given(
    registrations=st.dictionaries(
        st.text("0123456789", min_size=1, max_size=20),
        st.one_of(st.none(), st.binary(min_size=1, max_size=400)),
        max_size=5,
    ),
    nonces=st.lists(st.tuples(st.sampled_from([GRQ, RRQ]), st.binary(max_size=20)), max_size=5),
    base=st.booleans(),
    boot=st.text(max_size=20),
)
def test_records_as_octets_and_back(registrations, nonces, base, boot):
    moment = Moment(1 << 40, 1, 1 << 41, boot)
    octets = journal.pack(moment, registrations, nonces, base=base)
    assert journal.unpack(octets) == journal.Record(moment, registrations, nonces, base)


def test_octets_that_are_no_record():
    octets = journal.pack(NOW, {"1001": b"held", "1002": None}, [(GRQ, b"e" * 16)])
    without = journal.pack(NOW, {"1001": b"held", "1002": None}, [])
    for end in range(len(octets)):
        if end != len(without):
            with pytest.raises(ValueError, match="cut off"):
                journal.unpack(octets[:end])
    with pytest.raises(ValueError, match="version"):
        journal.unpack(b"\x02" + octets[1:])


class Written:
    """Records on disk, written one after the other as a gatekeeper does."""

    def __init__(self, path):
        self.path = path
        self.store = Store(path, KEY)
        self.store.open()

    def add(self, registrations, **more):
        self.store.apply(Batch(ticks.moment(), registrations=registrations, **more))

    def change(self, statement, *values):
        self.store.close()
        with closing(sqlite3.connect(self.path)) as raw, raw:
            raw.execute(statement, values)
        self.store.open()
        return self.store.load()


@pytest.fixture
def written(tmp_path):
    found = Written(tmp_path / "state.db")
    yield found
    found.store.close()


def test_a_kill_at_any_octet_of_a_write_leaves_the_state_before_it_or_after_it(written, tmp_path):
    written.add({"1": b"one", "2": b"two", "3": b"three"}, nonces=[(GRQ, b"a" * 16)])
    before, wal = on_disk(written.path), tmp_path / "state.db-wal"
    begin = wal.stat().st_size
    more = {str(n): bytes(200) for n in range(100, 132)}
    written.add({"1": None, "2": b"again", **more}, nonces=[(RRQ, b"b" * 16)], answers=[b"answer"])
    after = on_disk(written.path)
    assert before.registrations == {"1": b"one", "2": b"two", "3": b"three"}
    assert after.registrations == {"3": b"three", "2": b"again", **more}
    octets = wal.read_bytes()
    chance = random.Random("torn")
    frames = range(begin, len(octets), 4096 + 24)  # sqlite.org/fileformat.html section 4.1
    assert len(frames) > 2
    ends = {end + by for end in frames for by in (-1, 0, 1, 24, 25)}
    ends |= {chance.randrange(begin, len(octets)) for _ in range(40)} | {len(octets)}
    torn = tmp_path / "torn"
    torn.mkdir()
    found = []
    for end in sorted(end for end in ends if begin <= end <= len(octets)):
        for rest in (b"", bytes(len(octets) - end)):  # a file that is short, or blocks that are still empty
            shutil.copyfile(written.path, torn / "state.db")
            (torn / "state.db-wal").write_bytes(octets[:end] + rest)
            one = on_disk(torn / "state.db")
            assert one.broken == 0
            assert (one.registrations, one.nonces, one.answers) in (
                (before.registrations, before.nonces, before.answers),
                (after.registrations, after.nonces, after.answers),
            ), end
            found.append(one.registrations == after.registrations)
    assert found[-1], "the whole of it"
    assert found.count(True) <= 2, "and nothing less"


def test_a_record_that_is_damaged_takes_all_that_was_said_before_with_it(written):
    """It may have said that a registration has ended, or that a request was heard."""
    written.add({"1": b"one", "2": b"two"}, nonces=[(GRQ, b"a" * 16)])
    written.add({"1": None, "3": b"three"}, nonces=[(GRQ, b"b" * 16)])
    written.add({"2": b"later", "4": b"four"}, nonces=[(GRQ, b"c" * 16)])
    later = {"2": b"later", "4": b"four"}
    found = written.change("UPDATE journal SET sealed = zeroblob(200) WHERE n = 1")
    assert (found.registrations, found.broken) == (later, 3)
    assert [re for _, re in found.nonces] == [b"a" * 16, b"c" * 16], "what only refuses stays"
    found = written.change("DELETE FROM journal WHERE n = 1")
    assert (found.registrations, found.broken) == (later, 3), "nor may one be taken out"
    found = written.change("DELETE FROM journal WHERE n = 0")
    assert (found.registrations, found.broken) == (later, 0), "the oldest ones go by themselves"


def test_a_record_opens_in_its_own_place_only(written):
    written.add({"1": b"one"})
    written.add({"2": b"two"})
    found = written.change("UPDATE journal SET n = n + 10")
    assert found.registrations == {}


@pytest.fixture
def small(monkeypatch):
    """A journal that is too long soon."""
    monkeypatch.setattr(sweep, "LEAST", 20_000)
    monkeypatch.setattr(sweep, "EACH", 500)
    monkeypatch.setattr(sweep, "SHARE", 8)
    monkeypatch.setattr(store, "_GONE_AT_ONCE", 3)


def journal_of(path):
    with closing(sqlite3.connect(path)) as raw:
        return raw.execute("SELECT count(*), sum(length(sealed)), min(n) FROM journal").fetchone()


@pytest.mark.parametrize("batch", [1, 20])
def test_under_churn_the_journal_stays_short_and_says_all_there_is(small, tmp_path, batch):
    path, chance = tmp_path / "state.db", random.Random(batch)
    oldest, longest, looked = [0], 0, 0

    async def churn(one, steps):
        nonlocal longest, looked
        registrar = one.registrar
        for _ in range(steps):
            for _ in range(batch):
                ext, doing = str(chance.randrange(2000, 2150)), chance.random()
                held = registrar.registration(ext)
                if held is not None and doing < 0.3:
                    one.end(held)
                elif held is not None and doing < 0.6:
                    held.heard += 1
                    one.state.noticed.event(("refreshed", held))
                else:
                    if held is not None:
                        one.end(held)
                    one.add(registration(ext, f"{chance.randrange(1 << 64):016x}"))
                re = chance.randbytes(16)
                registrar._nonces.add(GRQ, re)
                registrar.news.append((GRQ, re, b"request"))
            await one.kept()
            _, octets, first = journal_of(path)
            longest = max(longest, octets)
            if first != oldest[-1]:
                oldest.append(first)
            if chance.random() < 0.1:
                found = on_disk(path)
                assert found.broken == 0
                assert found.registrations == held_in(one)
                nonces = [(kind, re[:15]) for kind, re in found.nonces]
                assert nonces == kept.nonces(registrar), "each, and in their order"
                looked += 1

    async def main():
        was = {}
        for _ in range(3):
            async with run(path) as one:
                assert held_in(one) == was
                await churn(one, 1200 // (4 + batch))
                was = held_in(one)
                killed = on_disk(path)
                assert killed.registrations == was

    asyncio.run(main())
    assert len(oldest) > 5, "it was swept again and again"
    assert looked > 5
    nonces = 18 * 3 * batch * (1200 // (4 + batch))
    assert longest < 2 * (20_000 + 500 * 150) + nonces


def test_a_journal_that_no_sweep_came_to_an_end_in_is_written_anew_at_the_start(small, tmp_path):
    path = tmp_path / "state.db"

    async def main():
        async with run(path) as one:
            held = one.add(registration())
        disk = Store(path, KEY)
        disk.open()
        disk.load()
        packed = kept.pack(held, one.state._shift)
        while disk.octets < 100_000:
            disk.apply(Batch(ticks.moment(one.state._shift), registrations={"1001": packed}))
        disk.close()
        async with run(path) as second:
            assert list(held_in(second)) == ["1001"]
            await second.kept()
            assert journal_of(path)[1] < 10_000
            assert list(on_disk(path).registrations) == ["1001"]

    asyncio.run(main())


def old_form(path, state, held):
    """Turn the file into one of version 0002, with these registrations."""
    now, seal = ticks.moment(state._shift), state._store._sealer.seal
    packed = [
        (one.ext, seal(b"registration:" + one.ext.encode(), kept.pack(one, state._shift))) for one in held
    ]
    answer = pack_answer(SOURCE, b"request", b"answer", now.ticks)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '0002'")
        raw.execute("DROP TABLE journal")
        raw.execute("DELETE FROM answer")
        raw.executemany("INSERT INTO registration VALUES (?, ?)", packed)
        raw.executemany(
            "INSERT INTO nonce VALUES (?, ?, ?, ?)", [(7, 7, GRQ, b"a" * 16), (3, 9, RRQ, b"b" * 16)]
        )
        raw.execute("INSERT INTO answer VALUES (4, 4, ?)", (seal(b"answers:4", store.join([answer])),))
        raw.execute("INSERT INTO note VALUES ('moment', ?)", (seal(b"note:moment", now.encode()),))


def test_a_state_of_version_0002_goes_on_and_is_written_anew(tmp_path):
    path = tmp_path / "state.db"

    async def main():
        async with run(path) as first:
            held = [first.add(registration(str(n), f"{n:016x}")) for n in range(2000, 2600)]
            held[5].heard = 77
            first.state.keep_key(NAME, FOUND)
            was = held_in(first)
        old_form(path, first.state, held)
        loaded = on_disk(path)
        assert loaded.registrations == was
        assert on_disk(path).older, "to read it does not change it"
        async with run(path) as second:
            assert held_in(second) == was
            gone = second.registrar.registration("2000")
            second.end(gone)
            await second.state.settled()
            was.pop("2000")
            found = on_disk(path)
            assert (found.registrations, found.broken, found.older) == (was, 0, False)
        async with run(path) as third:
            assert held_in(third) == was
            assert third.had.found == {NAME: FOUND}
            assert kept.nonces(third.registrar) == [(GRQ, b"a" * 15), (RRQ, b"b" * 15)]
            key = of_request(SOURCE, b"request")
            assert third.registrar._answers.get(key, ticks.moment().mono) == b"answer"
            with closing(sqlite3.connect(path)) as raw:
                assert raw.execute("SELECT count(*) FROM registration").fetchone() == (0,)
                assert raw.execute("SELECT count(*) FROM nonce").fetchone() == (0,)

    asyncio.run(main())
