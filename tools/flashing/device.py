"""A board in its ROM's download mode, by esptool."""

import contextlib
from collections.abc import Iterator

from esptool.cmds import (
    attach_flash,
    connect_esp,
    detect_flash_size,
    read_flash,
    reset_chip,
    run_stub,
    write_flash,
)
from esptool.loader import ESPLoader
from esptool.util import FatalError
from ringkey.errors import UserError

# Bit/s, once the chip is found; USB bridges of the cheapest boards still do this one.
BAUD = 460800


class Device:
    """A board to read and to write; `connected` makes one."""

    def __init__(self, esp: ESPLoader) -> None:
        self._esp = esp

    def flash_size(self) -> str | None:
        """Return the size of its flash as the flash chip says, such as "4MB", or None."""
        found: str | None = detect_flash_size(self._esp)
        return found

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` octets of its flash."""
        data: bytes = read_flash(self._esp, offset, size, no_progress=True)
        return data

    def write(self, parts: "tuple[tuple[str, int, bytes], ...]") -> None:
        """Write (name, offset, octets), each verified before the next; what is there already is left.

        Nothing is erased but the sectors that are written.
        """
        for _, offset, data in parts:
            write_flash(self._esp, [(offset, data)], skip_flashed=True)


@contextlib.contextmanager
def connected(port: str, chip: str, baud: int = BAUD, *, stub: bool = True) -> Iterator[Device]:
    """Yield the board at `port`, and start it anew at the end.

    port: a serial device, or socket://host:port, which has no lines to reset a board by and is
    expected to be in download mode.  stub: let esptool run its own loader on the chip, which is
    faster.  Raises UserError: no port, no board, another chip, or it was lost on the way.
    """
    remote = "://" in port
    try:
        with connect_esp(port, chip, before="no-reset" if remote else "default-reset") as rom:
            esp = run_stub(rom) if stub else rom
            if stub and not remote:
                esp.change_baud(baud)
            attach_flash(esp)
            yield Device(esp)
            reset_chip(esp, "no-reset" if remote else "hard-reset")
    except (FatalError, OSError) as e:  # pyserial's errors are OSErrors
        raise UserError(f"{port}: {e}\n{_HINT}", "ls /dev/ttyUSB* /dev/ttyACM*") from None


_HINT = """\
Is the board connected, and the port not open elsewhere (make monitor)?  May you open it (group
dialout)?  Some boards want their BOOT button held while this begins."""
