"""Lanes, what workers count together, one view of several, and what a site may set."""

import asyncio
import contextlib
import json
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from ras import build, profile, registrar
from ras.errors import RemoteProtocolError
from ras.keys import SHA256, check_value, device_key, master_key
from ras.message import GRQ, decode_message
from ras.policy import Settings
from ras.registrar import Lookup, Registrar
from ras.throttle import Throttle
from ringkey.errors import UserError
from ringkey.gatekeeper.codec import HostCodec
from ringkey.gatekeeper.workers import lane, merge, shards
from ringkey.gatekeeper.workers.codec import WorkerCodec
from ringkey.gatekeeper.workers.lane import SORTED, UNSHAPED, UNSORTED, Inlet, Lane, pack, unpack
from ringkey.gatekeeper.workers.shared import MAX_SOURCES, Shared
from ringkey.gatekeeper.workers.supervisor import WorkersService
from ringkey.site.config import Site, load

pure = pytest.mark.skipif(
    not str(registrar.__file__).endswith(".py"),
    reason="puts something else in a method's place, which a compiled class does not allow",
)

STRANGER = ("198.51.100.1", 5060)
PHONE = ("192.0.2.7", 1719)
PLACES = (("192.0.2.1", 1719), ("192.0.2.1", 1300))
HOSTS = st.ip_addresses().map(str)
DATAGRAMS = st.lists(
    st.tuples(
        st.sampled_from([SORTED, UNSORTED, UNSHAPED]),
        st.tuples(HOSTS, st.integers(0, 65535)),
        st.binary(max_size=2048),
    )
)


@given(DATAGRAMS)
def test_a_block_gives_back_what_was_put_into_it(datagrams):
    assert list(unpack(b"".join(pack(*one) for one in datagrams))) == datagrams


def reading(lanes, take):
    """Return a worker's ear for lanes that stay open; what it hears is sorted."""
    return Inlet(
        [socket.socket(fileno=os.dup(one.end.fileno())) for one in lanes],
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        take,
        lambda *_: pytest.fail("none is odd"),
        lambda: None,
        lambda *_: None,
    )


def test_a_lane_keeps_order_never_waits_and_drops_beyond_its_room():
    async def main():
        one = Lane()
        try:
            data = os.urandom(2000)
            frame = len(pack(SORTED, STRANGER, data))
            sent = 3 * lane.FULL // frame
            for n in range(sent):
                one.put(pack(SORTED, (STRANGER[0], n % 65536), data))
                if n % 64 == 0:
                    one.flush()  # nobody reads: it would hang here if it waited
            assert one.dropped > sent // 3
            # The oldest stay; they come in order, once somebody reads.
            got, all_there = [], asyncio.Event()

            def take(_data, source):
                got.append(source[1])
                if len(got) == sent - one.dropped:
                    all_there.set()

            inlet = reading([one], take)
            async with asyncio.timeout(10):
                await all_there.wait()
            inlet.close()
            assert got == [n % 65536 for n in range(sent - one.dropped)]
            before = one.dropped
            one.put(pack(SORTED, STRANGER, data))
            one.flush()
            assert one.dropped == before, "there is room again"
        finally:
            one.close()

    asyncio.run(main())


def test_phones_wait_for_no_more_than_a_block_of_strangers():
    async def main():
        phones, strangers = Lane(), Lane(lane.FULL_OF_STRANGERS)
        try:
            data = os.urandom(200)
            frame = len(pack(SORTED, STRANGER, data))
            for _ in range(lane.FULL_OF_STRANGERS // frame + 100):
                strangers.put(pack(SORTED, STRANGER, data))
            assert strangers.dropped == 100
            strangers.flush()
            got, there = [], asyncio.Event()

            def take(_data, source):
                got.append(source)
                if source == PHONE:
                    there.set()
                elif len(got) == 1:  # there are blocks of strangers to come
                    phones.put(pack(SORTED, PHONE, data))
                    phones.flush()

            inlet = reading([phones, strangers], take)
            async with asyncio.timeout(10):
                await there.wait()
            inlet.close()
            # The one that it came in, and the one that was its turn.
            assert got.index(PHONE) <= 2 * lane.BLOCK // frame
        finally:
            phones.close()
            strangers.close()

    asyncio.run(main())


def test_what_came_while_a_worker_was_away_is_there_for_the_next_one():
    async def main():
        one = Lane()
        got = []
        for flag in (SORTED, UNSORTED, UNSHAPED):
            one.put(pack(flag, STRANGER, b"x"))
        one.flush()
        there = asyncio.Event()
        inlet = Inlet(
            [socket.socket(fileno=os.dup(one.end.fileno()))],
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            lambda _data, _source: got.append(SORTED),
            lambda flag, _data, _source: got.append(flag),
            there.set,
            lambda *_: None,
        )
        async with asyncio.timeout(10):
            await there.wait()
        inlet.close()
        one.close()
        assert got == [SORTED, UNSORTED, UNSHAPED]

    asyncio.run(main())


class Worker:
    """A registrar with shared counters, whose news go to `others` as JSON, at once."""

    def __init__(self, number, most=100):
        self.others = []
        self.deaf = []
        self.now = 1000
        self.shared = Shared(
            lambda **line: self.tell({**line, "from": number}),
            lambda host, seconds: self.deaf.append(host),
            lambda: len(self.registrar.held()),
        )
        self.settings = Settings(lambda _host: PLACES, throttle=Throttle(limit=10), most=most)
        self.shared.take(self.settings)
        self.registrar = Registrar(self.settings, os.urandom, HostCodec())
        self.km = master_key(SHA256, bytes(16))
        self.registrar.set_site((check_value(SHA256, self.km),))
        self.compared = 0

    def tell(self, line):
        for other in self.others:
            other.shared.told(json.loads(json.dumps(line)), other.now)

    def guess(self, ext):
        """A GRQ with a key that was issued and a wrong PIN, from the stranger."""
        g = b"\2\0\0\0\0\1" + bytes(4) + int(ext).to_bytes(6, "big")
        elements = {profile.G: g, profile.CVM_ID: check_value(SHA256, self.km), profile.RE: os.urandom(16)}
        octets = profile.seal(GRQ, build.gatekeeper_request(1, ext, STRANGER), elements, SHA256, bytes(32))
        self.registrar.receive_datagram(octets, STRANGER, self.now)
        while (event := self.registrar.next_event()) is not None:
            if event[0] == "lookup" and event[1]:
                lookup = Lookup(kg=device_key(SHA256, self.km, g), pin="4711")
                self.registrar.provide(event[1], lookup, self.now)
            self.compared += event[0] == "dropped" and "wrong ICV" in event[2]
        assert self.registrar.datagrams_to_send() == []


def workers(count, **more):
    found = [Worker(n, **more) for n in range(count)]
    for one in found:
        one.others = [other for other in found if other is not one]
    return found


def alone(test):
    """Run a test in an event loop, which sums are told by."""

    def run():
        async def main():
            test()

        asyncio.run(main())

    run.__name__ = test.__name__
    return run


@alone
def test_guesses_at_many_extensions_are_counted_over_all_workers():
    three = workers(3)
    for n in range(600):
        ext = str(3000 + n)
        three[shards.of_extension(ext, 3)].guess(ext)
    assert sum(one.compared for one in three) == 10
    assert all(one.registrar.attempts.refused(STRANGER, "9", bytes(16), one.now) for one in three)


@alone
def test_guesses_that_nobody_is_told_of_in_time_are_limited_by_each_worker():
    """The worst case: all of them in the same moment."""
    three = workers(3)
    for one in three:
        one.others = []
    for n in range(600):
        ext = str(3000 + n)
        three[shards.of_extension(ext, 3)].guess(ext)
    assert [one.compared for one in three] == [10, 10, 10]


@alone
def test_a_worker_that_begins_anew_is_told_what_the_others_know():
    first, second = workers(2)
    second.others = []
    for n in range(12):
        first.guess(str(3000 + n))
    phones = [(f"192.0.2.{n % 250}", 1000 + n) for n in range(2 * MAX_SOURCES + 7)]
    for source in phones:
        first.settings.noise.proven(source, first.now)
    new = Worker(1)
    first.others = [new]
    first.shared.everything()
    new.guess("3100")
    assert new.compared == 0
    assert all(new.settings.noise.phones_at(host, new.now) for host, _ in phones)


@alone
def test_noise_and_phones_are_told_in_sums():
    first, second = workers(2)
    phone = ("192.0.2.7", 40000)
    first.settings.noise.proven(phone, first.now)
    for n in range(80):
        first.settings.noise.made((STRANGER[0], n % 2), 300, first.now)
    assert not second.settings.noise.ignores((STRANGER[0], 0), second.now)
    first.shared._tell_sums()
    for _ in range(20):  # 40 x 2 of the first, and 10 x 2 more: 100 for each port
        for port in (0, 1):
            second.settings.noise.made((STRANGER[0], port), 10, second.now)
    assert second.settings.noise.ignores((STRANGER[0], 0), second.now)
    assert not first.settings.noise.ignores((STRANGER[0], 0), first.now)
    second.shared._tell_sums()
    assert first.settings.noise.ignores((STRANGER[0], 0), first.now)
    # A phone of the other worker's keeps its address from being dropped by the kernel.
    assert second.settings.noise.phones_at(phone[0], second.now)
    assert second.settings.noise.made((phone[0], 9), 256 * 2000, second.now) == 0


@alone
def test_unsigned_answers_are_counted_over_all_workers():
    first, second = workers(2)
    allowed = 0
    for n in range(1000):
        one = (first, second)[n % 2]
        allowed += one.settings.noise.unsigned(STRANGER, one.now)
        if n % 20 == 0:
            first.shared._tell_sums()
            second.shared._tell_sums()
    assert 200 <= allowed <= 220


@pure
@alone
def test_the_site_holds_no_more_than_it_may_over_all_workers():
    first, second = workers(2, most=30)
    first.registrar.held = lambda: [None] * 12
    first.shared.changed()
    first.shared._tell_sums()
    assert second.settings.most == 18
    assert first.settings.most == 30
    second.shared.limit(0)
    assert second.settings.most == 0


def test_answers_of_all_are_one():
    parts = [
        {"asked": True, "n": 1, "rows": [1], "same": "x", "by": {"a": 1}},
        {"asked": True, "n": 2.5, "rows": [2], "same": "x", "by": {"b": 2}},
    ]
    found = {"asked": True, "n": 3.5, "rows": [1, 2], "same": "x", "by": {"a": 1, "b": 2}}
    assert merge.together(parts) == found


@pytest.mark.parametrize("rows", [((), ()), (("1001",), ()), (("1001", "1003"), ("1002",))])
@pytest.mark.parametrize("failing", [None, [[], []], [[{"ext": '"registrations": ['}], [{"ext": "1"}]]])
def test_registrations_of_all_are_put_together_as_they_are(rows, failing):
    def office(n, exts):  # as gatekeeper/office.py writes it
        head = b""
        if failing is not None:
            head = json.dumps({"mark": f"run:{n}", "failing": failing[n]})[1:-1].encode() + b", "
        return b"{" + head + b'"registrations": [' + json.dumps(exts)[1:-1].encode() + b"]}"

    hostile = 'a", "registrations": ["b'
    found = json.loads(merge.registrations([office(0, [*rows[0], hostile]), office(1, list(rows[1]))]))
    wanted = {"registrations": [*rows[0], hostile, *rows[1]]}
    if failing is not None:
        wanted |= {"mark": "run:0,run:1", "failing": failing[0] + failing[1]}
    assert found == wanted


def test_events_of_all_have_one_mark_of_which_each_knows_its_own_part():
    requests = merge.event_requests({"do": "events", "mark": "a:1,b:2", "wait": 8}, 2)
    assert [one["mark"] for one in requests] == ["a:1", "b:2"]
    new = {"mark": "b:3", "gap": False, "phones": [{"ext": "1001"}]}
    old = {"mark": "a:1", "gap": False, "phones": []}
    assert merge.events(requests, {1: new}) == {**new, "mark": "a:1,b:3"}
    assert merge.events(requests, {0: old, 1: new}) == {**new, "mark": "a:1,b:3"}
    assert merge.is_news({0: old, 1: new})
    assert not merge.is_news({0: old})
    gap = {"mark": "c:0", "gap": True, "phones": []}
    assert merge.events(requests, {0: gap, 1: new}) == {"mark": "c:0,b:3", "gap": True, "phones": []}
    for mark in ("", "a:1", "a,b,c", None, 7):
        assert [one["mark"] for one in merge.event_requests({"mark": mark}, 2)] == ["", ""]


def test_metrics_of_all_are_sums_and_what_no_sum_tells_is_the_least():
    def registry(n):
        found = CollectorRegistry()
        Counter("ringkey_ras_received", "Datagrams.", ["message"], registry=found).labels("GRQ").inc(n)
        Gauge("ringkey_registrations", "Now.", registry=found).set(n)
        Gauge("ringkey_key_server_ready", "1 while.", registry=found).set(n > 1)
        Histogram("ringkey_ras_answer_seconds", "s", buckets=(1, 2), registry=found).observe(n)
        return merge.families(found)

    merged = merge.MergedMetrics()
    merged.families = json.loads(json.dumps([registry(1), registry(2)]))
    text = merged.text().decode()
    for line in (
        'ringkey_ras_received_total{message="GRQ"} 3.0',
        "ringkey_registrations 3.0",
        "ringkey_key_server_ready 0.0",
        'ringkey_ras_answer_seconds_bucket{le="1.0"} 1.0',
        'ringkey_ras_answer_seconds_bucket{le="+Inf"} 2.0',
        "ringkey_ras_answer_seconds_sum 3.0",
        "process_cpu_seconds_total ",
    ):
        assert f"\n{line}" in text
    assert generate_latest(merged.registry).count(b"# TYPE ringkey_registrations gauge") == 1


def test_a_site_says_how_many(site, configure):
    assert load(Site(site)).need_gatekeeper().workers == 1
    configure(site, ("workers = 1 ", "workers = 33 "))
    with pytest.raises(UserError, match="workers: not a whole number from 0 to 32"):
        load(Site(site))
    configure(site, ("workers = 33 ", "workers = 4 "))
    assert load(Site(site)).need_gatekeeper().workers == 4
    configure(site, ("signalling_port = 0 ", "signalling_port = 65533 "))
    with pytest.raises(UserError, match="too high"):
        load(Site(site))
    assert shards.how_many(3) == 3
    assert shards.how_many(0) == len(os.sched_getaffinity(0))


def test_a_worker_answers_nothing_about_another_ones_extension():
    """By whatever way it was handed on."""
    for ext in ("1001", "1002"):
        octets = profile.seal(
            GRQ,
            build.gatekeeper_request(1, ext, STRANGER),
            {profile.G: bytes(16), profile.CVM_ID: bytes(3), profile.RE: bytes(16)},
            SHA256,
            bytes(32),
        )
        for shard in (0, 1):
            codec = WorkerCodec(shard, 2, None)
            for _ in range(2):  # before its shape is known, and after
                if shards.of_extension(ext, 2) == shard:
                    assert codec.decode(octets).octets == octets
                else:
                    with pytest.raises(RemoteProtocolError, match="another worker's extension"):
                        codec.decode(octets)
                codec.shapes.learn(decode_message(octets))


@pure
def test_what_a_worker_looked_at_it_decodes_once(monkeypatch):
    codec = WorkerCodec(0, 1, None)
    calls = []
    decode = codec.shapes.decode
    monkeypatch.setattr(codec.shapes, "decode", lambda octets: calls.append(octets) or decode(octets))
    garbage = b"\xff" * 40
    assert isinstance(codec.look(garbage), RemoteProtocolError) or codec.look(garbage).kind
    before = len(calls)
    with contextlib.suppress(RemoteProtocolError):
        codec.decode(garbage)
    assert len(calls) == before
    with contextlib.suppress(RemoteProtocolError):
        codec.decode(garbage)
    assert len(calls) == before + 1


class Answering:
    """A worker as the supervisor asks it: its news, or none until `seconds` are over."""

    def __init__(self, *phones, seconds=0.0):
        self.phones, self.seconds, self.asked = phones, seconds, []

    async def ask(self, request):
        self.asked.append(request)
        if request["wait"]:
            await asyncio.sleep(self.seconds)
        told = self.phones if request["wait"] >= self.seconds else ()
        return {"mark": "new" if told else request["mark"], "gap": False, "phones": list(told)}


def test_news_are_those_of_all_workers_that_have_some_and_wait_for_the_first_where_none_has(site):
    async def events(*children):
        service = WorkersService(load(Site(site)).need_gatekeeper(), Site(site), len(children))
        service._children = list(children)
        return await service._events({"do": "events", "mark": "a,b", "wait": 8})

    at_once = asyncio.run(events(Answering("1001"), Answering("1002")))
    assert at_once == {"mark": "new,new", "gap": False, "phones": ["1001", "1002"]}
    silent = Answering(seconds=9)
    first = asyncio.run(events(silent, Answering("1002", seconds=0.01)))
    assert first == {"mark": "a,new", "gap": False, "phones": ["1002"]}
    assert [one["wait"] for one in silent.asked] == [0, 8]
