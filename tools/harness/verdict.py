"""Which side is at fault?  What a report says first about a test that has failed.

Facts only: a message that breaks the protocol, a process that ended, an error in a log, a correct
request that nobody answered, a correct answer that nobody took.
"""

import threading
import time
from dataclasses import dataclass

from harness.faults import DOWN, UP, Address, Datagram
from harness.judge import GATEKEEPER, PHONE

# What goes with what: request, its answers, and what a phone does with the good one.
_ANSWERS = {"GRQ": ("GCF", "GRJ"), "RRQ": ("RCF", "RRJ")}
_NEXT = {"GCF": ("RRQ",)}
_ENOUGH = 2  # unanswered, of the same kind: one may be on its way as a test ends


@dataclass(frozen=True, slots=True)
class Finding:
    """A fact against one side.  when: time.time()."""

    when: float
    side: str
    text: str


class Evidence:
    """What is gathered in one test, from all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._findings: list[Finding] = []
        self._counts: dict[tuple[Address, str, str], int] = {}
        self._when: dict[tuple[Address, str, str], float] = {}
        self._wrong: set[tuple[Address, str, str]] = set()

    def add(self, side: str, text: str) -> None:
        """Add a fact; the same one again is not added."""
        with self._lock:
            if not any(f.side == side and f.text == text for f in self._findings):
                self._findings.append(Finding(time.time(), side, text))

    def passed(self, datagram: Datagram, complaint: str | None, fate: str) -> None:
        """Take one datagram: what is wrong with it, and what the fault kit does to it ("": nothing)."""
        side = PHONE if datagram.way == UP else GATEKEEPER
        if complaint is not None:
            self.add(side, f"{datagram.kind}: {complaint}")
        # A wrong request needs no answer; a wrong answer is one, and has been complained of.
        if not fate and (complaint is None or datagram.way == DOWN):
            with self._lock:
                key = (datagram.client, datagram.way, datagram.kind)
                self._counts[key] = self._counts.get(key, 0) + 1
                self._when.setdefault(key, time.time())
                if complaint is not None:
                    self._wrong.add(key)

    def findings(self) -> list[Finding]:
        """Return all of it, in order of time."""
        with self._lock:
            return sorted([*self._findings, *self._silences()], key=lambda f: f.when)

    def _silences(self) -> list[Finding]:
        found = []
        for (client, way, kind), count in self._counts.items():
            if (client, way, kind) in self._wrong:
                continue
            # What would have been right: an answer to a request, the next request after an answer.
            right = _ANSWERS.get(kind, ()) if way == UP else _NEXT.get(kind, ())
            back = DOWN if way == UP else UP
            if right and count >= _ENOUGH and not any(self._counts.get((client, back, r)) for r in right):
                side, did = (GATEKEEPER, "answered") if way == UP else (PHONE, "took")
                text = f"{did} none of {count} correct {kind}"
                found.append(Finding(self._when[client, way, kind], side, text))
        return found


def sentence(findings: list[Finding]) -> str:
    """Return the verdict in one sentence."""
    sides = list(dict.fromkeys(f.side for f in findings))
    if not sides:
        return "No side broke a rule that the harness knows; the time line shows what happened."
    if len(sides) == 1:
        return f"At fault: {sides[0]}."
    return f"Facts against {', '.join(sides[:-1])} and {sides[-1]}, the earliest against {sides[0]}."
