"""The chip's watchdog, and a note of what the phone is doing for drivers/last_life.py.

    {"module": "drivers.watchdog", "params": {"timeout_ms": 60000}}

Only the main loop feeds it (phone/app.py), between one thing and the next: a task that
blocks, a loop that spins, an interpreter that hangs all end in a reset.  The time-out is
longer than the longest thing that blocks: a look-up of a name by three servers that do not
answer takes MicroPython half a minute.  It runs from the first feeding, since before that the
phone is read from a flash that may be slow.

What the phone is doing is noted in RTC memory, which outlives every reset but not the power.
"""

from phone.board import BoardError
from phone.parts import Unwatched
from phone.unload import unload
from ras.compat import const

TIMEOUT = const(60000)  # ms
# ms.  An ESP32's watchdog cannot be stopped, only be given more time: an hour for who works at
# the REPL.  It counts microseconds in 32 bits.
_AN_HOUR = const(4000000)

_MAGIC = b"rk1:"
_LONGEST = const(32)  # characters of a note


def open(params: dict) -> "Watchdog":  # noqa: A001  (every driver's entry is called open)
    """Return the watchdog, not running yet; raises BoardError."""
    try:
        import machine

        make = machine.WDT
    except (ImportError, AttributeError):
        raise BoardError("drivers.watchdog: this MicroPython has no machine.WDT")
    return Watchdog(machine, make, params.get("timeout_ms", TIMEOUT))


class Watchdog(Unwatched):
    """The face is Unwatched's (phone/board.py).  machine: MicroPython's."""

    def __init__(self, machine: object, make: object, timeout: int) -> None:
        from drivers.last_life import find_cause, take_note

        self._make = make
        self._timeout = timeout
        self.period = timeout // 3
        self._memory = machine.RTC().memory if hasattr(machine, "RTC") else None
        self.cause = find_cause(machine)
        self.last = take_note(self._memory, _MAGIC, self.cause)
        unload("drivers.last_life")
        self._wdt = None

    def feed(self) -> None:
        """Tell it that the main loop turns; the first time starts it."""
        if self._wdt is None:
            self._wdt = self._make(timeout=self._timeout)
        self._wdt.feed()

    def note(self, what: str) -> None:
        """Keep `what` is being done, a word, over a reset."""
        if self._memory is not None:
            self._memory(_MAGIC + what[:_LONGEST].encode())

    def close(self) -> None:
        """Let go, as far as the chip can: whoever stays at the REPL is not reset."""
        if self._wdt is None:
            return
        try:
            self._wdt = self._make(timeout=_AN_HOUR)
        except (OSError, ValueError, TypeError):
            pass
