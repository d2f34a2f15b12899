"""Socket options that Python has no names for are set only where their numbers mean what they do on Linux."""

import asyncio
import socket

import pytest
from ringkey.gatekeeper import bpf, ear

FILTER, FORCED = 26, 33  # SO_ATTACH_FILTER, SO_RCVBUFFORCE in asm-generic/socket.h


class Noted(socket.socket):
    """A socket that notes the options set on it."""

    __slots__ = ("options",)

    def setsockopt(self, level, name, value):
        self.options.append((level, name))
        if name not in (FILTER, FORCED):  # which may be something else here
            super().setsockopt(level, name, value)


@pytest.mark.parametrize(
    ("domain", "protocol", "known"),
    [
        (39, 38, True),  # Linux, asm-generic
        (0x1029, 0x1028, False),  # Linux on MIPS, SPARC, PA-RISC
        (0x1019, 0x1016, False),  # FreeBSD
        (None, None, False),  # macOS
    ],
)
def test_the_numbering_is_known_by_two_options_that_python_names(monkeypatch, domain, protocol, known):
    for name, value in (("SO_DOMAIN", domain), ("SO_PROTOCOL", protocol)):
        if value is None:
            monkeypatch.delattr(socket, name, raising=False)
        else:
            monkeypatch.setattr(socket, name, value, raising=False)
    assert bpf.numbered_as_asm_generic() is known


@pytest.mark.parametrize("known", [True, False])
def test_no_option_is_set_by_its_number_where_the_numbering_is_not_known(monkeypatch, known):
    async def main():
        sock = Noted(socket.AF_INET, socket.SOCK_DGRAM)
        sock.options = []
        sock.bind(("127.0.0.1", 0))
        one = ear.Ear(sock, lambda *_: None, lambda: None)
        one.ignore("127.0.0.9", 60)
        await asyncio.sleep(0)  # the filter comes with the loop's next round
        one.close()
        named = {(socket.SOL_SOCKET, socket.SO_RCVBUF)}
        numbered = {(socket.SOL_SOCKET, FILTER), (socket.SOL_SOCKET, FORCED)}
        assert set(sock.options) == (named | numbered if known else named)

    monkeypatch.setattr(ear, "_LINUX", known)
    asyncio.run(main())


def test_an_ear_that_rests_leaves_what_comes_in_the_buffer():
    async def main():
        heard, turn = [], asyncio.Event()
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        one = ear.Ear(sock, lambda data, _: heard.append(data), turn.set)
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            loop = asyncio.get_running_loop()
            began = loop.time()
            one.rest(0.2)
            one.rest(60)  # it rests already
            for n in range(10):
                sender.sendto(bytes([n]), one.address)
            async with asyncio.timeout(10):
                await turn.wait()
            assert loop.time() - began >= 0.2
            assert heard == [bytes([n]) for n in range(10)]
            one.rest(0.01)
        finally:
            one.close()
            sender.close()
        await asyncio.sleep(0.02)  # its rest is over, and it is closed: nothing to read

    asyncio.run(main())


@pytest.mark.skipif(not ear._LINUX, reason="SO_MEMINFO is Linux's")
def test_what_the_kernel_drops_is_counted(monkeypatch):
    async def main():
        monkeypatch.setattr(ear, "BUFFER", 4096)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        one = ear.Ear(sock, lambda *_: None, lambda: None)
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            assert one.dropped == 0
            for _ in range(100):  # none is read before the loop has its turn
                sender.sendto(bytes(1000), one.address)
            no_room = one.dropped
            assert 50 < no_room < 100
            one.ignore("127.0.0.1", 60)
            await asyncio.sleep(0)  # the filter comes with the loop's next round
            sender.sendto(b"ignored", one.address)
            assert one.dropped == no_room + 1
        finally:
            one.close()
            sender.close()
        assert one.dropped == 0

    asyncio.run(main())
