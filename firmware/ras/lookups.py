"""Requests that wait for a look-up, and what a look-up says."""

from ras.compat import const
from ras.keys import Suite
from ras.message import Message

MAX_PENDING = const(1024)  # look-ups under way: beyond, phones are left to their next try
MAX_STRANGERS = const(768)  # of those, for who has proven nothing yet


class Lookup:
    """The answer to a ("lookup", …).

    code: 0 where the endpoint may go on, else an error code of profile.py; kg: where the
    key server gave it; pin: where the extension is known; others: for a redirection;
    available: False where nobody could be asked: the request is dropped, and its next
    try looks up anew.

    ka: Ka of that kg and that pin, once the registrar has made it: who keeps a Lookup keeps it too.
    """

    __slots__ = ("available", "code", "ka", "kg", "others", "pin")

    def __init__(self, code=0, kg=None, pin=None, others=(), available=True, ka=None) -> None:
        self.code = code
        self.kg = kg
        self.pin = pin
        self.others = tuple(others)
        self.available = available
        self.ka = ka

    def __repr__(self) -> str:
        return "Lookup(%d)" % self.code


class Asked:
    """A GRQ or RRQ, with its elements `found`; key: what its answer is remembered by; phone: it has proven
    its PIN before.
    """

    __slots__ = ("ext", "found", "key", "message", "phone", "source", "suite")

    def __init__(self, message: Message, source, key, ext: str, found: dict, suite: Suite) -> None:
        self.message = message
        self.source = source
        self.key = key
        self.ext = ext
        self.found = found
        self.suite = suite
        self.phone = False


class Pending:
    """Those that wait, by ticket; strangers can not take all the room."""

    def __init__(self) -> None:
        self._waiting: dict = {}
        self._keys: set = set()  # of each
        self._strangers = 0
        self._ticket = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def holds(self, key) -> bool:
        """Tell whether the same octets of the same source wait already."""
        return key in self._keys

    def add(self, asked: Asked) -> "int | None":
        """Return the ticket, or None where there is no room."""
        if len(self._waiting) >= MAX_PENDING or (not asked.phone and self._strangers >= MAX_STRANGERS):
            return None
        self._ticket += 1
        self._waiting[self._ticket] = asked
        self._keys.add(asked.key)
        self._strangers += not asked.phone
        return self._ticket

    def take(self, ticket: int) -> "Asked | None":
        """Return and forget what waits with this ticket, if it still does."""
        asked = self._waiting.pop(ticket, None)
        if asked is not None:
            self._keys.remove(asked.key)
            self._strangers -= not asked.phone
        return asked
