"""Keys from the key server: its Advanced Secure File Service over mutual TLS.

One session of kept-alive connections.  Where there are several key servers, the one that
answered last is asked first and the others after it.  A Kg once fetched is kept in
memory, so that phones that are known register again while no key server answers.
"""

import asyncio
import hmac
import random
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from ringkey import log
from ringkey.errors import UserError
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
)
from ringkey.site import files

# Entries of the cache, some 500 octets each: a site of 10,000 phones, each with an old key and a
# new one while Km is being replaced.  Beyond it the key that was not used for longest goes.
MAX_KEYS = 20_000
# Seconds until a cached key is asked for again, where a key server answers: how long one that was
# revoked may still be taken for good by a gatekeeper that nobody has told.
FRESH = 60.0
# Seconds.  A phone asks again after 2; an answer after that comes too late to be of use.
CONNECT_TIMEOUT = 1.0
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

_T = TypeVar("_T")
Resolve = Callable[[str], str]
StatusListener = Callable[[Status | None], None]


class KeyClient:
    """Asks the key servers; `start` and `stop` belong to one event loop.

    servers: base URLs, "https://host:port", in order of preference, 1 or more; tls: a context with
    the gatekeeper's certificate (see `client_tls`); resolve: turns a base URL into the one to use now,
    and may raise UserError; on_status: told of each Status that is new, and None when the last key
    server has gone.  ready: an Event, set while a key server answers; tried: set once the first
    answer or failure is there; lookups: questions asked for keys.
    """

    def __init__(
        self,
        servers: tuple[str, ...],
        tls: ssl.SSLContext,
        *,
        resolve: Resolve = str,
        on_status: StatusListener | None = None,
    ) -> None:
        if not servers:
            raise ValueError("no key server")
        self._servers = servers
        self._tls = tls
        self._resolve = resolve
        self._on_status = on_status
        self._log = log.get("ringkey.gatekeeper.keys")
        self._cache: OrderedDict[tuple[bytes, str], tuple[float, Found]] = OrderedDict()
        self._running: dict[tuple[bytes, str], asyncio.Task[Outcome]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._watching: asyncio.Task[None] | None = None
        self._again = asyncio.Event()
        self._refreshing = asyncio.Lock()
        self._current = 0
        self._quiet_until = 0.0
        self._status: Status | None = None
        self.ready = asyncio.Event()
        self.tried = asyncio.Event()
        self.lookups = 0

    def __repr__(self) -> str:
        return f"KeyClient({', '.join(self._servers)})"

    async def start(self) -> None:
        """Open the session, and begin to ask for the status until a key server answers."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=CONNECTIONS, keepalive_timeout=2 * REFRESH),
            timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT, sock_connect=CONNECT_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # MAX_ANSWER shall bound what is kept, not what is sent
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )
        self._watching = asyncio.create_task(self._watch(), name="key server status")

    async def stop(self) -> None:
        """Close the session and forget every key; look-ups under way end as Unavailable."""
        tasks: list[asyncio.Task[Any]] = [*self._running.values()]
        if self._watching is not None:
            tasks.append(self._watching)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._cache.clear()
        if self._session is not None:
            await self._session.close()

    @property
    def last_status(self) -> Status | None:
        """The Status that was heard last, None before the first; it outlives an outage."""
        return self._status

    def cached(self, g: bytes, ext: str) -> Found | None:
        """Return the key from memory, where it need not be asked for: fresh, or nobody to ask."""
        entry = self._cache.get((g, ext))
        if entry is None:
            return None
        asked, found = entry
        if self.ready.is_set() and time.monotonic() - asked > FRESH:
            return None
        self._cache.move_to_end((g, ext))
        return found

    async def device_key(self, g: bytes, ext: str) -> Outcome:
        """Return Kg of the 16 octets `g` for `ext`: Found, Refused or Unavailable; raises nothing.

        Questions for the same (g, ext) at the same time are one question.
        """
        key = (g, ext)
        found = self.cached(g, ext)
        if found is not None:
            return found
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._look_up(g, ext), name="key look-up")
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

    async def _look_up(self, g: bytes, ext: str) -> Outcome:
        key = (g, ext)
        self.lookups += 1
        outcome: Outcome = Unavailable("no key server answered a moment ago")
        if time.monotonic() >= self._quiet_until:
            query = {"g": g.hex(), "ext": ext}
            outcome = await self._ask("/keys/kkg.json", query, lambda body: parse_key(body, g))
        if isinstance(outcome, Found) and not await self._vouched(outcome):
            outcome = Unavailable("the key's check value is none that the key server says it has")
        if isinstance(outcome, Found):
            self._cache[key] = (time.monotonic(), outcome)
            self._cache.move_to_end(key)
            while len(self._cache) > MAX_KEYS:
                self._cache.popitem(last=False)
        elif isinstance(outcome, Refused):
            self._cache.pop(key, None)
        elif key in self._cache:
            return self._cache[key][1]
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

    async def _ask(
        self, path: str, query: dict[str, str], parse: Callable[[bytes], _T]
    ) -> _T | Refused | Unavailable:
        """Ask the key servers in turn, the one that answered last first."""
        reasons: list[str] = []
        refused: Refused | None = None
        for step in range(len(self._servers)):
            index = (self._current + step) % len(self._servers)
            server = self._servers[index]
            try:
                status, body = await self._get(self._resolve(server) + path, query)
                answer = parse(body) if status == 200 else parse_refusal(status, body)
            except UserError as error:
                reasons.append(str(error))
                continue
            except (aiohttp.ClientError, BadAnswerError, OSError, TimeoutError) as error:
                reasons.append(f"{server}: {_reason(error)}")
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
        if self._session is None:
            raise BadAnswerError("the key client was not started")
        async with self._session.get(url, params=query, allow_redirects=False) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise BadAnswerError(f"its answer has over {MAX_ANSWER} octets")
            return response.status, bytes(body)

    async def _watch(self) -> None:
        """Keep `last_status` up to date, and find out when a key server is there again."""
        pause = RETRY_FIRST
        while True:
            self._again.clear()
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
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._again.wait(), REFRESH)
            else:
                # With jitter: gatekeepers that lost one key server together do not ask together.
                await asyncio.sleep(max(QUIET, pause) * random.uniform(0.75, 1.25))  # noqa: S311
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
        came_back = not self.ready.is_set()
        self.ready.set()
        if came_back or answer != self._status:
            self._status = answer
            self._log.info(
                "key_server_ready",
                server=self._servers[self._current],
                suite=answer.suite.name,
                cvm=[value.hex() for value in answer.check_values],
            )
            if self._on_status is not None:
                self._on_status(answer)
        return True


def client_tls(ca: Path, certificate: Path, private_key: Path) -> ssl.SSLContext:
    """Return a context that shows `certificate` and believes the root `ca` only (PEM files).

    Raises UserError where a file is missing, damaged, or the private key readable for others.
    """
    files.check_secret(private_key, "the gatekeeper's private key")
    roots = files.read(ca, "the key server's root certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata=roots.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise UserError(f"{ca} is no certificate in PEM", f"openssl x509 -in {ca} -noout -text") from None
    try:
        context.load_cert_chain(certificate, private_key)
    except (ssl.SSLError, OSError) as error:
        raise UserError(
            f"{certificate} and {private_key} are not the gatekeeper's certificate and key: {_reason(error)}",
            f"openssl x509 -in {certificate} -noout -text",
        ) from None
    return context


def _reason(error: BaseException) -> str:
    """Say what went wrong in a few words: never more than the error's own text."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        inner = error.certificate_error
        return f"its certificate is not accepted: {getattr(inner, 'verify_message', inner)}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or type(error.os_error).__name__
    return str(error) or type(error).__name__
