"""The RAS socket: datagrams read in batches, and sources that the kernel drops before they are read.

Where a flood comes from few addresses, the kernel's own filter keeps it out of the socket's buffer, so
that there is room for phones in it (SO_ATTACH_FILTER, Linux; elsewhere each datagram is read and dropped).
"""

import asyncio
import heapq
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from ringkey.gatekeeper import bpf, many
from ringkey.gatekeeper.addresses import Address

# Datagrams read before others have their turn: about 10 ms of GRQs.
BATCH = 64
# Octets of the socket's buffer: 5,000 GRQs of a site that gets its power back, with their overhead.
BUFFER = 4 << 20
# Octets of a datagram that are read; what is longer is no RAS message.
LONGEST = 2048
# Sources that the kernel drops at one time.  The program may have 4,096 instructions, and each
# datagram runs through it: 1,024 comparisons are about a microsecond.
MAX_DEAF = 1024
_LINUX = bpf.numbered_as_asm_generic()
_SO_RCVBUFFORCE = 33  # beyond net.core.rmem_max, for a service that may (socket(7))
_SO_MEMINFO = 55  # nine numbers, of which the last one counts what was dropped (linux/sock_diag.h)
_MEMINFO = struct.Struct("9I")

Take = Callable[[bytes, Address], None]


class Ear:
    """Reads `sock`, which it then owns, in the running loop.

    take: is given each datagram; done: is called after each batch of them.
    """

    def __init__(self, sock: socket.socket, take: Take, done: Callable[[], None]) -> None:
        self._sock = sock
        self._take = take
        self._done = done
        self._deaf: dict[str, float] = {}  # source address -> until when (monotonic, s)
        self._ends: list[tuple[float, str]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._changed = False
        self._many = many.reader(sock, LONGEST)
        self._loop = asyncio.get_running_loop()
        sock.setblocking(False)
        with suppress(OSError):  # the kernel gives what it allows
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            if _LINUX:
                sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
        self._loop.add_reader(sock, self._read)

    @property
    def address(self) -> Address:
        """The (host, port) that the socket is bound to."""
        host, port = self._sock.getsockname()[:2]
        return host, port

    @property
    def ignored(self) -> int:
        """How many addresses the kernel is asked to drop now."""
        return len(self._deaf)

    @property
    def dropped(self) -> int:
        """Datagrams that the kernel has dropped here: there was no room for them, or it was asked to.

        0 where it does not tell.
        """
        if not _LINUX or self._sock.fileno() < 0:
            return 0
        try:
            found = self._sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
            return int(_MEMINFO.unpack(found)[-1])
        except (OSError, struct.error):
            return 0

    def close(self) -> None:
        """Close the socket."""
        if self._timer is not None:
            self._timer.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()

    def send(self, data: bytes, address: Address) -> None:
        """Send a datagram; what the network does not take now is lost, as datagrams are."""
        try:  # noqa: SIM105 - what suppress costs is a tenth of what sending does
            self._sock.sendto(data, address)
        except OSError:
            pass

    def ignore(self, host: str, seconds: float) -> None:
        """Have the kernel drop what comes from an IPv4 address, if it can."""
        if host not in self._deaf and len(self._deaf) >= MAX_DEAF:
            return
        until = time.monotonic() + seconds
        self._deaf[host] = until
        heapq.heappush(self._ends, (until, host))
        if not self._changed:  # once for all of a batch
            self._changed = True
            self._loop.call_soon(self._filter)
        self._wake()

    def rest(self, seconds: float) -> None:
        """Read nothing for a while: what comes waits in the socket's buffer, or the kernel drops it."""
        if self._sock.fileno() >= 0 and self._loop.remove_reader(self._sock):
            self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock, self._read)

    def _read(self) -> None:
        receive, take = self._sock.recvfrom, self._take
        try:
            if self._many is not None:
                for _ in range(BATCH // many.MOST):
                    if self._many.read(take) < many.MOST:
                        break
                return
            for _ in range(BATCH):
                data, source = receive(LONGEST)  # IPv4: an address is (host, port)
                take(data, source)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            pass  # an ICMP error: a phone that has gone is found by its time-out
        finally:
            self._done()

    def _wake(self) -> None:
        if self._timer is None and self._ends:
            self._timer = self._loop.call_later(max(0.0, self._ends[0][0] - time.monotonic()), self._hear)

    def _hear(self) -> None:
        """Let those through whose time is over."""
        self._timer = None
        now = time.monotonic()
        while self._ends and self._ends[0][0] <= now:
            _, host = heapq.heappop(self._ends)
            if self._deaf.get(host, now + 1) <= now:
                del self._deaf[host]
        self._filter()
        self._wake()

    def _filter(self) -> None:
        self._changed = False
        if not _LINUX or self._sock.fileno() < 0:
            return
        program = [bpf.LOAD_SOURCE]
        for host in self._deaf:
            number = int.from_bytes(socket.inet_aton(host), "big")
            program += [(bpf.EQUAL, 0, 1, number), bpf.answer(0)]
        program.append(bpf.answer(0xFFFFFFFF))
        with suppress(OSError):  # a kernel without it: each is read, and dropped then
            bpf.filter_by(self._sock, program)
