"""Keys from the key server: its Advanced Secure File Service over mutual TLS.

One session of kept-alive connections.  Where there are several key servers, the one that
answered last is asked first and the others after it.  A Kg once fetched is kept in
memory, so that phones that are known register again while no key server answers.  What a key
server revokes is dropped, and refused from then on whoever is asked (changes.py).
"""

import asyncio
import hmac
import math
import random
import ssl
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import aiohttp

from ringkey import log, waiting
from ringkey.errors import UserError
from ringkey.gatekeeper import batches
from ringkey.gatekeeper.answers import (
    MAX_ANSWER,
    BadAnswerError,
    Found,
    Outcome,
    Refused,
    Status,
    Unavailable,
    parse_key,
    parse_refusal,
    parse_status,
    read,
    together,
)
from ringkey.gatekeeper.batches import Batch, Batches
from ringkey.gatekeeper.changes import Follower
from ringkey.gatekeeper.client_tls import reason
from ringkey.gatekeeper.key_cache import Key, KeyCache, KeyListener
from ringkey.gatekeeper.key_session import close_later, new_session
from ringkey.gatekeeper.phone_records import PhoneRecords

# Entries of the cache, some 170 octets each, 500 where they are not what their phone has proven last: a site
# of 10,000 phones, each with an old key and a new one while Km is being replaced.  Beyond it the key that was
# not used for longest goes, those that nobody has registered with first.
MAX_KEYS = 20_000
# Seconds until a cached key is asked for again, where a key server answers: how long one that was
# revoked may still be taken for good by a gatekeeper that nobody has told.
FRESH = 60.0
# The same for a key that was asked for since all streams of changes are open: they tell of each revocation,
# and who may ask for what changes only with a key server that starts anew, and its stream with it.
FOLLOWED = 86_400.0
# Seconds.  A phone asks again after 2; an answer after that comes too late to be of use.
ANSWER_TIMEOUT = 2.0
# Connections to a key server.  HTTP/1.1 has one request at a time on each.
CONNECTIONS = 4
# Seconds between questions for the status: how soon a new check value of Km is known.
REFRESH = 60.0
# Seconds between tries while no key server answers: the first, and the longest it grows to.
RETRY_FIRST = 0.5
RETRY_LAST = 30.0
# Seconds in which nothing more is asked after every key server has failed: many phones that
# register at once need not each wait for the same time-outs.
QUIET = 1.0
# Revoked g that are kept in mind, 100 octets each.  Those beyond are still refused, by the key
# server that revoked them.
MAX_REVOKED = 100_000

_T = TypeVar("_T")
Resolve = Callable[[str], str]
StatusListener = Callable[[Status | None], None]
RevokedListener = Callable[[set[bytes]], None]
StatusesListener = Callable[[dict[str, Status]], None]
_QUIET = Unavailable("no key server answered a moment ago")


class KeyClient:
    """Asks the key servers; `start` and `stop` belong to one event loop.

    servers: base URLs, "https://host:port", in order of preference, 1 or more; tls: a context with the
    gatekeeper's certificate (see client_tls.py); resolve: turns a base URL into the one to use now, and may
    raise UserError; on_status: told of each Status that is new, and None when the last key server has gone;
    on_revoked: told of g that were revoked; on_key: see KeyCache; on_statuses: told what each key server
    said last; keys: how many to keep, MAX_KEYS at the least.
    ready: an Event, set while a key server answers; tried: set once the first answer or failure
    is there; lookups: questions asked for keys; records: the keys of phones.
    """

    def __init__(
        self,
        servers: tuple[str, ...],
        tls: ssl.SSLContext,
        *,
        resolve: Resolve = str,
        on_status: StatusListener | None = None,
        on_revoked: RevokedListener | None = None,
        on_key: KeyListener | None = None,
        on_statuses: StatusesListener | None = None,
        keys: int = 0,
    ) -> None:
        if not servers:
            raise ValueError("no key server")
        self._servers = servers
        self._tls = tls
        self._resolve = resolve
        self._on_status = on_status
        self._on_revoked = on_revoked
        self._log = log.get("ringkey.gatekeeper.keys")
        self._on_statuses = on_statuses
        self.records = PhoneRecords()
        self._cache = KeyCache(max(MAX_KEYS, keys), on_key, self.records)
        self._running: dict[Key, asyncio.Task[Outcome]] = {}
        self._revoked: set[bytes] = set()
        self._statuses: dict[str, Status] = {}
        self._following: list[asyncio.Task[None]] = []
        self._followers: list[Follower] = []
        self.batches = Batches(self._ask_for_key, self._ask_for_keys)
        self._session: aiohttp.ClientSession | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._again = asyncio.Event()
        self._news = asyncio.Event()
        self._refreshing = asyncio.Lock()
        self._current = 0
        self._quiet_until = 0.0
        self._status: Status | None = None
        self.ready = asyncio.Event()
        self.tried = asyncio.Event()
        self.lookups = 0

    def put_back(self, found: dict[Key, Found], statuses: dict[str, Status]) -> None:
        """Take what a run before has kept, before `start`; keys are asked for anew where one answers."""
        self._cache.put_back(found)
        self._statuses = {server: statuses[server] for server in self._servers if server in statuses}
        if self._statuses:
            first, *more = self._statuses.values()
            self._status = together(first, more)

    def kept(self) -> tuple[dict[Key, Found], dict[str, Status]]:
        """Return what `put_back` takes."""
        return self._cache.all(), self._statuses

    async def start(self) -> None:
        """Open the session, and begin to ask for the status until a key server answers."""
        self._session = self._new_session()
        self._watching = asyncio.create_task(self._watch(), name="key server status")
        for server in self._servers:
            follower = Follower(
                server,
                partial(self._resolve, server),
                self._open_session,
                self._take_revoked,
                self._told,
                on_connected=self._news.set,
            )
            self._followers.append(follower)
            self._following.append(asyncio.create_task(follower.run(), name="key server changes"))

    def _new_session(self) -> aiohttp.ClientSession:
        # One more of each server is its stream of changes.
        return new_session(self._tls, CONNECTIONS + len(self._servers), ANSWER_TIMEOUT)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise BadAnswerError("the key client was not started")
        return self._session

    async def stop(self) -> None:
        """Close the session and forget every key; look-ups under way end as Unavailable."""
        # Sessions are closed before a question notices that it is cancelled: they cut their connections;
        # it would end TLS politely, which waits for a key server that may be silent.
        tasks: list[asyncio.Task[Any]] = [*self._closing, *self._running.values(), *self._following]
        if self._watching is not None:
            tasks.append(self._watching)
        for task in tasks:
            task.cancel()
        tasks += self.batches.give_up()
        if self._session is not None:
            await self._session.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._cache.clear()

    def renew(self, tls: ssl.SSLContext) -> None:
        """Use `tls` for connections from now on; questions under way end on those they are on."""
        self._tls = tls
        old = self._session
        if old is None:
            return
        self._session = self._new_session()
        for follower in self._followers:
            follower.reconnect()
        # What the old one still asks is over after ANSWER_TIMEOUT at the latest.
        closing = asyncio.get_running_loop().create_task(
            close_later(old, ANSWER_TIMEOUT), name="old key session"
        )
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    @property
    def last_status(self) -> Status | None:
        """The Status that was heard last, None before the first; it outlives an outage."""
        return self._status

    @property
    def revoked(self) -> set[bytes]:
        """The g that were revoked, as far as this run has been told."""
        return self._revoked

    @property
    def following(self) -> int:
        """How many key servers' streams of changes are open."""
        return sum(follower.connected for follower in self._followers)

    def cached(self, g: bytes, ext: str, cvm: bytes | None = None) -> Outcome | None:
        """Return the answer from memory, where it need not be asked for: fresh, or nobody to ask."""
        if g in self._revoked:
            return Refused("revoked")
        return self._cache.get((g, ext, cvm), self.fresh_since())

    def fresh_since(self) -> float:
        """Return since when a key is to have been asked for, for `cached` to take it (s, monotonic)."""
        if not self.ready.is_set():
            return -math.inf
        now = time.monotonic()
        whole = max((follower.since for follower in self._followers), default=math.inf)
        return min(now - FRESH, max(whole, now - FOLLOWED))

    def prove(self, g: bytes, ext: str, cvm: bytes | None) -> None:
        """A phone has registered with this key: it is kept before those of strangers."""
        self._cache.prove((g, ext, cvm))

    async def device_key(self, g: bytes, ext: str, cvm: bytes | None = None) -> Outcome:
        """Return Kg of the 16 octets `g` for `ext`: Found, Refused or Unavailable; raises nothing.

        cvm: the check value of the Km that it is to come from, where that is known.  Questions for
        the same at the same time are one question.
        """
        key = (g, ext, cvm)
        found = self.cached(g, ext, cvm)
        if found is not None:
            return found
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._look_up(key), name="key look-up")
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        try:
            # One of several that wait may be cancelled; the others still want the answer.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                return Unavailable("the gatekeeper stops")
            raise

    async def status(self) -> Status | Unavailable:
        """Ask for the suite and the check values of Km that are in use."""
        answer = await self._ask("/status.json", {}, parse_status)
        if isinstance(answer, Refused):
            return Unavailable(f"the key server refuses its status: {answer.code}")
        return answer

    # What is behind it

    async def _look_up(self, key: Key) -> Outcome:
        g, _, cvm = key
        self.lookups += 1
        outcome = await self.batches.ask(key)
        if isinstance(outcome, Found) and cvm not in (None, outcome.cvm):
            # A key server that does not know of generations yet; this one is not what was asked for.
            outcome = Refused("not-issued")
        if isinstance(outcome, Found) and not await self._vouched(outcome):
            outcome = Unavailable("the key's check value is none that the key server says it has")
        if g in self._revoked:  # while we asked
            return Refused("revoked")
        if isinstance(outcome, Found):
            self._cache.put(key, outcome)
        elif isinstance(outcome, Refused):
            self._cache.forget([key])
        else:
            return self._cache.get(key) or outcome
        return outcome

    async def _vouched(self, found: Found) -> bool:
        """Tell whether the key comes from a Km that the key server says is in use."""

        def named() -> bool:
            values = self._status.check_values if self._status is not None else ()
            return any(hmac.compare_digest(found.cvm, value) for value in values)

        if not named():
            # Km may have been replaced since we asked for the status; one of many asks again.
            async with self._refreshing:
                if not named():
                    await self._refresh()
        return named()

    async def _ask_for_key(self, key: Key) -> Outcome:
        if time.monotonic() < self._quiet_until:
            return _QUIET
        return await self._ask("/keys/kkg.json", batches.question(*key), lambda body: parse_key(body, key[0]))

    async def _ask_for_keys(self, batch: Batch) -> bool | Refused | Unavailable:
        async def attempt(url: str) -> bool | Refused:
            request = self._open_session().post(
                url + batches.PATH, data=batch.request(), allow_redirects=False
            )
            return batch.take(*await read(request, batches.MAX_ANSWER))

        return _QUIET if time.monotonic() < self._quiet_until else await self._in_turn(attempt)

    async def _ask(
        self, path: str, query: dict[str, str], parse: Callable[[bytes], _T]
    ) -> _T | Refused | Unavailable:
        async def attempt(url: str) -> _T | Refused:
            status, body = await self._get(url + path, query)
            return parse(body) if status == 200 else parse_refusal(status, body)

        return await self._in_turn(attempt)

    async def _in_turn(self, attempt: Callable[[str], Awaitable[_T | Refused]]) -> _T | Refused | Unavailable:
        """Ask the key servers in turn, the one that answered last first."""
        reasons: list[str] = []
        refused: Refused | None = None
        for step in range(len(self._servers)):
            index = (self._current + step) % len(self._servers)
            server = self._servers[index]
            try:
                answer = await attempt(self._resolve(server))
            except UserError as error:
                reasons.append(str(error))
                continue
            except (aiohttp.ClientError, BadAnswerError, OSError, TimeoutError) as error:
                reasons.append(f"{server}: {reason(error)}")
                continue
            if isinstance(answer, Refused) and answer.code == "not-issued":
                # Another one with the same seed may have issued it.
                refused = answer
                continue
            self._current = index
            self._quiet_until = 0.0  # somebody answers: the next one need not wait
            return answer
        if refused is not None:
            return refused
        self._quiet_until = time.monotonic() + QUIET
        self._again.set()
        return Unavailable("; ".join(reasons))

    async def _get(self, url: str, query: dict[str, str]) -> tuple[int, bytes]:
        request = self._open_session().get(url, params=query, allow_redirects=False)
        return await read(request, MAX_ANSWER)

    async def _watch(self) -> None:
        """Keep `last_status` up to date, and find out when a key server is there again."""
        pause = RETRY_FIRST
        while True:
            self._again.clear()
            self._news.clear()
            try:
                there = await self._refresh()
            except Exception as error:
                # A bug of ours must not end the watch: no check value would ever be known again.
                self._log.error("key_client_failed", reason=type(error).__name__)
                there = False
            self.tried.set()
            if there:
                pause = RETRY_FIRST
                # Until it is time to ask again, or a look-up finds that nobody answers any more.
                await waiting.happens(self._again, REFRESH)
            else:
                # With jitter: gatekeepers that lost one key server together do not ask together.
                # A stream that is there again says that its key server is, sooner than any pause.
                wait = max(QUIET, pause) * random.uniform(0.75, 1.25)  # noqa: S311
                await waiting.happens(self._news, wait)
                pause = min(2 * pause, RETRY_LAST)

    async def _refresh(self) -> bool:
        """Ask for the status, tell whoever listens; return whether a key server answered."""
        answer = await self.status()
        if isinstance(answer, Unavailable):
            if self.ready.is_set() or self._status is None:
                self._log.warning(
                    "key_server_unavailable", reason=answer.reason, next_step="ringkey keyserver serve"
                )
            if self.ready.is_set() and self._on_status is not None:
                self._on_status(None)
            self.ready.clear()
            return False
        first = self._servers[self._current]
        self._statuses[first] = answer
        # Now, and once more when the others have answered, or have not in their time.
        self._publish(first)
        others = [server for server in self._servers if server != first]
        for server, status in zip(others, await asyncio.gather(*map(self._ask_one, others)), strict=True):
            if status is not None:
                self._statuses[server] = status
        self._publish(first)
        return True

    def _publish(self, first: str) -> None:
        """Tell whoever listens what the key servers say together, where that is new.

        What one that is away said last stays: only itself can end a generation of its own.
        """
        more = [status for server, status in self._statuses.items() if server != first]
        answer = together(self._statuses[first], more)
        came_back = not self.ready.is_set()
        self.ready.set()
        if not came_back and answer == self._status:
            return
        self._status = answer
        if self._on_statuses is not None:
            self._on_statuses(self._statuses)
        # No request with a check value that is out of force gets as far as a key.
        self._cache.forget_all_but(answer.check_values)
        self._log.info(
            "key_server_ready",
            server=first,
            suite=answer.suite.name,
            cvm=[value.hex() for value in answer.check_values],
        )
        if self._on_status is not None:
            self._on_status(answer)

    async def _ask_one(self, server: str) -> Status | None:
        try:
            status, body = await self._get(self._resolve(server) + "/status.json", {})
            return parse_status(body) if status == 200 else None
        except (UserError, aiohttp.ClientError, BadAnswerError, OSError, TimeoutError):
            return None

    def _told(self) -> None:
        """Ask for the status now: a key server has said that it is another."""
        self._again.set()
        self._news.set()

    def _take_revoked(self, found: list[bytes]) -> None:
        """Drop keys that are revoked, and have their registrations ended."""
        new = set(found) - self._revoked
        if not new:
            return
        if len(self._revoked) + len(new) <= MAX_REVOKED:
            self._revoked |= new
        else:
            self._log.error("too_many_revoked", kept=len(self._revoked), limit=MAX_REVOKED)
        self._cache.forget_g(new)
        self._log.info("keys_revoked", count=len(new))
        if self._on_revoked is not None:
            self._on_revoked(new)
