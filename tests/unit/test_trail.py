"""The audit trail, the register made from it, and the thread that writes both."""

import asyncio
import errno
import json
import os
import shutil
import sqlite3
import threading

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from ringkey.errors import UserError
from ringkey.keyserver import books, ledger, register, trail
from ringkey.keyserver.books import Unrecorded
from ringkey.keyserver.ledger import Ledger
from ringkey.keyserver.migrations import HEAD

NOW = 1_800_000_000.0


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "audit.jsonl", tmp_path / "register.db"


@pytest.fixture
def opened(paths):
    """`opened()` gives a started Ledger; all are stopped at the end."""
    started = []

    def start(clock=None):
        found = Ledger(*paths, clock or Clock())
        found.start()
        started.append(found)
        return found

    yield start
    for one in started:
        one.stop()


def issue(n, ext="100", serial=None, generation=1):
    return {
        "what": "issued",
        "source": "192.0.2.9",
        "ext": ext,
        "serial": serial,
        "g": f"{n:032x}",
        "generation": generation,
    }


def done(future):
    return future.result(10)


def revoked(by, value):
    def plan(connection):
        keys = register.count(connection, by, value)
        return {"what": "revoked", "by": by, "value": value, "reason": "lost", "keys": keys}

    return plan


# ---- the trail


def test_lines_are_chained_and_whole(paths, opened):
    record = opened()
    lines = [done(record.write(issue(i))) for i in range(3)]
    record.stop()
    assert [line["n"] for line in lines] == [1, 2, 3]
    assert lines[1]["prev"] == lines[0]["hash"]
    assert lines[0]["t"] == "2027-01-15T08:00:00.000Z"
    report = trail.verify(paths[0])
    assert (report.lines, report.problem, report.head, report.notes) == (3, None, lines[2]["hash"], [])
    assert [json.loads(line) for line in paths[0].read_text().splitlines()] == lines
    for path in paths:
        assert path.stat().st_mode & 0o777 == 0o600


def test_every_change_to_a_line_shows(paths, opened):
    record = opened()
    for i in range(3):
        done(record.write(issue(i)))
    record.stop()
    good = paths[0].read_bytes()
    for i in range(0, len(good), 3):
        changed = bytearray(good)
        changed[i] ^= 1
        paths[0].write_bytes(changed)
        report = trail.verify(paths[0])
        assert report.problem or report.notes, i
    lines = good.splitlines(keepends=True)
    for wrong in ([lines[0], lines[2]], [lines[1], lines[2]], [lines[1], lines[0]], [lines[0], lines[0]]):
        paths[0].write_bytes(b"".join(wrong))
        assert trail.verify(paths[0]).problem


def test_a_line_cut_short_is_taken_off_and_noted(paths, opened):
    record = opened()
    for i in range(3):
        done(record.write(issue(i)))
    record.stop()
    whole = paths[0].read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for end in (start + 1, len(whole) - 1):
        paths[0].write_bytes(whole[:end])
        for path in paths[1].parent.glob("register.db*"):
            path.unlink()
        record = opened()
        done(record.write(issue(7)))
        assert len(done(record.ask(register.keys))) == 3
        record.stop()
        report = trail.verify(paths[0])
        assert report.problem is None
        assert "healed" in report.notes[0]


def test_a_damaged_last_line_is_refused_until_another_trail_is_begun(paths, opened):
    record = opened()
    for i in range(3):
        done(record.write(issue(i)))
    record.stop()
    paths[0].write_bytes(paths[0].read_bytes().replace(b"%032x" % 2, b"%032x" % 9))
    with pytest.raises(UserError, match="changed or damaged") as caught:
        opened()
    assert caught.value.next_step == "ringkey audit renew"
    (aside,) = books.renew(*paths)
    assert trail.verify(aside).problem
    record = opened()
    assert done(record.write(issue(7)))["n"] == 5
    assert len(done(record.ask(register.keys))) == 4  # what the register had is still there
    report = trail.verify(paths[0])
    assert report.problem is None
    assert "begun" in report.notes[0]


def test_pieces(paths, opened, monkeypatch):
    monkeypatch.setattr(trail, "MAX_PIECE", 1000)
    record = opened()
    for i in range(20):
        done(record.write(issue(i)))
    record.stop()
    assert len(trail.pieces(paths[0])) > 3
    assert trail.verify(paths[0]).lines == 20
    record = opened()
    done(record.write(issue(20)))
    record.stop()
    paths[1].unlink()
    record = opened()
    assert len(done(record.ask(register.keys))) == 21
    trail.pieces(paths[0])[1].unlink()
    assert "does not follow" in trail.verify(paths[0]).problem


# ---- the register


def test_the_newest_migration_is_head():
    config = Config()
    config.set_main_option("script_location", "ringkey.keyserver:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def everything(record):
    keys = done(record.ask(register.keys))
    changes = done(record.ask(lambda c: register.changes_since(c, 0, 100)))
    return keys, changes, record.revoked, record.lines, record.head, record.generations


def fill(record):
    for i in range(6):
        done(record.write(issue(i, ext=f"10{i % 3}", serial="ab" if i < 2 else None)))
    done(record.write(revoked("ext", "101")))
    done(record.write(issue(10, ext="101")))
    done(record.write({"what": "generations", "numbers": [2, 1]}))
    done(record.write(issue(11, ext="101", generation=2)))
    done(record.write(revoked("g", f"{5:032x}")))
    done(record.write(revoked("g", "ee" * 16)))  # a peer's
    done(record.write(revoked("serial", "ab")))
    done(record.write(revoked("generation", "1")))


def test_revocations_end_keys_of_before_only(opened):
    record = opened()
    fill(record)
    keys = {key.g.hex()[-2:]: key for key in everything(record)[0]}
    assert {name for name, key in keys.items() if key.revoked is None} == {"0b"}
    # A whole generation is out of force by its check value, not g by g.
    assert {g.hex()[-2:] for g in record.revoked} == {"01", "04", "05", "00", "ee"}
    changes = everything(record)[1]
    assert [(what, len(found)) for _, what, found in changes] == [
        ("revoked", 2),
        ("generations", 0),
        ("revoked", 1),
        ("revoked", 1),
        ("revoked", 1),
        ("revoked", 0),
    ]
    assert record.generations == [2, 1]


@pytest.mark.parametrize("how", ["lost", "damaged", "old", "another", "behind"])
def test_the_register_is_made_again_from_the_trail(paths, opened, how, tmp_path):
    record = opened()
    done(record.write(issue(99)))
    record.stop()
    old = tmp_path / "old.db"
    shutil.copy(paths[1], old)
    record = opened()
    fill(record)
    before = everything(record)
    record.stop()
    wal = paths[1].with_name("register.db-wal")
    assert not wal.exists()
    if how == "lost":
        paths[1].unlink()
    elif how == "damaged":
        data = bytearray(paths[1].read_bytes())
        data[4096:9000] = os.urandom(9000 - 4096)
        paths[1].write_bytes(data)
    elif how == "old":
        shutil.copy(old, paths[1])
    elif how == "another":
        with sqlite3.connect(paths[1]) as connection:
            connection.execute("UPDATE mark SET hash = ?, n = n - 1", ("0" * 64,))
            connection.execute("DELETE FROM issued")
        connection.close()
    else:
        os.truncate(paths[1], 0)
    record = opened()
    assert everything(record) == before
    done(record.write(issue(50)))
    assert trail.verify(paths[0]).problem is None


def test_a_trail_that_lacks_lines_goes_on_with_a_gap(paths, opened, tmp_path):
    record = opened()
    done(record.write(issue(99)))
    record.stop()
    shutil.copy(paths[0], tmp_path / "copy")
    record = opened()
    fill(record)
    n = record.lines
    record.stop()
    shutil.copy(tmp_path / "copy", paths[0])
    record = opened()
    assert done(record.write(issue(60)))["n"] == n + 2
    record.stop()
    report = trail.verify(paths[0])
    assert report.problem is None
    assert f"first 2, last {n}" in report.notes[0]
    record = opened()
    assert len(done(record.ask(register.keys))) == 10


def test_one_process_at_a_time(opened):
    opened()
    with pytest.raises(Unrecorded, match="another process"):
        opened()


# ---- what cannot be written is refused, and comes back by itself


def test_a_full_disk(paths, opened, monkeypatch):
    record = opened()
    done(record.write(issue(1)))
    before, real = paths[0].read_bytes(), os.write

    def full(descriptor, data):
        if len(data) > 100 and os.readlink(f"/proc/self/fd/{descriptor}") == str(paths[0]):
            real(descriptor, data[:50])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(trail.os, "write", full)
    for i in (2, 3):
        with pytest.raises(Unrecorded, match="No space left") as caught:
            done(record.write(issue(i)))
        assert caught.value.next_step.startswith("df -h")
    record.note("looked-up", ext="100")  # nobody waits for it, but it is counted
    with pytest.raises(Unrecorded):
        done(record.write(issue(4)))
    assert paths[0].read_bytes() == before
    assert len(done(record.ask(register.keys))) == 1
    assert "No space" in record.trouble
    monkeypatch.setattr(trail.os, "write", real)
    assert done(record.write(issue(5)))["n"] == 2
    assert record.trouble is None
    record.stop()
    assert "lines 1" in trail.verify(paths[0]).notes[0]


def test_a_locked_register(paths, opened, monkeypatch):
    monkeypatch.setattr(books, "PATIENCE", 0.1)
    record = opened()
    done(record.write(issue(1)))
    before = paths[0].read_bytes()
    other = sqlite3.connect(paths[1], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unrecorded, match="another process is writing"):
        done(record.write(issue(2)))
    assert paths[0].read_bytes() == before
    other.execute("ROLLBACK")
    other.close()
    assert done(record.write(issue(3)))["n"] == 2
    assert len(done(record.ask(register.keys))) == 2


def test_a_clock_that_is_set_back(paths, opened):
    clock = Clock()
    record = opened(clock)
    done(record.write(issue(1)))
    clock.now = NOW - 365 * 86400
    with pytest.raises(Unrecorded, match="clock is set back"):
        done(record.write(issue(2)))
    assert record.now() == NOW  # an overlap that has ended stays ended
    record.note("looked-up", ext="100")
    with pytest.raises(Unrecorded, match="clock is set back"):
        done(record.write(issue(2)))
    record.stop()
    record = opened(clock)  # a restart does not make it right
    with pytest.raises(Unrecorded, match="clock is set back"):
        done(record.write(issue(2)))
    clock.now = NOW - 60  # what a time server corrects
    assert done(record.write(issue(3)))["n"] == 3
    clock.now = NOW + 365 * 86400  # it ran ahead
    done(record.write(issue(4)))
    clock.now = NOW + 100
    with pytest.raises(Unrecorded):
        done(record.write(issue(5)))
    done(record.write({"what": "clock-accepted"}, anyway=True))
    done(record.write(issue(5)))
    assert len(done(record.ask(register.keys))) == 4


def test_a_trail_that_is_removed_or_replaced_under_us(paths, opened, tmp_path):
    record = opened()
    done(record.write(issue(1)))
    shutil.copy(paths[0], tmp_path / "old")
    done(record.write(issue(2)))
    paths[0].rename(tmp_path / "away")
    with pytest.raises(Unrecorded, match="No such file"):
        done(record.write(issue(3)))
    shutil.copy(tmp_path / "old", paths[0])
    with pytest.raises(Unrecorded, match="was replaced"):
        done(record.write(issue(3)))
    paths[0].unlink()
    (tmp_path / "away").rename(paths[0])
    assert done(record.write(issue(4)))["n"] == 3
    record.stop()
    assert trail.verify(paths[0]).problem is None


def test_a_commit_that_fails_after_the_trail_has_it(paths, opened, monkeypatch):
    record = opened()
    done(record.write(issue(1)))
    real = register.write_mark
    calls = iter(range(10))

    def fail(connection, mark):
        if next(calls) == 1:  # the one after the trail was written
            raise OSError(errno.EIO, "Input/output error")
        real(connection, mark)

    monkeypatch.setattr(register, "write_mark", fail)
    with pytest.raises(Unrecorded):
        done(record.write(issue(2)))
    monkeypatch.setattr(register, "write_mark", real)
    # It is on record, which is more than was issued: never the other way round.
    assert done(record.write(issue(3)))["n"] == 3
    assert len(done(record.ask(register.keys))) == 3


# ---- many at once


def test_what_waits_together_is_written_together(paths, opened, monkeypatch):
    record = opened()
    synced = []
    real = os.fdatasync
    monkeypatch.setattr(trail.os, "fdatasync", lambda fd: (synced.append(fd), real(fd))[1])
    barrier = threading.Barrier(8)

    def client(k):
        barrier.wait()
        for i in range(50):
            done(record.write(issue(1000 * k + i)))

    threads = [threading.Thread(target=client, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert record.lines == 400
    assert len(synced) < 250
    record.stop()
    assert trail.verify(paths[0]).lines == 400


def test_who_goes_before_it_is_written_has_nothing_issued(opened):
    record = opened()

    async def main():
        tasks = [asyncio.create_task(record.record(issue(i))) for i in range(100)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        return sum(isinstance(one, dict) for one in found)

    got = asyncio.run(main())
    assert 50 <= got <= len(done(record.ask(register.keys))) <= 100


def test_refusals_do_not_fill_the_disk(paths, opened):
    record = opened()
    for _ in range(500):
        record.refusal("refused", source="192.0.2.1")
    done(record.write(issue(1)))
    record.stop()
    text = paths[0].read_text()
    assert text.count('"refused"') <= 3 * ledger.MAX_REFUSALS
    assert '"left-out"' in text


def test_no_secret_in_a_repr(opened):
    assert repr(opened()) == "Ledger(audit.jsonl, 0 lines)"
