"""What has become of each phone lately, and which have changed since somebody asked.

Fed with the registrar's events, and with what the signalling channels do.  It costs a registration a few
appends to lists of bounded length; words are only found when somebody asks.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from ras.message import GRQ

from ringkey.gatekeeper import reasons, timeline
from ringkey.gatekeeper.addresses import Address, place
from ringkey.gatekeeper.events import GREETED, LOGGED_IN
from ringkey.gatekeeper.generations import Generations
from ringkey.gatekeeper.timeline import AGAIN, BOTH

# Changes kept for who asks what is new: 16 s of 500 registrations a second; who is slower asks for all.
MAX_CHANGES = 8192
# Phones named in one answer: some 100 KiB, and 2 ms to put together; the rest is in the next.
MAX_PHONES = 256
# Time lines of extensions that have registered here, 100 octets each and 700 at the most; of so many, the
# half that was heard of last stays.
MAX_LINES = 40_000
# The same of extensions that have not: strangers can name any.
MAX_STRANGERS = 1024
# Phones whose GRQ was in order and whose RRQ is still to come: as many as there are of 8,000 log-ins a second
# that take an eighth of one.  What is beyond goes to the time lines at once.
MAX_GREETED = 1024
# Addresses that sent a GRQ, to know whose a message is that is dropped before its extension is known.
MAX_SOURCES = 4096
# Digits of a number of changes: more than any run lives to see.
_DIGITS = 18


class News:
    """The news of one gatekeeper's run."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._run = secrets.token_hex(8)
        self._n = 0  # of the last change
        self._clock = clock
        self._changes: deque[str] = deque(maxlen=MAX_CHANGES)  # EXT; the last one has the number _n
        self._lines = Generations(MAX_LINES)  # EXT -> its line, as timeline.py makes it
        self._strangers = Generations(MAX_STRANGERS)
        self._ext_of = Generations(MAX_SOURCES)
        # EXT -> (when, where, suite): what stands in no time line yet, since it will be a whole log-in's.
        self._greetings: dict[str, tuple[float, str, str]] = {}
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
        found: bytes = self._lines.get(ext) or self._strangers.get(ext) or b""
        greeting = self._greetings.get(ext)
        if greeting is not None:
            began, where, suite = greeting
            found = timeline.add(found, began, GREETED, where, suite)
        return [_worded(one) for one in timeline.entries(found)]

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

    def begin_anew(self) -> None:
        """Understand no mark given out so far: more has changed at once than is told one by one."""
        self._run = secrets.token_hex(8)
        self._wake()

    # -- the registrar's events, by name

    def _request(self, source: Address, ext: str) -> None:
        self._ext_of.put(source, ext)
        self._add(ext, "request", place(source))

    def _lookup(self, _ticket: int, ext: str, _g: bytes, suite: str, kind: str, *_more: object) -> None:
        if kind == GRQ:
            self._add(ext, "compared", suite)

    def _confirmed(self, _source: Address, ext: str) -> None:
        self._add(ext, "confirmed")

    def _refused(self, source: Address, ext: str, code: int) -> None:
        self._add(ext, "refused", str(code), place(source))

    def _registered(self, held: Any, old: Any) -> None:
        self._add(held.ext, "registered", place(held.source), "" if old is None else place(old.source))

    def _greeted(self, source: Address, ext: str, _g: bytes, suite: str, *_more: object) -> None:
        self._ext_of.put(source, ext)
        self._settle(ext)
        if len(self._greetings) >= MAX_GREETED:
            for one in list(self._greetings):
                self._settle(one)
        self._greetings[ext] = (self._clock(), place(source), suite)

    def _logged_in(self, held: Any, old: Any) -> None:
        here = place(held.source)
        there = "" if old is None else here if old.source == held.source else place(old.source)
        greeting = self._greetings.pop(held.ext, None)
        if greeting is None:
            self._add(held.ext, LOGGED_IN, here, there)
            return
        began, where, suite = greeting
        now = self._clock()
        what = timeline.together(began, where, now, here, there)
        if what is None:
            self._put(held.ext, began, GREETED, where, suite)
            self._put(held.ext, now, LOGGED_IN, here, there)
        else:
            self._put(held.ext, began, what, where, suite, now)

    def _ended(self, held: Any, reason: str) -> None:
        self._add(held.ext, "ended", reason)

    def _dropped(self, source: Address, reason: str) -> None:
        ext = self._ext_of.get(source)
        if ext is not None:
            self._add(ext, "dropped", reason)

    def _settle(self, ext: str) -> None:
        """Let a GRQ stand in the time line that no RRQ has followed."""
        greeting = self._greetings.pop(ext, None)
        if greeting is not None:
            began, where, suite = greeting
            self._put(ext, began, GREETED, where, suite)

    def _add(self, ext: str, what: str, detail: str = "", more: str = "") -> None:
        if self._greetings:
            self._settle(ext)
        self._put(ext, self._clock(), what, detail, more)

    def _put(  # noqa: PLR0917 - what an entry has
        self, ext: str, at: float, what: str, detail: str, more: str, ended: float = 0.0
    ) -> None:
        """Put an entry into a time line; as `timeline.add` has it."""
        table = self._lines
        line = table.get(ext)
        if line is None:
            line = self._strangers.get(ext) or b""
            if what in _KNOWN:
                self._strangers.pop(ext)
            else:
                table = self._strangers
        table.put(ext, timeline.add(line, at, what, detail, more, ended))
        if what in _CHANGE:
            self._changes.append(ext)
            self._n += 1
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None:
            self._waiting.set()
            self._waiting = None


# What others hear of at once.  The steps in between are read by who looks at that phone.
_CHANGE: Final = frozenset(
    {"refused", "registered", LOGGED_IN, BOTH, AGAIN, "ended", "dropped", "channel-open", "channel-closed"}
)
# What only becomes of who has registered.
_KNOWN: Final = frozenset({"registered", "ended", LOGGED_IN, BOTH, AGAIN})
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


def _worded(entry: timeline.Entry) -> dict[str, Any]:
    at, what, detail, more = entry
    mood = "plain"
    if what == "request":
        words = f"GRQ received from {detail}"
    elif what == "compared":
        words = f"check value compared: the same; suite {detail}"
    elif what == "confirmed":
        words = "GCF sent"
    elif what == "refused":
        words, mood = f"refused ({more}): {reasons.words(reasons.of_code(int(detail)))}", "bad"
    elif what == "registered":
        words, mood = f"RCF sent: registered at {detail}", "good"
        if more and more != detail:
            words += f", instead of {more}"
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
