"""boards/esp32_generic on a desk: its chip is tests/doubles/esp32, its wires are files."""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest
from chips import CharacterChip
from standins import EXTENSIONS, REPO, Gatekeeper, KeyServer, Phone, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LCD = 39
PASSWORD = "radio-pass-phrase"
BUILT = 1770000000


class Board:
    """An ESP32 on a desk: its wires are files in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.keyserver = KeyServer(directory)  # which leaves its root.der here
        self.gatekeeper = Gatekeeper(self.keyserver)
        self.keyserver.gatekeepers = (("127.0.0.1", self.gatekeeper.port),)
        self.phones: list[Phone] = []
        shutil.copy(REPO / "boards" / "esp32_generic" / "board.json", directory)
        self.put("build.json", json.dumps({"version": "0", "time": BUILT}))
        self.put("air.json", json.dumps({"ssid": "office", "password": PASSWORD}))
        self.put("air", "there")
        self.put(f"i2c-{LCD}", "")
        self.set(
            wifi_ssid="office",
            wifi_pass=PASSWORD,
            key_servers=f"127.0.0.1:{self.keyserver.port}",
            events="1",
        )

    def put(self, name: str, text: str) -> None:
        """Write a file in one piece: the phone may read it at any moment."""
        new = self.directory / (name + ".put")
        new.write_text(text)
        os.replace(new, self.directory / name)

    def set(self, **settings: str) -> None:
        """Write settings as `make image` does."""
        for name, text in settings.items():
            self.put(f"nvs-ringkey-cfg-{name}", text)

    def switch_on(self, cause: int = 1) -> Phone:
        """Give it power, or let it come out of a reset (machine.reset_cause())."""
        self.put("cause", str(cause))
        path = [REPO / "tests" / "doubles" / "esp32", self.directory, REPO / "firmware"]
        self.phones.append(Phone(cwd=self.directory, path=":".join(map(str, [*path, ".frozen"]))))
        return self.phones[-1]

    def press(self, keys: str, held: float | None = None) -> None:
        """Press keys of the keypad, one after the other, as quickly as a person can who looks at the display.

        held: s; else a key is down until the display has changed, or for a second.
        """
        display = self.directory / f"i2c-{LCD}"
        for key in keys:
            before = display.stat().st_size if display.exists() else 0
            self.put("keypad", key)
            time.sleep(0.08 if held is None else held)
            # One that means something else when held is told as it is released.
            if held is None and key != "*" and display.exists():
                end = time.monotonic() + 1.0
                while display.stat().st_size == before and time.monotonic() < end:
                    time.sleep(0.02)
            self.put("keypad", "")
            time.sleep(0.12)

    @property
    def lcd(self) -> tuple[str, str]:
        """What the character display shows, from what has come over the bus."""
        chip = CharacterChip()
        for line in (self.directory / f"i2c-{LCD}").read_text().splitlines():
            chip.receive(bytes.fromhex(line))
        shown: tuple[str, str] = chip.shown
        return shown

    def shows(self, first: str, second: str = "") -> None:
        """Wait until the character display shows this."""
        try:
            wait_until(_holds(lambda: self.lcd == (first, second)))
        except AssertionError:
            said = self.phones[-1].output
            pytest.fail(f"the LCD shows {self.lcd}, not {first, second}; the phone: {said}")

    def close(self) -> None:
        """End everything; neither PIN nor password was on any console."""
        for phone in self.phones:
            if phone.process.poll() is None:
                phone.close(cut=True)
        self.keyserver.stop()
        self.gatekeeper.stop()
        pins = set(EXTENSIONS.values())
        for phone in self.phones:
            # A fault says where, since the setting `events` is on.
            assert "Traceback" not in phone.output or '"e": "fault"' in phone.output, phone.output
            for secret in (*pins, PASSWORD, *(kg.hex() for kg in self.keyserver.kgs.values())):
                assert secret not in phone.output, f"{secret[:4]}…"


def _holds(condition: Callable[[], bool]) -> Callable[[], bool]:
    """Return `condition`, false also while what it looks at is half written."""

    def holds() -> bool:
        try:
            return condition()
        except (AssertionError, ValueError):
            return False

    return holds
