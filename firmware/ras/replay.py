"""What was seen lately: answers to give again, and nonces that must not come again.

protocol.md section 5.  Bounded in number and in time; when full, the oldest goes.
"""

from collections import deque

_NEVER = 1 << 62  # ms


class Recent:
    """A dict whose entries go when they are `span` ms old or more than `limit` are newer.

    A span of None keeps entries until they are pushed out.
    """

    def __init__(self, limit: int, span: "int | None") -> None:
        self._limit = limit
        self._span = span
        self._entries = {}
        # Keys, oldest first: MicroPython's dict has no order.  Where times count, the time of each beside it:
        # a tuple of both would take 64 octets more.
        self._order = deque((), limit)
        self._times = None if span is None else deque((), limit)
        self._due = _NEVER  # when the oldest is `span` old

    def __len__(self) -> int:
        return len(self._entries)

    def keys(self) -> list:
        """Return the keys there are, oldest first."""
        return list(self._order)

    def timed(self) -> list:
        """Return (time, key, value) of the entries there are, oldest first; of those that have a span."""
        return [(when, key, self._entries[key]) for when, key in zip(self._times, self._order)]

    def get(self, key, now: int):
        """Return the value that `key` has now, or None."""
        if now >= self._due:
            self._age(now)
        return self._entries.get(key)

    def put(self, key, value, now: int) -> None:
        """Set the value of `key`; setting it again does not make it younger."""
        if now >= self._due:
            self._age(now)
        entries = self._entries
        if key not in entries:
            if len(entries) >= self._limit:
                self._drop()
            self._order.append(key)
            if self._times is not None:
                self._times.append(now)
                if not entries:
                    self._due = now + self._span
        entries[key] = value

    def _drop(self) -> None:
        """Let the oldest go."""
        del self._entries[self._order.popleft()]
        times = self._times
        if times is not None:
            times.popleft()
            self._due = times[0] + self._span if times else _NEVER

    def _age(self, now: int) -> None:
        while now >= self._due:
            self._drop()
