"""A board's Wi-Fi, as a station of the network that the settings name.

    {"module": "drivers.wlan", "params": {"connect_ms": 12000}}

MicroPython's own reconnecting is switched off: it has neither waits nor words for what is
wrong.  The password goes into the Wi-Fi driver and nowhere else.
"""

import asyncio

from drivers.link import Link
from phone.board import BoardError
from ras.compat import const

_CONNECT = const(12000)  # ms: a scan takes 3 s, joining 1 to 3, DHCP up to 5
# ms.  So long a status may still tell of the attempt before.
_STALE = const(4000)

# network's names of what may be wrong (less "STAT_"), and the word that is shown: one text, for
# the sake of the heap.
_WRONG = """\
NO_AP_FOUND wifi-not-found
NO_AP_FOUND_IN_RSSI_THRESHOLD wifi-not-found
NO_AP_FOUND_IN_AUTHMODE_THRESHOLD wifi-security
NO_AP_FOUND_W_COMPATIBLE_SECURITY wifi-security
WRONG_PASSWORD wifi-password
HANDSHAKE_TIMEOUT wifi-password"""


def open(params: dict) -> "Station":  # noqa: A001  (every driver's entry is called open)
    """Return the network; raises BoardError."""
    try:
        import network

        make = network.WLAN
    except (ImportError, AttributeError):
        raise BoardError("drivers.wlan: this MicroPython has no network.WLAN")
    settings = params["settings"]
    if settings.get("hostname"):
        network.hostname(settings["hostname"])
    # WLAN.IF_STA from MicroPython 1.23, before that (and until 2.0) network.STA_IF.
    kind = make.IF_STA if hasattr(make, "IF_STA") else network.STA_IF
    return Station(make(kind), network, settings, params)


class Station(Link):
    """The network.  statuses: where the STAT_ numbers are, MicroPython's `network`."""

    def __init__(self, nic: object, statuses: object, settings: dict, params: dict) -> None:
        Link.__init__(self, nic, params)
        self._ssid = settings.get("wifi_ssid") or ""
        self._password = settings.get("wifi_pass")
        self._limit = params.get("connect_ms", _CONNECT)
        self._statuses = statuses

    def __repr__(self) -> str:
        return "Station()"

    async def attempt(self) -> "str | None":
        """Join the network once."""
        nic = self.nic
        if not self._ssid:
            return "no-wifi"
        nic.active(True)
        try:
            nic.config(reconnects=0)
        except (ValueError, TypeError):
            pass  # a port that does not reconnect by itself, or always does
        try:
            nic.disconnect()  # what is half connected, or was before a soft reset
        except OSError:
            pass
        before = nic.status()
        password = self._password.reveal() if self._password is not None else ""
        if password:
            nic.connect(self._ssid, password)
        else:
            nic.connect(self._ssid)
        waited = 0
        while not self.is_up():
            status = nic.status()
            if status != before or waited >= _STALE:
                wrong = self._wrong(status)
                if wrong:
                    return wrong
            if waited >= self._limit:
                # Joined, and no address: a DHCP server that is off is nobody's wrong password.
                return "no-address" if nic.isconnected() else "wifi-failed"
            await asyncio.sleep_ms(self.poll_ms)
            waited += self.poll_ms
        return None

    def _wrong(self, status: int) -> "str | None":
        """Return the word of a status that tells of a failure."""
        for line in _WRONG.split("\n"):
            name, word = line.split(" ")
            # Not every port has every number.
            if getattr(self._statuses, "STAT_" + name, None) == status:
                return word
        return None

    def close(self) -> None:
        """Leave the network, so that the access point need not find out."""
        try:
            self.nic.disconnect()
            self.nic.active(False)
        except OSError:
            pass
