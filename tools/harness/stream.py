"""What comes over a phone's serial line: text for people, and events for programs within it.

Both are read from one position, so that what is waited for is waited for in the order in which
the phone said it, whichever way it is asked.
"""

import codecs
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from harness import patience

T = TypeVar("T")

MARK = "\x1e"  # begins an event's line: firmware/phone/events.py

# Escape sequences of a terminal (ECMA-48), and what may be the beginning of one at the end.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|\r|\x00")
_BEGINS = re.compile(r"\x1b(\[[0-?]*[ -/]*)?\Z")
_ROW = re.compile(r"\| (.{16}) \|")  # how a console draws one row of the display


@dataclass(frozen=True, slots=True)
class Event:
    """An event.  at: where its line ends in the text; when: time.time() of its arrival."""

    at: int
    when: float
    members: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """What the display showed from `at` on."""

    at: int
    lines: tuple[str, ...]


class Stream:
    """All that came, in all the phone's lives.

    text: readable, without escape sequences; position: up to where it has been waited for;
    on_event, on_line: told in the reader's thread of each Event, and of each other line.
    """

    def __init__(
        self,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.text = ""
        self.position = 0
        self.events: list[Event] = []
        self.last = 0.0  # time.monotonic() of the last octets
        self._drawn: list[Picture] = []
        self._told: list[Picture] = []
        self._row: str | None = None  # the upper one, while the lower one has not come
        self._rows_from = self._lines_from = 0
        self._pending = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._changed = threading.Condition()
        self._on_event = on_event
        self._on_line = on_line

    def feed(self, data: bytes) -> None:
        """Take octets as they came."""
        events: list[Event] = []
        lines: list[str] = []
        with self._changed:
            self.last = time.monotonic()
            self._pending += self._decoder.decode(data)
            cut = _BEGINS.search(self._pending)
            end = cut.start() if cut else len(self._pending)
            self.text += _ESCAPES.sub("", self._pending[:end])
            self._pending = self._pending[end:]
            self._find_rows()
            while (stop := self.text.find("\n", self._lines_from)) >= 0:
                line, self._lines_from = self.text[self._lines_from : stop], stop + 1
                event = _event(line, stop + 1)
                if event is None:
                    lines.append(line)
                    continue
                self.events.append(event)
                events.append(event)
                if event.members["e"] == "display":
                    self._told.append(Picture(stop + 1, tuple(event.members.get("lines", ()))))
            self._changed.notify_all()
        # Outside the lock: they may want to look at what is here.
        for event in events:
            if self._on_event is not None:
                self._on_event(event.members)
        for line in lines:
            if self._on_line is not None:
                self._on_line(line)

    @property
    def unread(self) -> str:
        """The text that nobody has waited for yet."""
        with self._changed:
            return self.text[self.position :]

    def skip(self) -> int:
        """Let everything that is here count as read; return the position."""
        with self._changed:
            self.position = len(self.text)
            self._row = None
            return self.position

    def search(self, pattern: "str | re.Pattern[str]", timeout: float) -> "re.Match[str] | None":
        """Return the first match from the position on, which moves behind it; None after `timeout` s."""
        wanted = re.compile(pattern)
        return self._wait(lambda: wanted.search(self.text, self.position), lambda m: m.end(), timeout)

    def find_event(self, wanted: Callable[[dict[str, Any]], bool], timeout: float) -> "Event | None":
        """Return the first event from the position on that is wanted."""

        def look() -> "Event | None":
            return next((e for e in self.events if e.at > self.position and wanted(e.members)), None)

        return self._wait(look, lambda e: e.at, timeout)

    def find_picture(
        self, pattern: "str | re.Pattern[str]", since: int, timeout: float
    ) -> "re.Match[str] | None":
        """Return the match in the first picture from the position on.

        since: where this life of the phone began.
        """
        wanted = re.compile(pattern)

        def look() -> "tuple[int, re.Match[str]] | None":
            for picture in self.pictures(since):
                if picture.at > self.position:
                    match = wanted.search("\n".join(picture.lines))
                    if match is not None:
                        return picture.at, match
            return None

        found = self._wait(look, lambda pair: pair[0], timeout)
        return None if found is None else found[1]

    def pictures(self, since: int) -> list[Picture]:
        """Return the display's pictures: as events tell them, or, from a phone that tells none, as drawn."""
        with self._changed:
            told = any(e.at > since for e in self.events)
            return [p for p in (self._told if told else self._drawn) if p.at > since]

    def _wait(self, look: Callable[[], T | None], end: Callable[[T], int], timeout: float) -> T | None:
        deadline = time.monotonic() + patience.seconds(timeout)
        with self._changed:
            while True:
                found = look()
                if found is not None:
                    self.position = end(found)
                    return found
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(left)

    def _find_rows(self) -> None:
        for match in _ROW.finditer(self.text, self._rows_from):
            self._rows_from = match.end()
            if self._row is None:
                self._row = match[1]
            else:
                lines = (self._row.rstrip(), match[1].rstrip())
                self._drawn.append(Picture(match.end(), lines))
                self._row = None


def _event(line: str, at: int) -> "Event | None":
    start = line.rfind(MARK)
    if start < 0:
        return None
    try:
        members = json.loads(line[start + 1 :])
    except ValueError:
        return None  # half a line of a phone that lost its power
    if not isinstance(members, dict) or not isinstance(members.get("e"), str):
        return None
    return Event(at, time.time(), members)
