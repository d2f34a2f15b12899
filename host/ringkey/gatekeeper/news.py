"""What has become of each phone lately, and which have changed since somebody asked.

Fed with the registrar's events, and with what the signalling channels do.  It costs a registration a few
appends to lists of bounded length; words are only found when somebody asks.
"""

import asyncio
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice
from typing import Any

from ras.message import GRQ

from ringkey.gatekeeper import reasons
from ringkey.gatekeeper.addresses import Address, place
from ringkey.gatekeeper.events import GREETED, LOGGED_IN, REPLACED

# Changes kept for who asks what is new: 16 s of 500 registrations a second; who is slower asks for all.
MAX_CHANGES = 8192
# Phones named in one answer: some 100 KiB, and 2 ms to put together; the rest is in the next.
MAX_PHONES = 256
# Entries of one phone's time line: three log-ins with everything that belongs to them.
MAX_ENTRIES = 16
# Time lines of extensions that have registered here, up to 1 KB each; the one that nothing was
# heard of for the longest goes.
MAX_LINES = 20_000
# The same of extensions that have not: strangers can name any.
MAX_STRANGERS = 1024
# Addresses that sent a GRQ, to know whose a message is that is dropped before its extension is known.
MAX_SOURCES = 4096
# Entries within so many seconds have one time.
_SAME_TIME = 0.001
# Digits of a number of changes: more than any run lives to see.
_DIGITS = 18

# Entries that may lie there before those are let go that no time line of MAX_ENTRIES shows any more; an
# entry of events.py is several of them.
_UNTIDY = 12

_Entry = tuple[float, str, Any, Any]
"""(seconds since 1970, what, and up to two things more that there are to say)."""
# Parts of an entry, which lie one behind the other in one list: an object each would take twice the room.
_PARTS = 4


class News:
    """The news of one gatekeeper's run."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._run = secrets.token_hex(8)
        self._n = 0  # of the last change
        self._at: Any = 0.0  # the time of the last entry (Any: compiled, it stays the same object)
        self._clock = clock
        self._changes: deque[str] = deque(maxlen=MAX_CHANGES)  # EXT; the last one has the number _n
        self._lines: OrderedDict[str, list[Any]] = OrderedDict()
        self._strangers: OrderedDict[str, list[Any]] = OrderedDict()
        self._ext_of: OrderedDict[Address, str] = OrderedDict()
        self._waiting: asyncio.Event | None = None

    def event(self, event: tuple[Any, ...]) -> None:
        """Take in an event of `ras.registrar`, or of events.py."""
        told = _TOLD.get(event[0])
        if told is not None:
            told(self, *event[1:])

    def channel(self, ext: str, what: str, detail: str) -> None:
        """Take in what a channel does: "channel-open" with its cipher, "channel-closed" with why."""
        self._add(ext, what, detail)

    def line(self, ext: str) -> list[dict[str, Any]]:
        """Return an extension's time line, oldest first: at, what, words, mood ("plain", "good" or "bad")."""
        found = self._lines.get(ext) or self._strangers.get(ext) or []
        return [_worded(one) for entry in _entries(found) for one in _apart(entry)][-MAX_ENTRIES:]

    @property
    def mark(self) -> str:
        """How far the news are: a text for `since`, which only this run understands."""
        return f"{self._run}:{self._n}"

    def after(self, mark: str) -> tuple[str, list[str]] | None:
        """Return (mark, extensions) of what has changed after `mark`, None where nobody knows any more."""
        run, _, text = mark.partition(":")
        if run != self._run or not text.isdecimal() or len(text) > _DIGITS:
            return None
        n = int(text)
        missed = self._n - n
        if not 0 <= missed <= len(self._changes):
            return None
        found: dict[str, None] = {}
        first = len(self._changes) - missed
        for ext in islice(self._changes, first, None):
            found[ext] = None
            n += 1
            if len(found) == MAX_PHONES:
                break
        return f"{run}:{n}", list(found)

    def next(self) -> asyncio.Event:
        """Return what is set at the next change."""
        waiting = self._waiting = self._waiting or asyncio.Event()
        return waiting

    # -- the registrar's events, by name

    def _request(self, source: Address, ext: str) -> None:
        _put(self._ext_of, source, ext, MAX_SOURCES)
        self._add(ext, "request", source)

    def _lookup(self, _ticket: int, ext: str, _g: bytes, suite: str, kind: str, *_more: object) -> None:
        if kind == GRQ:
            self._add(ext, "compared", suite)

    def _confirmed(self, _source: Address, ext: str) -> None:
        self._add(ext, "confirmed")

    def _refused(self, source: Address, ext: str, code: int) -> None:
        self._add(ext, "refused", code, source)

    def _registered(self, held: Any, old: Any) -> None:
        entries = self._strangers.pop(held.ext, None)
        if entries is not None and held.ext not in self._lines:
            self._share(entries, held)
            _put(self._lines, held.ext, entries, MAX_LINES)
        self._add(held.ext, "registered", held.source, None if old is None else old.source)

    def _share(self, entries: list[Any], held: Any) -> None:
        """Let a line that requests have begun have the address object of the registration."""
        for i, part in enumerate(entries):
            if part == held.source:
                entries[i] = held.source

    def _greeted(self, source: Address, ext: str, _g: bytes, suite: str, *_more: object) -> None:
        _put(self._ext_of, source, ext, MAX_SOURCES)
        self._add(ext, GREETED, source, suite)

    def _logged_in(self, held: Any, old: Any) -> None:
        if held.ext in self._strangers:
            if old is not None:
                self._ended(old, REPLACED)
            self._registered(held, old)
        else:
            self._add(held.ext, LOGGED_IN, held.source, None if old is None else old.source)

    def _ended(self, held: Any, reason: str) -> None:
        self._add(held.ext, "ended", reason)

    def _dropped(self, source: Address, reason: str) -> None:
        ext = self._ext_of.get(source)
        if ext is not None:
            self._add(ext, "dropped", reason)

    def _add(self, ext: str, what: str, detail: Any = None, more: Any = None) -> None:
        entries = self._lines.get(ext)
        if entries is not None:
            self._lines.move_to_end(ext)
        else:
            entries = self._strangers.get(ext)
            if entries is None:
                entries = []
                known = what in ("registered", "ended", LOGGED_IN)
                table, most = (self._lines, MAX_LINES) if known else (self._strangers, MAX_STRANGERS)
                _put(table, ext, entries, most)
        now: Any = self._clock()
        # A millisecond is all that is shown: what one request leads to has one object for its time.
        if 0 <= now - self._at < _SAME_TIME:
            now = self._at
        self._at = now
        entries.extend((now, what, detail, more))
        if len(entries) > _PARTS * _UNTIDY:
            _tidy(entries)
        if what in _CHANGE:
            self._changes.append(ext)
            self._n += 1
            if self._waiting is not None:
                self._waiting.set()
                self._waiting = None


# What others hear of at once.  The steps in between are read by who looks at that phone.
_CHANGE = frozenset(
    {"refused", "registered", LOGGED_IN, "ended", "dropped", "channel-open", "channel-closed"}
)
_TOLD: dict[str, Callable[..., None]] = {
    name: getattr(News, f"_{name}")
    for name in ("request", "lookup", "confirmed", "refused", "registered", "ended", "dropped")
}
_TOLD[GREETED], _TOLD[LOGGED_IN] = News._greeted, News._logged_in
_ENDS = {
    "ttlExpired": "its time was over: the phone was not heard of again",
    "reregistered": "the phone registered anew",
    "logged out": "the user logged out",
    "securityDenial": "ended here: its key, PIN or extension is no longer good",
    "reregistrationRequired": "ended here: the phone shall register anew",
    "undefinedReason": "ended here, or another phone registered the extension",
}


def _entries(line: list[Any]) -> list[_Entry]:
    parts = iter(line)
    return list(zip(parts, parts, parts, parts, strict=True))


def _apart(entry: _Entry) -> tuple[_Entry, ...]:
    """Return the entries that one of events.py stands for."""
    at, what, detail, more = entry
    if what == GREETED:
        return (at, "request", detail, None), (at, "compared", more, None), (at, "confirmed", None, None)
    if what == LOGGED_IN:
        registered = (at, "registered", detail, more)
        return (registered,) if more is None else ((at, "ended", REPLACED, None), registered)
    return (entry,)


def _tidy(line: list[Any]) -> None:
    """Let the oldest go that are not shown any more."""
    entries = _entries(line)
    shown, first = 0, len(entries)
    while first and shown < MAX_ENTRIES:
        first -= 1
        shown += len(_apart(entries[first]))
    del line[: _PARTS * first]


def _worded(entry: _Entry) -> dict[str, Any]:
    at, what, detail, more = entry
    mood = "plain"
    if what == "request":
        words = f"GRQ received from {place(detail)}"
    elif what == "compared":
        words = f"check value compared: the same; suite {detail}"
    elif what == "confirmed":
        words = "GCF sent"
    elif what == "refused":
        words, mood = f"refused ({place(more)}): {reasons.words(reasons.of_code(detail))}", "bad"
    elif what == "registered":
        words, mood = f"RCF sent: registered at {place(detail)}", "good"
        if more is not None and more != detail:
            words += f", instead of {place(more)}"
    elif what == "ended":
        words, mood = f"registration ended: {_ENDS.get(detail, detail)}", "plain"
    elif what == "dropped":
        kind = reasons.kind_of_text(detail)
        words, mood = (
            f"{kind + ' ' if kind else ''}not answered: {reasons.words(reasons.of_text(detail))}",
            "bad",
        )
    elif what == "channel-open":
        words, mood = f"signalling channel open ({detail})", "good"
    else:
        words = f"signalling channel closed: {detail}"
    return {"at": round(at, 3), "what": what, "words": words, "mood": mood}


def _put(table: OrderedDict[Any, Any], key: object, value: object, most: int) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > most:
        table.popitem(last=False)
