"""What this machine remembers of a file as long as it is up, and a disk does not.

A counter that goes on where it stopped must know that its file is the very one that was written
last: not brought back from a back-up, not a disk's snapshot, not the disk of a clone.  Nothing on
that disk can tell, since a clone has all of it.  So each write draws a nonce and leaves it in the
file, and in memory (tmpfs) too; only one process can claim what is in memory.  After a reboot, on
another machine, or where there is no such memory, nothing is proven and nothing is lost but
a few values of the counter.
"""

import hashlib
import hmac
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - that it is memory, and its owner's alone, is checked
NONCE = 16  # octets


def remember(path: Path, nonce: bytes) -> None:
    """Keep `nonce` for the file `path` in this machine's memory, where it has one for that."""
    directory = _directory()
    if directory is None:
        return
    temporary = directory / f".{secrets.token_hex(8)}"
    with suppress(OSError):
        # The path is for people, and for tests that clean up.
        temporary.write_text(f"{nonce.hex()} {path.absolute()}\n")
        temporary.replace(directory / _name(path))


def claim(path: Path, nonce: bytes) -> bool:
    """Tell whether `nonce` is what was remembered last for `path`; true for one caller only."""
    directory = _directory()
    if directory is None or len(nonce) != NONCE:
        return False
    taken = directory / f".{secrets.token_hex(8)}"
    try:
        # Of two that try at once, as on a disk and its snapshot, one finds nothing left.
        (directory / _name(path)).rename(taken)
        found = taken.read_text().split(" ")[0]
        taken.unlink()
    except (OSError, ValueError):
        return False
    return hmac.compare_digest(found.encode(), nonce.hex().encode())


def _name(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]


def _directory() -> Path | None:
    """Return this user's own directory in memory, made as needed, or None where there can be none."""
    if not _is_memory(MEMORY):
        return None
    path = MEMORY / f"ringkey-{os.getuid()}"
    try:
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()  # not through a link that somebody else has put there
    except OSError:
        return None
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return path if private else None


def _is_memory(path: Path) -> bool:
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return False
    kinds = [fields[2] for line in lines if len(fields := line.split(" ")) > 2 and fields[1] == str(path)]
    return bool(kinds) and kinds[-1] in ("tmpfs", "ramfs")
