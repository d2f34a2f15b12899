"""The way of an image: board, base, site in; pieces, one merged file and a manifest out."""

from dataclasses import dataclass
from pathlib import Path

from ringkey.site import files

from image import base as bases
from image import bytecode, filesystem, flashmap, manifest, nvs, pieces, settings, tree
from image.board import REPOSITORY, Board
from image.pieces import Piece

BUILD = REPOSITORY / "build"


@dataclass(frozen=True, slots=True)
class Built:
    """image: the merged file; lines: the map of the flash; octets: of the phone's own files."""

    image: Path
    lines: list[str]
    octets: int
    pieces: list[Piece]


def build(board: Board, site: Path, given: Path | None = None, build_folder: Path = BUILD) -> Built:
    """Build the image for a board, at a site, on the base `given` or the board's pinned one.

    Writes build/image/BOARD, for its owner alone: the settings hold the Wi-Fi's password.  What
    lies there of an earlier image is replaced, the manifest last.  Raises UserError, and then
    the earlier image is as it was.
    """
    root = tree.root_certificate(site)
    wanted = settings.load(site, wifi=board.has_wifi)
    path = bases.obtain(board, given, build_folder / "base")
    base = bases.take_apart(path, board.chip, board.flash)
    collected = tree.collect(board, root)
    encrypted = base.layout.encrypted or board.encrypted
    written = None if encrypted else nvs.build(wanted.entries(), base.layout.nvs.size)
    files_ = filesystem.build(collected.files, base.layout.files.size)
    made = pieces.of(base, board.chip, written, files_.data)
    merged = pieces.join(made, board.chip)
    whole = Piece(f"ringkey-{board.name}", merged, 0, board.flash, secret=written is not None)

    build_folder.mkdir(parents=True, exist_ok=True)
    folder = build_folder / "image" / board.name
    for directory in (folder.parent, folder):
        files.make_directory(directory)
    for piece in [*made, whole]:
        files.write(folder / piece.file, piece.data)
    for stale in set(folder.glob("*.bin")) - {folder / piece.file for piece in [*made, whole]}:
        stale.unlink()  # such as settings that this image has none of
    manifest.write(folder, board, base, collected, pieces=made, merged=whole, compiler=bytecode.version())

    lines = flashmap.draw(board, base, collected, files_, made)
    return Built(folder / whole.file, lines, collected.octets, made)
