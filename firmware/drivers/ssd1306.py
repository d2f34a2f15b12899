"""An SSD1306 OLED on I2C, 128 columns and 64 or 32 rows, as a display of two lines of 16 characters.

    {"module": "drivers.ssd1306", "params": {"scl": 22, "sda": 21, "address": 60, "height": 64}}

"flip": true turns the picture by 180 degrees.  A character of MicroPython's font is 8 by 8
dots, so 16 fill the width; each dot is drawn two rows high, which can be read across a desk.

Source: SSD1306 data sheet rev 1.1 (Solomon Systech), sections 8 to 10; the start-up sequence
of its application note.
"""

from drivers import i2c
from phone.board import BoardError
from ras.compat import const

try:
    import framebuf
except ImportError:
    framebuf = None

_WIDTH = const(128)
_ADDRESS = const(0x3C)
_COMMAND = const(0x80)  # control octet: one command follows
_DATA = const(0x40)  # control octet: all that follow are data

_DISPLAY = const(0xAE)  # | 1: on
_COLUMNS = const(0x21)
_PAGES = const(0x22)

# How it starts: off; octets run along a page, then to the next; row 0 on top, no offset;
# clock, pre-charge and deselect level of the application note; half contrast, since an OLED
# that is always on burns in; it shows its memory, not inverted; the charge pump, which a
# module on 3.3 V needs.
_START = b"\xae\x20\x00\x40\xd3\x00\xd5\x80\xd9\xf1\xdb\x30\x81\x7f\xa4\xa6\x8d\x14"

# Dots of a nibble, each doubled: bit i becomes bits 2i and 2i+1.
_DOUBLED = b"\x00\x03\x0c\x0f\x30\x33\x3c\x3f\xc0\xc3\xcc\xcf\xf0\xf3\xfc\xff"


def open(params: dict) -> "SSD1306":  # noqa: A001  (every driver's entry is called open)
    """Return the display; raises OSError where it does not answer."""
    bus = i2c.bus(params)
    address = i2c.find(bus, params.get("address", _ADDRESS))
    return SSD1306(bus, address, params.get("height", 64), bool(params.get("flip")))


class SSD1306:
    """The display: its only I/O is write_cmd() and write_data()."""

    def __init__(self, bus: object, address: int, height: int = 64, flip: bool = False) -> None:
        """Start the display up; raises OSError where it does not answer."""
        if framebuf is None:
            raise BoardError("drivers.ssd1306: this MicroPython has no framebuf")
        if height not in (32, 64):
            raise BoardError('drivers.ssd1306: its "height" is 32 or 64')
        self._bus = bus
        self._address = address
        self._flip = flip
        self._height = height
        # Pages (8 rows) where the two lines begin: spread over 64 rows, close on 32.
        self._pages = (1, 5) if height == 64 else (0, 2)
        self._command = bytearray((_COMMAND, 0))
        self._line = bytearray(_WIDTH)  # a line as the font has it, 8 rows
        self._frame = framebuf.FrameBuffer(self._line, _WIDTH, 8, framebuf.MONO_VLSB)
        self._data = bytearray(1 + 2 * _WIDTH)  # two pages of it, behind the control octet
        self._data[0] = _DATA
        self._shown = None  # the lines that are there; None: it is to be started up
        self._start()

    # -- I/O

    def write_cmd(self, command: int) -> None:
        """Send one octet of a command; raises OSError."""
        self._command[1] = command
        self._bus.writeto(self._address, self._command)

    def write_data(self, data: bytearray) -> None:
        """Send data, the control octet in front of them; raises OSError."""
        self._bus.writeto(self._address, data)

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
                self._draw(self._pages[i], lines[i])
        self._shown = lines

    def close(self) -> None:
        """Leave the last picture: it says how the phone ended."""

    def _start(self) -> None:
        for command in _START:
            self.write_cmd(command)
        flip = self._flip
        for command in (
            0xA0 if flip else 0xA1,  # which side is left
            0xC0 if flip else 0xC8,  # and which is up
            0xA8,
            self._height - 1,  # rows
            0xDA,
            0x12 if self._height == 64 else 0x02,  # how they are wired
        ):
            self.write_cmd(command)
        self._window(0, self._height // 8 - 1)
        data = self._data
        for i in range(1, len(data)):
            data[i] = 0
        for _ in range(self._height // 16):
            self.write_data(data)
        self.write_cmd(_DISPLAY | 1)
        self._shown = ("", "")

    def _draw(self, page: int, text: str) -> None:
        frame, line, data = self._frame, self._line, self._data
        frame.fill(0)
        frame.text(text, 0, 0)
        for x in range(_WIDTH):
            dots = line[x]
            data[1 + x] = _DOUBLED[dots & 15]
            data[1 + _WIDTH + x] = _DOUBLED[dots >> 4]
        self._window(page, page + 1)
        self.write_data(data)

    def _window(self, first: int, last: int) -> None:
        """Let the next data go to the pages from `first` to `last`."""
        for command in (_COLUMNS, 0, _WIDTH - 1, _PAGES, first, last):
            self.write_cmd(command)
