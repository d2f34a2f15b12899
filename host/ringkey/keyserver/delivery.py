"""One content as an HTTP answer: conditional requests, ranges (RFC 9110), bounded in time and memory.

aiohttp parses the fields.  Its own FileResponse is not used: it takes an If-Range with an entity
tag for none, so that a phone that goes on with a file which has changed would get the rest of
another one; it knows files only; and it waits for a slow reader for ever.
"""

import asyncio
import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import hdrs, web

from ringkey import log
from ringkey.keyserver.content import Content, ContentError

# Octets that one transfer has in memory, twice: being read, and on their way to the socket.
PIECE = 1 << 16
# Seconds that a reader may take for one PIECE: 2 KiB/s, less than any network a phone is on.
STALL = 30.0
# Transfers of more than one PIECE at a time, 10 to 20 MiB of memory: a site that updates all its
# phones at once.  What fits one PIECE needs no place: settings come through while firmware goes out.
MAX_TRANSFERS = 100
# Of them for one address.  A phone needs one; a room of them behind one NAT takes turns.
MAX_TRANSFERS_OF_SOURCE = 16
# Seconds after which a phone that was turned away may ask again.
AGAIN = 5
# One range, as a phone that resumes asks for.  18 digits: no file is as long, and no number too.
_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})", re.IGNORECASE | re.ASCII)

_log = log.get("ringkey.keyserver.files")


class Deliveries:
    """The transfers under way: `deliver` one, within what all of them may take."""

    def __init__(self) -> None:
        self._of_source: Counter[str] = Counter()

    @property
    def under_way(self) -> int:
        """How many contents are being sent."""
        return self._of_source.total()

    async def deliver(
        self, request: web.Request, content: Content, kind: str = "application/octet-stream"
    ) -> web.StreamResponse:
        """Answer a GET or HEAD with `content`, which is closed in the end; kind: its media type."""
        try:
            response, start, end = _head(request, content, kind)
            if isinstance(response, web.Response):
                return response
            if request.method == hdrs.METH_HEAD or start >= end:
                await response.prepare(request)
                await response.write_eof()
                return response
            if end - start <= PIECE:
                return await _send(request, response, content, start, end)
            with self._place(request.remote or "") as place:
                if not place:
                    return _text(503, "too many transfers at a time", {"Retry-After": str(AGAIN)})
                return await _send(request, response, content, start, end)
        finally:
            content.close()

    @contextmanager
    def _place(self, source: str) -> Iterator[bool]:
        if self.under_way >= MAX_TRANSFERS or self._of_source[source] >= MAX_TRANSFERS_OF_SOURCE:
            _log.warning("too_many_transfers", source=source, all=self.under_way)
            yield False
            return
        self._of_source[source] += 1
        try:
            yield True
        finally:
            self._of_source[source] -= 1
            if not self._of_source[source]:
                del self._of_source[source]


def _head(
    request: web.Request, content: Content, kind: str
) -> tuple[web.Response | web.StreamResponse, int, int]:
    """Return the answer, and which octets of the content follow: of a Response, none."""
    headers: dict[str, str] = {
        hdrs.ETAG: f'"{content.etag}"',
        hdrs.ACCEPT_RANGES: "bytes",
        # May be kept, and is asked for again before it is used; a file can be somebody's alone.
        hdrs.CACHE_CONTROL: "private, no-cache",
    }
    if _precondition_failed(request, content):
        return web.Response(status=412, headers=headers), 0, 0
    response = web.StreamResponse(headers=headers)
    if content.modified is not None:
        response.last_modified = content.modified
    if _not_modified(request, content):
        response.set_status(304)
        return response, 0, 0
    start, end = 0, content.size
    wanted = _range(request, content)
    if wanted is not None:
        start, end = wanted
        if start >= end:
            headers[hdrs.CONTENT_RANGE] = f"bytes */{content.size}"
            return _text(416, f"no octet of that range: there are {content.size}", headers), 0, 0
        response.set_status(206)
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{end - 1}/{content.size}"
    response.content_type = kind
    response.content_length = end - start
    return response, start, end


async def _send(
    request: web.Request, response: web.StreamResponse, content: Content, start: int, end: int
) -> web.StreamResponse:
    try:
        # The first piece before the head: what cannot be read at all is still a 503.
        piece = await asyncio.to_thread(content.read, start, min(PIECE, end - start))
    except (ContentError, OSError) as e:
        _log.error("cannot_be_read", path=request.path, reason=_why(e))
        return _text(503, "it cannot be read just now", {"Retry-After": str(AGAIN)})
    transport = request.transport
    if transport is not None:
        # Under TLS asyncio would take in 512 KiB before it says that the reader is slow.
        transport.set_write_buffer_limits(high=PIECE)
    try:
        await response.prepare(request)
        while True:
            async with asyncio.timeout(STALL):
                await response.write(piece)
            start += len(piece)
            if start >= end:
                break
            piece = await asyncio.to_thread(content.read, start, min(PIECE, end - start))
        async with asyncio.timeout(STALL):
            await response.write_eof()
    except (ContentError, OSError, TimeoutError) as e:
        # The head is out: the one way left to say that this is not the whole is to cut it off.
        if transport is not None and not transport.is_closing():
            reason = f"not {PIECE} octets in {STALL:.0f} s" if isinstance(e, TimeoutError) else _why(e)
            _log.warning("cut_off", source=request.remote, path=request.path, at=start, reason=reason)
            transport.abort()
    return response


def _precondition_failed(request: web.Request, content: Content) -> bool:
    tags = request.if_match
    if tags is not None:
        return not any(tag.value in ("*", content.etag) and not tag.is_weak for tag in tags)
    since = request.if_unmodified_since
    return (
        since is not None and content.modified is not None and math.ceil(content.modified) > since.timestamp()
    )


def _not_modified(request: web.Request, content: Content) -> bool:
    tags = request.if_none_match
    if tags is not None:  # then the date does not count (RFC 9110 section 13.1.3)
        return any(tag.value in ("*", content.etag) for tag in tags)
    since = request.if_modified_since
    return (
        since is not None
        and content.modified is not None
        and math.ceil(content.modified) <= since.timestamp()
    )


def _range(request: web.Request, content: Content) -> tuple[int, int] | None:
    """Return (start, end) of what is wanted, start >= end where that is nothing; None: all of it.

    What is no single range is left alone, as RFC 9110 section 14.2 allows: several of them at
    once serve only to make a server work.
    """
    fields = request.headers.getall(hdrs.RANGE, [])
    found = _RANGE.fullmatch(fields[0].strip()) if len(fields) == 1 else None
    if found is None or request.method != hdrs.METH_GET or not _same_as_before(request, content):
        return None
    first, last = found["first"], found["last"]
    if not first:
        if not last:
            return None
        return (max(0, content.size - int(last)), content.size) if int(last) else (content.size, content.size)
    if last and int(last) < int(first):
        return None  # not a range at all (section 14.1.1)
    return int(first), min(int(last) + 1, content.size) if last else content.size


def _same_as_before(request: web.Request, content: Content) -> bool:
    """Tell whether the range is of what the phone has the beginning of (If-Range, section 13.1.5)."""
    condition = request.headers.get(hdrs.IF_RANGE)
    if condition is None:
        return True
    if condition.strip().startswith('"'):
        return condition.strip() == f'"{content.etag}"'
    date = request.if_range  # None for a weak tag too, which is not good enough here
    return (
        date is not None
        and content.modified is not None
        and math.ceil(content.modified) == int(date.timestamp())
    )


def _text(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=text + "\n", content_type="text/plain", headers=headers)


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
