"""A matrix keypad: rows and columns of switches without diodes, on GPIO pins.

    {"module": "drivers.matrix", "params": {
        "rows": [32, 33, 25, 26], "columns": [27, 14, 13], "keys": "123456789*0#"}}

keys names the keys row by row; optional: "hold": {"*": "L"} what a key means that is held,
"hold_ms", and the times below as "idle_ms" and "scan_ms".

Rows are open drains, so that two keys of one column never join an output that is high with
one that is low; columns are inputs with pull-ups.  A key joins its row to its column.

Without diodes three keys at the corners of a rectangle look like four, and nobody can tell
which one is a ghost.  Two keys in one row or column never ghost, but they are no less an
accident.  So a key counts only while it is the only one, and after more than one nothing
counts until all are released.

A key counts once it has been the only one for DEBOUNCE scans in a row; it is reported when
it goes down, except one that means something else when held: that is reported when it is
released in time, or as the other when it was held long enough, never as both.
"""

import asyncio
import time

from phone.board import BoardError
from ras.compat import const

# ms.  A press of a keypad bounces for 5 ms, a worn one for 20; the shortest press of a
# person lasts 50.
SCAN = const(6)
DEBOUNCE = const(4)  # scans: 24 ms
IDLE = const(25)  # ms between looks while no key is down: one look at all rows at once
HOLD = const(1500)  # ms
_SETTLE = const(5)  # us for a column to follow its row: 50 kOhm of pull-up and 20 pF are 1 us

_NONE = const(-1)
_SEVERAL = const(-2)

try:
    from time import sleep_us, ticks_diff, ticks_ms
except ImportError:  # CPython, for tests

    def sleep_us(us: int) -> None:
        """Wait."""
        time.sleep(us / 1000000)

    def ticks_ms() -> int:
        """Return milliseconds of the monotonic clock."""
        return time.monotonic_ns() // 1000000

    def ticks_diff(a: int, b: int) -> int:
        """Return a - b."""
        return a - b


def open(params: dict) -> "Matrix":  # noqa: A001  (every driver's entry is called open)
    """Return the keypad on the pins of `params`; raises BoardError."""
    try:
        from machine import Pin
    except ImportError:
        raise BoardError("drivers.matrix: this MicroPython has no machine.Pin")
    rows = [Pin(i, Pin.OPEN_DRAIN, value=1) for i in params["rows"]]
    columns = [Pin(i, Pin.IN, Pin.PULL_UP) for i in params["columns"]]
    return Matrix(rows, columns, params)


class Scanner:
    """What the scans amount to, without I/O: feed(key, now) with each, in ms."""

    def __init__(self, hold: "dict[str, str]", hold_ms: int = HOLD) -> None:
        self._hold = hold
        self._hold_ms = hold_ms
        self._seen = _NONE  # what the last scan saw
        self._count = 0  # for how many scans
        self._down = None  # the key that counts, while it is down
        self._since = 0
        self._dead = False  # several were down: until none is, nothing counts

    @property
    def idle(self) -> bool:
        """Whether no key is down, and has not been for long enough."""
        return self._down is None and not self._dead and self._seen == _NONE

    def feed(self, seen: int, name: str, now: int) -> "str | None":
        """Take a scan: the only key's number and its name, or NONE or SEVERAL; return a key or None."""
        if seen == self._seen:
            self._count += 1
        else:
            self._seen = seen
            self._count = 1
        if seen == _SEVERAL:
            # At once, however short: what is down now may be a ghost in the next scan.
            self._dead = True
            self._down = None
            return None
        if self._count < DEBOUNCE:
            return None
        if seen == _NONE:
            return self._released()
        if self._dead:
            return None
        if self._down is None:
            self._down = name
            self._since = now
            return None if name in self._hold else name
        if name != self._down:
            # From one to another without a scan that saw both or none: no finger does that.
            self._dead = True
            self._down = None
            return None
        if name in self._hold and ticks_diff(now, self._since) >= self._hold_ms:
            self._down = ""  # reported, and still down
            self._dead = True
            return self._hold[name]
        return None

    def _released(self) -> "str | None":
        down = self._down
        self._dead = False
        self._down = None
        return down if down in self._hold else None


class Matrix:
    """The keypad: its only I/O is write_rows() and read_columns()."""

    def __init__(self, rows: list, columns: list, params: dict) -> None:
        self._rows = rows
        self._columns = columns
        self._names = params["keys"]
        switches = len(rows) * len(columns)
        if len(self._names) != switches:
            raise BoardError('drivers.matrix: "keys" names %d of %d' % (len(self._names), switches))
        self._idle_ms = params.get("idle_ms", IDLE)
        self._scan_ms = params.get("scan_ms", SCAN)
        self._scanner = Scanner(params.get("hold", {"*": "L"}), params.get("hold_ms", HOLD))
        self._all = (1 << len(rows)) - 1

    # -- I/O

    def write_rows(self, rows: int) -> None:
        """Pull the rows of this bit mask low, let the others go."""
        pins = self._rows
        for i in range(len(pins)):
            pins[i].value(0 if rows >> i & 1 else 1)

    def read_columns(self) -> int:
        """Return the bit mask of the columns that are low."""
        sleep_us(_SETTLE)
        found = 0
        pins = self._columns
        for i in range(len(pins)):
            if not pins[i].value():
                found |= 1 << i
        return found

    # -- scanning

    async def key(self) -> str:
        """Return the next key."""
        while True:
            await asyncio.sleep_ms(self._idle_ms if self._scanner.idle else self._scan_ms)
            key = self.poll(ticks_ms())
            if key is not None:
                return key

    def poll(self, now: int) -> "str | None":
        """Scan once; return a key or None."""
        seen = self._scan()
        return self._scanner.feed(seen, self._names[seen] if seen >= 0 else "", now)

    def _scan(self) -> int:
        """Return the number of the only key that is down, NONE, or SEVERAL."""
        self.write_rows(self._all)
        found = self.read_columns()
        if not found:
            self.write_rows(0)
            return _NONE
        seen = _NONE
        width = len(self._columns)
        for row in range(len(self._rows)):
            self.write_rows(1 << row)
            columns = self.read_columns()
            if not columns:
                continue
            if seen != _NONE or columns & (columns - 1):
                seen = _SEVERAL
                break
            column = 0
            while columns >> column != 1:
                column += 1
            seen = row * width + column
        self.write_rows(0)
        return seen
