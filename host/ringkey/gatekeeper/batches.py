"""Questions for keys put together: `POST /keys/lookup.json` of the key server (docs/files.md).

A question that finds none under way is sent at once, alone.  Those that come while one is under way
wait for its end, or for LINGER, and go as one request: a lone phone waits for nobody, and 5,000 that come
back after a power cut cost the key server some hundred requests.  Each question has its own outcome.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from hmac import compare_digest
from typing import Any

from ringkey.gatekeeper import answers
from ringkey.gatekeeper.answers import BadAnswerError, Found, Outcome, Refused, Unavailable

PATH = "/keys/lookup.json"
# Keys of one request.  The key server takes up to 512; 128 take it some 3 ms, which a phone that comes
# just then does not notice.
MAX_BATCH = 128
# Octets of an answer.  A key has some 180 of JSON, a refusal with its detail up to twice that.
MAX_ANSWER = 1024 + 512 * MAX_BATCH
# Seconds that a question waits at most for others while requests are under way and one more may be.
LINGER = 0.005
# Requests under way: as many as there are connections to a key server (keys.CONNECTIONS).
MAX_UNDER_WAY = 4
# Questions that wait.  The RAS port asks 256 at a time; this holds whoever else asks.
MAX_WAITING = 4096
# HTTP status codes after which each key is asked for by itself: 400, since one malformed question
# refuses all; the others are a key server's that knows of no batches yet, or of smaller ones.
_ONE_BY_ONE = (400, 404, 405, 413)

Wanted = tuple[bytes, str, bytes | None]
"""g, EXT, and the check value that the phone has sent, where it is known."""
AskOne = Callable[[Wanted], Awaitable[Outcome]]
AskMany = Callable[["Batch"], Awaitable[bool | Refused | Unavailable]]


class CannotBatchError(Exception):
    """This key server does not answer these together."""


class Batch:
    """One request's questions, and what became of each as key servers were asked in turn."""

    def __init__(self, wanted: list[Wanted]) -> None:
        self._wanted = wanted
        self._outcomes: dict[Wanted, Outcome] = {}

    def request(self) -> bytes:
        """Return the JSON that asks for what is not settled yet."""
        return json.dumps({"keys": [question(*one) for one in self._open()]}).encode()

    def take(self, status: int, body: bytes) -> bool | Refused:
        """Take a key server's answer to `request()`; return True once nothing is left to ask for.

        Else Refused("not-issued"): another key server may have issued the rest.  Raises BadAnswerError,
        which leaves all as it was, and CannotBatchError.
        """
        if status in _ONE_BY_ONE:
            raise CannotBatchError
        if status != 200:
            refused = answers.parse_refusal(status, body)
            self._outcomes.update(dict.fromkeys(self._open(), refused))
        else:
            self._outcomes.update(_parse(body, self._open()))
        return True if not self._open() else Refused("not-issued")

    def outcomes(self, end: object) -> list[Outcome]:
        """Return an outcome for each question; end: Unavailable is that of those nobody answered."""
        rest = end if isinstance(end, Unavailable) else Unavailable("no key server answered this question")
        return [self._outcomes.get(one, rest) for one in self._wanted]

    def _open(self) -> list[Wanted]:
        return [one for one in self._wanted if self._outcomes.get(one, _NOT_ISSUED) == _NOT_ISSUED]


class Batches:
    """Collects questions.  one: asks for one key; many: asks key servers in turn for a Batch's.

    Neither raises anything but that many may raise CannotBatchError.  requests, keys: counts of what
    was sent.
    """

    def __init__(self, one: AskOne, many: AskMany) -> None:
        self._one = one
        self._many = many
        self._waiting: list[tuple[Wanted, asyncio.Future[Outcome]]] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Handle | None = None
        self.requests = 0
        self.keys = 0

    async def ask(self, wanted: Wanted) -> Outcome:
        """Return the outcome of one question."""
        if len(self._waiting) >= MAX_WAITING:
            return Unavailable("too many questions wait for the key server")
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, future))
        self._consider()
        return await future

    def give_up(self) -> list[asyncio.Task[None]]:
        """Cancel what is under way and what waits; return the tasks that end by it."""
        if self._timer is not None:
            self._timer.cancel()
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
        for task in self._under_way:
            task.cancel()
        return list(self._under_way)

    def _consider(self) -> None:
        """Send what waits: now, soon, or when a request has ended."""
        if not self._waiting or len(self._under_way) >= MAX_UNDER_WAY:
            return
        loop = asyncio.get_running_loop()
        if not self._under_way or len(self._waiting) >= MAX_BATCH:
            # In the loop's next round: what else is asked in this one goes with it.
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_soon(self._send)
        elif self._timer is None:
            self._timer = loop.call_later(LINGER, self._send)

    def _send(self) -> None:
        self._timer = None
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        batch = [(wanted, future) for wanted, future in batch if not future.done()]
        if batch:
            task = asyncio.get_running_loop().create_task(self._run(batch), name="key look-ups")
            self._under_way.add(task)
            task.add_done_callback(self._ended)
        self._consider()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and len(self._under_way) < MAX_UNDER_WAY:
            self._timer = asyncio.get_running_loop().call_soon(self._send)

    async def _run(self, batch: list[tuple[Wanted, asyncio.Future[Outcome]]]) -> None:
        self.requests += 1
        self.keys += len(batch)
        wanted = [one for one, _ in batch]
        outcomes: list[Outcome] = []
        try:
            outcomes = [await self._one(wanted[0])] if len(wanted) == 1 else await self._together(wanted)
        finally:
            # Whatever happened, nobody waits for ever: what is left over is given up.
            for index, (_, future) in enumerate(batch):
                if index < len(outcomes) and not future.done():
                    future.set_result(outcomes[index])
                else:
                    future.cancel()

    async def _together(self, wanted: list[Wanted]) -> list[Outcome]:
        batch = Batch(list(dict.fromkeys(wanted)))
        try:
            end = await self._many(batch)
        except CannotBatchError:
            return [await self._one(one) for one in wanted]
        return batch.outcomes(end)


_NOT_ISSUED = Refused("not-issued")


def question(g: bytes, ext: str, cvm: bytes | None) -> dict[str, str]:
    """Return a question's fields, as a query and as JSON has them."""
    fields = {"g": g.hex(), "ext": ext}
    if cvm is not None:
        fields["cvm"] = cvm.hex()
    return fields


def _parse(body: bytes, wanted: list[Wanted]) -> dict[Wanted, Outcome]:
    """Return the outcome of each question; raises BadAnswerError unless all are there, in order."""
    content = answers.content(body)
    entries = content.get("keys")
    if not isinstance(entries, list) or len(entries) != len(wanted):
        raise BadAnswerError(f"it answers with another number of keys than the {len(wanted)} asked for")
    suite = content.get("suite")
    return {one: _outcome(one, entry, suite) for one, entry in zip(wanted, entries, strict=True)}


def _outcome(one: Wanted, entry: object, suite: object) -> Found | Refused:
    if not isinstance(entry, dict):
        raise BadAnswerError("one of its keys is not an object")
    fields: dict[str, Any] = {**entry, "version": answers.VERSION, "suite": suite}
    g, ext, _ = one
    if "error" in entry:
        answers.check_g(fields, g)
        outcome: Found | Refused = answers.refused(fields.get("error"))
    else:
        outcome = answers.key(fields, g)
    said = entry.get("ext")
    if not isinstance(said, str) or not compare_digest(said.encode(), ext.encode()):
        raise BadAnswerError("it answers with a key for another extension")
    return outcome
