"""Waiting for a socket under MicroPython's asyncio: the one place that touches its private queue.

MicroPython's asyncio has streams but no datagrams, and its open_connection() leaves the
socket open when the wait for the connection is cancelled.  What both lack is a wait for
one socket, which only `asyncio.core._io_queue` gives (MicroPython 1.21 to 1.29).
"""

import asyncio
import socket
from asyncio import core
from errno import EAGAIN, EINPROGRESS

TimeoutError = asyncio.TimeoutError  # noqa: A001  (asyncio's own on MicroPython; not a builtin there)


class _Wait:
    """Awaitable: yields once, after having put the task in asyncio's queue of waiters."""

    def __init__(self, sock: object, queue: object) -> None:
        self._sock = sock
        self._queue = queue

    def __iter__(self):
        return self

    def __next__(self):
        if self._queue is None:
            raise StopIteration
        queue, self._queue = self._queue, None
        queue(self._sock)

    __await__ = __iter__


def readable(sock: object) -> object:
    """Return an awaitable that ends when `sock` has something to read, or an error to raise."""
    return _Wait(sock, core._io_queue.queue_read)


def writable(sock: object) -> object:
    """Return an awaitable that ends when `sock` takes octets, is connected, or has an error to raise."""
    return _Wait(sock, core._io_queue.queue_write)


async def connect(host: str, port: int) -> object:
    """Return a TCP socket, not blocking, that is connected or has failed: its first write tells.

    Raises OSError.  The look-up of a name blocks, on every port of MicroPython.
    """
    info = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0]
    sock = socket.socket(info[0], info[1], info[2])
    try:
        sock.setblocking(False)
        try:
            sock.connect(info[-1])
        except OSError as error:
            if error.errno != EINPROGRESS:
                raise
        await writable(sock)
    except BaseException:
        # Also when cancelled by a time limit: a board has few sockets.
        sock.close()
        raise
    return sock


async def write(sock: object, data: object) -> None:
    """Write all of `data`; raises what the socket raises."""
    view = memoryview(data)
    at = 0
    while True:
        at += sock.write(view[at:]) or 0
        if at >= len(view):
            return
        await writable(sock)


async def read_into(sock: object, buffer: object) -> int:
    """Return how many octets were read into `buffer`, 0 at the end; raises what the socket raises."""
    while True:
        done = sock.readinto(buffer)
        if done is not None:
            return done
        await readable(sock)


def would_block(error: OSError) -> bool:
    """Tell whether this is no error but "not now"."""
    return error.errno == EAGAIN
