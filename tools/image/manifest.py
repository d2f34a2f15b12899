"""`manifest.json` beside the pieces: what they are, for `make flash` and for whoever asks later."""

import json
from pathlib import Path
from typing import Any

from ringkey.errors import UserError
from ringkey.site import files

from image.base import Base
from image.board import Board, size_text
from image.pieces import Piece
from image.tree import Tree

FILE = "manifest.json"
FORMAT = 1


def write(
    folder: Path, board: Board, base: Base, tree: Tree, *, pieces: list[Piece], merged: Piece, compiler: str
) -> None:
    """Write it into `folder`, for its owner alone: a hash of the settings helps to guess a password."""
    content = {
        "format": FORMAT,
        "board": board.name,
        "chip": board.chip.mcu,
        "flash": size_text(board.flash),
        "version": tree.version,
        "time": tree.time,
        "base": {"file": base.file, "sha256": base.sha256, "micropython": base.micropython},
        "compiler": compiler,
        "image": _entry(merged),
        "pieces": [_entry(piece) for piece in pieces],
        "nvs": {"offset": base.layout.nvs.offset, "size": base.layout.nvs.size},
        "files": {path: len(data) for path, data in tree.files.items()},
    }
    files.write(folder / FILE, json.dumps(content, indent=1).encode() + b"\n")


def read(folder: Path, board: str) -> dict[str, Any]:
    """Return the manifest of the image in `folder`; raises UserError: there is none, or another's."""
    path = folder / FILE
    build = f"make image BOARD={board} SITE=site"
    if not path.exists():
        raise UserError(f"there is no image for {board} (no {path})", build)
    try:
        found = json.loads(files.read_secret(path, "the image's manifest"))
        if found["format"] != FORMAT or found["board"] != board:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is none of this version's, or of another board", build) from None
    manifest: dict[str, Any] = found
    return manifest


def _entry(piece: Piece) -> dict[str, Any]:
    return {
        "name": piece.name,
        "file": piece.file,
        "offset": piece.offset,
        "size": len(piece.data),
        "room": piece.room,
        "sha256": piece.sha256,
        "write": piece.write,
        "secret": piece.secret,
    }
