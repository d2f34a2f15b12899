"""The entry on the device: opens the board and starts the phone.

On a board this file lies beside phone/ and ras/ and is started by MicroPython; on a host:
`micropython firmware/main.py --settings FILE [--state DIR]` (boards/unix).
"""

import asyncio
import sys


def _board_beside() -> None:
    """Let a source tree find its own unix board where MICROPYPATH names none."""
    here = __file__[: __file__.rfind("/") + 1]
    # Behind all others: whoever names a board gets that one.
    sys.path.append(here + "../boards/unix")


def main() -> int:
    """Be a phone; return the exit status."""
    _board_beside()
    board = _open_board()
    if board is None:
        return 2
    try:
        return _run(board)
    finally:
        board.close()


def _open_board() -> "object | None":
    from phone.board import BoardError, open_board
    from phone.unload import unload

    try:
        return open_board()
    except BoardError as error:
        print(error)
        return None
    finally:
        unload("phone.board", "ras.hostport")


def _run(board: object) -> int:
    from phone.app import Fault, Phone

    try:
        asyncio.run(Phone(board).run())
    except KeyboardInterrupt:
        pass  # Ctrl-C where the terminal is not ours: asked to end, like any key that says so
    except Fault as fault:
        board.close()
        # No text of the exception and no lines of code where others read along.
        print("fault in %s: %s" % (fault.step, fault.kind))
        if board.settings["events"]:
            sys.print_exception(fault.cause)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
