"""The image that is to be written, read back from its folder and held to its manifest."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from image import manifest
from image.pieces import ALWAYS
from ringkey.errors import UserError


@dataclass(frozen=True, slots=True)
class Image:
    """parts: (name, offset, octets) of what is always written, in order; settings: the same of
    the NVS partition, None where the image has none; nvs: (offset, size) of that partition.
    """

    board: str
    chip: str
    flash: str
    version: str
    parts: tuple[tuple[str, int, bytes], ...]
    settings: tuple[str, int, bytes] | None
    nvs: tuple[int, int]


def load(folder: Path, board: str) -> Image:
    """Return the image in `folder`; raises UserError: none, another board's, or changed since."""
    found = manifest.read(folder, board)
    always, settings = [], None
    for piece in found["pieces"]:
        path = folder / piece["file"]
        try:
            data = path.read_bytes()
        except OSError as e:
            raise UserError(f"{path} cannot be read: {e.strerror}", f"make image BOARD={board}") from None
        if hashlib.sha256(data).hexdigest() != piece["sha256"]:
            raise UserError(f"{path} was changed after it was built", f"make image BOARD={board}")
        part = (piece["name"], piece["offset"], data)
        if piece["write"] == ALWAYS:
            always.append(part)
        else:
            settings = part
    return Image(
        board,
        found["chip"],
        found["flash"],
        found["version"],
        tuple(always),
        settings,
        (found["nvs"]["offset"], found["nvs"]["size"]),
    )
