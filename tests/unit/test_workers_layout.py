"""The state of one number of workers taken over by another: nothing is lost, whenever a crash comes."""

import asyncio
import json
from dataclasses import replace

import pytest
from ras import kept
from ras.held import Held
from ras.keys import SHA256
from ras.policy import Settings
from ras.registrar import Registrar
from ras.throttle import Throttle
from ringkey.errors import UserError
from ringkey.gatekeeper.answers import Found
from ringkey.gatekeeper.errors import StateUnavailableError
from ringkey.gatekeeper.state import store, ticks
from ringkey.gatekeeper.state.keeper import State
from ringkey.gatekeeper.state.restore import Keys
from ringkey.gatekeeper.workers import layout
from ringkey.gatekeeper.workers.shards import of_extension
from ringkey.site.config import Site, load

EXTS = [str(2000 + n) for n in range(40)]
KG = b"\x5a" * 32
CVM = b"\1\2\3"


@pytest.fixture
def config(site):
    config = load(Site(site)).need_gatekeeper()
    config.pin_key.write_bytes(bytes(32))
    config.pin_key.chmod(0o600)
    return config


def held_of(ext, life=300_000):
    now = ticks.moment().mono
    sid = int(ext).to_bytes(8, "big") * 2
    source = ("192.0.2.1", int(ext))
    held = Held(ext, SHA256, source, sid, b"g" * 16, b"\xcc" * 16, b"\xaa" * 32, b"\xbb" * 32, CVM)
    held.since, held.expires, held.heard = now - 5000, now + life, int(ext)
    return held


class World:
    """What runs of N workers leave on disk and find there again."""

    def __init__(self, config):
        self.config = config
        self.drawn = b"k"

    def run(self, shards, work=lambda registrar, state, shard: None):
        """Let N workers begin and end; return what each of them had at the start."""
        layout.settle(self.config, shards)
        return [asyncio.run(self._one(shard, shards, work)) for shard in range(shards)]

    async def _one(self, shard, shards, work):
        state = State(layout.file_of(self.config.state, shard, shards), bytes(32))
        await state.start()
        throttle = Throttle(limit=3)
        registrar = Registrar(Settings(lambda _host: None, throttle=throttle), lambda n: self.drawn * n)
        keys = state.keys()
        state.put_back(registrar, lambda held: held, lambda: Keys(dict(keys.found)))
        had = {held.ext: kept.pack(held, 0) for held in registrar.held()}
        failures = {key: throttle.failures(key, ticks.moment().mono) for key in throttle.entries()}
        found = had, set(keys.found), kept.nonces(registrar), failures, registrar.server_nonces.key
        work(registrar, state, shard)
        await state.stop()
        return found

    def files(self):
        return sorted(one.name for one in self.config.state.parent.glob("state*"))


def fill(registrar, state, _shard):
    now = ticks.moment().mono
    for ext in EXTS:
        held = held_of(ext)
        registrar._registrations.put_back(held)
        state.noticed.event(("registered", held, None))
        state.keep_key((b"g" * 16, ext, CVM), Found(KG, SHA256, CVM))
        registrar.news.append(("GRQ", ext.encode() * 4, ext.encode()))
    for _ in range(2):
        registrar.attempts.failed(("198.51.100.1", 5), "2001", b"h" * 16, True, now)


def everything(world, shards):
    """Return what N workers find, as one; each extension is with the worker that it belongs to."""
    registrations, keys = {}, set()
    for shard, (had, found, nonces, failures, _) in enumerate(world.run(shards)):
        assert {of_extension(ext, shards) for ext in had} <= {shard}
        assert {of_extension(ext, shards) for _, ext, _ in found} <= {shard}
        assert len(had) == len(found)
        registrations.update(had)
        keys |= found
        assert len(nonces) == len(EXTS), "each knows them all"
        assert failures["198.51.100.1"] == 2
    return registrations, keys


def test_from_one_to_many_and_back(config):
    world = World(config)
    world.run(1, fill)
    assert world.files() == ["state.db"]
    before, keys = everything(world, 1)
    assert sorted(before) == EXTS
    for shards in (2, 3, 3, 1):
        assert everything(world, shards) == (before, keys), shards
        wanted = [layout.file_of(config.state, shard, shards).name for shard in range(shards)]
        wanted += [] if shards == 1 else ["state.layout"]
        assert world.files() == sorted(wanted)


def test_the_key_of_rg_goes_along_within_a_start_of_the_machine(config):
    world = World(config)
    world.run(1, fill)
    world.drawn = b"n"
    assert [one[4] for one in world.run(2)] == [b"k" * 32] * 2


def test_what_has_ended_under_many_is_not_back_under_one(config):
    world = World(config)
    world.run(1, fill)

    def end(registrar, state, _shard):
        for held in registrar.held():
            if int(held.ext) % 2:
                registrar._registrations._end(held, "expire", "test")
                state.noticed.event(("ended", held, "test"))

    world.run(3, end)
    assert sorted(world.run(1)[0][0]) == EXTS[::2]
    assert sorted(ext for one in world.run(2) for ext in one[0]) == EXTS[::2]


def test_a_life_that_is_over_does_not_begin_anew(config):
    world = World(config)

    def work(registrar, state, _shard):
        for held in (held_of("2001", 50), held_of("2002")):
            registrar._registrations.put_back(held)
            state.noticed.event(("registered", held, None))

    world.run(1, work)
    asyncio.run(asyncio.sleep(0.06))  # the registration's life; a clock has no event
    assert [list(one[0]) for one in world.run(1)] == [["2002"]]
    assert sorted(ext for one in world.run(2) for ext in one[0]) == ["2002"]


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
@pytest.mark.parametrize("moment", range(5))
def test_a_crash_at_any_moment_leaves_one_complete_set(config, monkeypatch, before, after, moment):
    """moment: which of the steps that change a file does not come."""
    world = World(config)
    world.run(1, fill)
    wanted = everything(world, before)

    class Crash(BaseException):
        pass

    steps = iter(range(100))

    def crashing(patch, of, name):
        real = getattr(of, name)

        def step(*args, **more):
            if next(steps) == moment:
                raise Crash
            return real(*args, **more)

        patch.setattr(of, name, step)

    with monkeypatch.context() as patch:
        crashing(patch, store.Store, "apply")
        crashing(patch, layout, "_write")
        crashing(patch, type(config.state), "unlink")
        try:
            layout.settle(config, after)
        except Crash:
            crashed = True
        else:
            crashed = False  # it has fewer steps than that
    assert crashed
    assert everything(world, after) == wanted


def test_a_state_that_cannot_be_written_anew_ends_the_start_and_loses_nothing(config, monkeypatch):
    world = World(config)
    world.run(1, fill)
    before = everything(world, 1)

    def full(*_args):
        raise StateUnavailableError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(store.Store, "apply", full)
        with pytest.raises(UserError, match="disk full"):
            layout.settle(config, 2)
    assert everything(world, 1) == before
    assert everything(world, 2) == before


def test_a_damaged_file_is_set_aside_and_costs_its_own_phones_only(config):
    world = World(config)
    world.run(1, fill)
    everything(world, 2)
    broken = layout.file_of(config.state, 0, 2)
    broken.write_bytes(b"this is no database" * 400)
    found = [ext for one in world.run(3) for ext in one[0]]
    assert sorted(found) == [ext for ext in EXTS if of_extension(ext, 2) == 1]
    assert broken.with_name(broken.name + ".damaged").exists()


@pytest.mark.parametrize("text", ["", "{", '{"workers": "2"}', '{"workers": 1}', '{"workers": 99}', "[]"])
def test_a_layout_that_says_nothing_is_told_of(config, text):
    config.state.with_suffix(".layout").write_text(text)
    with pytest.raises(UserError, match="does not say for how many workers") as caught:
        layout.settle(config, 1)
    assert "rm " in caught.value.next_step


def test_files_of_others_stay(config):
    other = config.state.with_name("state-2of3-backup.db")
    other.write_text("mine")
    World(config).run(2)
    assert other.read_text() == "mine"
    assert json.loads(config.state.with_suffix(".layout").read_text()) == {"workers": 2}
    moved = replace(config, state=config.state.with_name("elsewhere"))
    World(moved).run(2)
    assert moved.state.with_name("elsewhere-1of2").exists()
