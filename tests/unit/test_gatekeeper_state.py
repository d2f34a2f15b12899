"""The gatekeeper's state on real SQLite files: what comes back, what does not, and what goes wrong."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st
from ras import kept
from ras.keys import SHA1, SHA256, authentication_key
from ras.throttle import MAX_SOURCES
from ringkey.gatekeeper.answers import Found, Status
from ringkey.gatekeeper.digests import of_request
from ringkey.gatekeeper.directory import Directory
from ringkey.gatekeeper.errors import StateUnavailableError
from ringkey.gatekeeper.state import keeper, rows, sealing, store, ticks
from ringkey.gatekeeper.state.migrations import HEAD
from ringkey.gatekeeper.state.sealing import BrokenSealError, StateSealer
from ringkey.gatekeeper.state.ticks import Moment
from ringkey.gatekeeper.state.usable import usable
from state_run import (
    FOUND,
    KEY,
    KG,
    MINUTE,
    NAME,
    SOURCE,
    held_in,
    on_disk,
    pack_answer,
    registration,
    run,
    until,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.db"


def test_the_newest_version_is_the_one_in_the_directory():
    config = Config()
    config.set_main_option("script_location", "ringkey.gatekeeper.state:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_all_of_it_comes_back(path):
    async def main():
        async with run(path) as first:
            held = first.add(registration())
            gone = first.add(registration("1002", "11" * 8))
            first.end(gone)
            first.state.keep_key(NAME, FOUND)
            status = Status(SHA256, (b"\1\2\3", b"\4\5\6"), (b"server",))
            first.state.keep_statuses({"https://a:1": status})
            first.registrar.settings.throttle.failed("192.0.2.7", ticks.moment().mono)
            first.registrar.settings.throttle.failed(("192.0.2", "1001"), ticks.moment().mono)
            first.registrar._answers.put(of_request(SOURCE, b"request"), b"answer", ticks.moment().mono)
            first.registrar.news.append(("GRQ", b"e" * 16, of_request(SOURCE, b"request")))
            await first.kept()
            was, rg = held_in(first), first.registrar.server_nonces.key
        async with run(path) as second:
            assert held_in(second) == was
            assert second.registrar.psk(held.sid) == held.ks
            assert second.had.found == {NAME: FOUND}
            assert second.had.statuses == {"https://a:1": status}
            assert second.registrar.server_nonces.key == rg
            assert kept.nonces(second.registrar) == [("GRQ", b"e" * 15)], "as far as it is remembered"
            assert (
                second.registrar._answers.get(of_request(SOURCE, b"request"), ticks.moment().mono)
                == b"answer"
            )
            throttle = second.registrar.settings.throttle
            throttle.failed("192.0.2.7", ticks.moment().mono)
            assert throttle.ignores("192.0.2.7", ticks.moment().mono), "the second failure of two"
            second.end(second.registrar.held()[0])
            second.state.keep_key(NAME, None)
        async with run(path) as third:
            assert third.registrar.held() == []
            assert third.had.found == {}

    asyncio.run(main())


def test_what_the_directory_refuses_is_gone_for_good(path):
    async def main():
        async with run(path) as first:
            first.add(registration())
        async with run(path, allowed=lambda held: []) as second:
            assert second.left.refused == 1
        async with run(path) as third:
            assert third.registrar.held() == []
            assert third.left.registrations == third.left.refused == 0

    asyncio.run(main())


def test_whose_pin_or_extension_was_changed_registers_anew(tmp_path):
    with Directory.open(tmp_path / "directory.db", tmp_path / "pin.key") as directory:
        held = []
        for ext in ("1", "2", "3", "4", "5"):
            directory.add(ext, "4711")
            held.append(registration(ext, ext * 16, ka=authentication_key(SHA256, KG, "4711")))
        keys = {(one.g, one.ext, one.cvm): FOUND for one in held if one.ext != "5"}
        assert usable(held, directory, keys) == held
        directory.set_pin("1", "4712")
        directory.disable("2")
        directory.remove("3")
        assert [one.ext for one in usable(held, directory, keys)] == ["4", "5"]


def test_no_secret_lies_open_and_rows_do_not_open_elsewhere(path):
    async def main():
        async with run(path) as first:
            held = first.add(registration("1001", "5c" * 8))
            first.add(registration("1002", "11" * 8))
            first.state.keep_key(NAME, FOUND)
            await first.kept()
            await first.kept()  # a record that says nothing new
            data = path.read_bytes() + path.with_name("state.db-wal").read_bytes()
        for secret in (held.ka, held.ks, KG, bytes.fromhex(held.sid)):
            assert secret not in data
        assert path.stat().st_mode & 0o777 == 0o600
        with closing(sqlite3.connect(path)) as raw, raw:
            two = "SELECT n, sealed FROM journal ORDER BY n DESC LIMIT 2"
            (_, sealed), (other, _) = raw.execute(two).fetchall()
            raw.execute("UPDATE journal SET sealed = ? WHERE n = ?", (sealed, other))
        async with run(path) as second:
            assert second.registrar.held() == [], "they were told before one that does not open"
            assert second.left.broken == 3
        async with run(path) as third:
            assert third.left.broken == 0, "what did not open has gone"

    asyncio.run(main())


def test_what_a_version_before_0002_has_written_goes_on(path):
    """Registrations by identifier, an answer a row, and slots of answers that are used again."""

    async def main():
        async with run(path) as first:
            held = first.add(registration("1001", "5c" * 8))
            await first.kept()
            wanted, shift = kept.pack(held, first.state._shift), first.state._shift
            now = ticks.moment(shift)
            seal = first.state._store._sealer.seal
            old = [
                (store.MAX_ANSWERS - 1, b"before"),
                (store.MAX_ANSWERS, b"request"),
                (store.MAX_ANSWERS + 1, b"after"),
            ]
            answers = [
                (
                    n % store.MAX_ANSWERS,
                    n,
                    seal(b"answer:%d" % n, pack_answer(SOURCE, request, b"answer", now.ticks)),
                )
                for n, request in old
            ]
            one = (held.identifier, seal(b"registration:" + held.identifier.encode(), wanted))
        with closing(sqlite3.connect(path)) as raw, raw:
            moment = (store._MOMENT, seal(b"note:moment", now.encode()))
            raw.execute("UPDATE alembic_version SET version_num = '0001'")
            raw.execute("DROP TABLE journal")
            raw.execute("DELETE FROM answer")
            raw.execute("INSERT INTO note VALUES (?, ?)", moment)
            raw.execute("INSERT INTO registration VALUES (?, ?)", one)
            raw.executemany("INSERT INTO answer VALUES (?, ?, ?)", answers)
        for _ in range(2):
            async with run(path) as later:
                assert list(held_in(later)) == ["1001"]
                assert later.left.broken == 0
                found = later.registrar._answers
                requests = [request for _, request in old]
                assert [
                    request for request in requests if found.get(of_request(SOURCE, request), 0)
                ] == requests
                await later.kept()
            with closing(sqlite3.connect(path)) as raw:
                assert raw.execute("SELECT count(*) FROM registration").fetchone() == (0,), "written anew"
                assert raw.execute("SELECT count(*) FROM journal").fetchone() > (0,)
                slots = raw.execute("SELECT slot, n FROM answer").fetchall()
                assert len(slots) == 1, "one row for those of a batch"
                assert slots[0][0] == slots[0][1] > store.MAX_ANSWERS

    asyncio.run(main())


def test_another_pin_key_brings_nothing_back_and_neither_does_the_old_one_later(path, capfd):
    async def main():
        async with run(path) as first:
            first.add(registration())
        async with run(path, bytes(32)) as second:
            assert second.registrar.held() == []
        async with run(path) as third:
            assert third.registrar.held() == []

    asyncio.run(main())
    assert "state_partly_unreadable" in capfd.readouterr().out


@pytest.mark.parametrize("damage", ["garbage", "half", "foreign", "newer"])
def test_a_damaged_file_is_set_aside(path, damage, capfd):
    async def main():
        async with run(path) as first:
            for n in range(200):
                first.add(registration(str(n), f"{n:016x}"))
        if damage == "garbage":
            path.write_bytes(b"no database at all" * 1000)
        elif damage == "half":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        else:
            with closing(sqlite3.connect(path)) as raw, raw:
                if damage == "newer":
                    raw.execute("UPDATE alembic_version SET version_num = '9999'")
                else:
                    raw.execute("DROP TABLE alembic_version")
        async with run(path) as second:
            assert second.registrar.held() == []
            assert second.state.trouble == ""
            second.add(registration())
        async with run(path) as third:
            assert len(third.registrar.held()) == 1

    asyncio.run(main())
    out = capfd.readouterr().out
    assert out.count("state_set_aside") == 1
    assert path.with_name("state.db.damaged").exists()


def test_a_disk_that_fills_up(path, capfd, monkeypatch):
    """The gatekeeper goes on in memory, nothing that ended comes back, and it recovers by itself."""
    monkeypatch.setattr(keeper, "TICK", 0.02)
    monkeypatch.setattr(keeper, "RETRY", 0.2)

    async def main():
        async with run(path) as first:
            held = first.add(registration())
            await first.kept()

            def limit():
                with first.state._store._opened().connect() as connection:
                    connection.exec_driver_sql("PRAGMA max_page_count = 1")

            await asyncio.get_running_loop().run_in_executor(first.state._thread, limit)
            for n in range(500):
                first.add(registration(f"2{n}", f"{n:016x}"))
            first.outbox.put([(b"RCF", SOURCE)])
            await until(lambda: first.state.trouble)
            await until(lambda: first.sent == [b"RCF"])
            first.end(held)
            await until(lambda: not first.state.trouble)
            await first.kept()
            was = held_in(first)
            assert len(was) == 500
        async with run(path) as second:
            assert held_in(second) == was

    asyncio.run(main())
    out = capfd.readouterr().out
    assert "the disk is full" in out
    assert out.count("state_not_kept") == 1
    assert "state_kept_again" in out


def test_a_file_that_another_process_holds(path, capfd, monkeypatch):
    monkeypatch.setattr(store, "PATIENCE", 0.05)

    async def main():
        async with run(path) as first:
            first.add(registration())
            await first.kept()
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            first.add(registration("1002", "11" * 8))
            first.outbox.put([(b"RCF", SOURCE)])
            await until(lambda: first.sent)
            await until(lambda: first.state.trouble)
            assert len(first.registrar.held()) == 2, "the service goes on"
            other.close()
            assert not path.exists(), "what it says is not so any more"

    asyncio.run(main())
    assert "another process is writing" in capfd.readouterr().out


def test_a_file_that_cannot_be_made(tmp_path, capfd):
    async def main():
        async with run(tmp_path / "nowhere" / "state.db") as one:
            one.add(registration())
            one.outbox.put([(b"RCF", SOURCE)])
            assert one.sent == [b"RCF"], "nothing to wait for"
            assert "cannot be opened" in one.state.trouble

    asyncio.run(main())
    assert "state_not_kept" in capfd.readouterr().out


def test_an_answer_waits_until_what_it_says_is_kept(path):
    async def main():
        async with run(path) as one:
            await one.kept()
            one.outbox.put([(b"GCF", SOURCE)])
            assert one.sent == [b"GCF"], "it says of no registration"
            held = one.add(registration())
            one.outbox.put([(b"RCF", SOURCE)])
            one.outbox.put([(b"RCF", SOURCE), (b"other", SOURCE)])  # the request came twice
            assert one.sent == [b"GCF", b"other"]
            await until(lambda: len(one.sent) == 4)
            assert list(on_disk(path).registrations) == ["1001"]
            one.end(held)
            await one.state.settled()
            assert on_disk(path).registrations == {}

    asyncio.run(main())


def test_an_answer_does_not_wait_longer_than_a_phone_would(path, monkeypatch):
    monkeypatch.setattr(keeper, "HOLD", 0.05)

    async def main():
        async with run(path) as one:
            await one.kept()
            release = asyncio.Event()
            loop = asyncio.get_running_loop()
            stuck = loop.run_in_executor(
                one.state._thread, lambda: asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
            )
            one.add(registration())
            one.outbox.put([(b"RCF", SOURCE)])
            await until(lambda: one.sent == [b"RCF"])
            release.set()
            await stuck

    asyncio.run(main())


def test_many_changes_are_few_commits(path):
    async def main():
        async with run(path) as one:
            await one.kept()
            before = one.state.commits
            for n in range(1000):
                one.add(registration(str(n), f"{n:016x}"))
                if n % 10 == 0:
                    await asyncio.sleep(0)
            await one.state.settled()
            assert one.state.commits - before < 100

    asyncio.run(main())


def test_counters_of_sources_that_were_pushed_out_go_from_the_disk(path):
    async def main():
        async with run(path) as one:
            throttle = one.registrar.settings.throttle
            for n in range(2 * MAX_SOURCES + 10):
                throttle.failed(f"s{n}", n)
                if n % 5000 == 0:
                    await one.kept()
            await one.kept()
            with closing(sqlite3.connect(path)) as raw:
                assert raw.execute("SELECT count(*) FROM failure").fetchone() == (MAX_SOURCES,)

    asyncio.run(main())


def test_rings_do_not_grow(path, monkeypatch):
    monkeypatch.setattr(store, "MAX_NONCES", 50)
    monkeypatch.setattr(store, "MAX_ANSWERS", 20)
    opened = store.Store(path, KEY)
    opened.open()
    for n in range(30):
        nonces = [("GRQ", f"{n}-{i}".encode()) for i in range(7)]
        opened.apply(store.Batch(ticks.moment(), nonces=nonces, answers=[b"a%d" % n, b"b%d" % n]))
    opened.close()
    opened.open()
    found = opened.load()
    assert [re for _, re in found.nonces] == [f"{n}-{i}".encode() for n in range(30) for i in range(7)][-50:]
    assert found.answers == [b"%s%d" % (c, n) for n in range(20, 30) for c in (b"a", b"b")]
    opened.apply(store.Batch(ticks.moment(), nonces=[("RRQ", b"last")]))
    assert opened.load().nonces[-1] == ("RRQ", b"last")
    opened.close()
    with pytest.raises(StateUnavailableError):
        opened.load()


# Time


def test_time_within_one_start_of_the_machine_follows_its_own_clock():
    last = Moment(ticks=5_000_000, mono=1000, wall=10**12, boot="b")
    for wall in (0, 10**12, 10**13):
        shift = ticks.shift_after(last, Moment(0, 31_000, wall, "b"))
        assert 31_000 + shift == 5_030_000


@pytest.mark.parametrize(
    ("wall", "boot", "paused"),
    [
        (10**12 + 30_000, "c", 30_000),
        (10**12 - 3_600_000, "c", 0),  # set back: nothing lives longer than it had left
        (10**12 + 30_000, "", 30_000),
    ],
)
def test_time_across_a_restart_of_the_machine_never_goes_back(wall, boot, paused):
    last = Moment(ticks=5_000_000, mono=4_000_000, wall=10**12, boot=boot and "b")
    assert 200 + ticks.shift_after(last, Moment(0, 200, wall, boot)) == 5_000_000 + paused


def test_the_first_time_of_all():
    assert ticks.shift_after(None, ticks.moment()) == 0
    now = ticks.moment(7)
    assert Moment.decode(now.encode()) == now
    for wrong in (b"", b"{}", b"[]", b'{"ticks": []}'):
        with pytest.raises(ValueError, match=r"Expecting|no moment"):
            Moment.decode(wrong)


@pytest.mark.parametrize(
    ("paused", "there"), [(0, True), (-60 * MINUTE, True), (4 * MINUTE, True), (6 * MINUTE, False)]
)
def test_a_clock_that_was_set_while_the_machine_was_off(path, monkeypatch, paused, there):
    """A life of five minutes, and a machine that starts again that much later by its clock."""
    real = ticks.moment

    async def main():
        async with run(path) as first:
            first.add(registration(life=5 * MINUTE))
            rg = first.registrar.server_nonces.key
        began = real()

        def rebooted(shift=0):
            mono = real().mono - began.mono + 500
            return Moment(mono + shift, mono, began.wall + paused, "another start")

        monkeypatch.setattr(ticks, "moment", rebooted)
        async with run(path) as second:
            assert len(second.registrar.held()) == there
            for held in second.registrar.held():
                left = held.expires - rebooted().mono
                assert 0 < left <= 5 * MINUTE
                assert left <= 5 * MINUTE - max(0, paused) + 1000
            assert second.registrar.server_nonces.key != rg, "the same time of the core comes again"
        monkeypatch.setattr(ticks, "moment", real)
        if paused >= 0:  # else the clock has gone on by an hour, as far as anybody can tell
            async with run(path) as third:
                assert len(third.registrar.held()) == there

    asyncio.run(main())


def test_an_ended_registration_does_not_come_back_with_the_clock(path, monkeypatch):
    async def main():
        async with run(path) as first:
            first.end(first.add(registration()))
        real = ticks.moment
        monkeypatch.setattr(ticks, "moment", lambda shift=0: Moment(100 + shift, 100, 0, "another start"))
        async with run(path) as second:
            assert second.registrar.held() == []
        monkeypatch.setattr(ticks, "moment", real)

    asyncio.run(main())


# Octets


def test_a_seal_is_for_one_row_and_one_key(monkeypatch):
    monkeypatch.setattr(sealing, "MAX_SEALS", 2)
    sealer = StateSealer(KEY)
    sealed = [sealer.seal(b"row", b"plain") for _ in range(6)]
    assert len({one[1:17] for one in sealed}) == 3, "a salt for every two"
    assert {sealer.open(b"row", one) for one in sealed} == {b"plain"}
    assert StateSealer(KEY).open(b"row", sealed[0]) == b"plain"
    for row, text, key in (
        (b"raw", sealed[0], KEY),
        (b"row", sealed[0], bytes(32)),
        (b"row", sealed[0][:-1], KEY),
        (b"row", b"\x02" + sealed[0][1:], KEY),
        (b"row", sealed[0][:20], KEY),
        (b"row", b"", KEY),
    ):
        with pytest.raises(BrokenSealError):
            StateSealer(key).open(row, text)
    assert repr(sealer) == "StateSealer()"


@given(
    g=st.binary(min_size=16, max_size=16),
    ext=st.text("0123456789", min_size=1, max_size=20),
    cvm=st.one_of(st.none(), st.binary(min_size=3, max_size=3)),
)
def test_names_of_keys(g, ext, cvm):
    assert rows.key_of(rows.key_name((g, ext, cvm))) == (g, ext, cvm)


def test_answers_that_version_0003_has_written_are_given_again(path):
    async def main():
        async with run(path) as first:
            await first.kept()
            shift, seal = first.state._shift, first.state._store._sealer.seal
        old = [pack_answer(SOURCE, name, b"to " + name, ticks.moment(shift).ticks) for name in (b"a", b"b")]
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("UPDATE alembic_version SET version_num = '0003'")
            raw.execute("INSERT INTO answer VALUES (0, 0, ?)", (seal(b"answers:0", store.join(old)),))
        for _ in range(2):  # at the first start and, while they are of use, at the next
            async with run(path) as later:
                assert later.left.broken == 0
                now, found = ticks.moment().mono, later.registrar._answers
                given = [found.get(of_request(SOURCE, name), now) for name in (b"a", b"b")]
                assert given == [b"to a", b"to b"]
                later.registrar._answers.put(of_request(SOURCE, b"c"), b"to c", now)
                later.registrar.news.append(("GRQ", b"e" * 16, of_request(SOURCE, b"c")))
                await later.kept()
        answers = [rows.unpack_reply(one)[1] for one in on_disk(path).answers]
        assert set(answers) == {b"to a", b"to b", b"to c"}

    asyncio.run(main())


def test_what_an_answer_is_remembered_by_is_of_one_request_from_one_place():
    places = [("192.0.2.1", 1), ("192.0.2.1", 11), ("192.0.2.11", 1), ("2001:db8::1", 1)]
    found = {of_request(place, octets) for place in places for octets in (b"", b"1", b"1 1", b"request")}
    assert len(found) == 16
    flipped = {of_request(SOURCE, bytes((octet,)) + b"request") for octet in range(256)}
    assert len(flipped) == 256
    # It is in files: another one wants another version of the state.
    assert of_request(SOURCE, b"request").hex() == "d0f6062683263854a6fd816946a00e"


def test_other_rows():
    for found in (FOUND, Found(bytes(16), SHA1, b"abc")):
        assert rows.unpack_found(rows.pack_found(found)) == found
    for wrong in (b"", b"\x09", rows.pack_found(FOUND)[:-1]):
        with pytest.raises(ValueError, match="no device key"):
            rows.unpack_found(wrong)
    with pytest.raises(ValueError, match="no name"):
        rows.key_of(b"short")
    reply = (of_request(("2001:db8::1", 65535), b"q" * 300), b"a", 1 << 40)
    before = (reply[0] + b"!", *reply[1:])  # a version before remembered an octet more
    assert rows.unpack_reply(rows.pack_reply(*before)) == reply
    assert rows.unpack_reply(rows.pack_reply(*reply)) == reply
    before = pack_answer(("2001:db8::1", 65535), b"q" * 300, b"a", 1 << 40)
    assert rows.unpack_reply(rows.reply_of(before)) == reply
    g = bytes(range(240, 256))
    for key in (
        ("stranger", "192.0.2.1"),
        ("stranger", ("192.0.2", "1001")),
        ("extension", "1001"),
        ("key", ("1001", g)),
        ("phone", (("192.0.2.1", 1719), "1001", g)),
        ("phone", ("192.0.2.1", "1001", g)),
    ):
        assert rows.unpack_failed(rows.pack_failed(key)) == key
