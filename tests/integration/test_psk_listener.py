"""The gatekeeper's TLS-PSK listener against OpenSSL's client and the phone's own, good and bad."""

import asyncio
import contextlib
import gc
import hashlib
import os
import shutil
import socket
import ssl
import struct
import sys
import warnings
import weakref
from pathlib import Path

import pytest
from ras.tpkt import Deframer, encode
from ringkey.gatekeeper import psk
from ringkey.gatekeeper.listener import PskListener
from tlspsk.client import PSKClient
from tlspsk.errors import RemoteAlert

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "tests/conformance/upy_psk_client.py"
IDENTITY = "00112233445566778899aabbccddeeff"
KEY = bytes(range(32))
KEYS = {IDENTITY: KEY}
WAIT = 20  # seconds; never waited for when all is well

openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on PATH")


def micropython():
    beside = Path(sys.executable).parent / "micropython"
    found = os.environ.get("MICROPYTHON") or shutil.which("micropython")
    return found or (str(beside) if beside.exists() else None)


class Site:
    """A listener that echoes, and queues of what it told."""

    def __init__(self, lookup=KEYS.get, **options):
        self.opened = asyncio.Queue()
        self.data = asyncio.Queue()
        self.closed = asyncio.Queue()
        self.refused = asyncio.Queue()
        self.listener = PskListener(
            lookup,
            self.opened.put_nowait,
            self.on_data,
            lambda channel, reason: self.closed.put_nowait((channel, reason)),
            on_refused=lambda peer, reason: self.refused.put_nowait((peer, reason)),
            **options,
        )

    def on_data(self, channel, data):
        self.data.put_nowait(data)
        channel.send(data)

    @staticmethod
    async def next(queue):
        return await asyncio.wait_for(queue.get(), WAIT)

    async def reason(self):
        """Return why the next one was refused."""
        return (await self.next(self.refused))[1]


@contextlib.asynccontextmanager
async def site(**options):
    """A running Site; at the end nothing is left and the loop's exception handler was never called."""
    complaints = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    s = Site(**options)
    await s.listener.start("127.0.0.1", 0)
    try:
        yield s
    finally:
        await asyncio.wait_for(s.listener.close(), WAIT)
        gc.collect()
    assert not s.listener.connections
    assert not s.listener.pending
    assert not s.listener.open
    assert not complaints


class Phone:
    """The phone's TLS client over asyncio streams."""

    def __init__(self, identity=None, key=KEY):
        self.conn = PSKClient(identity or IDENTITY.encode(), key, os.urandom)
        self.reader = self.writer = None

    async def connect(self, port):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.conn.start()
        assert (await self.event())[0] == "connected"

    async def event(self):
        while True:
            self.writer.write(self.conn.data_to_send())
            if (event := self.conn.next_event()) is not None:
                return event
            data = await asyncio.wait_for(self.reader.read(4096), WAIT)
            if data:
                self.conn.receive(data)
            else:
                self.conn.receive_eof()

    async def send(self, data):
        self.conn.send(data)
        self.writer.write(self.conn.data_to_send())
        await self.writer.drain()

    async def close(self):
        self.conn.close()
        self.writer.write(self.conn.data_to_send())
        await self.gone()

    async def gone(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def still_serves(s):
    """A right phone is served, whatever came before."""
    phone = Phone()
    await phone.connect(s.listener.port)
    channel = await s.next(s.opened)
    await phone.send(b"still here")
    assert await phone.event() == ("data", b"still here")
    await phone.close()
    assert await s.next(s.closed) == (channel, None)


async def half_open(s):
    """Return (reader, writer) of a client that says nothing after the server's first flight."""
    conn = PSKClient(b"silent", KEY, os.urandom)
    conn.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", s.listener.port)
    writer.write(conn.data_to_send())
    await asyncio.wait_for(reader.read(1), WAIT)
    return reader, writer


async def s_client(port, *options, text=b"", wait=None):
    """Run OpenSSL's client; return (exit code, output).  Its input ends once `wait` is done."""
    process = await asyncio.create_subprocess_exec(
        "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2", *options,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    process.stdin.write(text)
    if wait is not None:
        await wait
    process.stdin.close()
    output, _ = await asyncio.wait_for(process.communicate(), WAIT)
    return process.returncode, output


@openssl
@pytest.mark.parametrize("cipher", psk.CIPHERS)
def test_openssl_client(cipher):
    async def main():
        async with site() as s:
            options = ("-psk_identity", IDENTITY, "-psk", KEY.hex(), "-cipher", cipher)
            _, output = await s_client(s.listener.port, *options, text=b"hello\n", wait=s.next(s.data))
            channel = await s.next(s.opened)
            assert (channel.identity, channel.cipher) == (IDENTITY, cipher)
            assert channel.peer[0] == "127.0.0.1"
            assert IDENTITY not in repr(channel)
            assert await s.next(s.closed) == (channel, None)
            assert b"Extended master secret: yes" in output
            await still_serves(s)

    asyncio.run(main())


@openssl
def test_forward_secrecy_comes_first():
    async def main():
        async with site() as s:
            options = ("-psk_identity", IDENTITY, "-psk", KEY.hex(), "-cipher", "PSK-AES128-CBC-SHA256:PSK")
            await s_client(s.listener.port, *options, text=b"x", wait=s.next(s.data))
            assert (await s.next(s.opened)).cipher == "ECDHE-PSK-CHACHA20-POLY1305"

    asyncio.run(main())


@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_own_client(interpreter):
    executable = sys.executable if interpreter == "cpython" else micropython()
    if executable is None:
        pytest.skip("no micropython: set MICROPYTHON or put it on PATH")

    async def main():
        async with site() as s:
            process = await asyncio.create_subprocess_exec(
                executable, str(CLIENT), "127.0.0.1", str(s.listener.port),
                IDENTITY, KEY.hex(), "20000", "20000",
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT / "firmware"),
                    "MICROPYPATH": f"{ROOT / 'firmware'}:.frozen",
                },
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            output, _ = await asyncio.wait_for(process.communicate(), WAIT)
            line = b"0123456789 ringkey 0123456789\n"
            digest = hashlib.sha256((line * 700)[:20_000]).hexdigest()
            assert output.decode().splitlines() == [
                "connected TLS_PSK_WITH_AES_128_CBC_SHA256",
                f"received 20000 {digest}",
                "closed",
            ]
            channel = await s.next(s.opened)
            assert channel.cipher == "PSK-AES128-CBC-SHA256"
            assert await s.next(s.closed) == (channel, None)

    asyncio.run(main())


def test_tpkt_frames_both_ways():
    async def main():
        async with site() as s:
            phone = Phone()
            await phone.connect(s.listener.port)
            payloads = [b"setup", b"", b"x" * 3000]
            await phone.send(b"".join(encode(p) for p in payloads))
            deframer, got = Deframer(3000), []
            while len(got) < 3:
                got += deframer.receive((await phone.event())[1])
            assert got == payloads
            await phone.close()

    asyncio.run(main())


def test_short_records_for_the_phone():
    """OpenSSL keeps to the 2 KB that the phone asks for (RFC 6066)."""

    async def main():
        async with site() as s:
            phone = Phone()
            await phone.connect(s.listener.port)
            (await s.next(s.opened)).send(b"x" * 5000)
            assert [len((await phone.event())[1]) for _ in range(3)] == [2048, 2048, 904]
            await phone.close()

    asyncio.run(main())


def test_server_closes():
    async def main():
        async with site() as s:
            phone = Phone()
            await phone.connect(s.listener.port)
            channel = await s.next(s.opened)
            channel.send(b"bye")
            channel.close()
            channel.close()
            with pytest.raises(ConnectionError):
                channel.send(b"more")
            assert await phone.event() == ("data", b"bye")
            assert await phone.event() == ("closed",)
            assert await s.next(s.closed) == (channel, None)
            assert s.closed.empty()
            await phone.gone()

    asyncio.run(main())


def test_listener_closes_open_and_pending():
    async def main():
        async with site() as s:
            phone = Phone()
            await phone.connect(s.listener.port)
            channel = await s.next(s.opened)
            reader, writer = await half_open(s)
            await s.listener.close()
            assert await s.next(s.closed) == (channel, None)
            assert await s.reason() == "listener closed"
            assert await phone.event() == ("closed",)
            await reader.read()
            await phone.gone()
            writer.close()
            await writer.wait_closed()

    asyncio.run(main())


async def refused(s, phone):
    """Return the alert with which the phone was refused."""
    with pytest.raises(RemoteAlert) as caught:
        await phone.connect(s.listener.port)
    await phone.gone()
    return caught.value.alert


def test_wrong_key():
    async def main():
        async with site() as s:
            assert await refused(s, Phone(key=bytes(32))) == 20  # bad_record_mac
            assert await s.reason() == "wrong key"
            await still_serves(s)
            assert s.opened.empty()

    asyncio.run(main())


@openssl
@pytest.mark.parametrize("cipher", psk.CIPHERS)
def test_wrong_key_openssl(cipher):
    async def main():
        async with site() as s:
            options = ("-psk_identity", IDENTITY, "-psk", "00" * 32, "-cipher", cipher)
            code, _ = await s_client(s.listener.port, *options)
            assert code != 0
            assert await s.reason() == "wrong key"
            await still_serves(s)

    asyncio.run(main())


@pytest.mark.parametrize(
    "identity", [b"ffeeddccbbaa99887766554433221100", b"x" * 128, b"\xff\xfe not UTF-8", b"a\x00b", b"\x00"]
)
def test_unknown_identity(identity, capfd, caplog):
    async def main():
        async with site() as s:
            assert await refused(s, Phone(identity)) in {115, 40}  # unknown_psk_identity, handshake_failure
            assert await s.reason() == "unknown identity"
            await still_serves(s)

    asyncio.run(main())
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_lookup_that_fails(capfd, caplog):
    def lookup(identity):
        raise KeyError(identity)

    async def main():
        async with site(lookup=lookup) as s:
            assert await refused(s, Phone()) == 115
            assert await s.reason() == "key look-up failed: KeyError"

    asyncio.run(main())
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


@openssl
def test_certificate_only_client():
    async def main():
        async with site() as s:
            for options in (
                ("-cipher", "ECDHE-RSA-AES128-GCM-SHA256"),
                ("-cipher", "PSK-NULL-SHA256:@SECLEVEL=0", "-psk", "00"),
            ):
                code, _ = await s_client(s.listener.port, *options)
                assert code != 0
                assert await s.reason() == "offers no pre-shared-key suite of ours"
            await still_serves(s)

    asyncio.run(main())


def test_client_of_another_version():
    async def main():
        async with site() as s:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
            with pytest.raises(ssl.SSLError):
                await asyncio.open_connection("127.0.0.1", s.listener.port, ssl=context)
            assert await s.reason() == "does not offer TLS 1.2"
            await still_serves(s)

    asyncio.run(main())


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x03\x00\x00\x08not TLS at all" * 10,
        b"\x00" * 100,
        b"\xff" * 100,
        b"\x16\x03\x01\x40\x00" + b"x" * 0x4000,
    ],
)
def test_not_tls(garbage):
    async def main():
        async with site() as s:
            reader, writer = await asyncio.open_connection("127.0.0.1", s.listener.port)
            writer.write(garbage)
            reason = await s.reason()
            assert reason == "not TLS" or reason.startswith("TLS error: "), reason
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            await still_serves(s)

    asyncio.run(main())


def test_silent_client_is_dropped():
    async def main():
        async with site(handshake_timeout=0.05) as s:
            reader, writer = await asyncio.open_connection("127.0.0.1", s.listener.port)
            assert await asyncio.wait_for(reader.read(), WAIT) == b""
            assert await s.reason() == "no handshake within 0.05 s"
            writer.close()
            await writer.wait_closed()
        async with site(handshake_timeout=0.3) as s:  # one that stops in the middle
            reader, writer = await half_open(s)
            await asyncio.wait_for(reader.read(), WAIT)
            assert await s.reason() == "no handshake within 0.3 s"
            writer.close()
            await writer.wait_closed()

    asyncio.run(main())


def test_timeout_does_not_end_a_channel():
    async def main():
        async with site(handshake_timeout=0.2) as s:
            phone = Phone()
            await phone.connect(s.listener.port)
            loop = asyncio.get_running_loop()
            later = asyncio.Event()
            loop.call_later(0.3, later.set)
            await later.wait()
            await phone.send(b"x")
            assert await phone.event() == ("data", b"x")
            await phone.close()

    asyncio.run(main())


def test_client_gone_in_the_handshake():
    async def main():
        async with site() as s:
            for ending in ("end", "reset"):
                _, writer = await asyncio.open_connection("127.0.0.1", s.listener.port)
                writer.write(b"\x16\x03\x01")
                if ending == "reset":
                    sock = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.close()
                await writer.wait_closed()
                assert await s.reason() == "gone before the end of the handshake"
            await still_serves(s)

    asyncio.run(main())


def test_channel_cut_off():
    """The end of TCP without close_notify, and a reset, are told apart from a good end."""

    async def main():
        async with site() as s:
            for ending, reason in (("end", "ended without close_notify"), ("reset", "connection lost")):
                phone = Phone()
                await phone.connect(s.listener.port)
                channel = await s.next(s.opened)
                if ending == "reset":
                    sock = phone.writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await phone.gone()
                assert await s.next(s.closed) == (channel, reason)

    asyncio.run(main())


def test_channel_cut_off_where_contexts_are_made_to_swallow_it(monkeypatch):
    """CPython before 3.11.3 has OpenSSL 3 tell a cut as a good end, by an option of each new context."""
    make = psk._new

    def lenient(answer):
        context = make(answer)
        context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
        return context

    monkeypatch.setattr(psk, "_new", lenient)
    test_channel_cut_off()


def test_tampered_record_ends_the_channel():
    async def main():
        async with site() as s:
            phone = Phone()
            await phone.connect(s.listener.port)
            channel = await s.next(s.opened)
            phone.conn.send(b"hello")
            wire = bytearray(phone.conn.data_to_send())
            wire[-1] ^= 1
            phone.writer.write(wire)
            ended, reason = await s.next(s.closed)
            assert ended is channel
            assert reason.startswith("TLS error: ")
            with pytest.raises(RemoteAlert):
                await phone.event()
            assert s.data.empty()
            await phone.gone()

    asyncio.run(main())


def test_too_many():
    async def main():
        async with site(max_connections=1) as s:
            phone = Phone()
            await phone.connect(s.listener.port)
            reader, writer = await asyncio.open_connection("127.0.0.1", s.listener.port)
            assert await reader.read() == b""
            assert await s.reason() == "too many connections"
            writer.close()
            await writer.wait_closed()
            await phone.send(b"x")
            assert await phone.event() == ("data", b"x")
            await phone.close()
            await s.next(s.closed)
            s.opened.get_nowait()
            await still_serves(s)

    asyncio.run(main())


def test_silent_clients_do_not_keep_phones_out():
    async def main():
        async with site(max_pending=3) as s:
            silent = [await half_open(s) for _ in range(3)]
            await still_serves(s)
            assert await s.reason() == "gave way to a newer handshake"
            assert s.refused.empty()
            for _, writer in silent:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    asyncio.run(main())


def test_client_that_does_not_read():
    async def main():
        async with site() as s:
            phone = Phone()
            await phone.connect(s.listener.port)
            channel = await s.next(s.opened)
            phone.writer.transport.pause_reading()

            def flood():
                for _ in range(1000):
                    channel.send(b"x" * 65536)

            with pytest.raises(ConnectionError):
                flood()
            assert await s.next(s.closed) == (channel, "reads too slowly")
            await phone.gone()

    asyncio.run(main())


def test_callback_that_fails(caplog):
    async def main():
        async with site() as s:

            def broken(channel, data):
                raise RuntimeError("a mistake")

            s.listener.on_data, good = broken, s.listener.on_data
            phone = Phone()
            await phone.connect(s.listener.port)
            channel = await s.next(s.opened)
            await phone.send(b"x")
            assert await s.next(s.closed) == (channel, "error at the gatekeeper")
            await phone.gone()
            s.listener.on_data = good
            await still_serves(s)

    asyncio.run(main())
    assert [r.getMessage() for r in caplog.records] == ["callback of the signalling listener failed"]
    assert IDENTITY not in caplog.text


def test_200_connections_leave_nothing_behind(monkeypatch):
    contexts = weakref.WeakSet()
    make = psk.psk_server_context

    def counted(*args):
        context = make(*args)
        contexts.add(context)
        return context

    monkeypatch.setattr("ringkey.gatekeeper.listener.psk_server_context", counted)

    async def main():
        async with site() as s:
            for number in range(200):
                kind = number % 4
                if kind == 0:
                    await still_serves(s)
                elif kind == 1:
                    await refused(s, Phone(key=bytes(32)))
                elif kind == 2:
                    await refused(s, Phone(b"unknown"))
                else:  # gone in the middle, armed already
                    _, writer = await half_open(s)
                    writer.close()
                    with contextlib.suppress(ConnectionError):
                        await writer.wait_closed()
                if kind:
                    await s.reason()

    asyncio.run(main())
    gc.collect()
    assert len(contexts) == 0
    if not hasattr(ssl.SSLContext, "set_psk_server_callback"):
        from sslpsk3.sslpsk3 import psk_contexts

        assert psk_contexts == {}


def test_context_offers_nothing_else():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        context = psk.psk_server_context(KEYS.get, lambda identity: None)
    assert context.minimum_version == context.maximum_version == ssl.TLSVersion.TLSv1_2
    # OpenSSL lists TLS 1.3's suites whatever is set; the version keeps them out.
    names = [c["name"] for c in context.get_ciphers() if c["protocol"] != "TLSv1.3"]
    assert names == list(psk.CIPHERS)
    assert not any("NULL" in name or "RSA" in name for name in names)
    psk.release(context)
    psk.release(context)
