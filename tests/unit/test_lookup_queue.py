"""Who is looked up first while strangers ask without end; what each table keeps of them, and of phones."""

import asyncio
import socket
import sys
import time

import pytest
from exchange import Exchange, Issuing, patient, registered
from pair import PHONE
from ras import message, registrar
from ras.attempts import Attempts
from ras.keys import SHA256
from ras.noise import Noise
from ras.throttle import Throttle
from ringkey.gatekeeper import lookup_queue
from ringkey.gatekeeper.answers import Found
from ringkey.gatekeeper.ear import MAX_DEAF, Ear
from ringkey.gatekeeper.key_cache import KeyCache
from ringkey.gatekeeper.lookup_queue import AT_ONCE, REFUSALS_AT_ONCE, LookupQueue
from support import Random

EXT = "1001"


class Desk:
    """A queue, and what became of each that was put into it."""

    def __init__(self):
        self.queue = LookupQueue()
        self.asked = []
        self.given_up = []
        self.gate = asyncio.Event()

    def put(self, name, host, *, phone=False, refused=False, limit=100):
        async def work():
            self.asked.append(name)
            await self.gate.wait()
            return refused

        self.queue.put(host, work, lambda: self.given_up.append(name), phone=phone, limit=limit)

    async def until(self, condition):
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - what it waits for has no event
                await asyncio.sleep(0.005)


def run(test):
    async def main():
        desk = Desk()
        await test(desk)
        await desk.queue.stop()
        assert len(desk.queue) == 0

    asyncio.run(main())


def test_phones_go_first_and_strangers_in_turn():
    async def test(desk):
        for i in range(AT_ONCE):
            desk.put(f"first {i}", "10.0.0.1")
        await desk.until(lambda: len(desk.asked) == AT_ONCE)
        for i in range(5):
            desk.put(f"greedy {i}", "10.0.0.1")
        desk.put("modest", "10.0.0.2")
        desk.put("phone", "10.0.0.3", phone=True)
        await asyncio.sleep(0)
        assert len(desk.asked) == AT_ONCE, "no more at one time"
        desk.gate.set()
        await desk.until(lambda: len(desk.queue) == 0)
        after = desk.asked[AT_ONCE:]
        assert after[:3] == ["phone", "greedy 0", "modest"]
        assert desk.given_up == []

    run(test)


def test_beyond_the_limit_the_greediest_stranger_has_to_go():
    async def test(desk):
        for i in range(20):
            desk.put(i, "10.0.0.1", limit=20)
        assert desk.given_up == []
        desk.put("more of the same", "10.0.0.1", limit=20)
        assert desk.given_up == ["more of the same"]
        desk.put("modest", "10.0.0.2", limit=20)
        assert desk.given_up == ["more of the same", 19], "the newest of who has most"
        for i in range(20 - AT_ONCE):
            desk.put(f"phone {i}", "10.0.0.3", phone=True, limit=20)
        assert "modest" in desk.given_up
        assert len(desk.queue) == 20
        desk.put("one phone too many", "10.0.0.3", phone=True, limit=20)
        assert desk.given_up[-1] == "one phone too many"
        desk.gate.set()
        await desk.until(lambda: len(desk.queue) == 0)
        # Each was looked up or given up, once.
        assert len(desk.asked) + len(desk.given_up) == 20 + 2 + 20 - AT_ONCE + 1
        assert not set(desk.asked) & set(desk.given_up)

    run(test)


def test_what_the_key_server_refuses_strangers_is_rationed_and_phones_are_not(monkeypatch):
    monkeypatch.setattr(lookup_queue, "REFUSALS", 20)

    async def test(desk):
        desk.gate.set()
        started = time.monotonic()
        for i in range(2 * REFUSALS_AT_ONCE):
            desk.put(i, f"10.0.{i >> 8}.{i & 255}", refused=True, limit=1000)
        await desk.until(lambda: len(desk.asked) >= REFUSALS_AT_ONCE)
        desk.put("phone", "10.1.0.1", phone=True, refused=True, limit=1000)
        await desk.until(lambda: "phone" in desk.asked)
        await desk.until(lambda: len(desk.queue) == 0)
        passed = time.monotonic() - started
        assert len(desk.asked) <= REFUSALS_AT_ONCE + 20 * passed + 1
        assert len(desk.asked) + len(desk.given_up) == 2 * REFUSALS_AT_ONCE + 1
        assert desk.given_up, "nobody waits longer than a phone does"

    run(test)


def test_look_ups_that_find_a_key_are_not_rationed():
    async def test(desk):
        desk.gate.set()
        for i in range(4 * REFUSALS_AT_ONCE):
            desk.put(i, "10.0.0.1", limit=1000)
        await desk.until(lambda: len(desk.queue) == 0)
        assert len(desk.asked) == 4 * REFUSALS_AT_ONCE

    run(test)


def test_a_queue_that_stops_gives_up_what_waits():
    async def test(desk):
        for i in range(20):
            desk.put(i, "10.0.0.1")
        await desk.until(lambda: len(desk.asked) == AT_ONCE)
        await desk.queue.stop()
        assert len(desk.given_up) == 20 - AT_ONCE
        desk.put("late", "10.0.0.1")
        assert desk.given_up[-1] == "late"

    run(test)


def test_answers_to_strangers_push_out_no_answer_to_a_phone():
    random = Random(3)
    gatekeeper = patient(Issuing(random), random)
    phone = registered(gatekeeper)
    request = phone.reach("GRQ")
    answer = phone.deliver(request)
    stranger = Exchange(gatekeeper, address=("10.0.0.1", 5))
    stranger.record.cvm = b"old"
    grq = bytearray(stranger.ask())
    number = grq.index(message.decode_message(bytes(grq)).value["requestSeqNum"].to_bytes(2, "big")[:1], 1)
    for i in range(registrar.MAX_REFUSALS + 100):
        grq[number : number + 2] = i.to_bytes(2, "big")
        gatekeeper.receive(bytes(grq), stranger.address, phone.now)
    assert len(gatekeeper.registrar._refusals) == registrar.MAX_REFUSALS
    assert phone.deliver(request) == answer


def test_what_a_stranger_can_fill_is_full_at_its_cap_and_no_phone_is_forgotten():
    attempts = Attempts(Throttle(keys=50))
    noise = Noise()
    phone, g = PHONE, bytes(16)
    attempts.succeeded(phone, EXT, g, 0)
    noise.proven(phone, 0)
    for i in range(20000):
        source = (f"10.{i >> 8 & 255}.{i & 255}.1", 5)
        attempts.failed(source, EXT, i.to_bytes(16, "big"), True, i)
        noise.made(source, 1, i)
        noise.unsigned(source, i)
    assert len(attempts._strangers) == 50
    assert len(attempts._keys) == 8192
    assert len(attempts._extensions) == 1
    assert len(noise._ports) == len(noise._hosts) == len(noise._unsigned) == 8192
    assert attempts.proven(phone, EXT, g, 20001)
    assert attempts.refused(phone, EXT, g, 20001) is None
    assert noise.phones_at(phone[0], 20001)


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
def test_an_ignored_source_is_not_even_read_and_is_heard_again_after_its_time():
    async def main():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        read = []
        ear = Ear(sock, lambda data, source: read.append((source[0], data)), lambda: None)
        senders = {}
        for host in ("127.0.0.8", "127.0.0.9"):
            senders[host] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            senders[host].bind((host, 0))

        async def heard(host, data):
            async with asyncio.timeout(5):
                while (host, data) not in read:
                    senders[host].sendto(data, ear.address)
                    await asyncio.sleep(0.02)

        for host in senders:
            await heard(host, b"before")
        ear.ignore("127.0.0.9", 0.5)
        ear.ignore("127.0.0.7", 60)
        await asyncio.sleep(0)  # the filter comes with the loop's next round
        await asyncio.sleep(0)
        for _ in range(100):
            senders["127.0.0.9"].sendto(b"while", ear.address)
        await heard("127.0.0.8", b"while")
        assert ("127.0.0.9", b"while") not in read
        await heard("127.0.0.9", b"after")
        assert ("127.0.0.9", b"while") not in read
        for i in range(2 * MAX_DEAF):
            ear.ignore(f"10.0.{i >> 8}.{i & 255}", 60)
        assert len(ear._deaf) == MAX_DEAF
        await heard("127.0.0.8", b"at the cap")
        ear.ignore("127.0.0.8", 1)
        await heard("127.0.0.8", b"no room for it")
        ear.close()
        ear.close()
        for one in senders.values():
            one.close()

    asyncio.run(main())


def test_keys_that_nobody_has_registered_with_go_first():
    told = []
    cache = KeyCache(10, lambda key, found: told.append((key[0], found is not None)))
    found = Found(bytes(32), SHA256, b"abc")
    cache.put((b"p", "1", None), found)
    cache.prove((b"p", "1", None))
    cache.prove((b"unknown", "1", None))
    for i in range(100):
        cache.put((b"%d" % i, "1", None), found)
    assert len(cache) == 10
    assert cache.get((b"p", "1", None)) == found
    assert cache.get((b"90", "1", None)) is None
    assert cache.get((b"99", "1", None)) == found
    other = Found(bytes(32), SHA256, b"abd")
    cache.put((b"p", "1", None), other)
    assert cache.get((b"p", "1", None)) == other
    cache.forget_g({b"p", b"99"})
    assert cache.get((b"p", "1", None)) is None
    assert len(cache) == 8
    for i in range(12):
        cache.put((b"q%d" % i, "1", None), found)
        cache.prove((b"q%d" % i, "1", None))
    assert len(cache) == 10, "phones' keys have the same limit"
    there = {key[0] for key in cache.all()}
    assert there == {g for g, kept in dict(told).items() if kept}, "who keeps them was told of each that went"
    cache.clear()
    assert len(cache) == 0
