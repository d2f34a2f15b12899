"""Keypad, display and console of the unix board: one terminal, or a pair of pipes.

Keys: 0 to 9, # or Enter, * or Backspace, L logs out, Ctrl-C and Ctrl-D end the phone.  On a
terminal they are taken as they are pressed (raw mode, given back by close()), and the display
is two rows drawn in place.  Through pipes each picture is two lines; the end of input ends
the phone.
"""

import asyncio
import sys

try:
    import termios
except ImportError:
    termios = None  # then a terminal hands its lines over at Enter

_KEYS = "0123456789#*L"
_MEANINGS = {"\r": "#", "\n": "#", "\x7f": "*", "\x08": "*", "l": "L"}
_ENDS = "\x03\x04"  # Ctrl-C, Ctrl-D

_ROW = "\x1b[2K| %-16s |"  # clears what else is on that row

_console = None


def open(params: dict) -> "Console":  # noqa: A001  (every driver's entry is called open)
    """Return the one console, which is keypad, display and console alike."""
    global _console
    if _console is None:
        _console = Console()
    return _console


class Console:
    """stdin and stdout as a small phone."""

    def __init__(self) -> None:
        self._keys = asyncio.StreamReader(sys.stdin.buffer)
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
        global _console
        _console = None

    # -- keys

    async def key(self) -> "str | None":
        """Return the next key, or None at the end of input."""
        while True:
            octet = await self._keys.read(1)
            if not octet:
                return None
            character = chr(octet[0])
            if character in _ENDS:
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
