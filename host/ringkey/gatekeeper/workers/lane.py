"""Datagrams on their way from the supervisor to a worker, in blocks, over Unix sockets.

Each worker has one lane for what comes from where phones are, and one for all else.

Each datagram in a block:

    octet           SORTED, UNSORTED or UNSHAPED
    octet           length of the source's host
    2 octets        its port
    2 octets        length of the datagram
    octets          host, datagram
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from ringkey.gatekeeper.addresses import Address
from ringkey.gatekeeper.ear import LONGEST, Ear, Take

# The datagram is this worker's; nobody knows whose it is, and this worker is to find out; it is
# this worker's as another one has found out, and its shape is not known.
SORTED, UNSORTED, UNSHAPED = 0, 1, 2
# Octets of a block: a batch of GRQs, in one call of the kernel at either end.
BLOCK = 1 << 16
# Octets of phones that wait for a worker: what a socket's buffer would hold for one process (ear.BUFFER).
FULL = 4 << 20
# And of strangers: 2,500 GRQs, which a worker takes half a second for at the most; the rest waits in the
# socket's buffer, or goes.
FULL_OF_STRANGERS = 1 << 19
# Octets of the Unix socket's own buffer, as far as the kernel allows it.
_BUFFER = 1 << 20
# Blocks that a worker reads of a lane before the other one has its turn.
_BLOCKS = 1
_HEAD = struct.Struct("!BBHH")


def pack(flag: int, source: Address, data: bytes) -> bytes:
    """Return a datagram as it lies in a block; host and datagram are as long as an ear hears them."""
    host = source[0].encode()
    return _HEAD.pack(flag, len(host), source[1], len(data)) + host + data


def unpack(block: bytes) -> Iterator[tuple[int, Address, bytes]]:
    """Yield (flag, source, datagram) of a block that `pack` has made."""
    at = 0
    while at < len(block):
        flag, host, port, length = _HEAD.unpack_from(block, at)
        at += _HEAD.size
        end = at + host + length
        yield flag, (block[at : at + host].decode(), port), block[at + host : end]
        at = end


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a lane: the supervisor's and the worker's."""
    # Not every system has SEQPACKET here; a datagram socket holds fewer blocks (unix(7)), no more.
    kind = getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM)
    try:
        ends = socket.socketpair(socket.AF_UNIX, kind)
    except OSError:
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in ends:
        end.setblocking(False)
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    return ends


class Lane:
    """The supervisor's end.  full: octets that wait at the most; dropped: datagrams without room.

    Both ends outlive the worker: what came while it was away is there for the next one.
    """

    def __init__(self, full: int = FULL) -> None:
        self._full = full
        self._sock, self.end = pair()
        self._loop = asyncio.get_running_loop()
        self._frames: deque[bytes] = deque()
        self._octets = 0
        self._block = b""  # one that the kernel had no room for
        self.dropped = 0

    def put(self, frame: bytes) -> None:
        """Take what `pack` has made; `flush` sends it."""
        if self._octets + len(frame) > self._full:
            self.dropped += 1
            return
        self._octets += len(frame)
        self._frames.append(frame)

    def flush(self) -> None:
        """Send what there is room for, the rest when there is; never waits."""
        if not self._block:
            self._send()

    def close(self) -> None:
        """Close both ends."""
        if self._sock.fileno() >= 0:
            self._loop.remove_writer(self._sock)
            self._sock.close()
        self.end.close()

    def _send(self) -> None:
        while self._block or self._frames:
            block = self._block or self._next()
            try:
                self._sock.send(block)
            except (BlockingIOError, InterruptedError):
                if not self._block:
                    self._block = block
                    self._loop.add_writer(self._sock, self._room)
                return
            except OSError:
                self.dropped += sum(1 for _ in unpack(block))
            self._block = b""

    def _next(self) -> bytes:
        frames, octets = [], 0
        while self._frames and octets + len(self._frames[0]) <= BLOCK:
            frames.append(self._frames.popleft())
            octets += len(frames[-1])
        self._octets -= octets
        return b"".join(frames)

    def _room(self) -> None:
        self._send()
        if not self._block:
            self._loop.remove_writer(self._sock)


class Inlet(Ear):
    """A worker's ear: reads its lanes, and sends out of the RAS port that all workers share.

    odd: is given (flag, datagram, source) of what is not SORTED; deaf: told of each address that the kernel
    is to drop, and for how many seconds.  The rest as with an Ear.
    """

    def __init__(  # noqa: PLR0917 - as an Ear, and three more
        self,
        lanes: Sequence[socket.socket],
        port: socket.socket,
        take: Take,
        odd: Callable[[int, bytes, Address], None],
        done: Callable[[], None],
        deaf: Callable[[str, float], None],
    ) -> None:
        # Not an Ear's own: it would read the port, which is the supervisor's to do.
        self._lanes = lanes
        self._sock = port
        self._take = take
        self._odd = odd
        self._done = done
        self._tell_deaf = deaf
        self._loop = asyncio.get_running_loop()
        for sock in (*lanes, port):
            sock.setblocking(False)
        for lane in lanes:
            self._loop.add_reader(lane, self._hear_lane, lane)

    @property
    def ignored(self) -> int:
        """None: the supervisor knows."""
        return 0

    def close(self) -> None:
        """Close all sockets, which leaves the supervisor's open."""
        for lane in self._lanes:
            if lane.fileno() >= 0:
                self._loop.remove_reader(lane)
                lane.close()
        self._sock.close()

    def ignore(self, host: str, seconds: float) -> None:
        """Have the supervisor ask the kernel."""
        self._tell_deaf(host, seconds)

    def _hear_lane(self, lane: socket.socket) -> None:
        try:
            for _ in range(_BLOCKS):
                block = lane.recv(BLOCK)
                for flag, source, data in unpack(block):
                    if flag == SORTED:
                        self._take(data, source)
                    else:
                        self._odd(flag, data, source)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            pass  # the supervisor has gone, which talk.py finds out
        finally:
            self._done()


assert LONGEST <= 0xFFFF, "a datagram's length has two octets"  # noqa: S101 - of constants, at import
