"""Who is told of everything that happens: log, counts, time lines, state, channels, keys."""

from collections.abc import Callable
from typing import Any

from ras.held import Held

from ringkey.gatekeeper.events import GREETED, LOGGED_IN, REPLACED
from ringkey.gatekeeper.news import News
from ringkey.gatekeeper.observed import Observed
from ringkey.gatekeeper.record import Record
from ringkey.gatekeeper.state.noticed import Noticed

# All that the state wants to know of a GCF.
_CONFIRMED = ("confirmed",)


class Witnesses:
    """check_values: the CVm in force here, for the log; noticed: of what is kept, None for nothing.

    registered, ended: told of each registration that begins, and of each that ends, with the reason.
    """

    def __init__(
        self,
        record: Record,
        observed: Observed,
        news: News,
        registered: Callable[[Held], None],
        ended: Callable[[Held, str], None],
    ) -> None:
        self.check_values: tuple[bytes, ...] = ()
        self.noticed: Noticed | None = None
        self._record = record
        self._observed = observed
        self._news = news
        self._registered = registered
        self._ended = ended

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
            if old is not None:
                self._ended(old, REPLACED)
            self._registered(held)
        else:
            if noticed is not None:
                noticed.event(event)
            if name == "registered":
                self._registered(event[1])
            elif name == "ended":
                self._ended(event[1], event[2])
