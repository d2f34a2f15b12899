"""The files of the phone's file system, as path -> octets, from firmware, board and site."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from ringkey import __version__
from ringkey.errors import UserError
from ringkey.site import files
from ringkey.site.certificates import der_bundle

from image import bytecode, modules, slim
from image.board import REPOSITORY, Board

FIRMWARE = REPOSITORY / "firmware"
# Members of board.json that tell the tools about the board, and a phone nothing: each would
# take heap while it starts.
_FOR_TOOLS = frozenset(
    {
        *("mcu", "flash", "base", "nvs_encrypted", "features"),
        *("product", "vendor", "url", "docs", "images", "thumbnail", "deploy", "deploy_options", "variants"),
    }
)


@dataclass(frozen=True, slots=True)
class Tree:
    """files: path in the image -> octets; version: of the phone; time: the floor of its clock,
    seconds from 1970, UTC.
    """

    files: dict[str, bytes]
    version: str
    time: int

    @property
    def octets(self) -> int:
        """How much all files hold, together."""
        return sum(map(len, self.files.values()))


@dataclass(frozen=True, slots=True)
class Root:
    """A site's root certificate: its file, DER, and from when it is valid, seconds from 1970.

    While the site replaces its root, both: one DER after the other, and from when both are valid.
    """

    path: Path
    data: bytes
    born: int


def collect(board: Board, root: Root, firmware: Path = FIRMWARE) -> Tree:
    """Return the files of a phone on this board, at the site with this root.

    Raises UserError: a driver that is not there, a module that does not compile.
    """
    sources = {name: firmware / name for name in modules.of_every_phone(firmware)}
    sources.update(modules.of_the_board(board.description, board.folder, firmware))
    main = firmware / "main.py"
    time = _time([*sources.values(), main, board.folder / "board.json", root.path], root.born)
    found = {
        # Source: MicroPython starts main.py, and would pass a main.mpy over.
        "main.py": main.read_bytes(),
        "board.json": _for_the_phone(board),
        "build.json": json.dumps({"version": __version__, "time": time}).encode(),
        "root.der": root.data,
    }
    texts = {name: source.read_bytes() for name, source in sources.items()}
    for name, source in slim.slim_all(texts, main.read_bytes()).items():
        compiled = bytecode.compile_module(source, name, board.chip.architecture)
        found[name.removesuffix(".py") + ".mpy"] = compiled
    return Tree(dict(sorted(found.items())), __version__, time)


def root_certificate(site: Path) -> Root:
    """Return the site's root certificate; raises UserError: there is none, or it is something else."""
    path = site / "phone" / "root.der"
    if not path.exists():
        raise UserError(
            f"the site {site} has no root certificate ({path}), and without one a phone trusts nobody",
            f"ringkey init {site}" if not site.exists() else f"ls -la {path.parent}",
        )
    data = files.read(path, "the root certificate")
    try:
        roots = der_bundle(data)
        authorities = all(
            root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca for root in roots
        )
    except (ValueError, x509.ExtensionNotFound):
        authorities = False
    if not authorities:
        raise UserError(
            f"{path} is no certificate of an authority in DER",
            f"openssl x509 -in {site}/ca/root.crt -outform der -out {path}",
        )
    return Root(path, data, max(int(root.not_valid_before_utc.timestamp()) for root in roots))


def _time(sources: list[Path], born: int) -> int:
    """Return the build's time: SOURCE_DATE_EPOCH, or the newest source's; not before the site's birth.

    A phone believes no earlier date, so that it can check certificates before it has asked anybody
    for the time.  The clock of this machine has no part in it: two builds give the same octets.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None and not (given.isascii() and given.isdigit()):
        raise UserError(f"SOURCE_DATE_EPOCH={given} is no number of seconds from 1970")
    time = int(given) if given else max(int(source.stat().st_mtime) for source in sources)
    return max(time, born)


def _for_the_phone(board: Board) -> bytes:
    kept = {key: value for key, value in board.description.items() if key not in _FOR_TOOLS}
    return json.dumps(kept, separators=(",", ":")).encode()
