"""`make flash` against a mock of the chip's ROM loader, over TCP; NVS survives an update."""

import json
import os
import pty
import random
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import standin
from conftest import environment
from mock_chip import SECTOR, MockChip
from nvs_reader import read_nvs

ROOT = Path(__file__).resolve().parents[2]
FLASH = 4 << 20  # octets; what the mock has
NVS, PHY = slice(0x9000, 0xF000), slice(0xF000, 0x10000)
SETTINGS = '[wifi]\nssid = "lab"\npassword = "correct horse"\n'


def run(tool, *args):
    """Run one of tools/; returns the CompletedProcess."""
    return subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "tools" / tool), *map(str, args)],
        env={**environment(), "SOURCE_DATE_EPOCH": "1900000000"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def build(site_template, tmp_path_factory):
    """A folder with the images of all boards, for a flash of 4 MB."""
    folder = tmp_path_factory.mktemp("flash")
    shutil.copytree(site_template, folder / "site")
    settings = folder / "site" / "phone" / "settings.toml"
    settings.touch(mode=0o600)
    settings.write_text(SETTINGS)
    for board, mcu in standin.BOARDS.items():
        (folder / "base.bin").write_bytes(standin.base(mcu))
        made = run(
            *("make_image.py", "--board", board, "--site", folder / "site", "--build", folder),
            *("--base", folder / "base.bin", "--flash", "4MB"),
        )
        assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(params=standin.BOARDS)
def board(request):
    """A board's name, one after the other."""
    return request.param


@pytest.fixture
def chip(board):
    """A mock of that board's chip, its flash blank."""
    with MockChip(standin.BOARDS[board]) as mock:
        yield mock


def fill(chip, offset, data):
    """Put octets into its flash, as whatever ran there before would."""
    chip.data[offset : offset + len(data)] = data


def verify(board, chip, wanted, folder):
    """Let esptool compare the whole flash with `wanted`, by the hash that the chip gives of it."""
    path = folder / "wanted.bin"
    path.write_bytes(wanted)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "esptool", "--chip", standin.BOARDS[board], "--port", chip.port),
            *("--before", "no-reset", "--after", "no-reset", "verify-flash", "0", str(path)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Verification successful" in done.stdout


def only_pieces_were_erased(chip, pieces):
    """Tell whether each erasure lies within the sectors of one of the pieces (offset, size)."""
    return all(
        any(offset <= start and end <= offset + -(-size // SECTOR) * SECTOR for offset, size in pieces)
        for start, end in chip.erased
    )


def flash(board, chip, build, *more):
    """Run what `make flash` runs."""
    return run("flash_board.py", "--board", board, "--port", chip.port, "--build", build, *more)


def image(build, board):
    """Return the merged image."""
    return (build / "image" / board / f"ringkey-{board}.bin").read_bytes()


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def pieces(build, board, *, settings):
    """Return (offset, size) of the image's pieces, with or without the settings."""
    manifest = json.loads((build / "image" / board / "manifest.json").read_text())
    return [(p["offset"], p["size"]) for p in manifest["pieces"] if settings or p["name"] != "settings"]


def test_a_blank_board_gets_the_whole_image(board, chip, build, tmp_path):
    done = flash(board, chip, build)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NVS: was blank; settings written" in done.stdout
    assert "correct horse" not in done.stdout + done.stderr
    whole = image(build, board)
    verify(board, chip, whole, tmp_path)
    assert chip.data == whole
    assert read_nvs(bytes(chip.data[NVS]))["ringkey-cfg", "wifi_ssid"] == b"lab"
    assert only_pieces_were_erased(chip, pieces(build, board, settings=True))


def test_an_update_leaves_nvs_and_calibration_untouched(board, chip, build, tmp_path):
    whole = image(build, board)
    fill(chip, 0, whole)
    # The phone has lived on it: keys in NVS, its own calibration in phy_init.
    lived = whole[NVS][:0x1000] + noise(0x3000) + b"\xff" * 0x2000
    fill(chip, NVS.start, lived)
    fill(chip, PHY.start, noise(0x1000, 2))
    before = bytes(chip.data)
    # What is to be updated is another version: some of each piece differs.
    for offset, _ in pieces(build, board, settings=False):
        fill(chip, offset + 0x80, noise(0x80, 3))
    done = flash(board, chip, build)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NVS: kept" in done.stdout
    assert "ERASE=1" not in done.stdout
    verify(board, chip, before, tmp_path)
    assert chip.data[NVS] == lived
    assert len(chip.erased) == 4
    assert only_pieces_were_erased(chip, pieces(build, board, settings=False))


def test_what_is_there_already_is_not_written_again(board, chip, build):
    fill(chip, 0, image(build, board))
    fill(chip, NVS.start + 0x1000, noise(0x1000))
    done = flash(board, chip, build)
    assert done.returncode == 0, done.stdout + done.stderr
    assert chip.erased == []


def test_an_unknown_nvs_is_kept_and_said_to_be_unknown(board, chip, build):
    fill(chip, NVS.start, noise(0x6000))
    done = flash(board, chip, build)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing of ringkey can be seen in it" in done.stdout
    whole = bytearray(image(build, board))
    whole[NVS] = noise(0x6000)
    assert chip.data == whole


def test_erase_replaces_nvs_and_nothing_else(board, chip, build):
    whole = image(build, board)
    fill(chip, 0, whole)
    fill(chip, NVS.start, noise(0x6000))
    fill(chip, PHY.start, noise(0x1000, 2))
    done = flash(board, chip, build, "--erase")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NVS: erased" in done.stdout
    assert chip.data[NVS] == whole[NVS]
    assert chip.data[PHY] == noise(0x1000, 2)
    assert chip.erased == [(NVS.start, NVS.stop)]


# -- the rest does not depend on the chip

ONE = pytest.mark.parametrize("board", ["esp32_generic"], indirect=True)


@ONE
def test_it_works_without_esptools_stub(board, chip, build):
    done = flash(board, chip, build, "--no-stub")
    assert done.returncode == 0, done.stdout + done.stderr
    assert chip.data == image(build, board)


@ONE
def test_a_board_with_another_flash_is_refused_and_not_touched(board, chip, build, tmp_path):
    (build / "esp32.bin").write_bytes(standin.base("esp32"))
    made = run(
        *("make_image.py", "--board", board, "--site", build / "site", "--build", tmp_path),
        *("--base", build / "esp32.bin", "--flash", "8MB"),
    )
    assert made.returncode == 0, made.stderr
    done = flash(board, chip, tmp_path)
    assert done.returncode == 1
    assert "the image is for 8MB of flash, and this board has 4MB" in done.stderr
    assert "try: make image BOARD=esp32_generic FLASH=4MB" in done.stderr
    assert chip.erased == []
    assert chip.data == b"\xff" * FLASH


@ONE
def test_a_board_with_nvs_elsewhere_is_refused_and_not_touched(board, chip, build):
    table = standin.table((("nvs", 1, 2, 0xA000, 0x4000), ("factory", 0, 0, 0x10000, 0x1F0000)))
    fill(chip, 0x8000, table)
    fill(chip, 0xA000, noise(0x4000))
    before = bytes(chip.data)
    done = flash(board, chip, build)
    assert done.returncode == 1
    assert "another partition table" in done.stderr
    assert chip.data == before
    assert chip.erased == []


@ONE
def test_another_chip_is_refused(board, chip, build):
    done = flash("esp32_generic_c3", chip, build)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "ESP32" in done.stdout + done.stderr
    assert chip.erased == []
    assert chip.data == b"\xff" * FLASH


@ONE
def test_a_changed_piece_is_refused_before_the_port_is_opened(board, build, tmp_path):
    shutil.copytree(build / "image", tmp_path / "image")
    with (tmp_path / "image" / board / "application.bin").open("r+b") as file:
        file.write(b"x")
    done = run("flash_board.py", "--board", board, "--port", "/dev/none", "--build", tmp_path)
    assert done.returncode == 1
    assert "application.bin was changed after it was built" in done.stderr


def test_without_an_image_the_next_step_builds_one(tmp_path):
    done = run("flash_board.py", "--board", "esp32_generic", "--port", "/dev/none", "--build", tmp_path)
    assert done.returncode == 1
    assert "try: make image BOARD=esp32_generic" in done.stderr


@ONE
def test_without_a_board_at_the_port_it_says_what_to_look_at(board, build):
    done = run("flash_board.py", "--board", board, "--port", "/dev/ringkey-none", "--build", build)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Is the board connected" in done.stderr


# -- the console


def test_monitor_shows_the_console_and_hands_keys_on():
    """Two pseudo-terminals: one is the board's serial port, the other the person's terminal."""
    board, port = pty.openpty()
    person, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tools" / "monitor.py"), "--port", os.ttyname(port)],
        env=environment(),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    try:
        seen = _read_until(person, "Ctrl-]")
        os.write(board, b"| Extension:       |\r\n")
        seen += _read_until(person, "Extension:")
        os.write(person, b"1001#")
        assert _read_until(board, "1001#")
        os.write(person, b"\x1d")
        assert process.wait(10) == 0, seen
    finally:
        process.kill()
        process.wait()
        for fd in (board, port, person, terminal):
            os.close(fd)


def test_monitor_without_a_port_says_where_to_look():
    done = run("monitor.py", "--port", "/dev/ringkey-none")
    assert done.returncode == 1
    assert re.search(r"try: ls /dev/ttyUSB\*", done.stderr)


def _read_until(fd, text, timeout=20):
    """Return what comes from a terminal until `text` has come."""
    seen, end = "", time.monotonic() + timeout
    while text not in seen:
        left = end - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            pytest.fail(f"no {text!r} in {seen!r}")
        seen += os.read(fd, 4096).decode()
    return seen
