"""The chips that there are images for; what is known of them comes from esptool's own tables."""

from dataclasses import dataclass

from esptool.targets import CHIP_DEFS

# What mpy-cross calls the chip's instruction set.  It matters to native code only: bytecode,
# which is all that the phone has today, comes out the same for every chip.
_ARCHITECTURES = {"esp32": "xtensawin", "esp32s3": "xtensawin", "esp32c3": "rv32imc"}


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip.

    mcu: its name in board.json and for esptool; title: for people; image_id: the number in an
    image's header (octets 12 and 13); bootloader: where in the flash its ROM looks for the second
    stage, octets; architecture: for mpy-cross.
    """

    mcu: str
    title: str
    image_id: int
    bootloader: int
    architecture: str


def _chip(mcu: str) -> Chip:
    rom = CHIP_DEFS[mcu]
    return Chip(mcu, rom.CHIP_NAME, rom.IMAGE_CHIP_ID, rom.BOOTLOADER_FLASH_OFFSET, _ARCHITECTURES[mcu])


CHIPS = {mcu: _chip(mcu) for mcu in _ARCHITECTURES}


def title_of(image_id: int) -> str:
    """Return the name of the chip with this number in its images' headers, for an error message."""
    for rom in CHIP_DEFS.values():
        if getattr(rom, "IMAGE_CHIP_ID", None) == image_id:
            return str(rom.CHIP_NAME)
    return f"a chip with the number {image_id}"
