"""Questions that wait together are asked together.

Up to `workers` are asked at a time; whatever comes while all of them are busy waits, and the next one
that is free takes all that waits, up to `most`.  So a single phone's key is asked for at once, and a
site that gets its power back asks for many in one request.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_Q = TypeVar("_Q")
_A = TypeVar("_A")


class Batches(Generic[_Q, _A]):
    """one: asks a single question; many: asks several, with None for each that is to be asked singly."""

    def __init__(
        self,
        one: Callable[[_Q], Awaitable[_A]],
        many: Callable[[list[_Q]], Awaitable[list[_A | None]]],
        workers: int,
        most: int,
    ) -> None:
        self._one = one
        self._many = many
        self._workers = workers
        self._most = most
        self._waiting: deque[tuple[_Q, asyncio.Future[_A]]] = deque()
        self._working: set[asyncio.Task[None]] = set()

    async def ask(self, question: _Q) -> _A:
        """Return the answer; raises what the asking raised."""
        answer: asyncio.Future[_A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if len(self._working) < self._workers:
            task = asyncio.create_task(self._work(), name="look-ups")
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        return await answer

    async def stop(self) -> None:
        """End what is under way; whoever waits is cancelled."""
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        while self._waiting:
            self._waiting.popleft()[1].cancel()

    async def _work(self) -> None:
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
            # Who asked may have been cancelled meanwhile.
            taken = [(question, answer) for question, answer in taken if not answer.done()]
            try:
                await self._answer(taken)
            except BaseException as error:
                for _, answer in taken:
                    if isinstance(error, asyncio.CancelledError):
                        answer.cancel()
                    elif not answer.done():
                        answer.set_exception(error)
                if not isinstance(error, Exception):
                    raise

    async def _answer(self, taken: list[tuple[_Q, asyncio.Future[_A]]]) -> None:
        found: list[_A | None] = [None] * len(taken)
        if len(taken) > 1:
            found = await self._many([question for question, _ in taken])
        for (question, answer), known in zip(taken, found, strict=True):
            told = await self._one(question) if known is None else known
            if not answer.done():
                answer.set_result(told)
