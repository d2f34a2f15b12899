"""What keeps the journal short: every registration is told once more, a few with each batch.

When all of them have been, the records from before the first of these batches say nothing that is not said
later, and go.  So neither a file nor a pause grows with time.
"""

from collections.abc import Iterable

# Octets of the journal below which nothing is swept: a sweep also tells all nonces once more, 1.2 MB of them.
LEAST = 8 << 20
# Beyond that, octets for each registration: four times what one takes, so that what is told once more
# is a quarter of what is told at all.
EACH = 4 * 250
# Registrations told once more with a batch: so many at the least, and in multiples of what it has of its own.
SHARE = 32
_TIMES = 2


class Sweep:
    """One sweep after the other."""

    def __init__(self) -> None:
        self._left: list[str] = []
        self.under_way = False

    @staticmethod
    def due(octets: int, count: int) -> bool:
        """Tell whether a journal of so many octets is too long for so many registrations."""
        return octets > LEAST + EACH * count

    @staticmethod
    def overdue(octets: int, count: int) -> bool:
        """Tell whether it is longer than any sweep leaves it, as after many restarts with none that ended."""
        return octets > 4 * (LEAST + EACH * count)

    def begin(self, exts: Iterable[str]) -> None:
        """Begin with all there are now; what registers later is in a batch of its own."""
        self._left = list(exts)
        self._left.reverse()
        self.under_way = True

    def share(self, changed: int) -> list[str]:
        """Return whose registrations go with a batch that has so many of its own; the last ones end it."""
        size = max(SHARE, _TIMES * changed)
        found = self._left[-size:]
        del self._left[-size:]
        self.under_way = bool(self._left)
        return found

    def stop(self) -> None:
        """Let it be: all there is is written in another way."""
        self._left = []
        self.under_way = False
