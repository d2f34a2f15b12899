"""What happens at the servers of this host, as it happens: one poller, and whoever wants to hear of it.

The gatekeeper is asked for all registrations once, then for what has changed since (gatekeeper/news.py); its
figures, the key server and the files are looked at each second.  A hundred listeners cost it nothing more.

Changes are {"kind": "phone", "ext"}, {"kind": "overview"}, {"kind": "changed", "action"} (somebody has
changed something here), {"kind": "lost" | "back", "server"}, and {"kind": "reload"} for who was too slow to
hear all.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ringkey import log
from ringkey.administration.series import Series
from ringkey.errors import UserError
from ringkey.site import control, runtime
from ringkey.site.config import Site

SERVERS = ("keyserver", "gatekeeper")
# Seconds between two looks at the figures, and until a gatekeeper that is away is asked again.
LOOK = 1.0
# Seconds that the gatekeeper may wait for news before it answers; control.py's limit is 10.
PATIENCE = 8.0
# Changes that a listener may be behind: what a site's phones cause in a minute after a power cut.
MAX_BEHIND = 5000
# Extensions that fail: what the gatekeeper keeps of them (gatekeeper/observed.py).
MAX_FAILING = 256

Change = dict[str, Any]
Row = dict[str, Any]

_log = log.get("ringkey.administration.live")


class Changes:
    """What one listener has not heard yet; `async for change in changes` never ends by itself."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Change] = asyncio.Queue(MAX_BEHIND)

    def put(self, change: Change) -> None:
        """Give it a change, without waiting; one that is too far behind gets "reload" instead of all."""
        try:
            self._queue.put_nowait(change)
        except asyncio.QueueFull:
            while not self._queue.empty():
                self._queue.get_nowait()
            self._queue.put_nowait({"kind": "reload"})

    def __aiter__(self) -> AsyncIterator[Change]:
        return self

    async def __anext__(self) -> Change:
        return await self._queue.get()


class Live:
    """The poller of one site.

    following: registrations and failing are what the gatekeeper has now; registrations: EXT to what
    holds it; failing: EXT to its last failure there; denied: EXT to why the key server gave it no keys;
    said: server to what it says of itself, None where it does not run here; figures: the gatekeeper's, {}
    where it does not run; series: figures over time.
    """

    def __init__(self, site: Site) -> None:
        self.following = False
        self.registrations: dict[str, Row] = {}
        self.failing: dict[str, Row] = {}
        self.denied: dict[str, Row] = {}
        self.said: dict[str, dict[str, Any] | None] = dict.fromkeys(SERVERS)
        self.figures: dict[str, Any] = {}
        self.series = Series()
        self._site = site
        self._listeners: set[Changes] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._looked = asyncio.Event()
        self._summary: object = None
        self._record_version: object = None

    @property
    def running(self) -> bool:
        """Whether `start` was called."""
        return bool(self._tasks)

    async def start(self) -> None:
        """Begin to follow; returns after the first look, whether or not a server runs."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._follow(), name="follow the gatekeeper"),
                asyncio.create_task(self._look(), name="look at the servers"),
            ]
            await self._looked.wait()

    async def stop(self) -> None:
        """Follow no more."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[Changes]:
        """Give what happens from now on."""
        changes = Changes()
        self._listeners.add(changes)
        try:
            yield changes
        finally:
            self._listeners.discard(changes)

    def did(self, action: str, values: dict[str, Any]) -> None:
        """Tell listeners that an action was carried out here."""
        ext = values.get("ext")
        self._tell({"kind": "changed", "action": action, **({"ext": ext} if isinstance(ext, str) else {})})

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            listener.put(change)

    # -- registrations

    async def _follow(self) -> None:
        mark = ""
        while True:
            try:
                if self.following:
                    news = await self._ask("events", mark=mark, wait=PATIENCE)
                    if news is not None and not news["gap"]:
                        mark = news["mark"]
                        self._heard(news["phones"])
                        continue
                    self._lost(gone=news is None)
                found = await self._ask("registrations", failing=True)
                if found is None:
                    await asyncio.sleep(LOOK)
                    continue
                mark = found["mark"]
                self.registrations = {one["ext"]: one for one in found["registrations"]}
                self.failing = {one["ext"]: one for one in found["failing"]}
                self.following = True
                self._tell({"kind": "reload"})
            except (UserError, KeyError, TypeError) as error:
                # A gatekeeper of another version; it may be another one in a moment.
                _log.warning("gatekeeper_not_followed", reason=type(error).__name__)
                self._lost(gone=True)
                await asyncio.sleep(LOOK)

    def _lost(self, *, gone: bool) -> None:
        self.following = False
        if gone:
            self.registrations, self.failing = {}, {}
            self._tell({"kind": "reload"})

    def _heard(self, phones: list[Row]) -> None:
        for phone in phones:
            ext = phone["ext"]
            for table, name in ((self.registrations, "registered"), (self.failing, "failing")):
                if phone[name] is None:
                    table.pop(ext, None)
                else:
                    table[ext] = phone[name]
            self._tell({"kind": "phone", "ext": ext})
        while len(self.failing) > MAX_FAILING:  # the gatekeeper forgets them too, and says nothing of it
            del self.failing[min(self.failing, key=lambda ext: float(self.failing[ext]["at"]))]

    # -- figures

    async def _look(self) -> None:
        before, denials = 0.0, -1
        while True:
            await asyncio.sleep(max(0.0, before + LOOK - time.monotonic()))
            before = time.monotonic()
            try:
                for server in SERVERS:
                    self._said(server, await asyncio.to_thread(self._how_is, server))
                self.figures = await self._ask("figures") or {}
                denials = self._denied(await self._ask("denied", server="keyserver", n=denials))
                self.series.add(time.time(), self.figures, self.registrations if self.following else None)
            except (UserError, KeyError, TypeError) as error:
                # A server of another version; the next look may find another one.
                _log.warning("figures_not_read", reason=type(error).__name__)
            self._looked.set()
            self._notice()

    def _how_is(self, server: str) -> dict[str, Any] | None:
        return runtime.ask(self._site.run, server) if self._site.run.is_dir() else None

    def _said(self, server: str, now: dict[str, Any] | None) -> None:
        before, self.said[server] = self.said[server], now
        if (before is None) != (now is None) and self._looked.is_set():
            self._tell({"kind": "lost" if now is None else "back", "server": server})

    def _notice(self) -> None:
        """Tell of an overview that has changed, and of what others have put on record."""
        status = [(one or {}).get("status") for one in self.said.values()]
        key_server = self.figures.get("key_server")
        summary = (
            len(self.registrations),
            sorted((*self.failing, *self.denied)),
            repr(status),
            repr(key_server),
        )
        if summary != self._summary:
            self._summary = summary
            self._tell({"kind": "overview"})
        try:
            about = (self._site.root / "admin" / "audit.jsonl").stat()
            version: object = (about.st_ino, about.st_size)
        except OSError:
            version = None
        if version != self._record_version:
            first, self._record_version = self._record_version is None, version
            if not first:
                self._tell({"kind": "changed", "action": ""})

    def _denied(self, found: dict[str, Any] | None) -> int:
        """Take in whom the key server has given no keys; return the number to ask with next."""
        if found is None or found["denied"] is None:
            return -1 if found is None else int(found["n"])
        now = {one["ext"]: one for one in found["denied"]}
        changed = [ext for ext in {*now, *self.denied} if now.get(ext) != self.denied.get(ext)]
        self.denied = now
        for ext in changed:
            self._tell({"kind": "phone", "ext": ext})
        return int(found["n"])

    async def _ask(
        self, do: str, /, server: str = "gatekeeper", **arguments: object
    ) -> dict[str, Any] | None:
        if not self._site.run.is_dir():
            return None
        return await control.inquire(self._site.run, server, do, **arguments)
