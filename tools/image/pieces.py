"""The pieces of an image: what is written where in the flash, and when."""

import contextlib
import hashlib
import io
from dataclasses import dataclass

from esptool.cmds import merge_bin
from ringkey.errors import UserError

from image import partitions
from image.base import Base
from image.chips import Chip
from image.partitions import Layout

# When `make flash` writes a piece: always, or where the board's NVS is blank or given up.
ALWAYS, WHEN_BLANK = "always", "when-blank"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece: offset and room in octets of flash; secret: the Wi-Fi's password is in it."""

    name: str
    data: bytes
    offset: int
    room: int
    write: str = ALWAYS
    secret: bool = False

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name}.bin"

    @property
    def sha256(self) -> str:
        """Its SHA-256, hex."""
        return hashlib.sha256(self.data).hexdigest()


def of(base: Base, chip: Chip, settings: bytes | None, filesystem: bytes) -> list[Piece]:
    """Return the pieces in the order of the flash; settings: None where NVS is encrypted."""
    layout: Layout = base.layout
    found = [
        Piece("bootloader", base.bootloader, chip.bootloader, partitions.OFFSET - chip.bootloader),
        Piece("partitions", base.table, partitions.OFFSET, partitions.SECTOR),
        Piece("application", base.application, layout.application.offset, layout.application.size),
        Piece("filesystem", filesystem, layout.files.offset, layout.files.size),
    ]
    if settings is not None:
        found.append(
            Piece("settings", settings, layout.nvs.offset, layout.nvs.size, write=WHEN_BLANK, secret=True)
        )
    if layout.otadata is not None:
        # Blank, it selects the first application: the one that is written.
        blank = b"\xff" * layout.otadata.size
        found.append(Piece("otadata", blank, layout.otadata.offset, layout.otadata.size))
    for piece in found:
        if len(piece.data) > piece.room:
            raise UserError(
                f"the {piece.name} has {len(piece.data)} octets and room for {piece.room}: it does not fit"
            )
    return sorted(found, key=lambda piece: piece.offset)


def join(pieces: list[Piece], chip: Chip) -> bytes:
    """Return the pieces as one, for offset 0 of a flash; what lies between them is blank (0xFF)."""
    with contextlib.redirect_stdout(io.StringIO()):  # esptool says how much it has joined
        merged: bytes | None = merge_bin([(piece.offset, piece.data) for piece in pieces], chip.mcu)
    if merged is None:
        raise RuntimeError("esptool merge-bin returned nothing")
    return merged
