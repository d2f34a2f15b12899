"""`/live`: what happens, to every browser that looks, as server-sent events (HTML, section 9.2).

One listener at the administration gathers what happens within half a second, writes it once, and gives it
to all streams.  A reader that does not keep up is told to load its page again; nobody waits for it.

    event: change   data: {"phones": [EXT, ..] | "many", "overview": bool, "changed": bool}
    event: lost     data: {"server": NAME}      likewise "back"
    event: reload   data: {}                    ask for everything again
    event: beat     data: {}                    all is well
    event: bye      data: {}                    the session is over
"""

import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from aiohttp import web

from ringkey.administration.live import Live
from ringkey.administration.roles import Role
from ringkey.console.errors import answer
from ringkey.console.routes import Route
from ringkey.console.visits import administration, visit

# Seconds: what happens at once is told at once, then no oftener than this.
GATHER = 0.5
_AT_ONCE = 0.05
# Seconds between two signs of life.
HEARTBEAT = 10.0
# Seconds between two looks at whether reader and session are still there, however much or little is told.
LOOK = 1.0
# Seconds that a reader may leave a write waiting.
PATIENCE = 30.0
# Milliseconds until a browser that has lost the stream asks again.
RETRY = 2000
# Extensions named in one message; beyond that a page had better load its list again.
MAX_NAMED = 200
# Streams in all: 50 consoles with a few tabs each; and of one session: a browser has six to a host.
MAX_STREAMS = 250
MAX_OF_SESSION = 10
# Messages that wait for one reader: eight seconds' worth.
MAX_WAITING = 16

BYE = b"event: bye\ndata: {}\n\n"
RELOAD = b"event: reload\ndata: {}\n\n"
# An event, not a comment: a page's script must see that the line is dead.
_BEAT = b"event: beat\ndata: {}\n\n"


class Hub:
    """All streams of a console."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._streams: dict[asyncio.Queue[bytes | None], bytes] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._listen(), name="live")

    async def stop(self) -> None:
        """Listen no more, and end all streams."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        for queue in self._streams:
            _put(queue, None)

    def open(self, session: bytes) -> "asyncio.Queue[bytes | None] | None":
        """Return what a new stream is to send (None: that it ends); None where there are too many.

        Of one session's too many the oldest ends: it is most likely that of a page which nobody looks at.
        """
        if self._stopped:
            return None
        of_session = [queue for queue, owner in self._streams.items() if owner == session]
        if len(of_session) >= MAX_OF_SESSION:
            self.close(of_session[0])
            _put(of_session[0], None)
        if len(self._streams) >= MAX_STREAMS:
            return None
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_WAITING)
        self._streams[queue] = session
        return queue

    def close(self, queue: "asyncio.Queue[bytes | None]") -> None:
        """Forget a stream."""
        self._streams.pop(queue, None)

    def tell(self, changes: Iterable[dict[str, Any]]) -> None:
        """Give what has happened to all streams."""
        for message in messages(changes):
            for queue in self._streams:
                _put(queue, message)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        told = 0.0
        async with self._live.subscribe() as changes:
            while True:
                found = [await anext(changes)]
                until = max(loop.time() + _AT_ONCE, told + GATHER)
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(until):
                        while True:
                            found.append(await anext(changes))
                told = loop.time()
                self.tell(found)


def messages(changes: Iterable[dict[str, Any]]) -> list[bytes]:
    """Return what happened as messages: what was lost or is back first, then one for all the rest."""
    made: list[bytes] = []
    phones: dict[str, None] = {}
    overview = changed = reload = False
    for change in changes:
        kind = change["kind"]
        if kind in ("lost", "back"):
            made.append(_message(kind, {"server": change["server"]}))
        elif kind == "reload":
            reload = True
        else:
            overview = True
            if "ext" in change:
                phones[change["ext"]] = None
            changed = changed or kind == "changed"
    if reload:
        made.append(RELOAD)
    elif overview:
        named = list(phones) if len(phones) <= MAX_NAMED else "many"
        made.append(_message("change", {"phones": named, "overview": True, "changed": changed}))
    return made


def _message(event: str, data: dict[str, object]) -> bytes:
    return f"event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _put(queue: "asyncio.Queue[bytes | None]", message: bytes | None) -> None:
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(RELOAD)
    queue.put_nowait(message)


HUB = web.AppKey("hub", Hub)


async def _live(request: web.Request) -> web.StreamResponse:
    session = visit(request).session
    if session is None:
        return answer(request, 401, "a stream is for a browser that has logged in")
    hub = request.app[HUB]
    queue = hub.open(session.hash)
    if queue is None:
        return answer(request, 503, "too many pages are open", headers={"Retry-After": "10"})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    try:
        await response.prepare(request)
        await _write(response, f"retry: {RETRY}\n\n".encode())
        sessions = administration(request).accounts.sessions
        loop = asyncio.get_running_loop()
        beat, looked = loop.time() + HEARTBEAT, 0.0
        while True:
            message: bytes | None = b""
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(beat, loop.time() + LOOK)):
                    message = await queue.get()
            # A reader that has gone is noticed here, not at the next beat: its place is another's.
            if message is None or request.transport is None or request.transport.is_closing():
                break
            if loop.time() >= beat:
                message, beat = message + _BEAT, loop.time() + HEARTBEAT
            if loop.time() - looked >= LOOK:
                looked = loop.time()
                if sessions.find_hash(session.hash) is None:
                    await _write(response, BYE)
                    break
            if message:
                await _write(response, message)
    except (ConnectionError, TimeoutError):
        pass  # the reader has gone
    finally:
        hub.close(queue)
    return response


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(PATIENCE):
        await response.write(data)


ROUTES = (Route("GET", "/live", Role.VIEWER, _live, stream=True),)
