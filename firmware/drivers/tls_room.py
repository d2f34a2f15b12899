"""Room for TLS in an ESP32's system heap (docs/memory.md).

    {"module": "drivers.tls_room", "params": {"spare": 20480, "kept": 24576}}

MicroPython's heap begins with 56 KB there.  When it is full it takes as much again of the system
heap, or the largest piece of it that is left: then Mbed TLS, which needs 33 KB of the same for a key
file, finds nothing, and neither do Wi-Fi and the sockets.  So the heap is made to grow at the start,
by what is left while `spare` and `kept` octets are held.  The spare is for Wi-Fi and the sockets; the
rest goes on to be held against whatever grows, and is lent to TLS.

What holds them is the stack of a thread that only waits: nothing else that MicroPython offers takes
a given number of octets from that heap, and gives them back.
"""

import gc

from phone.board import BoardError
from ras.compat import const

_SPARE = const(20480)
_KEPT = const(24576)
_BLOCK = const(128)


def open(params: dict) -> object:  # noqa: A001  (every driver's entry is called open)
    """Return the held room (drivers/held_room.py), with the heap grown; raises BoardError."""
    try:
        import _thread as thread

        import esp32
    except ImportError:
        raise BoardError("drivers.tls_room: this MicroPython has no _thread or no esp32")
    from drivers.held_room import Room

    room = Room(thread, esp32, params.get("kept", _KEPT))
    spare = room.hold(params.get("spare", _SPARE))
    room.grown = _grow(esp32)
    room.let_go(spare)
    return room


def _grow(system: object) -> "bytearray | None":
    """Let the interpreter's heap grow by the largest piece that is left.

    An area of the heap that is empty is given back: so a small block in it is returned, to be kept.
    """
    size = _size(system)
    blocks = []
    try:
        while _size(system) <= size:
            blocks.append(bytearray(_BLOCK))
        return blocks[-1]
    except MemoryError:
        return None  # there is nothing left to grow by


def _size(system: object) -> int:
    """Return the octets of the interpreter's heap, without those that it could still get."""
    largest = max([region[2] for region in system.idf_heap_info(system.HEAP_DATA)])
    return gc.mem_alloc() + gc.mem_free() - largest
