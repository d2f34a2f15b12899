"""What is on a phone: the list in tools/image/modules.py against what the modules import."""

import ast
import json
from pathlib import Path

import pytest
from image import board, bytecode, modules, tree
from ringkey.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"


def module_files(folder):
    """Return dotted name -> file of all modules below a folder."""
    found = {}
    for file in folder.rglob("*.py"):
        parts = file.relative_to(folder).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported_by(file):
    """Return the dotted names that a file may import; of `from a import b` both a and a.b.

    Texts are among them: message.py and the tables of PER types name modules that are loaded when
    they are needed.
    """
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


def reachable(there, roots):
    """Return the names of modules in `there` that come into memory from the files `roots`."""
    seen, todo = set(), set().union(*(imported_by(file) for file in roots))
    while todo:
        parts = todo.pop().split(".")
        for i in range(1, len(parts) + 1):
            name = ".".join(parts[:i])
            if name in there and name not in seen:
                seen.add(name)
                todo |= imported_by(there[name])
    return seen


def test_a_phone_has_what_it_imports_and_nothing_else():
    """As seen from main.py and all drivers of all boards."""
    there = module_files(FIRMWARE)
    drivers = [*(FIRMWARE / "drivers").rglob("*.py"), *(ROOT / "boards").glob("*/*.py")]
    needed = reachable(there, [FIRMWARE / "main.py", *drivers])
    needed = {name for name in needed if name.split(".")[0] in modules.ROOMS}
    has = {
        ".".join(Path(name).with_suffix("").parts).removesuffix(".__init__")
        for name in modules.of_every_phone(FIRMWARE)
    }
    assert needed - has == set(), "a phone would not find these: tools/image/modules.py"
    assert has - needed == set(), "no phone needs these: name them in tools/image/modules.py"


def test_the_list_names_only_what_there_is():
    for name in modules.NOT_ON_A_PHONE:
        assert (FIRMWARE / name).exists(), name


def test_a_board_has_the_drivers_that_it_names_and_what_they_import(tmp_path):
    firmware, folder = tmp_path / "firmware", tmp_path / "boards" / "lab"
    (firmware / "drivers").mkdir(parents=True)
    folder.mkdir(parents=True)
    for name, text in {
        "__init__": "",
        "oled": "from drivers import font\nimport machine",
        "font": "",
        "lcd": "import drivers.font",
        "unused": "",
    }.items():
        (firmware / "drivers" / f"{name}.py").write_text(text)
    (folder / "wires.py").write_text("import pins\nfrom phone.board import BoardError")
    (folder / "pins.py").write_text("")
    (folder / "manifest.py").write_text("freeze('.')")
    description = {
        "displays": [{"module": "drivers.oled", "params": {"scl": 22}}],
        "keys": [{"module": "wires"}],
        "store": {"module": "wires"},
        "something new": {"module": "drivers.lcd"},
        "features": ["wifi"],
    }
    found = modules.of_the_board(description, folder, firmware)
    assert {name: path.parent.name for name, path in found.items()} == {
        "drivers/__init__.py": "drivers",
        "drivers/font.py": "drivers",
        "drivers/lcd.py": "drivers",
        "drivers/oled.py": "drivers",
        "pins.py": "lab",
        "wires.py": "lab",
    }
    with pytest.raises(UserError, match=r"lab/board\.json names the driver drivers\.none"):
        modules.of_the_board({"store": {"module": "drivers.none"}}, folder, firmware)


# -- bytecode


def test_bytecode_tells_no_path_and_no_lines_and_is_the_same_again(tmp_path):
    source = b"def f(x):\n    assert x\n    return x.whatever\n"
    one = bytecode.compile_module(source, "phone/some_module.py", "xtensawin")
    assert one == bytecode.compile_module(source, "phone/some_module.py", "rv32imc")
    assert b"phone.some_module" in one
    for told in (b"phone/", b".py", b"tmp", str(tmp_path).encode(), b"AssertionError"):
        assert told not in one
    # A line more above the code moves every line number, and changes nothing.
    assert bytecode.compile_module(b"# a comment\n" + source, "phone/some_module.py", "xtensawin") == one


def test_what_does_not_compile_is_named():
    with pytest.raises(UserError, match=r"(?s)phone/bad\.py does not compile.*SyntaxError"):
        bytecode.compile_module(b"def :", "phone/bad.py", "xtensawin")


# -- board.json


def test_there_is_no_image_for_the_unix_board():
    with pytest.raises(UserError, match="unix has no image") as caught:
        board.load("unix")
    assert caught.value.next_step == "make phone"


@pytest.mark.parametrize("name", ["esp32", "../esp32_generic", ""])
def test_an_unknown_board_is_answered_with_those_there_are(name):
    with pytest.raises(UserError, match=r"there is no board .*esp32_generic, esp32_generic_c3"):
        board.load(name)


def test_the_size_of_the_flash_can_be_said(tmp_path):
    assert board.load("esp32_generic").flash == 4 << 20
    assert board.load("esp32_generic", "16MB").flash == 16 << 20
    for wrong in ("4", "5MB", "128MB", "1MB", "-4MB"):
        with pytest.raises(UserError, match="is no flash size"):
            board.load("esp32_generic", wrong)


@pytest.mark.parametrize("name", ["esp32_generic", "esp32_generic_s3", "esp32_generic_c3"])
def test_every_board_names_a_base_that_has_its_address(name):
    found = board.load(name)
    pinned = found.base
    offset = found.description["flash"].get("bootloader")  # said for people; the tools ask esptool
    assert offset is None or int(offset, 16) == found.chip.bootloader
    assert pinned.address.startswith("https://micropython.org/")
    assert pinned.address.endswith("/" + pinned.file)


def test_a_bad_board_json_is_refused(tmp_path):
    for text in (
        "{",
        "[]",
        '{"mcu": "esp32"}',
        '{"mcu": "esp32", "flash": {"size": "4MB"}, "base": {}}',
        '{"mcu": "esp32", "flash": {"size": "4MB"}, "nvs_encrypted": 1}',
    ):
        folder = tmp_path / "lab"
        folder.mkdir(exist_ok=True)
        (folder / "board.json").write_text(text)
        with pytest.raises(UserError, match=r"board\.json"):
            board.load("lab", boards=tmp_path)


def test_the_phone_gets_of_board_json_what_it_reads():
    kept = json.loads(tree._for_the_phone(board.load("esp32_generic")))
    assert kept["board"] == "esp32_generic"
    assert not {"flash", "base", "mcu", "features"} & set(kept)
