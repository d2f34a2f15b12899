"""`boards/NAME/board.json`, as far as an image depends on it."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringkey.errors import UserError

from image.chips import CHIPS, Chip

REPOSITORY = Path(__file__).resolve().parents[2]
BOARDS = REPOSITORY / "boards"
# Octets.  littlefs and MicroPython would do with less; the phone would not have two megabytes
# of MicroPython in it.  More than 64 MiB, no chip here can address.
MIN_FLASH = 1 << 21
MAX_FLASH = 1 << 26
_UNITS = {"KB": 1 << 10, "MB": 1 << 20}  # as esptool writes them


@dataclass(frozen=True, slots=True)
class PinnedBase:
    """The base firmware that a board was tried with.

    address: where it is published, https; sha256: hex, or None where nobody has checked it yet,
    and then it is not downloaded; file: its name.
    """

    address: str
    sha256: str | None
    file: str


@dataclass(frozen=True, slots=True)
class Board:
    """A board that can be flashed.

    folder: boards/NAME; flash: octets; encrypted: its base encrypts NVS by a key in the chip, which
    no file tells; description: all of board.json.
    """

    name: str
    folder: Path
    chip: Chip
    flash: int
    base: PinnedBase | None
    encrypted: bool
    description: dict[str, Any]

    @property
    def has_wifi(self) -> bool:
        """Whether board.json says that it has a Wi-Fi radio."""
        return any(str(feature).lower() == "wifi" for feature in self.description.get("features", ()))


def load(name: str, flash: str | None = None, boards: Path = BOARDS) -> Board:
    """Return the board `name`; `flash`, such as "8MB", goes before the size in its board.json.

    Raises UserError: no such board, a board that is run instead of flashed, a bad board.json.
    """
    folder = boards / name
    file = folder / "board.json"
    if not re.fullmatch(r"\w+", name) or not file.exists():
        raise UserError(
            f"there is no board {name!r}; there are {', '.join(_flashable(boards)) or 'none'}",
            "make image BOARD=esp32_generic SITE=site",
        )
    description = _read(file)
    chip = CHIPS.get(str(description.get("mcu")))
    if chip is None:
        raise UserError(
            f"the board {name} has no image: {description.get('mcu')!r} is none of {', '.join(CHIPS)}",
            "make phone" if description.get("mcu") == "linux" else None,
        )
    try:
        size = size_of(flash or description["flash"]["size"])
    except (KeyError, TypeError, ValueError):
        where = f"FLASH={flash}" if flash else f'{file}: "flash"'
        raise UserError(
            f'{where} is no flash size, such as "4MB"', f"make image BOARD={name} FLASH=4MB"
        ) from None
    base = _base(description.get("base"), file)
    encrypted = description.get("nvs_encrypted", False)
    if not isinstance(encrypted, bool):
        raise UserError(f'{file}: "nvs_encrypted" is true or false')
    return Board(name, folder, chip, size, base, encrypted, description)


def size_of(text: str) -> int:
    """Return octets of a size such as "512KB" or "4MB"; raises ValueError."""
    found = re.fullmatch(r"([1-9]\d*)(KB|MB)", text)
    size = int(found[1]) * _UNITS[found[2]] if found else 0
    # A flash chip's size is a power of two; a typing error seldom is.
    if not MIN_FLASH <= size <= MAX_FLASH or size & (size - 1):
        raise ValueError(text)
    return size


def size_text(octets: int) -> str:
    """Return a size as esptool and board.json write it, "4MB"."""
    return f"{octets >> 20}MB" if octets % (1 << 20) == 0 else f"{octets >> 10}KB"


def _flashable(boards: Path) -> list[str]:
    found = []
    for file in sorted(boards.glob("*/board.json")):
        try:
            mcu = _read(file).get("mcu")
        except UserError:
            continue
        if mcu in CHIPS:
            found.append(file.parent.name)
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        description = json.loads(file.read_text())
    except (OSError, ValueError) as e:
        raise UserError(f"{file} cannot be read as JSON: {e}") from None
    if not isinstance(description, dict):
        raise UserError(f"{file} holds no JSON object")
    return description


def _base(found: Any, file: Path) -> PinnedBase | None:
    if found is None:
        return None
    try:
        address, sha256, name = found["address"], found["sha256"], found["file"]
        good = re.fullmatch(r"https://\S+", address) and re.fullmatch(r"[\w.+-]+\.bin", name)
        if not good or not (sha256 is None or re.fullmatch(r"[0-9a-f]{64}", sha256)):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f'{file}: "base" is {{"address": "https://…", "sha256": 64 hex digits or null, "file": "….bin"}}'
        ) from None
    return PinnedBase(address, sha256, name)
