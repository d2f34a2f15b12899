"""The map of the flash that `make image` prints: what lies where, how large, how much is free."""

from dataclasses import dataclass

from image.base import Base
from image.board import Board, size_text
from image.filesystem import FileSystem
from image.partitions import SECTOR
from image.pieces import Piece
from image.tree import Tree

_FROM = {
    "bootloader": "from the base",
    "partitions": "from the base",
    "application": "MicroPython",
    "filesystem": "the phone",
    "settings": "Wi-Fi, servers",
    "otadata": "blank",
}


@dataclass(frozen=True, slots=True)
class _Row:
    start: int
    end: int
    name: str
    used: int
    what: str


def draw(board: Board, base: Base, tree: Tree, filesystem: FileSystem, pieces: list[Piece]) -> list[str]:
    """Return the map's lines: one for each region of the flash, in order, and none left out."""
    rows = []
    for piece in pieces:
        used = filesystem.used if piece.name == "filesystem" else _used(piece.data)
        rows.append(_Row(piece.offset, piece.offset + piece.room, piece.name, used, _FROM[piece.name]))
    starts = {row.start for row in rows}
    for partition in base.layout.all:
        if partition.offset not in starts:
            rows.append(_Row(partition.offset, partition.end, partition.name, 0, "left as it is"))
    rows.sort(key=lambda row: row.start)
    title = f"{board.chip.title}, {size_text(board.flash)} of flash"
    lines = [
        f"{board.name}: {title}, MicroPython {base.micropython}",
        "",
        f"  {'from':>8}  {'to':>8}  {'room':>10}  {'used':>10}  {'free':>10}",
    ]
    at = 0
    for row in [*rows, _Row(board.flash, board.flash, "", 0, "")]:
        if row.start > at:
            lines.append(f"  {at:>#8x}  {row.start:>#8x}  {_kib(row.start - at)}{'':26}(unused)")
        if row.end > row.start:
            room, free = row.end - row.start, row.end - row.start - row.used
            lines.append(
                f"  {row.start:>#8x}  {row.end:>#8x}  {_kib(room)}  {_kib(row.used)}  {_kib(free)}"
                f"  {row.name:12} {row.what}"
            )
        at = max(at, row.end)
    compiled = sum(len(data) for path, data in tree.files.items() if path.endswith(".mpy"))
    modules = sum(path.endswith(".mpy") for path in tree.files)
    lines += [
        "",
        f"  the phone: {len(tree.files)} files, {tree.octets} octets ({modules} modules: {compiled})",
        f"  the base: {base.file}, {_pinned(board, base)}",
    ]
    if all(piece.name != "settings" for piece in pieces):
        lines.append("  NVS is encrypted: the settings are not in the image (SECURITY.md)")
    return lines


def _pinned(board: Board, base: Base) -> str:
    pinned = board.base.sha256 if board.base is not None else None
    if pinned is None:
        return f"SHA-256 {base.sha256}"
    return "as board.json pins it" if base.sha256 == pinned else "not the file that board.json pins"


def _used(data: bytes) -> int:
    """Return the octets of a piece, less the blank ones at its end, to whole sectors where it has such."""
    used = len(data.rstrip(b"\xff"))
    return min(len(data), -(-used // SECTOR) * SECTOR) if len(data) % SECTOR == 0 else len(data)


def _kib(octets: int) -> str:
    """Return a size in KiB, to the tenth where that is not whole, ten characters wide."""
    text = f"{octets >> 10}" if octets % 1024 == 0 else f"{octets / 1024:.1f}"
    return f"{text:>6} KiB"
