"""The RAS port's two sockets: the kernel itself says which of them a datagram comes to."""

import asyncio
import random
import select
import socket
import sys
from contextlib import contextmanager

import pytest
from flooder import forged
from ringkey.errors import UserError
from ringkey.gatekeeper import bpf, steering
from ringkey.gatekeeper.ras_port import udp_port
from ringkey.gatekeeper.steering import Steering

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="SO_ATTACH_REUSEPORT_CBPF is Linux's")


@contextmanager
def steered():
    """Give a Steering, and what tells whose socket a host's datagram comes to: "phones" or "strangers"."""
    port = udp_port("127.0.0.1", 0)
    one = Steering(port)
    assert one.strangers is not None
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def of(host):
        sender.sendmsg([host.encode()], forged(host), 0, port.getsockname())
        (ready,), _, _ = select.select([port, one.strangers], [], [], 5)
        data, source = ready.recvfrom(64)
        assert (data.decode(), source[0]) == (host, host)
        return "phones" if ready is port else "strangers"

    try:
        yield one, of
    finally:
        one.close()
        for sock in (port, one.strangers, sender):
            sock.close()


def test_all_are_strangers_until_they_have_proven_a_pin():
    async def main():
        with steered() as (one, of):
            assert {of(f"127.0.0.{i}") for i in range(1, 9)} == {"strangers"}
            one.phone_at("127.0.0.3")
            assert [of(f"127.0.0.{i}") for i in (2, 3, 4)] == ["strangers", "phones", "strangers"]
            assert one.networks == 1

    asyncio.run(main())


@pytest.fixture
def made(monkeypatch):
    """A queue that has the length of each program, once the kernel has it."""
    monkeypatch.setattr(steering, "EVERY", 0.02)
    queue, choose_by = asyncio.Queue(), bpf.choose_by

    def noted(sock, program):
        choose_by(sock, program)
        queue.put_nowait(len(program))

    monkeypatch.setattr(bpf, "choose_by", noted)
    return queue


def test_programs_are_made_one_a_while_and_with_all_that_came_meanwhile(made):
    async def main():
        with steered() as (one, of):
            await made.get()  # for nobody
            for i in range(1, 101):
                one.phone_at(f"127.0.1.{i}")
            assert made.qsize() == 1, "the first one's, at once"
            async with asyncio.timeout(5):
                await made.get()
                await made.get()
            assert {of(f"127.0.1.{i}") for i in range(1, 101)} == {"phones"}
            assert of("127.0.1.101") == "strangers"
            one.phone_at("127.0.1.1")  # nothing new
            assert made.empty()

    asyncio.run(main())


@pytest.mark.parametrize("count", [0, 1, 8, 9, 17, 500, steering.MAX_NETWORKS])
def test_the_kernel_finds_each_of_so_many_and_no_other(count):
    draw = random.Random(count)
    numbers = draw.sample(range(0x7F010000, 0x7F0F0000), count)
    program = steering.program(set(numbers), 32)
    assert len(program) <= bpf.LONGEST

    def host(number):
        return socket.inet_ntoa(number.to_bytes(4, "big"))

    with steered() as (one, of):
        bpf.choose_by(one.strangers, program)
        for number in [*draw.sample(numbers, min(count, 200)), *numbers[:1], *numbers[-1:]]:
            assert of(host(number)) == "phones", host(number)
            for other in (number - 1, number + 1, draw.randrange(0x7F010000, 0x7F0F0000)):
                assert of(host(other)) == ("phones" if other in numbers else "strangers"), host(other)


def test_more_phones_than_a_program_has_room_for_are_told_apart_by_network(made):
    async def main():
        with steered() as (one, of):
            await made.get()  # for nobody
            for i in range(steering.MAX_NETWORKS + 500):
                one.phone_at(f"127.3.{i >> 8}.{i & 255}")
            assert one.networks <= steering.MAX_NETWORKS
            async with asyncio.timeout(5):
                await made.get()
                await made.get()
                assert {of("127.3.0.1"), of("127.3.7.200")} == {"phones"}
                assert of("127.4.0.1") == "strangers"
                one.phone_at("127.4.0.1")
                await made.get()
                assert of("127.4.0.1") == "phones"

    asyncio.run(main())


def test_phones_all_over_the_world_end_in_few_networks():
    async def main():
        with steered() as (one, _):
            draw = random.Random(7)
            for _ in range(20_000):
                one.phone_at(socket.inet_ntoa(draw.randbytes(4)))
                assert one.networks <= steering.MAX_NETWORKS

    asyncio.run(main())


def test_a_second_gatekeeper_finds_the_port_taken():
    async def main():
        with steered() as (one, _), pytest.raises(UserError, match="cannot open UDP port"):
            udp_port("127.0.0.1", one.strangers.getsockname()[1])

    asyncio.run(main())


@pytest.mark.parametrize("missing", ["option", "numbers", "program"])
def test_without_what_linux_has_there_is_one_socket_for_all(monkeypatch, missing):
    def refused(*_):
        raise OSError

    if missing == "option":
        monkeypatch.delattr(socket, "SO_REUSEPORT")
    elif missing == "numbers":
        monkeypatch.setattr(bpf, "numbered_as_asm_generic", lambda: False)
    else:
        monkeypatch.setattr(bpf, "choose_by", refused)
    with udp_port("127.0.0.1", 0) as port:
        one = Steering(port)
        assert one.strangers is None
        one.phone_at("127.0.0.1")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"heard", port.getsockname())
            ready, _, _ = select.select([port], [], [], 5)
            assert ready
            assert port.recv(64) == b"heard"
