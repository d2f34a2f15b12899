"""What was seen lately: answers to give again, and nonces that must not come again.

protocol.md section 5.  Bounded in number and in time; when full, the oldest goes.
"""

from collections import deque

from ras.compat import const

_NEVER = 1 << 62  # ms
# Octets of a nonce that are remembered: two that a phone draws are the same in so many once in 2^120, and the
# sixteenth octet takes 16 of memory on a host.
_KEPT = const(15)
_UNTIDY = 64  # places of an Erasable that may be nobody's, besides as many as there are entries


class Recent:
    """A dict whose entries go when they are `span` ms old or more than `limit` are newer.

    A span of None keeps entries until they are pushed out.
    """

    def __init__(self, limit: int, span: "int | None") -> None:
        self._limit = limit
        self._span = span if span is not None else 0
        self._entries: dict = {}
        # Keys, oldest first: MicroPython's dict has no order.  Where times count, the time of each beside it:
        # a tuple of both would take 64 octets more.
        self._order: deque = deque((), limit)
        self._timed = span is not None
        self._times: deque = deque((), limit if span is not None else 1)
        # The last of them (a number that is an object, also where this is compiled): many at a time have one.
        self._latest: "object" = 0
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
            if self._timed:
                if now != self._latest:
                    self._latest = now
                self._times.append(self._latest)
                if not entries:
                    self._due = now + self._span
        entries[key] = value

    def _drop(self) -> None:
        """Let the oldest go."""
        del self._entries[self._order.popleft()]
        if self._timed:
            times = self._times
            times.popleft()
            self._due = times[0] + self._span if times else _NEVER

    def _age(self, now: int) -> None:
        while now >= self._due:
            self._drop()


class Erasable(Recent):
    """A Recent without a span, whose entries can be taken out.

    `_order` keeps the place of one that was taken out until there are more of those than of others, or it
    is the oldest; so the order of the others is what it was.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit, None)
        self._stale: dict = {}  # key -> how many of its places are nobody's: the oldest ones
        self._gone = 0  # such places

    def keys(self) -> list:
        """Return the keys there are, oldest first."""
        self._tidy()
        return super().keys()

    def put(self, key, value, now: int) -> None:
        """Set the value of `key`; setting it again does not make it younger."""
        if key not in self._entries and len(self._order) >= self._limit:
            self._drop()
        super().put(key, value, now)

    def take(self, key) -> None:
        """Take an entry out, if it is there."""
        if self._entries.pop(key, None) is None:
            return
        self._stale[key] = self._stale.get(key, 0) + 1
        self._gone += 1
        if self._gone > len(self._entries) + _UNTIDY:
            self._tidy()

    def _drop(self) -> None:
        oldest = self._order.popleft()
        if not self._is_stale(oldest):
            del self._entries[oldest]

    def _is_stale(self, key) -> bool:
        """Tell whether the oldest place of a key is nobody's, which then is gone."""
        left = self._stale.get(key)
        if left is None:
            return False
        self._gone -= 1
        if left > 1:
            self._stale[key] = left - 1
        else:
            del self._stale[key]
        return True

    def _tidy(self) -> None:
        order = self._order
        for _ in range(len(order) if self._gone else 0):
            key = order.popleft()
            if not self._is_stale(key):
                order.append(key)


class Nonces(Recent):
    """Nonces, and of which of several requests each has come.

    An exchange has one Re for its GRQ and its RRQ: one entry of one table, and one place in its order,
    which is the first request's.  Of a nonce the first _KEPT octets are remembered.
    """

    def __init__(self, limit: int, kinds: "tuple[str, ...]") -> None:
        super().__init__(limit, None)
        self._kinds = kinds
        self.bits: dict = {}  # kind -> the bit of `get` that it has
        for i, kind in enumerate(kinds):
            self.bits[kind] = 1 << i

    def has(self, kind: str, nonce: bytes) -> bool:
        """Tell whether such a request has come with this nonce."""
        return bool(self._entries.get(nonce[:_KEPT], 0) & self.bits[kind])

    def add(self, kind: str, nonce: bytes) -> None:
        """Remember that such a request has come with this nonce."""
        key = nonce[:_KEPT]
        self.put(key, self._entries.get(key, 0) | self.bits[kind], 0)

    def pairs(self) -> list:
        """Return all (kind, nonce) as far as they are remembered, oldest nonce first."""
        return [(kind, nonce) for nonce in self._order for kind in self._kinds if self.has(kind, nonce)]
