"""The boards: that each board.json can be true of its chip, and that its page says the same."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BOARDS = sorted(file.parent for file in (ROOT / "boards").glob("*/board.json"))
FLASHED = [board for board in BOARDS if json.loads((board / "board.json").read_text())["mcu"] != "linux"]
PARTS = ("settings", "console", "displays", "keys", "store", "network", "time", "watchdog")

# What each chip has, from its data sheet: all pins; those that have another task on any board
# (start-up, flash, console, USB); those without output or pull-up; where its bootloader lies.
CHIPS = {
    "esp32": (
        {*range(20), *range(21, 24), *range(25, 28), *range(32, 40)},
        {0, 2, 5, 12, 15, *range(6, 12), 1, 3},
        set(range(34, 40)),
        "0x1000",
    ),
    "esp32s3": ({*range(22), *range(26, 49)}, {0, 3, 45, 46, 19, 20, *range(26, 38), 43, 44}, set(), "0x0"),
    "esp32c3": (set(range(22)), {8, 9, *range(11, 18), 18, 19, 20, 21}, set(), "0x0"),
}
# GPIO2 of an ESP32-C3 is to be high at start-up: pulled up, as a bus is, it may be used.
PULLED_UP = {"esp32c3": {2}}


def described(board):
    """Return a board.json."""
    return json.loads((board / "board.json").read_text())


def parts(description):
    """Yield (part, module, params) of all that a board.json describes."""
    for name in PARTS:
        found = description.get(name, [])
        for part in found if isinstance(found, list) else [found]:
            yield name, part["module"], part.get("params", {})


def wires(description):
    """Return (signal, pin) of all wires; a bus that two displays share is two wires."""
    found = set()
    for _, module, params in parts(description):
        if module == "drivers.matrix":
            found.update((f"row {i + 1}", pin) for i, pin in enumerate(params["rows"]))
            found.update((f"column {i + 1}", pin) for i, pin in enumerate(params["columns"]))
        for line in ("scl", "sda"):
            if line in params:
                found.add((line.upper(), params[line]))
    return sorted(found)


def test_there_are_boards():
    assert {board.name for board in BOARDS} >= {
        *("unix", "esp32_generic", "esp32_generic_s3", "esp32_generic_c3")
    }


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_each_part_has_its_driver(board):
    description = described(board)
    assert description["board"] == board.name
    for part in PARTS[:6]:
        assert description.get(part), part
    for _, module, _ in parts(description):
        path = module.replace(".", "/") + ".py"
        source = next((f for f in (board / path, ROOT / "firmware" / path) if f.exists()), None)
        assert source is not None, module
        names = [
            node.name for node in ast.parse(source.read_text()).body if isinstance(node, ast.FunctionDef)
        ]
        assert "open" in names, module


@pytest.mark.parametrize("board", FLASHED, ids=lambda board: board.name)
def test_a_board_that_is_flashed_is_no_code(board):
    assert [file.name for file in board.rglob("*.py")] == ["manifest.py"]
    for file in ("board.json", "manifest.py", "README.md", "wiring.svg"):
        assert (board / file).exists(), file


@pytest.mark.parametrize("board", FLASHED, ids=lambda board: board.name)
def test_pins_are_free_and_used_once(board):
    description = described(board)
    pins, reserved, inputs, _ = CHIPS[description["mcu"]]
    used = wires(description)
    assert len({pin for _, pin in used}) == len(used), "two signals on one pin"
    for signal, pin in used:
        assert pin in pins, f"{signal}: the chip has no GPIO{pin}"
        assert pin not in reserved, f"{signal}: GPIO{pin} has another task"
        assert pin not in inputs, f"{signal}: GPIO{pin} has neither output nor pull-up"
        if pin in PULLED_UP.get(description["mcu"], ()):
            assert signal in ("SCL", "SDA"), f"{signal}: GPIO{pin} only where it is pulled up"


@pytest.mark.parametrize("board", FLASHED, ids=lambda board: board.name)
def test_the_keypad_names_all_of_its_keys(board):
    for _, module, params in parts(described(board)):
        if module == "drivers.matrix":
            keys = params["keys"]
            assert len(keys) == len(params["rows"]) * len(params["columns"])
            assert set("0123456789*#") <= set(keys)


@pytest.mark.parametrize("board", FLASHED, ids=lambda board: board.name)
def test_page_and_picture_show_the_same_wires(board):
    page = (board / "README.md").read_text()
    picture = (board / "wiring.svg").read_text()
    assert "](wiring.svg)" in page
    for signal, pin in wires(described(board)):
        assert re.search(rf"^\| {signal}\b.*\| GPIO{pin} \|$", page, re.MULTILINE), signal
        # The wire that leaves the pin is labelled with the signal, on the same line of the file.
        assert re.search(rf">GPIO{pin}<.*>{signal}<", picture), signal
    assert len(re.findall(r">GPIO\d+<", picture)) == len(wires(described(board)))


@pytest.mark.parametrize("board", FLASHED, ids=lambda board: board.name)
def test_flash_and_base_are_of_the_chip(board):
    description = described(board)
    assert description["flash"]["bootloader"] == CHIPS[description["mcu"]][3]
    assert re.fullmatch(r"\d+MB", description["flash"]["size"])
    base = description["base"]
    assert base["file"].startswith(board.name.upper() + "-")
    assert base["address"] == "https://micropython.org/resources/firmware/" + base["file"]
    assert base["sha256"] is None or re.fullmatch("[0-9a-f]{64}", base["sha256"])


@pytest.mark.parametrize("board", FLASHED, ids=lambda board: board.name)
def test_the_manifest_freezes_every_room_of_the_phone(board):
    frozen, included = [], []

    def note(name, base_path):
        frozen.append((board / base_path / name).resolve())

    code = compile((board / "manifest.py").read_text(), "manifest.py", "exec")
    exec(code, {"include": included.append, "package": note, "module": note})  # noqa: S102 - it is ours
    assert included == ["$(PORT_DIR)/boards/manifest.py"]
    firmware = ROOT / "firmware"
    rooms = [path for path in firmware.iterdir() if (path / "__init__.py").exists()]
    assert sorted(frozen) == sorted([*rooms, firmware / "main.py"])


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_each_board_has_its_page(board):
    assert f"boards/{board.name}/README.md" in (ROOT / "docs" / "boards.md").read_text()
    assert (board / "README.md").read_text().startswith("# ")
