"""What the state hears of each event, and whether an answer has to wait for it: the part that is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringkey.gatekeeper.state.collector import Collector
    from ringkey.gatekeeper.state.waiting import Waiting

_CHANGES: Final = frozenset({"registered", "refreshed", "ended"})


class Noticed:
    """arm: sees to it that what there is will be written; wait: makes what answers wait for.

    collector: None while nothing is collected; on_disk: the file is written to; writing: a batch is being
    written now; waiting: what answers wait for that go with the next one.
    """

    def __init__(self, arm: Callable[[], None], wait: Callable[[], Waiting]) -> None:
        self.collector: Collector | None = None
        self.on_disk = False
        self.writing = False
        self.waiting: Waiting | None = None
        self._arm = arm
        self._wait = wait
        self._fresh = False

    def event(self, event: tuple[Any, ...]) -> None:
        """Take one event of the registrar."""
        name = event[0]
        if name in _CHANGES:
            if self.collector is None:
                return
            self.collector.event(event)
            self._fresh = True
        elif name != "confirmed":
            return
        if not (self.writing and self.on_disk):  # else it is armed when that one is written
            self._arm()

    def changed(self) -> Waiting | None:
        """Return what answers wait for; None where no registration has changed since the last call."""
        if not self._fresh:
            return None
        self._fresh = False
        # One that could not be written has a file to be removed first, which says what is no longer so.
        if not self.on_disk and not self.writing:
            return None
        if self.waiting is None:
            self.waiting = self._wait()
        return self.waiting
