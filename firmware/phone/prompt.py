"""The prompt for extension and PIN (the seed, figure 3: the log-in), without I/O.

Keys in: "0" to "9", "#" enters, "*" rubs out, "L" (a held "*") logs out.  Out: the two
lines of the display, and events.  The PIN is shown as dots, never as digits.
"""

from phone.screen import COLUMNS
from ras.compat import const
from ras.keys import MAX_EXT, MAX_PIN

# Long enough to look a PIN up, short enough that a half-typed one does not lie about.
IDLE = const(60000)  # ms

_EXT = const(0)
_PIN = const(1)

_TITLES = ("Extension:", "PIN:")
_LIMITS = (MAX_EXT, MAX_PIN)


class Prompt:
    """Asks for EXT, then PIN; face as all machines (docs/architecture.md, "The core's pieces").

    key(key, now), get_timer(), handle_timer(now), next_event(); `lines` is what to show.
    Events: ("entered", ext, pin) and ("log-out",).
    """

    def __init__(self, idle: int = IDLE) -> None:
        """Stop after `idle` ms without a key."""
        self._idle = idle
        self._events = []
        self.start()

    def __repr__(self) -> str:
        return "Prompt(asks for %s)" % _TITLES[self._field]

    def start(self) -> None:
        """Ask for the extension, with nothing keyed in."""
        self._field = _EXT
        self._keyed = ["", ""]
        self._full = False
        self._timer = None

    def key(self, key: str, now: int) -> None:
        """Take a key press; anything but the keys above is ignored."""
        field = self._field
        keyed = self._keyed[field]
        self._full = False
        if len(key) == 1 and "0" <= key <= "9":
            if len(keyed) < _LIMITS[field]:
                self._keyed[field] = keyed + key
            else:
                self._full = True
        elif key == "*":
            if keyed:
                self._keyed[field] = keyed[:-1]
            elif field == _PIN:
                self._field = _EXT  # rubs out the "#", so that a wrong extension can be mended
        elif key == "#":
            if keyed:
                self._enter()
        elif key == "L":
            self.start()
            self._events.append(("log-out",))
            return
        else:
            return
        touched = self._keyed[_EXT] or self._field == _PIN
        self._timer = now + self._idle if touched else None

    def get_timer(self) -> "int | None":
        """Return when handle_timer() is due, or None: nothing has been keyed in."""
        return self._timer

    def handle_timer(self, now: int) -> None:
        """Go back to the start if nobody has touched a key for the idle time."""
        if self._timer is not None and now >= self._timer:
            self.start()

    def next_event(self) -> "tuple | None":
        """Return ("entered", ext, pin) or ("log-out",) or None."""
        return self._events.pop(0) if self._events else None

    @property
    def lines(self) -> "tuple[str, str]":
        """The two lines to show, each at most COLUMNS long: the end of a long extension."""
        field = self._field
        keyed = self._keyed[field]
        title = "At most %d" % _LIMITS[field] if self._full else _TITLES[field]
        if field == _PIN:
            keyed = "." * len(keyed)
        return title, keyed[-COLUMNS:]

    def _enter(self) -> None:
        if self._field == _EXT:
            self._field = _PIN
            return
        ext, pin = self._keyed
        self.start()
        self._events.append(("entered", ext, pin))
