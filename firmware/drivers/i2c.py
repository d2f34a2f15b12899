"""The I2C buses of a board: two displays on the same two wires share one.

params: "scl", "sda": pins; "bus": number of the controller, 0; "freq": Hz, 100000;
"address": one, or several that the part may have: the first that answers
"""

from phone.board import BoardError
from ras.compat import const

_FREQUENCY = const(100000)  # Hz: a PCF8574 is made for no more
_ENODEV = const(19)

_buses = {}


def bus(params: dict) -> object:
    """Return the bus of `params`, made when it is first asked for; raises BoardError."""
    wires = (params.get("bus", 0), params["scl"], params["sda"])
    found = _buses.get(wires)
    if found is None:
        try:
            from machine import I2C, Pin
        except ImportError:
            raise BoardError("board.json wants I2C, and this MicroPython has no machine.I2C")
        found = I2C(wires[0], scl=Pin(wires[1]), sda=Pin(wires[2]), freq=params.get("freq", _FREQUENCY))
        _buses[wires] = found
    return found


def find(bus: object, addresses: object) -> int:
    """Return the first of `addresses` that answers; raises OSError where none does.

    Only these are asked: a scan of all would wake what else hangs on the bus.
    """
    if isinstance(addresses, int):
        addresses = (addresses,)
    for address in addresses:
        try:
            bus.writeto(address, b"")
        except OSError:
            continue
        return address
    raise OSError(_ENODEV)
