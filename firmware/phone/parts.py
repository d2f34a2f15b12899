"""What phone/board.py has opened."""


class Unwatched:
    """The watchdog of a board that has none, which is the face of all of them.

    period: ms within which it wants to be fed, or None; cause: why the board started
    ("power-on", "watchdog", "reset", "soft-reset", "deep-sleep"), or None; last: what was
    noted last before that, or "".
    """

    period = None
    cause = None
    last = ""

    def feed(self) -> None:
        """Tell it that the main loop still turns."""

    def note(self, what: str) -> None:
        """Keep `what` is being done, a word, over a reset."""


class Board:
    """The parts.

    name, settings, console, displays, keys, store, network, watchdog; time: its entry in board.json,
    or None (phone/fetching.py opens it).

    silent: names of the displays that did not answer; opened: all parts, in order.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.settings = None
        self.console = None
        self.displays = []
        self.keys = []
        self.store = None
        self.network = None
        self.time = None
        self.watchdog = Unwatched()
        self.silent = []
        self.opened = []

    def close(self) -> None:
        """Give back what was opened, last first (a terminal gets its mode back)."""
        while self.opened:
            part = self.opened.pop()
            if hasattr(part, "close"):
                part.close()
