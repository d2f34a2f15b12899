"""A board's console in this terminal, by pyserial's miniterm; the board goes on undisturbed."""

import contextlib
from typing import Any

import serial
from serial.tools.miniterm import Miniterm

BAUD = 115200  # bit/s, MicroPython's on the first UART
LEAVE = "\x1d"  # Ctrl-]


def open_port(url: str, port: Any = None) -> Any:
    """Return the serial port at `url`, open, DTR and RTS released; raises OSError.

    Most boards have two transistors between these lines and the chip: RTS alone resets it, DTR
    alone holds its boot pin.  The kernel raises both when a port is opened, which does nothing.
    Were DTR released first, as pyserial does when both are set beforehand, RTS alone would be
    left for a moment, and the board start anew.  port: for tests.
    """
    if port is None:
        port = serial.serial_for_url(url, do_not_open=True)
    port.baudrate = BAUD
    port.dtr = True
    port.rts = False
    port.open()
    with contextlib.suppress(OSError):  # a pseudo-terminal, as an emulator has it, has no such lines
        port.dtr = False
    return port


def watch(port: Any) -> None:
    """Copy console to terminal and keys to console until Ctrl-]."""
    terminal = Miniterm(port, eol="cr", filters=("direct",))
    terminal.exit_character = LEAVE
    terminal.set_rx_encoding("utf-8")
    terminal.set_tx_encoding("utf-8")
    terminal.start()
    try:
        terminal.join(transmit_only=True)
    except KeyboardInterrupt:
        pass
    finally:
        terminal.console.cleanup()
        terminal.stop()
        terminal.join()
        terminal.close()
