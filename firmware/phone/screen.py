"""What is on the display: two lines of 16 characters."""

from phone.unload import unload
from ras.compat import const

COLUMNS = const(16)  # of the display, which has two lines

_NONE = ("", "")


class Screen:
    """The displays, all showing the same.

    displays: objects with `show(lines)`, see phone/board.py; events: phone.events.Events.
    """

    def __init__(self, displays: list, events: object) -> None:
        self._displays = displays
        self._events = events
        self.lines = _NONE

    def show(self, lines: "tuple[str, str]") -> None:
        """Show two lines; what is there already is not drawn again."""
        lines = (lines[0][:COLUMNS], lines[1][:COLUMNS])
        if lines == self.lines:
            return
        self.lines = lines
        for display in self._displays:
            try:
                display.show(lines)
            except OSError:
                pass  # a display that has come loose is no reason to stop
        self._events.tell("display", lines=lines)

    def step(self, name: str, detail: str = "") -> None:
        """Show how far things are.  A failure may be a step as well: the phone goes on by itself."""
        self._events.tell("step", step=name)
        self.words(name, detail)

    def reason(self, name: str, detail: str = "") -> None:
        """Show why something failed."""
        self._events.tell("reason", reason=name)
        self.words(name, detail)

    def words(self, name: str, detail: str = "") -> None:
        """Show the words for a step or a reason."""
        from phone.words import words

        lines = words(name, detail)
        unload("phone.words")
        self.show(lines)
