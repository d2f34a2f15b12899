"""What becomes of a board's NVS: decided from what is in its flash, without touching it."""

from dataclasses import dataclass

from image import nvs, partitions
from image.partitions import DATA, NVS
from ringkey.errors import UserError

from flashing.image import Image

# What a NVS page is written in: what is cut off while it is written is cut off between these.
_CHUNK = 32
# As an entry of NVS has the name of a namespace; readable where NVS is not encrypted.
_OURS = nvs.NAMESPACE.encode() + b"\0"


@dataclass(frozen=True, slots=True)
class Plan:
    """write: (name, offset, octets) to be written, in this order; why: what becomes of NVS, and why."""

    write: tuple[tuple[str, int, bytes], ...]
    why: str


def decide(image: Image, table: bytes, region: bytes, *, erase: bool) -> Plan:
    """Return what to write to a board.

    table: what its flash holds at partitions.OFFSET; region: what it holds where the image has
    NVS; erase: ERASE=1.  Raises UserError: NVS is elsewhere on this board, and would be lost.
    """
    if erase:
        return _with_nvs(image, "NVS: erased, as ERASE=1 says; settings written")
    _check_layout(image, table, region)
    if region.count(0xFF) == len(region):
        return _with_nvs(image, "NVS: was blank; settings written")
    if _only_ours(region, image):
        # Somebody pulled the plug while the settings were written, or the board never started.
        return _with_nvs(image, "NVS: held nothing but these settings; written again")
    why = "NVS: kept, with the keys and settings in it"
    if _OURS not in region:
        why += (
            "\nNothing of ringkey can be seen in it.  If this board was something else before, or its"
            " settings are to be replaced, write it again with ERASE=1"
        )
    return Plan(image.parts, why)


def _with_nvs(image: Image, why: str) -> Plan:
    if image.settings is not None:
        # Last: where this is cut off before, NVS is still what it was.
        return Plan((*image.parts, image.settings), why)
    offset, size = image.nvs
    blank = ("nvs", offset, b"\xff" * size)
    return Plan((*image.parts, blank), why.replace("settings written", "left blank for encrypted settings"))


def _check_layout(image: Image, table: bytes, region: bytes) -> None:
    try:
        there = [p for p in partitions.parse(table) if (p.type, p.subtype) == (DATA, NVS)]
    except ValueError:
        return  # a blank flash, or no ESP-IDF in it
    if there and all((p.offset, p.size) != image.nvs for p in there):
        places = ", ".join(f"{p.name} at {p.offset:#x}" for p in there)
        raise UserError(
            f"this board has another partition table: its NVS is {places}, and the image's at"
            f" {image.nvs[0]:#x}.  What is in it would be lost",
            f"make flash BOARD={image.board} ERASE=1 PORT=…",
        )


def _only_ours(region: bytes, image: Image) -> bool:
    """Tell whether every part of NVS is blank or just what would be written: nothing is lost then."""
    if image.settings is None:
        return False
    wanted = image.settings[2]
    blank = b"\xff" * _CHUNK
    return all(
        region[at : at + _CHUNK] in (blank, wanted[at : at + _CHUNK]) for at in range(0, len(region), _CHUNK)
    )
