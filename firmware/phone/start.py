"""Starts the phone on its board, and ends as the board does."""

import asyncio
import gc
import sys
import time

from phone.unload import unload
from ras.compat import const

try:
    from machine import reset
except ImportError:
    reset = None  # a process

_FAULTY = const(1)
_RESTART = const(3)
# Octets between two collections.  Garbage that is left lying parts what stays, until the heap has no
# piece that is long enough and grows, at the cost of Wi-Fi and TLS (docs/memory.md).
_TIDY = const(4096)
_SHOWN = const(5)  # s that a fault stays on the display before a board restarts


def main() -> int:
    """Be a phone; return the exit status.

    A process may be interrupted in the midst of a collection of garbage, after which MicroPython's
    heap is locked: nothing from there on, leave() included, can or does allocate.
    """
    gc.threshold(_TIDY)
    board = None
    try:
        board = _open_board()
        return 2 if board is None else _run(board)
    except KeyboardInterrupt:
        return 0  # Ctrl-C where the terminal is not ours: asked to end, like any key that says so
    finally:
        if board is not None:
            board.close()


def _open_board() -> "object | None":
    from phone.board import BoardError, open_board

    try:
        return open_board()
    except BoardError as error:
        print(error)
        return None
    finally:
        unload("phone.board ras.hostport")


def _run(board: object) -> int:
    from phone.app import Phone
    from phone.fault import Fault

    try:
        phone = Phone(board)
        asyncio.run(phone.run())
        if phone.restarts:
            return _RESTART
    except Fault as fault:
        board.close()
        # No text of the exception and no lines of code where others read along.
        print("fault in %s: %s" % (fault.step, fault.kind))
        if board.settings["events"]:
            sys.print_exception(fault.cause)
        return _FAULTY
    return 0


def leave(status: int) -> None:
    """End as what this is: a process exits; a board restarts where it has to, else goes to its prompt.

    On a board sys.exit() would be a soft reset and this program start again, whatever was the
    matter with it.
    """
    if reset is None:
        sys.exit(status)
    if status == _FAULTY:
        time.sleep(_SHOWN)
    if status in (_FAULTY, _RESTART):
        reset()
