"""A relay for TCP connections: lets them through, slows, stalls, cuts and corrupts them."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

from harness import patience
from harness.errors import HarnessError
from harness.faults import DOWN, UP, Address
from harness.pcap import Flow, Pcap

_PIECE = 16384  # octets read at once


class TcpRelay:
    """Connections from phones, on `port`, to a server, at `to`.

    name: for people; known: the port that the server has by right.
    """

    def __init__(self, name: str, known: int, say: Callable[[str], None]) -> None:
        self.pcap: Pcap | None = None
        self.host, self.port = "", 0
        self.connections = 0  # accepted so far
        self._name = name
        self._known = known
        self._say = say
        self._loop = asyncio.get_running_loop()
        self._going = asyncio.Event()
        self._going.set()
        self._latency = 0.0
        self._refusing = False
        self._corrupting: str | None = None
        self._to: Address | None = None
        self._server: asyncio.Server | None = None
        self._held: socket.socket | None = None
        self._open: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._came = threading.Condition()

    @classmethod
    async def open(
        cls, host: str, port: int, name: str, known: int, say: Callable[[str], None]
    ) -> "TcpRelay":
        """Listen on a port, 0 for any free one.  Raises OSError."""
        relay = cls(name, known, say)
        relay._hold(host, port)
        try:
            await relay._listen()
        except OSError:
            relay._let_go()
            raise
        return relay

    @property
    def to(self) -> Address | None:
        """The server; while it is None nobody listens on the relay's port either."""
        return self._to

    @to.setter
    def to(self, address: Address | None) -> None:
        self._to = address
        asyncio.run_coroutine_threadsafe(self._follow(), self._loop).result(20)

    # -- faults; they last until clear()

    def delay(self, seconds: float) -> None:
        """Let each piece wait before it goes on."""
        self._latency = seconds

    def refuse(self) -> None:
        """Close new connections at once, as a port that nobody listens on."""
        self._refusing = True

    def stall(self) -> None:
        """Accept connections, and let nothing through."""
        self._loop.call_soon_threadsafe(self._going.clear)

    def go_on(self) -> None:
        """Let through what has stalled."""
        self._loop.call_soon_threadsafe(self._going.set)

    def corrupt(self, way: str = DOWN) -> None:
        """Flip a bit in the next piece that goes this way."""
        self._corrupting = way

    def cut(self) -> None:
        """Cut every connection off."""
        self._loop.call_soon_threadsafe(self._cut)

    def clear(self) -> None:
        """Take all faults away."""
        self._latency = 0.0
        self._refusing = False
        self._corrupting = None
        self.go_on()

    def wait(self, count: int, timeout: float = 20.0) -> None:
        """Wait until `count` connections have been accepted since the start; raises HarnessError."""
        with self._came:
            if not self._came.wait_for(lambda: self.connections >= count, patience.seconds(timeout)):
                raise HarnessError(
                    f"the relay: {self.connections} of {count} connections to the {self._name} "
                    f"within {timeout:g} s"
                )

    async def close(self) -> None:
        """Stop."""
        if self._server is not None:
            self._server.close()
        self._cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
        self._let_go()

    def _hold(self, host: str, port: int) -> None:
        """Keep the port for good: while nobody listens, another process could be given it as any free one."""
        if port:
            # Another harness on this port would share it with this one.
            socket.create_server((host, port)).close()
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._held = held
        try:
            # Lets the relay's own listener share the port; without SO_REUSEADDR here nobody else does.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind((host, port))
        except OSError:
            self._let_go()
            raise
        self.host, self.port = held.getsockname()

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    # -- inside, in the relays' thread

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accepted, self.host, self.port, reuse_port=True)

    async def _follow(self) -> None:
        """Listen while there is a server: a phone shall find the port closed when its server is down."""
        if self._to is None and self._server is not None:
            server, self._server = self._server, None
            server.close()
            self._cut()
            await server.wait_closed()
        elif self._to is not None and self._server is None:
            await self._listen()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the relay closes
        finally:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client: Address = writer.get_extra_info("peername")[:2]
        with self._came:
            self.connections += 1
            self._came.notify_all()
        if self._refusing or self.to is None:
            self._say(f":{client[1]} to the {self._name}: refused by the relay")
            return
        await self._going.wait()
        try:
            up_reader, up_writer = await asyncio.open_connection(*self.to)
        except OSError as error:
            self._say(f":{client[1]} to the {self._name}: {error.strerror}")
            return
        self._say(f":{client[1]} connects to the {self._name}")
        pcap = self.pcap
        flow = None if pcap is None else Flow(pcap, client, (self.host, self._known))
        pair = (writer, up_writer)
        self._open.add(pair)
        try:
            await asyncio.gather(
                self._pump(UP, reader, up_writer, flow), self._pump(DOWN, up_reader, writer, flow)
            )
        finally:
            self._open.discard(pair)
            up_writer.transport.abort()
            self._say(f":{client[1]} is disconnected from the {self._name}")

    async def _pump(
        self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: Flow | None
    ) -> None:
        try:
            while data := await reader.read(_PIECE):
                await self._going.wait()
                if self._latency:
                    await asyncio.sleep(self._latency)
                if self._corrupting == way:
                    self._corrupting = None
                    middle = len(data) // 2
                    data = data[:middle] + bytes((data[middle] ^ 0x10,)) + data[middle + 1 :]
                    self._say(f"a bit flipped on the way {way} ({self._name})")
                if flow is not None:
                    flow.data(way, data)
                writer.write(data)
                await writer.drain()
        except OSError:
            if flow is not None:
                flow.end(way, abort=True)
            writer.transport.abort()
            return
        if flow is not None:
            flow.end(way)
        with contextlib.suppress(OSError):
            if writer.can_write_eof():
                writer.write_eof()

    def _cut(self) -> None:
        for pair in list(self._open):
            for writer in pair:
                writer.transport.abort()
