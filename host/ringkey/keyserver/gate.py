"""Who gets in: connections are counted before TLS is spoken, all of them and those of each address.

asyncio's own servers tell nobody of a connection before its handshake is over, so that a thousand
clients that never begin one would cost a thousand sockets and nobody would notice.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections import Counter
from collections.abc import Callable

from ringkey import log, tls_buffer

# With its TLS state one costs some 45 KiB (`make bench-keyserver`); a Pi has room for these, and no
# phone holds one long.
MAX_CONNECTIONS = 1000
# Of one address: a house full of phones behind one NAT that start at once; the others keep most.
MAX_OF_SOURCE = 250
# Seconds until TLS stands: an ESP32 takes 2 to 4.
HANDSHAKE = 15.0
# Seconds that requests under way are given at a stop; none takes longer than a write to disk.
STOP = 2.0
# Connections taken in one go; then those that are open have a turn.
_BATCH = 32
# Seconds without accepting when the process has no descriptor left.
_PAUSE = 0.5
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_log = log.get("ringkey.keyserver.tls")

tls_buffer.keep_small()


class Gate:
    """Accepts on `listening`, a socket that does not block, and closes it at `stop()`.

    made: makes the protocol of one connection; context: of the connections to come; connections:
    how many are open, those in their handshake among them.
    """

    def __init__(
        self, listening: socket.socket, made: Callable[[], asyncio.Protocol], context: ssl.SSLContext
    ) -> None:
        self.context = context
        self.port = int(listening.getsockname()[1])
        self.connections = 0
        self._listening = listening
        self._made = made
        self._loop = asyncio.get_running_loop()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._of_source: Counter[str] = Counter()
        self._paused: asyncio.TimerHandle | None = None
        self._stopped = False
        self._loop.add_reader(listening.fileno(), self._accept)

    async def stop(self) -> None:
        """Accept no more, and end handshakes; connections that stand are the application's."""
        self._stopped = True
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._listening.fileno())
        self._listening.close()
        for task in self._handshakes:
            task.cancel()
        if self._handshakes:
            await asyncio.wait(self._handshakes)

    def _accept(self) -> None:
        for _ in range(_BATCH):
            try:
                connection, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as e:
                if e.errno not in _EXHAUSTED:
                    raise
                # Trying again at once would only burn the time that others need to end.
                _log.error("cannot_accept", reason=e.strerror)
                self._loop.remove_reader(self._listening.fileno())
                self._paused = self._loop.call_later(_PAUSE, self._go_on)
                return
            self._admit(connection, str(address[0]))

    def _go_on(self) -> None:
        self._paused = None
        if not self._stopped:
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def _admit(self, connection: socket.socket, source: str) -> None:
        if self.connections >= MAX_CONNECTIONS or self._of_source[source] >= MAX_OF_SOURCE:
            _log.warning(
                "too_many_connections", source=source, limit=MAX_CONNECTIONS, of_source=MAX_OF_SOURCE
            )
            connection.close()
            return
        connection.setblocking(False)
        self.connections += 1
        self._of_source[source] += 1
        task = self._loop.create_task(self._handshake(connection, source))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _handshake(self, connection: socket.socket, source: str) -> None:
        protocol = _Counted(self._made(), lambda: self._left(source))
        try:
            transport, _ = await self._loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self.context,
                ssl_handshake_timeout=HANDSHAKE,
                # A close that nobody answers must not hold up a stop.
                ssl_shutdown_timeout=STOP,
            )
        except (OSError, asyncio.CancelledError):
            # Gone, silent for too long, or not TLS: the SSL object has put the last on record.
            with contextlib.suppress(OSError):
                connection.close()
            protocol.leave()
            return
        if self._stopped:
            transport.abort()

    def _left(self, source: str) -> None:
        self.connections -= 1
        self._of_source[source] -= 1
        if not self._of_source[source]:
            del self._of_source[source]


class _Counted(asyncio.Protocol):
    """The application's protocol, and a word when its connection is over: `left()`, once.

    What comes often goes past this object.
    """

    def __init__(self, inner: asyncio.Protocol, left: Callable[[], None]) -> None:
        self._inner = inner
        self._left: Callable[[], None] | None = left
        for name in ("connection_made", "data_received", "eof_received", "pause_writing", "resume_writing"):
            setattr(self, name, getattr(inner, name))

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)
        self.leave()

    def leave(self) -> None:
        """Say that the connection is over, unless that has been said."""
        left, self._left = self._left, None
        if left is not None:
            left()
