"""The signalling channel (protocol.md section 7): TCP, TLS with a pre-shared key, TPKT frames.

The PSK is MicroPython's own where the build has it (1.29, `tls.SSLContext.psk_identity`),
else this project's client (tlspsk).  A context of MicroPython's holds one key, so each
channel makes its own.  Only the one in use is loaded: phone/psk_native.py or phone/psk_own.py,
each with a Transport(socket, host, identity, key, random) that has `async shake_hands()`, which
returns the suite's name, `async read()`, `async write(data)` and `close()`.
"""

import asyncio
import gc

from phone import aio
from phone.unload import unload
from ras import tpkt
from ras.compat import const
from ras.errors import RemoteProtocolError

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
        if native:
            from phone.psk_native import Transport
        else:
            from phone.psk_own import Transport
        transport = Transport(sock, address[0], identity, key, random)
        cipher = await asyncio.wait_for_ms(transport.shake_hands(), HANDSHAKE_LIMIT)
    except (OSError, ValueError, RemoteProtocolError, aio.TimeoutError):
        _close(transport, sock)
        raise ChannelError("handshake")
    except BaseException:
        _close(transport, sock)
        raise
    gc.collect()
    return Channel(transport, cipher)


async def serve(registration: object, random: object, native: bool, opened: object) -> str:
    """Open the channel of a registration and answer on it until it ends; return a word for how it did.

    opened(cipher, peer) is called when it stands.
    """
    channel = None
    try:
        identity = registration.sid.hex().encode()
        channel = await open_channel(registration.signalling, identity, registration.ks, random, native)
        opened(channel.cipher, registration.signalling)
        while True:
            frame = await channel.receive()
            if frame is None:
                return "closed"
            if frame:
                await _signal(channel, frame)
    except ChannelError as error:
        return error.step + "-failed"
    except RemoteProtocolError:
        return "violated"
    except OSError:
        return "lost"
    finally:
        if channel is not None:
            channel.close()


async def _signal(channel: Channel, frame: bytes) -> None:
    """Take a frame of call signalling; raises RemoteProtocolError, OSError."""
    from ras import q931

    try:
        answer = q931.answer(frame)
    finally:
        unload("ras.q931")
    if answer is not None:
        await channel.send(answer)


def _close(transport: object, sock: object) -> None:
    if transport is not None:
        transport.close()
    sock.close()
