"""Keypad, display and console on stdin and stdout: a terminal, a pair of pipes, a board's serial line.

Keys: 0 to 9, # or Enter, * or Backspace, L for a held *.  On a terminal they are taken as they
are pressed (raw mode, given back by close()), and the display is two rows drawn in place.
Elsewhere, and where there is no termios to ask, each picture is two lines: a serial line is
read by programs and through log files as well as by people.

    "ends"    true: Ctrl-C, Ctrl-D and the end of the input switch the phone off, as a process
              ought to.  Without it, a board: with the setting `events` on (development)
              Ctrl-C is MicroPython's and leads to its prompt; in production it is no key.
"""

import asyncio
import sys

from phone import aio
from ras.compat import const

try:
    import termios
except ImportError:
    termios = None  # a board; or a terminal hands its lines over at Enter

try:
    from micropython import kbd_intr
except ImportError:
    kbd_intr = None

_KEYS = "0123456789#*L"
_MEANINGS = {"\r": "#", "\n": "#", "\x7f": "*", "\x08": "*", "l": "L"}
_ENDS = "\x03\x04"  # Ctrl-C, Ctrl-D

_NO_LINE = const(1000)  # ms between looks at an input that has ended (a USB line unplugged)

_ROW = "\x1b[2K| %-16s |"  # clears what else is on that row

_console = None


def open(params: dict) -> "Console":  # noqa: A001  (every driver's entry is called open)
    """Return the one console, which is keypad, display and console alike."""
    global _console
    if _console is None:
        _console = Console(bool(params.get("ends")), bool(params.get("settings", {}).get("events")))
    return _console


class Console:
    """stdin and stdout as a small phone.  ends: see above; events: whether this is development."""

    def __init__(self, ends: bool, events: bool) -> None:
        self._ends = ends
        self._guarded = kbd_intr is not None and not ends and not events
        if self._guarded:
            kbd_intr(-1)  # whoever has the serial line in hand does not get a prompt by Ctrl-C
        self._in = sys.stdin.buffer
        self._out = sys.stdout
        self._escape = 0  # how far an escape sequence (an arrow key) has come
        self._drawn = False  # whether the cursor stands behind the two rows
        self._terminal = _mode(1) is not None
        self._saved = _mode(0)
        if self._saved is not None:
            termios.setraw(0)

    def close(self) -> None:
        """Give the terminal back as it was; may be called again."""
        self._fresh_line()
        if self._saved is not None:
            termios.tcsetattr(0, termios.TCSANOW, self._saved)
            self._saved = None
        if self._guarded:
            self._guarded = False
            kbd_intr(3)
        global _console
        _console = None

    # -- keys

    async def key(self) -> "str | None":
        """Return the next key, or None at the end of input."""
        while True:
            # asyncio's StreamReader does no more, and is a module of its own in the heap.
            await aio.readable(self._in)
            octet = self._in.read(1)
            if not octet:
                if self._ends:
                    return None
                await asyncio.sleep_ms(_NO_LINE)
                continue
            character = chr(octet[0])
            if self._ends and character in _ENDS:
                return None
            if self._in_escape(character):
                continue
            key = _MEANINGS.get(character, character)
            if key in _KEYS:
                return key

    def _in_escape(self, character: str) -> bool:
        """Tell whether the character belongs to an escape sequence: it may hold a digit of nobody."""
        if character == "\x1b":
            self._escape = 1
        elif self._escape == 1:
            self._escape = 2 if character in "[O" else 0
            return self._escape == 2
        elif self._escape == 2:
            if "@" <= character <= "~":
                self._escape = 0
        else:
            return False
        return True

    # -- display

    def show(self, lines: "tuple[str, str]") -> None:
        """Draw the two rows, over those before if nothing was written since."""
        if not self._terminal:
            for line in lines:
                self._out.write("| %-16s |\n" % line)
            return
        start = "\r\x1b[1A" if self._drawn else "\r"
        self._out.write(start + _ROW % lines[0] + "\r\n" + _ROW % lines[1])
        self._drawn = True

    # -- console

    def write(self, text: str) -> None:
        """Write one line, which ends in a line feed, below the display."""
        self._fresh_line()
        # In raw mode nobody else adds the carriage return.
        self._out.write(text.replace("\n", "\r\n") if self._terminal else text)

    def _fresh_line(self) -> None:
        if self._drawn:
            self._out.write("\r\n")
            self._drawn = False


def _mode(fd: int) -> "list | None":
    """Return a terminal's mode, or None where there is no terminal."""
    if termios is None:
        return None
    try:
        return termios.tcgetattr(fd)
    except OSError:
        return None
