"""Who is told of everything that happens: log, counts, time lines, state, channels, keys."""

from collections.abc import Callable
from typing import Any, Final

from ras.held import Held

from ringkey.gatekeeper.at_once import AtOnce
from ringkey.gatekeeper.events import GREETED, LOGGED_IN, REPLACED
from ringkey.gatekeeper.news import News
from ringkey.gatekeeper.observed import Observed
from ringkey.gatekeeper.record import Record
from ringkey.gatekeeper.state.noticed import Noticed

# All that the state wants to know of a GCF.
_CONFIRMED: Final = ("confirmed",)


class Witnesses:
    """check_values: the CVm in force here, for the log; noticed: what keeps registrations, memory: what keeps
    keys, None for nothing; channels: those that are open, by SID; close: is to close the one of a
    registration that has ended, and is told why.
    """

    def __init__(
        self,
        record: Record,
        observed: Observed,
        news: News,
        close: Callable[[Held, str], None],
    ) -> None:
        self.check_values: tuple[bytes, ...] = ()
        self.noticed: Noticed | None = None
        self.memory: AtOnce | None = None
        self.channels: dict[str, Any] = {}
        self._record = record
        self._observed = observed
        self._news = news
        self._close = close

    def tell(self, event: tuple[Any, ...]) -> None:
        """Tell of an event of `ras.registrar`, or of events.py."""
        self._record.event(event, self.check_values)
        self._observed.event(event)
        self._news.event(event)
        name, noticed = event[0], self.noticed
        if name == GREETED:
            if noticed is not None:
                noticed.event(_CONFIRMED)
        elif name == LOGGED_IN:
            _, held, old = event
            if noticed is not None:
                noticed.event(("registered", held, old))  # in whose place: there is one for an extension
            if old is not None and self.channels:
                self._close(old, REPLACED)
            self._registered(held)
        else:
            if noticed is not None:
                noticed.event(event)
            if name == "registered":
                self._registered(event[1])
            elif name == "ended":
                self._close(event[1], event[2])

    def _registered(self, held: Held) -> None:
        if self.memory is not None:
            self.memory.proven(held.g, held.ext, held.cvm)
