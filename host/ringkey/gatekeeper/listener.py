"""The signalling channels' listener: TCP, and TLS with a pre-shared key on it.

TLS runs in memory (ssl.MemoryBIO) under one small protocol instead of asyncio's own: that
one takes 256 KiB for each connection, and tells of failed handshakes only by way of the
event loop's exception handler.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from typing import TYPE_CHECKING, cast

from ringkey.gatekeeper.psk import psk_server_context, release

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

# Seconds from TCP's accept to the end of the handshake.  An ESP32 takes below two for
# ECDHE, and a lost segment costs it one to three more.
HANDSHAKE_TIMEOUT = 10.0
# Open channels: one a registered phone, some 60 KB each for OpenSSL's part of it.
MAX_CONNECTIONS = 4096
# Handshakes at a time.  Whoever is not authenticated shares this many places and none of
# the above; when they are full the oldest goes, so that silent clients cannot block phones.
MAX_PENDING = 256
# Octets not yet taken by a client.  A phone that reads nothing for so long is gone.
MAX_UNSENT = 256 * 1024
# Seconds for what has been sent to go out once a channel closes.
CLOSE_TIMEOUT = 5.0

_READ = 16384  # octets asked of OpenSSL at once: one record

# What OpenSSL calls it, and what an operator can do something with.
_REASONS = {
    "BAD_RECORD_MAC": "wrong key",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": "wrong key",
    "DIGEST_CHECK_FAILED": "wrong key",
    "HTTP_REQUEST": "not TLS",
    "HTTPS_PROXY_REQUEST": "not TLS",
    "BAD_RECORD_TYPE": "not TLS",
    "BAD_PROTOCOL_VERSION_NUMBER": "not TLS",
    "UNKNOWN_PROTOCOL": "not TLS",
    "WRONG_VERSION_NUMBER": "not TLS",
    "UNSUPPORTED_PROTOCOL": "does not offer TLS 1.2",
    "VERSION_TOO_LOW": "does not offer TLS 1.2",
    "PSK_IDENTITY_NOT_FOUND": "unknown identity",
    "NO_SHARED_CIPHER": "offers no pre-shared-key suite of ours",
}


class Channel:
    """An open, authenticated channel.

    identity: what the client proved to have the key of; cipher: OpenSSL's name of the suite;
    peer: (address, port).
    """

    def __init__(self, connection: _Connection, identity: str, cipher: str) -> None:
        self._connection = connection
        self.identity = identity
        self.cipher = cipher
        self.peer = connection.peer

    def __repr__(self) -> str:
        return f"Channel({self.peer}, {self.cipher})"  # the identity is the registration's SID

    def send(self, data: bytes) -> None:
        """Send octets; raises ConnectionError once the channel is closed or closing."""
        self._connection.send(data)

    def close(self) -> None:
        """Say goodbye (close_notify) and close; on_close follows.  May be called again."""
        self._connection.close()


class PskListener:
    """Accepts channels; all callbacks run in the event loop.

    lookup(identity) -> key, or None for an identity that is not known.
    on_open(channel), on_data(channel, octets): octets cut anywhere, see ras.tpkt.
    on_close(channel, reason): once for each on_open; reason None after an orderly close by either
    end, else why, in words.
    on_refused(peer, reason): a connection that did not come to be a channel.

    An exception out of on_open or on_data closes the channel and is logged; one out of lookup
    refuses the client.
    """

    def __init__(
        self,
        lookup: Callable[[str], bytes | None],
        on_open: Callable[[Channel], None],
        on_data: Callable[[Channel, bytes], None],
        on_close: Callable[[Channel, str | None], None],
        *,
        on_refused: Callable[[tuple[str, int], str], None] | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        max_connections: int = MAX_CONNECTIONS,
        max_pending: int = MAX_PENDING,
    ) -> None:
        self.lookup = lookup
        self.on_open = on_open
        self.on_data = on_data
        self.on_close = on_close
        self.on_refused = on_refused
        self.handshake_timeout = handshake_timeout
        self.max_connections = max_connections
        self.max_pending = max_pending
        self.pending: dict[_Connection, None] = {}  # a set in order of age
        self.open: set[_Connection] = set()
        self.connections: set[_Connection] = set()  # all whose transport is not gone yet
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one.  Raises OSError where the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port)

    @property
    def port(self) -> int:
        """The TCP port listened on."""
        if self._server is None:
            raise RuntimeError("not started")
        return cast("int", self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening, close every channel and wait until all connections are gone."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close()
        await asyncio.gather(*(connection.gone for connection in self.connections))
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None


class _Connection(asyncio.Protocol):
    """One TCP connection: pending while self in listener.pending, then a channel, then closing."""

    def __init__(self, listener: PskListener) -> None:
        self._listener = listener
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._context = psk_server_context(self._lookup, self._seen)
        self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._identity = ""
        self._lookup_failure: str | None = None
        self._channel: Channel | None = None
        self._closing = False
        self._reason: str | None = "connection lost"  # for on_close
        self._transport: asyncio.Transport
        self.peer: tuple[str, int] = ("", 0)
        self.gone: asyncio.Future[None] = self._loop.create_future()

    # --- asyncio's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.peer = (transport.get_extra_info("peername") or ("", 0))[:2]
        sock = transport.get_extra_info("socket")
        # A phone that lost its power says nothing: let TCP find out.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener = self._listener
        listener.connections.add(self)
        if len(listener.open) >= listener.max_connections:
            self._refuse("too many connections")
            return
        if len(listener.pending) >= listener.max_pending:
            next(iter(listener.pending))._refuse("gave way to a newer handshake")
        listener.pending[self] = None
        timeout = listener.handshake_timeout
        self._timer = self._loop.call_later(timeout, self._refuse, f"no handshake within {timeout:g} s")

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._incoming.write(data)
        if self._channel is None:
            self._handshake()
        if self._channel is not None:
            self._read()

    def eof_received(self) -> None:
        if not self._closing:
            self._incoming.write_eof()
            if self._channel is None:
                self._refuse("gone before the end of the handshake")
            else:
                self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        listener = self._listener
        if self in listener.pending:
            self._refuse("gone before the end of the handshake")
        if self._timer is not None:
            self._timer.cancel()
        release(self._context)
        listener.connections.discard(self)
        if self in listener.open:
            listener.open.discard(self)
            self._call(listener.on_close, self._channel, self._reason)
        if not self.gone.done():
            self.gone.set_result(None)

    # --- TLS ---

    def _seen(self, identity: str) -> None:
        self._identity = identity

    def _lookup(self, identity: str) -> bytes | None:
        try:
            key = self._listener.lookup(identity)
        except Exception as error:
            # Its text may hold the identity, its type does not.
            self._lookup_failure = f"key look-up failed: {type(error).__name__}"
            return None
        if not key:
            self._lookup_failure = "unknown identity"
        return key

    def _handshake(self) -> None:
        try:
            self._tls.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self._flush()
            return
        except Exception as error:  # ssl.SSLError, and what sslpsk3's callback leaves behind
            self._flush()  # the alert
            self._refuse(self._lookup_failure or _handshake_failure(error))
            return
        self._flush()
        listener = self._listener
        del listener.pending[self]
        if self._timer is not None:
            self._timer.cancel()
        release(self._context)
        if len(listener.open) >= listener.max_connections:
            self._refuse("too many connections")
            return
        cipher = self._tls.cipher()
        self._channel = Channel(self, self._identity, cipher[0] if cipher else "")
        listener.open.add(self)
        self._guarded(listener.on_open, self._channel)

    def _read(self) -> None:
        while not self._closing:
            try:
                data = self._tls.read(_READ)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self._flush()
                return
            except ssl.SSLZeroReturnError:
                data = b""
            except ssl.SSLError as error:
                if _cut_off(error):
                    self._abort("ended without close_notify")
                    return
                self._flush()
                self._end(f"TLS error: {error.reason}")
                return
            if not data:
                self.close()
                return
            self._guarded(self._listener.on_data, self._channel, data)

    def _flush(self) -> None:
        if self._outgoing.pending and not self._transport.is_closing():
            self._transport.write(self._outgoing.read())

    # --- the channel's side ---

    def send(self, data: bytes) -> None:
        if self._closing or self._transport.is_closing():
            raise ConnectionError("channel is closed")
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view) :]
        self._flush()
        if self._transport.get_write_buffer_size() > MAX_UNSENT:
            self._abort("reads too slowly")

    def close(self) -> None:
        if self._closing:
            return
        if self._channel is None:
            self._refuse("listener closed")
            return
        # It wants the peer's close_notify, for which RFC 5246 section 7.2.1 need not wait.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
        self._end(None)

    # --- endings ---

    def _end(self, reason: str | None) -> None:
        self._closing = True
        self._reason = reason
        self._transport.close()
        self._timer = self._loop.call_later(CLOSE_TIMEOUT, self._transport.abort)

    def _abort(self, reason: str) -> None:
        self._closing = True
        self._reason = reason
        self._transport.abort()

    def _refuse(self, reason: str) -> None:
        self._listener.pending.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        self._end(reason)
        if self._listener.on_refused is not None:
            self._call(self._listener.on_refused, self.peer, reason)

    def _guarded(self, callback: Callable[..., None], *args: object) -> None:
        if not self._call(callback, *args):
            self._abort("error at the gatekeeper")

    def _call(self, callback: Callable[..., None], *args: object) -> bool:
        try:
            callback(*args)
        except Exception:
            # A mistake of ours must end this channel, not the event loop's patience.
            _log.exception("callback of the signalling listener failed")
            return False
        return True


def _cut_off(error: ssl.SSLError) -> bool:
    # OpenSSL 3 has a reason for it, of which CPython before 3.11.3 makes no SSLEOFError.
    return isinstance(error, ssl.SSLEOFError) or error.reason == "UNEXPECTED_EOF_WHILE_READING"


def _handshake_failure(error: Exception) -> str:
    if isinstance(error, SystemError):
        # sslpsk3 leaves its UnicodeDecodeError set: an identity that is no text is none of ours.
        return "unknown identity"
    reason = getattr(error, "reason", None)
    if not isinstance(reason, str):
        return "handshake failed"
    if "ALERT" in reason:
        return f"client gave up: {reason}"
    return _REASONS.get(reason, f"TLS error: {reason}")
