"""What was seen lately: answers to give again, and nonces that must not come again.

protocol.md section 5.  Bounded in number and in time; when full, the oldest goes.
"""

from collections import deque


class Recent:
    """A dict whose entries go when they are `span` ms old or more than `limit` are newer.

    A span of None keeps entries until they are pushed out.
    """

    def __init__(self, limit: int, span: "int | None") -> None:
        self._limit = limit
        self._span = span
        self._entries = {}
        # Times and keys, oldest first: MicroPython's dict has no order.
        self._order = deque((), limit)

    def __len__(self) -> int:
        return len(self._entries)

    def keys(self) -> list:
        """Return the keys there are, oldest first."""
        return [key for _, key in self._order]

    def get(self, key, now: int):
        """Return the value that `key` has now, or None."""
        self._age(now)
        return self._entries.get(key)

    def put(self, key, value, now: int) -> None:
        """Set the value of `key`; setting it again does not make it younger."""
        self._age(now)
        if key not in self._entries:
            if len(self._order) >= self._limit:
                del self._entries[self._order.popleft()[1]]
            self._order.append((now, key))
        self._entries[key] = value

    def _age(self, now: int) -> None:
        while self._span is not None and self._order and now - self._order[0][0] >= self._span:
            del self._entries[self._order.popleft()[1]]
