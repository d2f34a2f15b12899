"""The key generating agent and its counter: no g twice, whatever happens to the process or the file."""

import hashlib
import hmac
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ras import generator
from ras.keys import SHA1, SHA256
from ringkey.errors import UserError
from ringkey.keyserver import agent as agents
from ringkey.keyserver import counter as counters
from ringkey.keyserver import query
from ringkey.keyserver.agent import Agent, Refused
from ringkey.keyserver.counter import BLOCK, Counter
from ringkey.keyserver.keyring import Generation
from ringkey.site import files

ID = bytes.fromhex("02005e100001")
PEER = bytes.fromhex("02005e100002")
STRANGER = bytes.fromhex("02005e100003")
SEED = bytes(range(16))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "counter"
    counters.create(path, ID)
    return path


def ranges(path):
    return [one[:2] for one in json.loads(path.read_text())["ranges"]]


def test_the_start_is_random_and_in_the_lower_half(tmp_path):
    starts = set()
    for i in range(64):
        counters.create(tmp_path / str(i), ID)
        ((start, end),) = ranges(tmp_path / str(i))
        assert start == end < 1 << 47
        starts.add(start)
    assert len(starts) == 64
    assert max(starts) > 1 << 45  # 64 draws all below that: once in 2^128


def test_plus_one_each_and_on_after_a_clean_stop(path):
    ((start, _),) = ranges(path)
    first = Counter(path, ID)
    assert [first.take() for _ in range(BLOCK + 5)] == list(range(start, start + BLOCK + 5))
    first.close()
    first.close()
    assert ranges(path) == [[start, start + BLOCK + 5]]
    second = Counter(path, ID)
    assert second.issued == BLOCK + 5
    assert second.take() == start + BLOCK + 5
    second.close()


def test_a_block_is_on_disk_before_its_first_value_is_out(path):
    ((start, _),) = ranges(path)
    counter = Counter(path, ID)
    assert ranges(path) == [[start, start]]
    for n in range(3 * BLOCK):
        value = counter.take()
        assert value < ranges(path)[-1][1]
        assert ranges(path)[-1][1] == start + BLOCK * (n // BLOCK + 1)
    counter.close()


def test_what_was_issued(path):
    ((start, _),) = ranges(path)
    counter = Counter(path, ID)
    assert counter.generation_of(start) is None
    counter.take()
    counter.take()
    # The rest of the block is reserved, but nobody has it.
    assert [counter.generation_of(start + i) for i in (-1, 0, 1, 2, BLOCK)] == [None, 1, 1, None, None]
    # A crash: no close().  The next process cannot tell what of the block is out.
    os.close(counter._lock)
    counter._lock = -1
    after = Counter(path, ID)
    assert after.generation_of(start + BLOCK - 1) == 1
    assert after.generation_of(start + BLOCK) is None
    assert after.take() == start + BLOCK
    after.close()


def test_one_process_at_a_time(path):
    counter = Counter(path, ID)
    with pytest.raises(UserError, match="another key server"):
        Counter(path, ID)
    with pytest.raises(UserError, match="another key server"):
        counters.renew(path, ID)
    counter.close()
    Counter(path, ID).close()


def test_a_lost_file_is_not_replaced_unasked(path):
    path.unlink()
    with pytest.raises(UserError, match="is lost"):
        Counter(path, ID)
    assert not path.exists()
    assert counters.renew(path, ID) is None
    Counter(path, ID).close()


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b"null", b"\xff", b'{"check": 1}'])
def test_a_damaged_file_is_refused_and_says_what_to_type(path, damage):
    good = path.read_bytes()
    path.write_bytes(damage)
    with pytest.raises(UserError, match="damaged") as caught:
        Counter(path, ID)
    assert caught.value.next_step == "ringkey keyserver new-counter"
    aside = counters.renew(path, ID)
    assert aside.read_bytes() == damage
    assert path.read_bytes() != good


def test_every_flipped_bit_is_noticed(path):
    good = path.read_bytes()
    for i in range(len(good) - 1):  # but the line's end
        flipped = bytearray(good)
        flipped[i] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(UserError, match="damaged"):
            Counter(path, ID)


def test_a_restored_file_counts_on_elsewhere(path, tmp_path):
    before = Counter(path, ID)
    old = [before.take() for _ in range(10)]
    before.close()
    backup = tmp_path / "backup"
    shutil.copy2(path, backup)
    between = Counter(path, ID)
    lost = {between.take() for _ in range(1000)}
    between.close()
    # As a snapshot of the disk does it: the very octets, dates and inode.
    inode = path.stat().st_ino
    path.write_bytes(backup.read_bytes())
    shutil.copystat(backup, path)
    assert path.stat().st_ino == inode
    after = Counter(path, ID)
    new = {after.take() for _ in range(2000)}
    assert not new & (lost | set(old))
    assert all(after.generation_of(value) for value in old)
    assert not any(after.generation_of(value) for value in lost)  # those phones fetch new keys
    after.close()
    assert len(ranges(path)) == 2
    again = Counter(path, ID)
    assert again.take() == max(new) + 1  # and only once
    again.close()
    assert len(ranges(path)) == 2


def test_a_file_of_another_server_id_begins_anew(path):
    counter = Counter(path, ID)
    value = counter.take()
    counter.close()
    other = Counter(path, PEER)
    assert other.generation_of(value) is None
    other.close()


def test_a_full_disk_issues_nothing_and_then_goes_on(path, monkeypatch):
    ((start, _),) = ranges(path)
    counter = Counter(path, ID)
    real = files.write

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write", full)
    for _ in range(3):
        with pytest.raises(OSError, match="No space"):
            counter.take()
    assert counter.issued == 0
    monkeypatch.setattr(files, "write", real)
    assert counter.take() == start
    counter.close()


def test_ranges_keep_clear_of_each_other_and_are_bounded():
    draws = iter([1000, 1000 + counters.CLEARANCE, 2000 + 2 * counters.CLEARANCE])
    taken = [counters._Range(1000, 2000)]
    assert counters._new_range(taken, 1, lambda _: next(draws)).start == 2000 + 2 * counters.CLEARANCE


def test_the_end_of_the_counter(path):
    end = generator.COUNTER_END
    counters._write(path, ID, [counters._Range(end - 2, end - 2)])
    counter = Counter(path, ID)
    assert [counter.take(), counter.take()] == [end - 2, end - 1]
    with pytest.raises(UserError, match="used up"):
        counter.take()
    counter.close()


ISSUER = """
import sys
from pathlib import Path
from ringkey import log
from ringkey.keyserver.counter import Counter
log.configure(stream=sys.stderr)
counter = Counter(Path(sys.argv[1]), bytes.fromhex(sys.argv[2]))
print("open", flush=True)
while True:
    print(counter.take(), flush=True)
"""


def test_no_value_twice_across_kill_9(path, environment):
    seen = set()
    chance = random.Random(1)
    for _ in range(20):
        process = subprocess.Popen(
            [sys.executable, "-c", ISSUER, str(path), ID.hex()],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "open\n"
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        values = process.stdout.read().split("\n")[:-1]  # the last line may be cut off
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        new = {int(value) for value in values}
        assert len(new) == len(values)
        assert not seen & new
        seen |= new
        leftover = [p.name for p in path.parent.iterdir() if p.name not in ("counter", "counter.lock")]
        assert all(name.startswith(".counter.") for name in leftover)
    assert len(seen) > 20 * BLOCK  # several blocks each, or the test shows nothing


# ---- the agent


def masters(suite, *seeds, until=None):
    """Return MasterKeys of seeds, all but the last one in force until `until`."""
    last = len(seeds)
    made = [Generation(n, 0, None if n == last else until, s) for n, s in enumerate(seeds, 1)]
    return agents.derive(suite, tuple(made))


@pytest.fixture(params=["sha1", "sha256"])
def agent(request, path):
    suite = {"sha1": SHA1, "sha256": SHA256}[request.param]
    agent = Agent(suite, masters(suite, SEED), ID, Counter(path, ID), peers=(PEER,), allow_phone_g=True)
    yield agent
    agent.close()


def independent(name, g):
    km = hashlib.new(name, SEED).digest()
    return hmac.new(km, g, name).digest()[: {"sha1": 16, "sha256": 32}[name]]


def test_g_and_kg(agent):
    key = agent.issue("4711")
    assert key.g[:6] == ID
    assert key.g[6:10] == hashlib.sha256(b"4711").digest()[:4]
    assert key.kg == independent(agent.suite.name, key.g)
    assert agent.issue("4711").g[10:] == (int.from_bytes(key.g[10:], "big") + 1).to_bytes(6, "big")
    assert agent.issue(None).g[6:10] == bytes(4)
    km = hashlib.new(agent.suite.name, SEED).digest()
    assert agent.cvm == hashlib.new(agent.suite.name, km).digest()[-3:]
    for text in (repr(key), repr(agent)):
        assert key.kg.hex() not in text
        assert km.hex() not in text
        assert repr(key.kg) not in text


def test_a_wrong_extension_spends_no_value(agent):
    for ext in ("", "x", "1" * 21):
        with pytest.raises(ValueError, match="extension"):
            agent.issue(ext)
    assert agent.issued == 0


def refusal(call, *args):
    with pytest.raises(Refused) as caught:
        call(*args)
    return caught.value.code


def test_look_up(agent):
    key = agent.issue("100")
    assert agent.look_up(key.g, "100") == key
    assert refusal(agent.look_up, key.g, "101") == "other-extension"
    beyond = key.g[:10] + (int.from_bytes(key.g[10:], "big") + 1).to_bytes(6, "big")
    assert refusal(agent.look_up, beyond, "100") == "not-issued"
    before = key.g[:10] + (int.from_bytes(key.g[10:], "big") - 1).to_bytes(6, "big")
    assert refusal(agent.look_up, before, "100") == "not-issued"
    assert refusal(agent.look_up, STRANGER + key.g[6:], "100") == "not-allowed"
    # A peer's counter is not known here: its id and the device field have to do.
    assert agent.look_up(PEER + beyond[6:], "100").kg == independent(agent.suite.name, PEER + beyond[6:])
    assert refusal(agent.look_up, PEER + beyond[6:], "101") == "other-extension"
    unnamed = agent.issue(None)
    assert agent.look_up(unnamed.g, "100") == agent.look_up(unnamed.g, "101") == unnamed


def test_a_g_that_a_phone_chose(agent, path, tmp_path):
    g = bytes(6) + generator.device_field("100") + b"random"
    assert agent.accept(g, "100").kg == independent(agent.suite.name, g)
    assert agent.look_up(g, "100") == agent.accept(g, "100")
    assert refusal(agent.accept, g, "101") == "other-extension"
    assert refusal(agent.look_up, g, "101") == "other-extension"
    assert refusal(agent.accept, ID + g[6:], "100") == "not-allowed"
    assert refusal(agent.accept, PEER + g[6:], "100") == "not-allowed"
    assert agent.issued == 0
    counters.create(tmp_path / "other", ID)
    strict = Agent(SHA256, masters(SHA256, SEED), ID, Counter(tmp_path / "other", ID))
    assert refusal(strict.accept, g, "100") == "not-allowed"
    assert refusal(strict.look_up, g, "100") == "not-allowed"
    strict.close()


# ---- parameters of a URL

anything = st.lists(st.text(max_size=40), max_size=2)


@given(anything, anything, anything)
def test_parameters_are_good_or_refused_without_being_shown(ext, serial, g):
    values = query.Values({"ext": ext, "serial": serial, "g": g, "other": ["x", "y"]})
    for read, given_, good in (
        (query.extension, ext, lambda v: v.isascii() and v.isdigit() and len(v) <= 20),
        (query.serial, serial, lambda v: v.isascii() and v.isprintable() and " " not in v and len(v) <= 64),
        (query.g, g, lambda v: len(v) == 16),
    ):
        try:
            value = read(values)
        except query.Malformed as e:
            said = str(e)
        else:
            assert (value is None) == (not given_)
            assert value is None or good(value)
            continue
        assert given_
        assert all(len(text) < 12 or text not in said for text in given_)


@given(st.from_regex(r"[0-9]{1,20}", fullmatch=True), st.binary(min_size=16, max_size=16))
def test_good_parameters_are_taken(ext, g):
    values = query.Values({"ext": [ext], "g": [g.hex().upper()], "serial": ["00:1a.B-_9"]})
    assert query.extension(values) == ext
    assert query.g(values) == g
    assert query.serial(values) == "00:1a.B-_9"
