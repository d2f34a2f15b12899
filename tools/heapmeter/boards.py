"""What a phone needs to start on a board: its compiled modules, its settings, its command line."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from harness.unixphone import REPOSITORY, find_micropython, write_settings
from image import bytecode, modules, slim

UNIX, ESP32 = "unix", "esp32_generic"
NAMES = (UNIX, ESP32)

_DOUBLES = REPOSITORY / "tests" / "doubles" / "esp32"
_ASK_FREE = """
import gc
for name in "esp32", "machine", "network":
    try:
        __import__(name)
    except ImportError:
        pass
gc.collect()
print(gc.mem_free())
"""
# There is no native code: any will do.
_ARCHITECTURE = "xtensawin"


def compile_tree(name: str, folder: Path) -> Path:
    """Compile the phone of a board into `folder`, as an image has it; return it.  Raises UserError.

    With it this package's own programs, and for an ESP32 the doubles of its modules.
    """
    firmware, board = REPOSITORY / "firmware", REPOSITORY / "boards" / name
    description = json.loads((board / "board.json").read_text())
    paths = {path: firmware / path for path in modules.of_every_phone(firmware)}
    paths.update(modules.of_the_board(description, board, firmware))
    main = (firmware / "main.py").read_bytes()
    slimmed = slim.slim_all({path: file.read_bytes() for path, file in paths.items()}, main)
    onboard = dict(_sources(REPOSITORY / "tools" / "heapmeter" / "onboard"))
    doubles = {} if name == UNIX else dict(_sources(_DOUBLES))
    for path, source in {**slimmed, **onboard, **doubles}.items():
        target = (folder / path).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(bytecode.compile_module(source, path, _ARCHITECTURE))
    # MicroPython starts no main.mpy: a board compiles this one itself.
    (folder / "main.py").write_bytes(main)
    shutil.copy(board / "board.json", folder)
    return folder


def _sources(root: Path) -> "Iterator[tuple[str, bytes]]":
    """Yield (path below root, source) of the modules there."""
    for file in sorted(root.rglob("*.py")):
        yield file.relative_to(root).as_posix(), file.read_bytes()


def settings(name: str, folder: Path, root: Path, key_server: str, psk: str) -> Path:
    """Write a phone's settings into `folder`; return their path.  root: the site's, DER."""
    path = write_settings(folder, root, [key_server], psk=psk)
    if name == ESP32:
        # The wires of the chip's double are files: tests/doubles/esp32/README.md.
        shutil.copy(root, folder / "root.der")
        shutil.copy(REPOSITORY / "boards" / name / "board.json", folder)
        for wire, text in {
            "build.json": json.dumps({"time": 1}),
            "air.json": json.dumps({"ssid": "heap", "password": "radio-pass"}),
            "air": "there",
            "nvs-ringkey-cfg-wifi_ssid": "heap",
            "nvs-ringkey-cfg-wifi_pass": "radio-pass",
            "nvs-ringkey-cfg-key_servers": key_server,
            "nvs-ringkey-cfg-psk": psk,
            "nvs-ringkey-cfg-events": "1",
        }.items():
            (folder / wire).write_text(text)
    return path


def start(
    name: str, tree: Path, settings: Path, program: str = "main", heap: str = "8M"
) -> "tuple[list[str], dict[str, str]]":
    """Return what starts a phone of compiled modules: command line, environment to add.

    The modules' paths are in the heap, so the tree gets one as short as a board's.
    """
    link = settings.parent / "t"
    link.unlink(missing_ok=True)
    link.symlink_to(tree)
    line = [find_micropython(), "-X", f"heapsize={heap}", "-m", program]
    if name == UNIX:
        line += ["--settings", str(settings)]
    return line, {"MICROPYPATH": f"{link.name}:.frozen"}


def heap_with_free(octets: int, tree: Path) -> str:
    """Return the -X heapsize that leaves so many octets free before anything of the phone is loaded.

    tree: it may hold doubles of a chip's modules, which a chip has outside of its heap.
    """
    size = octets
    for _ in range(8):
        done = subprocess.run(
            [find_micropython(), "-X", f"heapsize={size}", "-c", _ASK_FREE],
            env={**os.environ, "MICROPYPATH": ":.frozen"},
            cwd=tree,
            capture_output=True,
            text=True,
            check=True,
        )
        missing = octets - int(done.stdout)
        if -64 <= missing <= 0:
            break
        size += missing
    return str(size)
