"""What phone/board.py has opened."""


class Board:
    """The parts.  name, settings, console, displays, keys, store, network.

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
        self.silent = []
        self.opened = []

    def close(self) -> None:
        """Give back what was opened, last first (a terminal gets its mode back)."""
        while self.opened:
            part = self.opened.pop()
            if hasattr(part, "close"):
                part.close()
