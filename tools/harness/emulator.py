"""An ESP32 in QEMU: its power, its serial line, its flash.

For a QEMU with the machine `esp32` and Wi-Fi of its own (docs/hil.md says which); it is not part of
this project and comes from whoever runs the tests.  The chip's serial line is a pseudo-terminal
that stays while the process comes and goes, as a cable does; kill -9 is the power cut, and what the
flash driver has written by then is in the file.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from harness.errors import HarnessError
from harness.line import PtyLine
from harness.power import Power

FLASH = 4 << 20  # octets: the board's
HOST = "10.0.2.2"  # this machine as QEMU's user network shows it to the chip
SSID = "PICSimLabWifi"  # of the emulated access point; it is open
_MAC = bytes.fromhex("240ac4000110")  # Espressif's block, as its own examples have it
_ENDING = 10.0  # s

# The watchdogs of the timer groups are off: they count real time, of which an emulator on a busy
# machine has too little.
_ALWAYS = ("-M", "esp32", "-display", "none", "-monitor", "none")
_NO_WATCHDOG = ("-global", "driver=timer.esp32.timg,property=wdt_disable,value=true")
_DOWNLOAD = ("-global", "driver=esp32.gpio,property=strap_mode,value=0x0f")
_NETWORK = ("-nic", "user,model=esp32_wifi")


class Emulator(Power):
    """line: open; flash: the file, made blank where there is none; more: arguments for QEMU."""

    def __init__(self, line: PtyLine, program: Path, flash: Path, more: Sequence[str] = ()) -> None:
        self._line = line
        self._program = program
        self._flash = flash
        self._log = flash.with_suffix(".qemu.log")
        self._fuses = flash.with_suffix(".efuse")
        self._more = list(more)
        self._process: subprocess.Popen[bytes] | None = None
        if not flash.exists():
            flash.write_bytes(b"\xff" * FLASH)
        if not self._fuses.exists():
            self._fuses.write_bytes(fuses())

    @property
    def is_on(self) -> bool:  # type: ignore[override]
        """Whether QEMU runs."""
        return self._process is not None and self._process.poll() is None

    def on(self) -> None:
        self._start(_NETWORK)

    def download(self) -> None:
        """Switch it on as with GPIO 0 held low: the ROM's loader waits for esptool."""
        self._start((*_DOWNLOAD, "-nic", "none"))

    def off(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(_ENDING)

    def _start(self, more: Sequence[str]) -> None:
        if self.is_on:
            return
        self._line.forget_input()
        words = [
            *(str(self._program), *_ALWAYS, *_NO_WATCHDOG),
            *("-drive", f"file={self._flash},if=mtd,format=raw"),
            *("-drive", f"file={self._fuses},if=none,format=raw,id=efuse"),
            *("-global", "driver=nvram.esp32.efuse,property=drive,value=efuse"),
            *("-serial", os.ttyname(self._line.slave)),
            *more,
            *self._more,
        ]
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        except OSError as error:
            raise HarnessError(f"{self._program}: {error.strerror}: give QEMU=, a program") from None

    def check(self) -> None:
        """Raise HarnessError where QEMU has ended by itself, with what it said."""
        if self._process is not None and self._process.poll() is not None:
            said = self._log.read_text(errors="replace").strip().splitlines()[-1:] or ["it says nothing"]
            raise HarnessError(f"{self._program} has ended: {said[0]}: is it a QEMU for the ESP32?")


def fuses() -> bytes:
    """Return the eFuses of an ESP32 of revision 3: block 0 has its station's address.

    Source: ESP32 Technical Reference Manual, chapter eFuse Controller: BLOCK0 words 1 and 2 (address and
    its CRC-8), bit 15 of word 3 and bit 20 of word 5 (revision).
    """
    check = 0
    for octet in _MAC:
        check ^= octet
        for _ in range(8):
            check = check >> 1 ^ (0x8C if check & 1 else 0)
    found = bytearray(124)
    found[4:10] = _MAC[::-1]
    found[10] = check
    found[13] = 0x80
    found[22] = 0x10
    return bytes(found)
