"""What goes with which batch, while the disk is slow or failing."""

import asyncio
import threading
import time
from contextlib import contextmanager

import pytest
from ras.message import GRQ
from ringkey.gatekeeper.errors import StateUnavailableError
from ringkey.gatekeeper.state import keeper
from ringkey.gatekeeper.state.store import Store
from state_run import SOURCE, on_disk, registration, run, until

NEVER = 3600.0  # s


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.db"


@contextmanager
def held_up(monkeypatch, name):
    """Let a method of the store wait; gives (it has begun, it may go on)."""
    began, go_on = threading.Event(), threading.Event()
    real = getattr(Store, name)

    def method(self, *args):
        began.set()
        assert go_on.wait(10)
        return real(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Store, name, method)
        try:
            yield began, go_on
        finally:
            go_on.set()


def test_counters_go_with_a_batch_however_many_follow_each_other(path, monkeypatch):
    monkeypatch.setattr(keeper, "TICK", 0.05)
    real, batches = Store.apply, []

    def apply(self, batch, *more):
        batches.append(len(batch.failures))
        time.sleep(0.02)  # what a commit takes on a slow disk: nearly always one is under way
        real(self, batch, *more)

    monkeypatch.setattr(Store, "apply", apply)

    async def main():
        async with run(path) as one:
            throttle = one.registrar.settings.throttle
            for i in range(10):
                throttle.failed(f"192.0.2.{i}", 0)
            n = 0
            while 10 not in batches:
                # As a storm does: there is always something for the next batch already.
                for i in range(keeper.FULL + 8):
                    n += 1
                    one.add(registration(str(1000 + i), f"{n:016x}"))
                assert len(batches) < 30
                await asyncio.sleep(0)
            assert not throttle.changed
            assert len(on_disk(path).failures) == 10 or one.state._writing is not None

    asyncio.run(main())


def test_keys_of_counters_that_wait_have_the_tables_cap(path):
    async def main():
        async with run(path) as one:
            throttle = one.registrar.settings.throttle.another(2, 100)
            throttle.changed = set()
            for i in range(10_000):
                throttle.failed(i, i)
                assert len(throttle.changed) <= 200
            assert set(range(9900, 10_000)) <= throttle.changed, "those that are there are not forgotten"

    asyncio.run(main())


def test_a_nonce_that_comes_while_a_batch_is_written_goes_with_the_next_one(path, monkeypatch):
    monkeypatch.setattr(keeper, "TICK", NEVER)

    async def main():
        async with run(path) as one:
            await one.kept()
            with held_up(monkeypatch, "apply") as (began, go_on):
                one.add(registration())
                await asyncio.to_thread(began.wait, 10)
                one.registrar.news.append((GRQ, b"e" * 16, b"k" * 16))
                one.state.noticed.event(("confirmed", SOURCE, "1001"))
                go_on.set()
                await until(lambda: (GRQ, b"e" * 16) in on_disk(path).nonces)

    asyncio.run(main())


def test_what_ends_while_a_file_is_given_up_is_told_when_the_file_is_gone(path, monkeypatch, capfd):
    """Or else a kill at that moment brings back what a phone was told has ended."""

    def fail(self, *_):
        raise StateUnavailableError("the disk is full", "df -h .")

    async def main():
        async with run(path) as one:
            held = one.add(registration())
            await one.kept()
            with held_up(monkeypatch, "discard") as (began, go_on), monkeypatch.context() as patch:
                patch.setattr(Store, "apply", fail)
                one.add(registration("1002", "11" * 8))
                await asyncio.to_thread(began.wait, 10)
                one.end(held)
                one.outbox.put([(b"UCF", SOURCE)])
                one.outbox.put([(b"GCF", SOURCE)])
                assert one.sent == [b"GCF"], "which says of no registration"
                assert list(on_disk(path).registrations) == ["1001"]
                go_on.set()
                await until(lambda: len(one.sent) == 2)
                assert not path.exists()
                one.outbox.put([(b"another", SOURCE)])
                assert one.sent == [b"GCF", b"UCF", b"another"]

    asyncio.run(main())
    assert "state_not_kept" in capfd.readouterr().out
