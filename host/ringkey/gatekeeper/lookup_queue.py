"""Look-ups on their way to the key server: few at a time, phones before strangers, strangers in turn.

A stranger with many requests waits behind himself, not before others; and strangers' look-ups that
the key server refuses are rationed, so that nobody can make it busy with g that it never issued.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from typing import Any

# Asked at one time, where nothing else is said.
AT_ONCE = 8
# Refusals a second that strangers may cause at the key server, and how many at once after a quiet
# time; beyond, strangers' look-ups wait, and those of phones do not.
REFUSALS = 100
REFUSALS_AT_ONCE = 200
# Seconds after which nobody waits for the answer any more: a phone has tried again by then.
PATIENCE = 2.0

Work = Callable[[], Coroutine[Any, Any, bool]]
GiveUp = Callable[[], None]


class _Waiting:
    __slots__ = ("give_up", "phone", "since", "work")

    def __init__(self, work: Work, give_up: GiveUp, *, phone: bool) -> None:
        self.work = work
        self.give_up = give_up
        self.phone = phone
        self.since = time.monotonic()


class LookupQueue:
    """work: a coroutine function that looks up, and returns whether the key server refused; give_up:
    called instead where it has to be left to the next try.  Exactly one of them is called for each.

    share: how many such queues have the ration of refusals together.
    """

    def __init__(self, at_once: int = AT_ONCE, share: int = 1) -> None:
        self._at_once = at_once
        self._refusals = REFUSALS / share
        self._refusals_at_once = max(1.0, REFUSALS_AT_ONCE / share)
        self._phones: deque[_Waiting] = deque()
        self._strangers: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        self._waiting = 0  # strangers
        self._tasks: set[asyncio.Task[None]] = set()
        self._left = self._refusals_at_once
        self._filled = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = False

    def __len__(self) -> int:
        """Return how many wait or are asked for."""
        return len(self._tasks) + len(self._phones) + self._waiting

    def put(self, host: str, work: Work, give_up: GiveUp, *, phone: bool, limit: int) -> None:
        """Look up when it is its turn; beyond `limit` in all, a stranger has to go."""
        if self._stopping or (len(self) >= limit and not self._make_room(host, phone=phone)):
            give_up()
            return
        waiting = _Waiting(work, give_up, phone=phone)
        if phone:
            self._phones.append(waiting)
        else:
            self._strangers.setdefault(host, deque()).append(waiting)
            self._waiting += 1
        self._start()

    async def stop(self) -> None:
        """End what is under way; what waits is given up."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        while (waiting := self._next()) is not None:
            waiting.give_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _make_room(self, host: str, *, phone: bool) -> bool:
        """Give up the newest of the stranger who has most; tell whether one of `host` may come in."""
        if not self._strangers:
            return False
        greedy = max(self._strangers, key=lambda one: len(self._strangers[one]))
        mine = len(self._strangers.get(host, ()))
        if not phone and mine + 1 >= len(self._strangers[greedy]):
            return False
        self._take(greedy, newest=True).give_up()
        return True

    def _take(self, host: str, *, newest: bool) -> _Waiting:
        queue = self._strangers[host]
        waiting = queue.pop() if newest else queue.popleft()
        self._waiting -= 1
        if not queue:
            del self._strangers[host]
        elif not newest:
            self._strangers.move_to_end(host)
        return waiting

    def _next(self) -> _Waiting | None:
        if self._phones:
            return self._phones.popleft()
        if self._strangers and (self._stopping or self._allowance() >= 1):
            return self._take(next(iter(self._strangers)), newest=False)
        return None

    def _allowance(self) -> float:
        now = time.monotonic()
        self._left = min(self._refusals_at_once, self._left + self._refusals * (now - self._filled))
        self._filled = now
        return self._left

    def _start(self) -> None:
        while len(self._tasks) < self._at_once and (waiting := self._next()) is not None:
            if time.monotonic() - waiting.since > PATIENCE:
                waiting.give_up()
                continue
            if not waiting.phone:
                self._left -= 1  # given back where the key server has the key
            task = asyncio.create_task(self._run(waiting), name="look-up")
            self._tasks.add(task)
        if self._strangers and self._timer is None and len(self._tasks) < self._at_once:
            self._timer = asyncio.get_running_loop().call_later(1 / self._refusals, self._due)

    def _due(self) -> None:
        self._timer = None
        self._start()

    async def _run(self, waiting: _Waiting) -> None:
        refused = True
        try:
            refused = await waiting.work()
        finally:
            if not refused and not waiting.phone:
                self._left += 1
            if (task := asyncio.current_task()) is not None:
                self._tasks.discard(task)
            if not self._stopping:
                self._start()
