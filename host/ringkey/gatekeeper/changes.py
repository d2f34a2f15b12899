"""What key servers tell at once: a stream of each, held open (docs/architecture.md).

Every key server of the site has its own, since each revokes what it has issued.  After a gap the
stream begins where it broke off; what was missed comes first.
"""

import asyncio
import json
import math
import random
import time
from collections.abc import Callable
from typing import Any

import aiohttp
from ras.keys import NONCE

from ringkey import log
from ringkey.errors import UserError
from ringkey.gatekeeper.answers import BadAnswerError

# Octets of a line: 500 g in hex, and room.
MAX_LINE = 65_536
# Seconds without a line (a heartbeat comes every 5) after which the connection is dead.
SILENCE = 15.0
CONNECT = 3.0
# Seconds between tries: the first, and the longest it grows to.  Short: what is missed meanwhile
# is a revocation.
RETRY_FIRST = 0.25
RETRY_LAST = 5.0


class Follower:
    """Follows one key server's stream until cancelled.

    base: gives its base URL now, and may raise UserError; session: gives the one to use
    now; on_revoked: told the g that are revoked; on_generations: told that other check values are in
    force; on_connected: told that it answers.  since: from when on nothing can have been missed, the stream
    being open without a break (s, monotonic); inf while it is not.
    """

    def __init__(
        self,
        name: str,
        base: Callable[[], str],
        session: Callable[[], aiohttp.ClientSession],
        on_revoked: Callable[[list[bytes]], None],
        on_generations: Callable[[], None],
        *,
        on_connected: Callable[[], None],
    ) -> None:
        self._name = name
        self._base = base
        self._session = session
        self._on_revoked = on_revoked
        self._on_generations = on_generations
        self._on_connected = on_connected
        self._stream = ""
        self._since = 0
        self._response: aiohttp.ClientResponse | None = None
        self._log = log.get("ringkey.gatekeeper.changes")
        self.since = math.inf

    def __repr__(self) -> str:
        return f"Follower({self._name}, {self._since})"

    @property
    def connected(self) -> bool:
        """Whether the stream is open."""
        return self.since < math.inf

    def reconnect(self) -> None:
        """Take the stream up again on a new connection of the session that there is now.

        Closing the old session would not do: aiohttp then closes its connections without a word to
        who reads from them.
        """
        if self._response is None:
            return
        connection = self._response.connection
        if connection is not None and connection.transport is not None:
            # Nothing is under way that a polite end of TLS would save.
            connection.transport.abort()
        self._response.close()

    async def run(self) -> None:
        """Follow, for good; a stream that breaks off is taken up again."""
        pause = RETRY_FIRST
        while True:
            try:
                await self._follow()
                pause = RETRY_FIRST
            except (aiohttp.ClientError, BadAnswerError, UserError, OSError, TimeoutError) as error:
                if self.connected:
                    self._log.warning("changes_lost", server=self._name, reason=type(error).__name__)
            except Exception as error:
                # A bug of ours must not end it: revocations would never be heard of again.
                self._log.error("changes_failed", server=self._name, reason=type(error).__name__)
            self._response = None
            if self.connected:
                pause = RETRY_FIRST
            self.since = math.inf
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
            pause = min(2 * pause, RETRY_LAST)

    async def _follow(self) -> None:
        query = {"since": str(self._since), "stream": self._stream}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE)
        url = self._base() + "/changes.jsonl"
        async with self._session().get(url, params=query, timeout=timeout, allow_redirects=False) as response:
            self._response = response
            if response.status != 200:
                raise BadAnswerError(f"it answers with HTTP status {response.status}")
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._take(_parse(line))
                if len(rest) > MAX_LINE:
                    raise BadAnswerError(f"a line has over {MAX_LINE} octets")

    def _take(self, line: dict[str, Any]) -> None:
        if "stream" in line:
            if line["stream"] != self._stream:
                self._stream, self._since = str(line["stream"]), 0
            self.since = time.monotonic()
            self._log.info("changes_followed", server=self._name, since=self._since)
            self._on_connected()
            return
        if line.get("what") == "revoked":
            found = line.get("g")
            if not isinstance(found, list):
                raise BadAnswerError("revoked: no list of g")
            self._on_revoked([_g(text) for text in found])
        elif line.get("what") == "generations":
            self._on_generations()
        n = line.get("n")
        if isinstance(n, int) and n > self._since:
            self._since = n


def _parse(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadAnswerError("a line is not a JSON object")
    return found


def _g(text: object) -> bytes:
    if isinstance(text, str) and len(text) == 2 * NONCE:
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass
    raise BadAnswerError("revoked: a g that is none")
