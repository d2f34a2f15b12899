"""Stands in for MicroPython's `network` on the unix port: one radio, one network in the air (README.md here).

The host's own network goes on whatever the radio does: who takes it away for good must stop
the servers as well.
"""

import json
import time

STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
STAT_BEACON_TIMEOUT = 200
STAT_HANDSHAKE_TIMEOUT = 204

_JOINING = 30  # ms
_ADDRESS = "127.0.0.1"


def hostname(name=None):
    """Take the name of the host."""


def _air():
    try:
        with open("air") as file:
            return file.read().strip()
    except OSError:
        return "gone"


class WLAN:
    """The station."""

    IF_STA = 0

    def __init__(self, kind):
        assert kind == self.IF_STA
        self._active = False
        self._joining = None
        self._connected = False
        self._status = STAT_IDLE

    def active(self, on=None):
        """Switch the radio on."""
        if on is None:
            return self._active
        self._active = on

    def config(self, reconnects):
        """Take how often the platform is to reconnect by itself: never."""
        assert self._active and reconnects == 0

    def connect(self, ssid, password=None):
        """Begin to join."""
        assert self._active
        if self._joining is not None:
            raise OSError("Wifi Internal State Error")
        with open("joins", "a") as file:
            file.write("%d\n" % time.ticks_ms())
        with open("air.json") as file:
            known = json.load(file)
        self._joining = (time.ticks_ms(), ssid == known["ssid"], password == known["password"])

    def disconnect(self):
        """Leave."""
        if not self._active:
            raise OSError("Wifi Not Started")
        self._joining = None
        self._connected = False

    def isconnected(self):
        """Tell whether it has joined and has an address."""
        self._go_on()
        return self._connected

    def ifconfig(self):
        """Return (address, mask, gateway, name server)."""
        return (_ADDRESS if self._connected else "0.0.0.0", "255.0.0.0", _ADDRESS, _ADDRESS)

    def status(self):
        """Return what an ESP32 would: the last failure until there is an address."""
        self._go_on()
        return self._status

    def _go_on(self):
        air = _air()
        if self._connected and air != "there":
            self._connected = False
            self._status = STAT_BEACON_TIMEOUT
        if self._joining is None or time.ticks_diff(time.ticks_ms(), self._joining[0]) < _JOINING:
            return
        (_, ssid, password), self._joining = self._joining, None
        if air == "gone" or not ssid:
            self._status = STAT_NO_AP_FOUND
        elif air == "refuses" or not password:
            self._status = STAT_WRONG_PASSWORD
        else:
            self._connected = True
            self._status = STAT_GOT_IP
