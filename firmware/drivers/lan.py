"""A board's Ethernet.

    {"module": "drivers.lan", "params": {
        "phy_type": "LAN8720", "phy_addr": 1, "mdc": 23, "mdio": 18, "power": 16,
        "ref_clk": 0, "ref_clk_mode": "in"}}

The params are those of MicroPython's network.LAN on this board: mdc, mdio, reset, power, cs,
int and ref_clk are pins; phy_type is the name behind network.PHY_.  An emulated ESP32 has
"OPENETH".
"""

from drivers.link import Link
from phone.board import BoardError
from ras.compat import const

_PINS = ("mdc", "mdio", "reset", "power", "cs", "int", "ref_clk")
_UP = const(15000)  # ms: negotiating takes 3 s, DHCP up to 5


def open(params: dict) -> "Lan":  # noqa: A001  (every driver's entry is called open)
    """Return the network; raises BoardError."""
    try:
        import network

        make = network.LAN
    except (ImportError, AttributeError):
        raise BoardError("drivers.lan: this MicroPython has no network.LAN")
    phy = getattr(network, "PHY_" + params.get("phy_type", ""), None)
    if phy is None:
        raise BoardError("drivers.lan: this MicroPython has no PHY_" + params.get("phy_type", ""))
    if params["settings"].get("hostname"):
        network.hostname(params["settings"]["hostname"])
    try:
        return Lan(make(0, **arguments(params, phy)), params)
    except OSError:
        raise BoardError("drivers.lan: no such Ethernet chip answers; see phy_type, phy_addr and pins")


def arguments(params: dict, phy: int) -> dict:
    """Return the keyword arguments of network.LAN."""
    from machine import Pin

    found = {"phy_type": phy, "phy_addr": params.get("phy_addr", 0)}
    for name in _PINS:
        if params.get(name) is not None:
            found[name] = Pin(params[name])
    mode = params.get("ref_clk_mode")
    if mode is not None:
        found["ref_clk_mode"] = Pin.IN if mode == "in" else Pin.OUT
    return found


class Lan(Link):
    """The network."""

    async def attempt(self) -> "str | None":
        """Wait for a cable and an address."""
        self.nic.active(True)
        if await self.until_up(_UP):
            return None
        return "no-cable"

    def close(self) -> None:
        """Switch the interface off."""
        try:
            self.nic.active(False)
        except OSError:
            pass
