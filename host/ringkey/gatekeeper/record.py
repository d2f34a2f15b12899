"""The registrar's events as lines of the log, without a secret (docs/gatekeeper-seeing.md has them all)."""

import time
from collections import Counter
from typing import Any

from ras import profile
from ras.message import GRQ

from ringkey import log
from ringkey.gatekeeper import reasons
from ringkey.gatekeeper.addresses import place
from ringkey.gatekeeper.events import GREETED, LOGGED_IN, apart

_CODES = {
    profile.UNKNOWN_EXTENSION: "unknown extension",
    profile.OTHER_GATEKEEPER: "other gatekeeper",
    profile.OBSOLETE: "check value or g obsolete",
    profile.REVOKED: "key revoked",
    profile.SUITE_REFUSED: "suite refused",
}
# Lines a second that nobody needs a key to cause, unless the site sets another number: whoever floods
# the port shall not fill the disk.  Enough for 20 phones a second that log in; what the rest did is in
# the counts.
MAX_LINES = 100
_STRANGERS = frozenset(
    {
        *("request", "lookup", "confirmed", "refused", "dropped", "ignored"),
        *("plain_confirmed", "plain_registered", "plain_refreshed", "plain_refused", "plain_ended"),
    }
)
# How many times as many about phones that have proved their key.  Not all of them: a line takes as
# long as a whole registration, and a site that gets its power back would wait for its log.
_PHONES = 2


class Budget:
    """How many lines a second may still be written about strangers, or about `whom`."""

    def __init__(self, lines: int = MAX_LINES, whom: str = "strangers") -> None:
        self._log = log.get("ringkey.gatekeeper")
        self.most = lines
        self._whom = whom
        self._second = 0
        self._lines = 0

    def spent(self, lines: int) -> bool:
        """Tell whether none of so many more lines may be written now; count them only where it is so."""
        if self._lines < self.most or not self._second <= time.monotonic() < self._second + 1:
            return False
        self._lines += lines
        return True

    def allows(self) -> bool:
        """Tell whether one more line may be written now, and count it."""
        now = time.monotonic()
        most = self.most
        if not self._second <= now < self._second + 1:
            second = int(now)
            if self._lines > most:
                self._log.warning("lines_left_out", lines=self._lines - most, about=self._whom)
            self._second, self._lines = second, 0
        self._lines += 1
        return self._lines <= most


class Record:
    """Writes events to the log, and counts them by name in `counts`.

    lines: a second, that strangers may cause; budget: for other lines of that kind.
    """

    def __init__(self, lines: int = MAX_LINES) -> None:
        self._log = log.get("ringkey.gatekeeper")
        self.budget = Budget(lines)
        self._phones = Budget(_PHONES * lines, "phones")
        self._counts: dict[str, int] = {}
        self._together = {GREETED: 0, LOGGED_IN: 0}
        self._replaced = 0

    @property
    def counts(self) -> dict[str, int]:
        """How many events there were, by the name that the registrar gives them."""
        greeted, logged_in = self._together[GREETED], self._together[LOGGED_IN]
        found = Counter(self._counts)
        found.update(request=greeted, confirmed=greeted, lookup=greeted + logged_in)
        found.update(registered=logged_in, ended=self._replaced)
        return dict(+found)

    def limit(self, lines: int) -> None:
        """Let so many lines a second be written from now on."""
        self.budget.most, self._phones.most = lines, _PHONES * lines

    def event(self, event: tuple[Any, ...], check_values: tuple[bytes, ...]) -> None:
        """Log one event of `ras.registrar`, or of events.py; check_values: the CVm in force here."""
        if event[0] in self._together:
            self._several(event, check_values)
        else:
            self._single(event, check_values)

    def _single(self, event: tuple[Any, ...], check_values: tuple[bytes, ...]) -> None:
        name = event[0]
        counts = self._counts
        counts[name] = counts.get(name, 0) + 1
        if name == "lookup" and event[5] != GRQ:
            return  # of the RRQ that follows, nobody needs to be told once more
        if not (self.budget if name in _STRANGERS else self._phones).allows():
            return
        rest = event[1:]
        cvm = [value.hex() for value in check_values]
        if name == "request":
            self._log.info("grq_received", ext=rest[1], source=place(rest[0]))
        elif name == "lookup":
            self._log.info("check_value_compared", ext=rest[1], same=True, cvm=cvm, suite=rest[3])
        elif name == "confirmed":
            self._log.info("gcf_sent", ext=rest[1], source=place(rest[0]))
        elif name == "refused":
            reason = _CODES.get(rest[2], rest[2])
            self._log.warning(
                "refused",
                ext=rest[1],
                source=place(rest[0]),
                reason=reason,
                code=reasons.of_code(rest[2]),
                cvm=cvm,
            )
        elif name == "registered":
            held, old = rest
            self._log.info(
                "registered",
                ext=held.ext,
                source=place(held.source),
                suite=held.suite.name,
                replaces=None if old is None else place(old.source),
            )
        elif name == "refreshed":
            self._log.info("kept_alive", ext=rest[0].ext, source=place(rest[0].source))
        elif name == "ended":
            self._log.info(
                "registration_ended", ext=rest[0].ext, source=place(rest[0].source), reason=rest[1]
            )
        elif name == "dropped":
            code = reasons.of_text(rest[1])
            self._log.warning("dropped", source=place(rest[0]), reason=rest[1], code=code)
        elif name == "ignored":
            self._log.warning("ignored", source=rest[0], seconds=rest[1] // 1000)
        else:
            self._plain(event)

    def _plain(self, event: tuple[Any, ...]) -> None:
        """Log an event of `ras.plain`, or one that is not known here."""
        name, what = event[:2] if len(event) > 1 else (*event, None)
        if name == "plain_registered":
            before = event[2]
            self._log.info(
                name,
                ext=what.ext,
                source=place(what.source),
                replaces=None if before is None else place(before),
            )
        elif name == "plain_ended":
            self._log.info(name, ext=what.ext, source=place(what.source), reason=event[2])
        elif name == "plain_refreshed":
            self._log.info("plain_kept_alive", ext=what.ext, source=place(what.source))
        elif name == "plain_refused":
            self._log.warning(name, ext=event[2], source=place(what), reason=event[3])
        elif name == "plain_confirmed":
            self._log.info(name, ext=event[2], source=place(what))
        else:
            self._log.info(name)

    def _several(self, event: tuple[Any, ...], check_values: tuple[bytes, ...]) -> None:
        name = event[0]
        replaces = name == LOGGED_IN and event[2] is not None
        if self.budget.spent(3) if name == GREETED else self._phones.spent(1 + replaces):
            self._together[name] += 1
            self._replaced += replaces
        else:
            for one in apart(event):
                self._single(one, check_values)
