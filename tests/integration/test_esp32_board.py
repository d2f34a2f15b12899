"""The whole phone on boards/esp32_generic, unchanged, on doubles of the chip's modules (tests/doubles/esp32).

What is real: firmware, drivers, board.json, TLS, UDP, time.  What is not: the chip.
"""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING

import pytest
from desk import PASSWORD, Board
from standins import EXT, PIN, Phone, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    """A board with keypad and LCD, on Wi-Fi."""
    running = Board(tmp_path)
    yield running
    running.close()


def logged_in(board: Board) -> Phone:
    """Switch it on and log in by the keypad."""
    phone = board.switch_on()
    phone.shows("Extension:")
    board.press(f"{EXT}#{PIN}#")
    phone.expect(e="step", step="registered")
    return phone


def test_from_the_box_to_registered_by_the_keypad(board: Board) -> None:
    phone = board.switch_on()
    boot = phone.expect(e="boot")
    assert (boot["board"], boot["store"], boot["reset"]) == ("esp32_generic", "fresh", "power-on")
    assert boot["silent"] == ["drivers.ssd1306"], "it is not there, and no reason not to start"
    board.shows("Extension:")
    board.press("1002")
    board.press("*")
    board.press("1")
    board.shows("Extension:", EXT)
    board.press("#")
    board.press(PIN)
    board.shows("PIN:", "." * len(PIN))
    board.press("#")
    board.shows("Registered", EXT)
    assert phone.expect(e="network", state="up")["address"] == "127.0.0.1"
    phone.expect(e="commit", ok=True)
    assert sorted(path.name for path in board.directory.glob("nvs-ringkey-s*")) == ["nvs-ringkey-slot0"]
    assert (board.directory / "provisioned").exists()
    assert len(board.keyserver.kgs) == 1


def test_a_reset_registers_from_nvs(board: Board) -> None:
    logged_in(board).close(cut=True)
    board.keyserver.on = False
    phone = board.switch_on(cause=2)
    boot = phone.expect(e="boot")
    assert (boot["store"], boot["reset"], boot["doing"]) == ("provisioned", "reset", "registered")
    board.shows("Registered", EXT)
    assert len(board.keyserver.kgs) == 1


def test_wifi_lost_and_back(board: Board) -> None:
    phone = logged_in(board)
    board.put("air", "gone")
    board.gatekeeper.on = False
    board.gatekeeper.drop_channel()
    phone.expect(e="network", state="down")
    phone.shows("Waiting for the", "network")
    # It goes on trying, and says what is the matter.
    phone.shows("Wi-Fi network", "not found")
    board.gatekeeper.on = True
    start = time.monotonic()
    board.put("air", "there")
    phone.expect(e="network", state="up")
    phone.expect(e="registered", ext=EXT)
    board.shows("Registered", EXT)
    assert time.monotonic() - start < 6, "promptly: a back-off of 1, 2 or 4 s, and the registration"
    assert len(board.keyserver.kgs) == 1, "with the keys it has"
    assert board.gatekeeper.names().count("registered") == 2


def test_wifi_lost_in_the_middle_of_a_registration(board: Board) -> None:
    board.gatekeeper.on = False
    phone = board.switch_on()
    phone.shows("Extension:")
    board.press(f"{EXT}#{PIN}#")
    phone.expect(e="ras", way="out", message="GRQ")
    board.put("air", "gone")
    phone.expect(e="network", state="down")
    board.gatekeeper.on = True
    board.put("air", "there")
    phone.shows("Registered", EXT)
    assert len(board.keyserver.kgs) == 1, "the keys in RAM are still good"


def test_a_wrong_password_is_told_and_the_user_can_go_back(board: Board) -> None:
    board.put("air", "refuses")
    phone = board.switch_on()
    phone.shows("Extension:")
    board.press(f"{EXT}#{PIN}#")
    board.shows("Wi-Fi password", "not accepted")
    board.press("*", held=1.8)
    board.shows("Extension:")
    board.put("air", "there")
    board.press(f"{EXT}#{PIN}#")
    board.shows("Registered", EXT)
    assert phone.process.poll() is None


def test_a_held_star_logs_out_and_another_logs_in(board: Board) -> None:
    phone = logged_in(board)
    board.press("*")
    assert board.lcd == ("Registered", EXT), "a short one does nothing here"
    board.press("*", held=1.8)
    phone.expect(e="erase", ok=True)
    board.shows("Extension:")
    assert not list(board.directory.glob("nvs-ringkey-s*"))
    assert not (board.directory / "provisioned").exists()
    wait_until(lambda: "ended" in board.gatekeeper.names())
    board.press(f"{EXT}#{PIN}#")
    board.shows("Registered", EXT)
    assert len(board.keyserver.kgs) == 2


def test_logging_out_and_in_under_another_extension(board: Board) -> None:
    phone = logged_in(board)
    board.press("*", held=1.8)
    board.shows("Extension:")
    overlong = ("At most 20", "2" * 16)
    for _ in range(40):  # 21 of them, but on a busy machine the phone misses that a key is released
        board.press("2")
        if board.lcd == overlong:
            break
    board.shows(*overlong)
    board.press("*", held=1.8)
    board.shows("Extension:")
    board.press("20002#55770439#")
    board.shows("Registered", "20002")
    phone.close(cut=True)
    board.keyserver.on = False
    board.switch_on()
    board.shows("Registered", "20002")


def test_two_keys_at_once_and_bounce_are_not_keyed_in(board: Board) -> None:
    phone = board.switch_on()
    phone.shows("Extension:")
    board.press("1")
    board.put("keypad", "25")  # two at once
    time.sleep(0.15)
    board.put("keypad", "")
    time.sleep(0.1)
    for _ in range(3):  # the contact bounces
        board.put("keypad", "3")
        board.put("keypad", "")
    board.press("3")
    board.shows("Extension:", "13")


def test_nvs_erased_by_the_boot_code_is_said_so(board: Board) -> None:
    logged_in(board).close(cut=True)
    for entry in board.directory.glob("nvs-ringkey-s*"):
        entry.unlink()
    phone = board.switch_on()
    assert phone.expect(e="boot")["store"] == "damaged"
    board.shows("Stored keys lost", "log in again")
    board.shows("Extension:")
    board.press(f"{EXT}#{PIN}#")
    board.shows("Registered", EXT)


def test_a_reset_by_the_watchdog_says_so(board: Board) -> None:
    logged_in(board).close(cut=True)
    phone = board.switch_on(cause=3)
    boot = phone.expect(e="boot")
    assert (boot["reset"], boot["doing"]) == ("watchdog", "registered")
    phone.shows("Restarted: hung", "registered")
    board.shows("Registered", EXT)


def test_the_watchdog_is_fed_in_time(board: Board) -> None:
    description = json.loads((board.directory / "board.json").read_text())
    description["watchdog"]["params"] = {"timeout_ms": 900}
    board.put("board.json", json.dumps(description))
    phone = logged_in(board)
    time.sleep(3)  # nothing at all happens
    board.press("0")
    phone.close(cut=True)
    lines = [line.split() for line in (board.directory / "watchdog").read_text().splitlines()]
    assert lines[0][1:] == ["started", "900"]
    at = [int(line[0]) for line in lines]
    assert max(b - a for a, b in itertools.pairwise(at)) < 900
    assert len(at) > 10


def test_a_fault_is_shown_noted_and_ends_in_a_reset(board: Board) -> None:
    phone = logged_in(board)
    # A platform that fails in a way that nobody has thought of.
    board.put("air.json", "{")
    board.put("air", "gone")
    phone.expect(e="fault", step="network", timeout=30)
    board.shows("Fault in", "network")
    assert phone.close() == 71, "machine.reset()"
    assert (board.directory / "resets").exists()
    board.put("air.json", json.dumps({"ssid": "office", "password": PASSWORD}))
    board.put("air", "there")
    phone = board.switch_on(cause=2)
    boot = phone.expect(e="boot")
    assert (boot["reset"], boot["doing"]) == ("reset", "fault network")
    phone.shows("Restarted: fault", "network")
    board.shows("Registered", EXT)


def test_in_production_the_console_is_keys_and_display(board: Board) -> None:
    board.set(events="0")
    phone = board.switch_on()
    board.shows("Extension:")
    phone.press("\x03\x04\x01" + f"{EXT}#{PIN}#")
    board.shows("Registered", EXT)
    assert phone.process.poll() is None, "neither Ctrl-C nor Ctrl-D is a key"
    assert "\x1e" not in phone.output
    # The LCD comes first, then the console.
    wait_until(lambda: f"| Registered       |\n| {EXT}             |\n" in phone.output)
    assert PIN not in phone.output


CROWDED = """
from phone.parts import Roomy


class Room(Roomy):
    is_lost = False

    def take_back(self):
        self.is_lost = True  # something small has come to lie in the middle of it


def open(params):
    return Room()
"""


def test_a_phone_whose_room_is_lost_restarts_at_the_prompt_and_at_once(board: Board) -> None:
    description = json.loads((board.directory / "board.json").read_text())
    description["room"] = {"module": "crowded"}
    board.put("board.json", json.dumps(description))
    board.put("crowded.py", CROWDED)
    phone = logged_in(board)
    phone.press("L")
    phone.expect(e="erase", ok=True)
    phone.expect(e="ras", message="UCF", way="in")
    begin = time.monotonic()
    phone.expect(e="end", reason="restart")
    assert time.monotonic() - begin < 10, "the main loop sleeps for up to 20 s"
    assert phone.close() == 71, "machine.reset()"
    board.switch_on()
    board.shows("Extension:")
