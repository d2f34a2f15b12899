"""Who is told of everything that happens: the log, the counts, the phones' time lines."""

from typing import Any

from ringkey.gatekeeper.news import News
from ringkey.gatekeeper.observed import Observed
from ringkey.gatekeeper.record import Record


class Witnesses:
    """check_values: the CVm in force here, for the log."""

    def __init__(self, record: Record, observed: Observed, news: News) -> None:
        self.check_values: tuple[bytes, ...] = ()
        self._record = record
        self._observed = observed
        self._news = news

    def tell(self, event: tuple[Any, ...]) -> None:
        """Tell of an event of `ras.registrar`, or of events.py."""
        self._record.event(event, self.check_values)
        self._observed.event(event)
        self._news.event(event)
