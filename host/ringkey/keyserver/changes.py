"""What gatekeepers are told at once: a stream of JSON lines that each holds open.

`GET /changes.jsonl?since=N&stream=ID` on the Advanced Secure File Service.  First comes
{"version": 1, "stream": ID, "n": N}: the name of this key server's history, and its last line; then
what changed after `since`, or everything where `stream` is not this history; then what changes.

    {"what": "revoked", "g": [HEX, …], "n": N}    these keys; without "n": more of them follow
    {"what": "generations", "n": N}               other check values are in force: see status.json
    {"n": N}                                      nothing new (each HEARTBEAT seconds)

Whoever comes back after a gap says the last `n` that it has heard, and misses nothing.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from ringkey import waiting
from ringkey.keyserver import register
from ringkey.keyserver.ledger import Ledger

VERSION = 1
# Seconds: a gatekeeper that hears nothing for longer takes the connection for dead.
HEARTBEAT = 5.0
# Seconds that a reader may take for a line before it is given up.
PATIENCE = 10.0
# Streams at a time: a site has a handful of gatekeepers.
MAX_STREAMS = 64
# g in a line, some 17 KiB.
MAX_G = 500
# Changes read at a time.
_BATCH = 100


class Changes:
    """All streams of one key server; `begin` and `end` belong to one event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._news = asyncio.Event()
        self._ended = False
        self._streams = 0

    def begin(self) -> None:
        """Hear of changes from now on."""
        loop = asyncio.get_running_loop()

        def tell() -> None:
            loop.call_soon_threadsafe(self._tell)

        self._ledger.on_change = tell

    async def end(self, _app: object = None) -> None:
        """Let every stream end."""
        self._ended = True
        self._tell()

    @property
    def streams(self) -> int:
        """How many gatekeepers are listening."""
        return self._streams

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for the stream, until either side ends it."""
        if self._streams >= MAX_STREAMS:
            raise web.HTTPServiceUnavailable(reason="Too many streams")
        try:
            since = max(0, int(request.query.get("since", "0")))
        except ValueError:
            raise web.HTTPBadRequest(reason="since: a number") from None
        if request.query.get("stream") != self._ledger.stream or since > self._ledger.lines:
            since = 0
        response = web.StreamResponse()
        response.content_type = "application/jsonl"
        await response.prepare(request)
        self._streams += 1
        try:
            async for line in self._lines(since):
                async with asyncio.timeout(PATIENCE):
                    await response.write(json.dumps(line).encode() + b"\n")
        except (ConnectionError, TimeoutError):
            pass  # it comes back, and says what it has heard
        finally:
            self._streams -= 1
        return response

    async def _lines(self, since: int) -> AsyncIterator[dict[str, Any]]:
        yield {"version": VERSION, "stream": self._ledger.stream, "n": self._ledger.lines}
        while not self._ended:
            news = self._news
            at = since
            found = await asyncio.wrap_future(
                self._ledger.ask(lambda connection, at=at: register.changes_since(connection, at, _BATCH))  # type: ignore[misc]
            )
            for n, what, revoked in found:
                for line in _told(n, what, revoked):
                    yield line
                since = n
            if found:
                continue
            if not await waiting.happens(news, HEARTBEAT):
                yield {"n": since}

    def _tell(self) -> None:
        # Those that wait have the old one; a stream that asks the register takes the new one first.
        news, self._news = self._news, asyncio.Event()
        news.set()


def _told(n: int, what: str, revoked: list[bytes]) -> list[dict[str, Any]]:
    if what != "revoked" or not revoked:
        return [{"what": "generations", "n": n}]
    lines: list[dict[str, Any]] = [
        {"what": "revoked", "g": [g.hex() for g in revoked[i : i + MAX_G]]}
        for i in range(0, len(revoked), MAX_G)
    ]
    # Only the last one moves the reader on: cut off before it, all of them come again.
    lines[-1]["n"] = n
    return lines
