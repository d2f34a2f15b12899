"""The signalling channel (protocol.md section 7): TCP, TLS with a pre-shared key, TPKT frames.

The PSK is MicroPython's own where the build has it (1.29, `tls.SSLContext.psk_identity`),
else this project's client (tlspsk).  A context of MicroPython's holds one key, so each
channel makes its own.
"""

import asyncio
import gc
from errno import ENOTCONN

from phone import aio
from ras import tpkt
from ras.compat import const
from ras.errors import LocalProtocolError, ProtocolError, RemoteProtocolError

try:
    import tls

    NATIVE = hasattr(tls.SSLContext(tls.PROTOCOL_TLS_CLIENT), "psk_identity")
except ImportError:
    NATIVE = False

CONNECT_LIMIT = const(6000)  # ms, TCP
# ms.  The project's own client computes in Python: seconds on an ESP32.
HANDSHAKE_LIMIT = const(15000)
# Octets of a Q.931 message: a SETUP of a real device has up to 1,500.
MAX_FRAME = const(4096)
_PIECE = const(1024)  # octets read at once

# What is wanted of the native TLS, best first (protocol.md section 7).
_SUITES = (
    "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256",
    "TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA256",
    "TLS-PSK-WITH-AES-128-GCM-SHA256",
    "TLS-PSK-WITH-AES-128-CBC-SHA256",
)


class ChannelError(Exception):
    """The channel could not be opened.  step: "connect" or "handshake"."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.step = step


class Channel:
    """One open channel: make it with `open_channel`.  cipher: the suite's name."""

    def __init__(self, transport: object, cipher: str) -> None:
        self.cipher = cipher
        self._transport = transport
        self._deframer = tpkt.Deframer(MAX_FRAME)
        self._waiting = []

    async def receive(self) -> "bytes | None":
        """Return the next frame's payload, or None when the other end has closed the channel.

        Raises RemoteProtocolError where it sends what is no TLS or no TPKT, OSError where
        the connection is lost.
        """
        while not self._waiting:
            data = await self._transport.read()
            if data is None:
                return None
            self._waiting = self._deframer.receive(data)
        return self._waiting.pop(0)

    async def send(self, payload: bytes) -> None:
        """Send one frame; raises OSError."""
        await self._transport.write(tpkt.encode(payload))

    def close(self) -> None:
        """Close at once; may be called again."""
        self._transport.close()


async def open_channel(
    address: "tuple[str, int]", identity: bytes, key: bytes, random: object, native: bool = NATIVE
) -> Channel:
    """Connect and shake hands; return the Channel.  Raises ChannelError."""
    try:
        sock = await asyncio.wait_for_ms(aio.connect(address[0], address[1]), CONNECT_LIMIT)
    except (OSError, aio.TimeoutError):
        raise ChannelError("connect")
    transport = None
    try:
        transport = _Native(sock, address[0], identity, key) if native else _Own(sock, identity, key, random)
        cipher = await asyncio.wait_for_ms(transport.shake_hands(), HANDSHAKE_LIMIT)
    except (OSError, ValueError, RemoteProtocolError, aio.TimeoutError):
        _close(transport, sock)
        raise ChannelError("handshake")
    except BaseException:
        _close(transport, sock)
        raise
    gc.collect()
    return Channel(transport, cipher)


def _close(transport: object, sock: object) -> None:
    if transport is not None:
        transport.close()
    sock.close()


class _Own:
    """TLS by tlspsk.PSKClient."""

    def __init__(self, sock: object, identity: bytes, key: bytes, random: object) -> None:
        from tlspsk.client import PSKClient  # not in the heap of a board that has its own

        self._sock = sock
        self._buffer = bytearray(_PIECE)
        self._client = PSKClient(identity, key, random)

    async def shake_hands(self) -> str:
        self._client.start()
        await self._flush()
        while True:
            event = self._client.next_event()
            if event is None:
                await self._more()
            elif event[0] == "connected":
                return event[1]
            else:
                raise RemoteProtocolError("TLS: closed within the handshake")

    async def read(self) -> "bytes | None":
        while True:
            event = self._client.next_event()
            if event is None:
                await self._more()
            elif event[0] == "data":
                return event[1]
            else:
                return None

    async def write(self, data: bytes) -> None:
        try:
            self._client.send(data)
        except LocalProtocolError:
            raise OSError(ENOTCONN)  # the other end has closed it; read() is about to tell
        await self._flush()

    def close(self) -> None:
        try:
            self._client.close()
            # As far as it goes out at once: whoever closes does not wait.
            self._sock.write(self._client.data_to_send())
        except (OSError, ProtocolError):
            pass
        self._sock.close()

    async def _more(self) -> None:
        count = await aio.read_into(self._sock, self._buffer)
        try:
            if count:
                self._client.receive(memoryview(self._buffer)[:count])
            else:
                self._client.receive_eof()
        finally:
            await self._flush()  # an alert that says why, above all

    async def _flush(self) -> None:
        data = self._client.data_to_send()
        if data:
            await aio.write(self._sock, data)


class _Native:
    """TLS by MicroPython."""

    def __init__(self, sock: object, host: str, identity: bytes, key: bytes) -> None:
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        offered = context.get_ciphers()
        wanted = [suite for suite in _SUITES if suite in offered]
        if not wanted:
            raise ValueError("this TLS has no PSK suite")
        context.set_ciphers(wanted)
        # With PSK suites only there is no certificate; should one turn up, no root is loaded
        # that it could be verified with.
        context.verify_mode = tls.CERT_REQUIRED
        context.psk_identity = identity
        context.psk_key = key
        self._tcp = sock
        self._sock = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        self._buffer = bytearray(_PIECE)

    async def shake_hands(self) -> str:
        # The first write does the handshake; an empty TPKT frame is H.323's keep-alive.
        await aio.write(self._sock, tpkt.encode(b""))
        return self._sock.cipher()[0]

    async def read(self) -> "bytes | None":
        count = await aio.read_into(self._sock, self._buffer)
        return bytes(memoryview(self._buffer)[:count]) if count else None

    async def write(self, data: bytes) -> None:
        await aio.write(self._sock, data)

    def close(self) -> None:
        self._sock.close()
        self._tcp.close()
