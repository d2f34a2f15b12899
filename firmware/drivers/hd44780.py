"""An HD44780 character LCD behind a PCF8574 I2C expander ("backpack"), two lines of 16.

    {"module": "drivers.hd44780", "params": {"scl": 22, "sda": 21, "address": [39, 63]}}

39 is a PCF8574's usual address, 63 a PCF8574A's.  The expander's outputs are wired as on
all backpacks seen: P0 RS, P1 RW, P2 E, P3 backlight, P4 to P7 D4 to D7.  Such a module runs
on 5 V: where its pull-ups go there as well, the wires to a chip of 3.3 V need a level shifter.

The LCD's own waits are kept by the bus: an octet on I2C takes at least 22 us, and from the
end of one character to the first nibble of the next there are two of them, longer than the
37 us that it works on one.

Source: HD44780U data sheet (Hitachi, ADE-207-272), tables 6 and 12, figure 24.
"""

from drivers import i2c
from ras.compat import const

_RS = const(0x01)  # 0: command, 1: character
_E = const(0x04)  # the LCD takes a nibble when it falls
_LIGHT = const(0x08)

_CLEAR = const(0x01)
_ENTRY = const(0x06)  # the cursor goes right, the picture stays
_ON = const(0x0C)  # no cursor
_TWO_LINES = const(0x28)  # 4 bits, two lines, 5 by 8 dots
_MOVE = const(0x80)  # | address: 0 and 0x40 begin the lines

_COLUMNS = const(16)
_ADDRESSES = (39, 63)

try:
    from time import sleep_ms
except ImportError:  # CPython, for tests

    def sleep_ms(ms: int) -> None:
        """Nothing here waits for a display."""


def open(params: dict) -> "HD44780":  # noqa: A001  (every driver's entry is called open)
    """Return the display; raises OSError where it does not answer."""
    bus = i2c.bus(params)
    return HD44780(bus, i2c.find(bus, params.get("address", _ADDRESSES)))


class HD44780:
    """The display: its only I/O is write_cmd() and write_data()."""

    def __init__(self, bus: object, address: int) -> None:
        """Start the display up; raises OSError where it does not answer."""
        self._bus = bus
        self._address = address
        self._pulse = bytearray(1 + 2)
        self._octet = bytearray(1 + 4)
        self._line = bytearray(1 + 4 * _COLUMNS)
        # RS stands before E rises (table "Bus Timing": 40 ns).
        self._pulse[0] = self._octet[0] = _LIGHT
        self._line[0] = _LIGHT | _RS
        self._shown = None  # the lines that are there; None: it is to be started up
        self._start()

    # -- I/O

    def write_cmd(self, command: int) -> None:
        """Send one command; raises OSError."""
        _put(self._octet, 1, command, _LIGHT)
        self._bus.writeto(self._address, self._octet)

    def write_data(self, text: str) -> None:
        """Send a line of characters, in one go; raises OSError."""
        line = self._line
        for i in range(_COLUMNS):
            code = ord(text[i]) if i < len(text) else 32
            # Its first half is ASCII, but for two characters that no word here has.
            _put(line, 1 + 4 * i, code if 32 <= code < 127 else 63, _LIGHT | _RS)
        self._bus.writeto(self._address, line)

    # -- display

    def show(self, lines: "tuple[str, str]") -> None:
        """Show two lines; only what differs is sent.  Raises OSError."""
        shown = self._shown
        if shown is None:
            self._start()  # it had come loose, and has forgotten everything
            shown = self._shown
        self._shown = None
        for i in (0, 1):
            if shown[i] != lines[i]:
                self.write_cmd(_MOVE | 0x40 * i)
                self.write_data(lines[i])
        self._shown = lines

    def close(self) -> None:
        """Leave the last picture: it says how the phone ended."""

    def _start(self) -> None:
        # Whatever it was in the middle of (a reset of ours is none of its), three times
        # "8 bits" is where it can be told "4 bits": figure 24.
        sleep_ms(50)
        for nibble, wait in ((0x30, 5), (0x30, 1), (0x30, 1), (0x20, 1)):
            self._pulse[1] = nibble | _LIGHT | _E
            self._pulse[2] = nibble | _LIGHT
            self._bus.writeto(self._address, self._pulse)
            sleep_ms(wait)
        for command in (_TWO_LINES, _ON, _CLEAR):
            self.write_cmd(command)
        sleep_ms(2)  # clearing takes 1.52 ms
        self.write_cmd(_ENTRY)
        self._shown = ("", "")


def _put(out: bytearray, at: int, octet: int, lines: int) -> None:
    """Write the four states of the expander that hand `octet` over: its high nibble, then its low one."""
    high = octet & 0xF0 | lines
    low = octet << 4 & 0xF0 | lines
    out[at] = high | _E
    out[at + 1] = high
    out[at + 2] = low | _E
    out[at + 3] = low
