"""Files of a site: written whole or not at all, secrets for their owner alone.

A write goes to a new file in the same directory, is synced, renamed over the old one, and the
directory is synced: a crash or a full disk at any moment leaves the old file or the new one.
"""

import contextlib
import fcntl
import glob
import os
import secrets
import shlex
import stat
from pathlib import Path

from ringkey.errors import UserError

SECRET = 0o600
PUBLIC = 0o644
PRIVATE_DIRECTORY = 0o700
# Octets.  The largest file that a site keeps as one piece is a chain of certificates; the limit
# keeps a wrong path (a disk image, /dev/zero) from filling the memory.
MAX_FILE = 1 << 20
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def lock_beside(path: Path) -> int:
    """Lock `path`.lock for this process, until the descriptor that is returned is closed.

    Raises BlockingIOError where another process has it, OSError where it can not be opened.
    """
    name = path.with_name(path.name + ".lock")
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, SECRET)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def write(path: Path, data: bytes, mode: int = SECRET) -> None:
    """Write `data` to `path`, whole or not at all; raises OSError, and then nothing has changed."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    # O_EXCL: nobody can have put a link there.  The mode is right from the first octet on.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, SECRET)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fchmod(descriptor, mode)  # the umask has no say
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def sweep(path: Path) -> None:
    """Remove what writes of `path` that were cut short have left; only for whoever alone writes it."""
    for name in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}"):
        with contextlib.suppress(OSError):
            name.unlink()


def sync_directory(path: Path) -> None:
    """Make the directory's own entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make `path` with mode 0700 unless it is there; its parents must be."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=PRIVATE_DIRECTORY)


def read(path: Path, what: str) -> bytes:
    """Return a public file's octets; `what` names it in the UserError raised when that fails."""
    return _read(path, what, secret=False)


def read_secret(path: Path, what: str) -> bytes:
    """Return a secret file's octets.

    Raises UserError where it is missing, too large or unreadable, and where its mode lets anybody
    but its owner at it: a key that others may have read is no key.
    """
    return _read(path, what, secret=True)


def check_secret(path: Path, what: str) -> None:
    """Raise UserError unless `path` is a file that its owner alone may read or write."""
    descriptor = _open(path, what)
    try:
        _check(descriptor, path, what)
    finally:
        os.close(descriptor)


def _read(path: Path, what: str, *, secret: bool) -> bytes:
    descriptor = _open(path, what)
    with os.fdopen(descriptor, "rb") as file:
        if secret:
            # On the open file: between a check of the name and the reading, the name may change.
            _check(descriptor, path, what)
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise UserError(f"{what} {path} has over {MAX_FILE} octets: it is something else", _look(path))
    return data


def _open(path: Path, what: str) -> int:
    try:
        # O_NONBLOCK: a FIFO under this name would otherwise hold the service at its start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as e:
        raise UserError(f"{what} {path} cannot be read: {e.strerror}", _look(path.parent)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{what} {path} is not a file", _look(path))
    return descriptor


def _check(descriptor: int, path: Path, what: str) -> None:
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & _OTHERS:
        raise UserError(
            f"{what} {path} is open to others than its owner (mode {mode:04o})",
            f"chmod 600 {shlex.quote(str(path))}",
        )


def _look(path: Path) -> str:
    return f"ls -la {shlex.quote(str(path))}"
