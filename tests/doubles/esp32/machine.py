"""Stands in for MicroPython's `machine` on the unix port: pins, I2C, watchdog, resets (README.md here)."""

import json
import os
import sys
import time

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

_EXIT = 71  # of a process that has reset itself


def _read(path, otherwise=b""):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return otherwise


def reset_cause():
    """Return why the chip has started."""
    return int(_read("cause", b"1"))


def reset():
    """Reset: the process ends, and whoever has started it may start it again."""
    with open("resets", "a") as file:
        file.write("reset\n")
    sys.exit(_EXIT)


class Pin:
    """A pin, and the keypad that is wired to the pins of board.json's drivers.matrix."""

    IN, OUT, OPEN_DRAIN, PULL_UP = 1, 3, 7, 2

    _rows = {}  # pin: level
    _wiring = None

    def __init__(self, number, mode=IN, pull=None, value=None):
        self._number = number
        if mode == self.OPEN_DRAIN:
            Pin._rows[number] = value

    def value(self, level=None):
        """Drive a row, or read a column."""
        if level is not None:
            Pin._rows[self._number] = level
            return None
        rows, columns, keys = _wiring()
        pressed = _read("keypad").decode()
        for i in range(len(keys)):
            if keys[i] in pressed and columns[i % len(columns)] == self._number:
                if Pin._rows[rows[i // len(columns)]] == 0:
                    return 0
        return 1


def _wiring():
    if Pin._wiring is None:
        with open("board.json") as file:
            for part in json.load(file)["keys"]:
                if part["module"] == "drivers.matrix":
                    params = part["params"]
                    Pin._wiring = (params["rows"], params["columns"], params["keys"])
    return Pin._wiring


class I2C:
    """A bus; a device is there if its file is."""

    def __init__(self, number, scl, sda, freq):
        assert isinstance(scl, Pin) and isinstance(sda, Pin) and freq <= 400000

    def writeto(self, address, data):
        """Write to a device; raises OSError where none acknowledges."""
        path = "i2c-%d" % address
        try:
            os.stat(path)
        except OSError:
            raise OSError(19)
        with open(path, "a") as file:
            file.write(bytes(data).hex() + "\n")
        return len(data)


class WDT:
    """The watchdog: notes when it is fed; it can not bite."""

    def __init__(self, timeout):
        self._timeout = timeout
        self._note("started %d" % timeout)

    def feed(self):
        """Feed it."""
        self._note("fed")

    def _note(self, what):
        with open("watchdog", "a") as file:
            file.write("%d %s\n" % (time.ticks_ms(), what))


class RTC:
    """The clock, which can not be set here, and the memory that outlives a reset."""

    def memory(self, octets=None):
        """Read or write it."""
        if octets is None:
            return _read("rtc")
        with open("rtc", "wb") as file:
            file.write(octets)
        return None

    def datetime(self, when):
        """Take note of what it is set to."""
        with open("clock", "a") as file:
            file.write("%d-%02d-%02d\n" % (when[0], when[1], when[2]))
