"""The base: a build of MicroPython for the chip, as published, checked and taken apart."""

import hashlib
import re
import shlex
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from esptool.bin_image import LoadFirmwareImage
from esptool.util import FatalError
from ringkey.errors import UserError
from ringkey.site import files

from image import partitions
from image.board import Board
from image.chips import Chip, title_of
from image.partitions import Layout

# Octets.  MicroPython's builds for these chips have 1.7 to 2.5 MiB; no flash here has more than 64.
MAX_BASE = 1 << 24
# The first version that loads what mpy-cross writes today (mpy format 6.3), and not long before
# the first whose `tls` module is the one that the phone was written for.
OLDEST = (1, 23)
_TIMEOUT = 60  # s of silence on a download
_MAGIC = 0xE9  # of an image for these chips
_HEADER = 24  # octets
_DIGEST = 32
_BANNER = re.compile(rb"MicroPython (v(\d+)\.(\d+)[\w.-]*) on \d{4}-\d\d-\d\d")

Open = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Base:
    """A base, taken apart.

    micropython: its version, as it says itself; bootloader, table, application: octets, each to
    be written where `layout` and the chip say; application_size: octets up to and with its hash.
    """

    file: str
    sha256: str
    micropython: str
    layout: Layout
    bootloader: bytes
    table: bytes
    application: bytes


def obtain(board: Board, given: Path | None, cache: Path, download: "Open | None" = None) -> Path:
    """Return the path of the base: `given` if there is one, else the pinned one, downloaded once.

    cache: the folder that keeps downloads; download: what fetches an address, for tests.
    Raises UserError.
    """
    if given is not None:
        return given
    pinned = board.base
    if pinned is None:
        raise UserError(
            f"{board.name} names no base firmware", f"make image BOARD={board.name} BASE=file.bin"
        )
    if pinned.sha256 is None:
        raise UserError(
            f"{board.folder.name}/board.json pins no SHA-256 for {pinned.file}, so it is not downloaded"
            f" unseen.\nGet it from {pinned.address}",
            f"make image BOARD={board.name} BASE={pinned.file}",
        )
    path = cache / pinned.file
    if path.exists() and _sha256(path.read_bytes()) == pinned.sha256:
        return path
    try:
        data = (download or _download)(pinned.address)
    except OSError as e:
        raise UserError(
            f"cannot download {pinned.address}: {e}\nWithout internet, bring the file yourself",
            f"make image BOARD={board.name} BASE={pinned.file}",
        ) from None
    if _sha256(data) != pinned.sha256:
        raise UserError(
            f"{pinned.address} is not the file that board.json pins: its SHA-256 is\n  {_sha256(data)}"
            f" and not\n  {pinned.sha256}\nIt was not kept.  Either it was changed on its way, or"
            " published anew"
        )
    cache.mkdir(parents=True, exist_ok=True)
    files.write(path, data, files.PUBLIC)
    return path


def take_apart(path: Path, chip: Chip, flash: int) -> Base:
    """Return the base in the file at `path`, for a flash of `flash` octets.

    The file begins where the chip's ROM looks for the bootloader, as MicroPython publishes it.
    Raises UserError: not there, for another chip, without a partition table, damaged, too large,
    or no MicroPython.
    """
    data = _read(path)
    _check_header(data, chip, path, "bootloader")
    at = partitions.OFFSET - chip.bootloader
    table = data[at : at + partitions.SIZE]
    try:
        layout = partitions.layout(partitions.parse(table), flash)
    except ValueError as e:
        raise UserError(
            f"the base {path} has no partition table that would do at {partitions.OFFSET:#x}: {e}"
        ) from None
    start = layout.application.offset - chip.bootloader
    if len(data) - start > layout.application.size:
        raise UserError(
            f"the base {path} goes beyond its own partition {layout.application.name}: it is damaged, or"
            " is a copy of a whole flash; take MicroPython's file as published"
        )
    bootloader = _image(data[:at], chip, path, "bootloader")
    application = _image(data[start:], chip, path, "application")
    banner = _BANNER.search(application)
    if banner is None:
        raise UserError(f"the base {path} is for {chip.title}, but there is no MicroPython in it")
    if (int(banner[2]), int(banner[3])) < OLDEST:
        raise UserError(
            f"the base {path} is MicroPython {banner[1].decode()}; it takes v{OLDEST[0]}.{OLDEST[1]} or later"
        )
    return Base(path.name, _sha256(data), banner[1].decode(), layout, bootloader, table, application)


def _download(address: str) -> bytes:
    # board.json's addresses are https (board.py), and what comes is held to a pinned hash.
    with urlopen(address, timeout=_TIMEOUT) as answer:  # noqa: S310
        data: bytes = answer.read(MAX_BASE + 1)
    return data


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BASE + 1)
    except OSError as e:
        raise UserError(
            f"the base {path} cannot be read: {e.strerror}", f"ls -l {shlex.quote(str(path.parent))}"
        ) from None
    if len(data) > MAX_BASE:
        raise UserError(f"the base {path} has over {MAX_BASE} octets: it is something else")
    return data


def _check_header(data: bytes, chip: Chip, path: Path, part: str) -> None:
    if len(data) < _HEADER or data[0] != _MAGIC:
        raise UserError(f"the base {path} has no {part}: there is no image header where it should begin")
    found = int.from_bytes(data[12:14], "little")
    if found != chip.image_id:
        raise UserError(
            f"the base {path} is for another chip: {title_of(found)}, and the board has {chip.title}"
        )


def _image(data: bytes, chip: Chip, path: Path, part: str) -> bytes:
    """Return the image that `data` begins with, its checksum and hash verified."""
    _check_header(data, chip, path, part)
    try:
        image = LoadFirmwareImage(chip.mcu, data)
        length = image.data_length
        if image.checksum != image.calculate_checksum():
            raise FatalError("its checksum is wrong")
        if data[23] == 1:  # the header says that a SHA-256 follows
            if image.stored_digest != image.calc_digest:
                raise FatalError("its SHA-256 is wrong")
            length += _DIGEST
    # esptool's parser meets a file that is cut off with struct.error or TypeError.
    except (FatalError, struct.error, TypeError) as e:
        raise UserError(f"the {part} in the base {path} is damaged: {e}") from None
    return data[:length]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
