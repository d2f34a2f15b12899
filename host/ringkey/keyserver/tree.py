"""Files below one directory, opened so that no name, link or race leads out of it.

Each part is opened from the directory before it (openat) and no link is followed, so there is no
moment between a check and its use.  aiohttp's own static routes resolve a path first and open
it later; a link put there between the two would be followed.
"""

import errno
import os
import stat
from pathlib import Path

from ringkey.keyserver.content import Changed, ContentError
from ringkey.keyserver.names import BadName, parts_of

# O_NONBLOCK: a FIFO must not hold the service.  O_NOCTTY: nor must a terminal become ours.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# O_PATH: a directory that may be passed through need not be readable.
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# What the absence of a file looks like: a link (ELOOP, ENOTDIR) and a socket (ENXIO) count as absent.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG, errno.EISDIR)


class NotThereError(Exception):
    """No such file; nothing tells a phone whether something else has that name."""


class FileContent:
    """One open file as a Content; it must be closed."""

    def __init__(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        self._descriptor = descriptor
        self._seen = _version(found)
        self.size = found.st_size
        self.modified: float | None = found.st_mtime
        self.etag = "-".join(f"{part:x}" for part in self._seen)

    @property
    def version(self) -> tuple[int, ...]:
        """What is the same only while nobody has written to the file."""
        return self._seen

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` octets from `offset` on; raises Changed, OSError."""
        data = os.pread(self._descriptor, count, offset)
        # A file that is written to while it is sent would arrive as a mixture that no check of
        # its length finds.  Replacing one (a rename) does not change what is open here.
        if len(data) != count or _version(os.fstat(self._descriptor)) != self._seen:
            raise Changed("the file was written to while it was sent")
        return data

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class Tree:
    """The files below `root`, which may itself be a link: that is the administrator's."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __repr__(self) -> str:
        return f"Tree({self._root})"

    def open(self, name: str) -> FileContent:
        """Return the file `name`, open.

        Raises NotThereError where there is none, ContentError where it is there and cannot be read.
        """
        try:
            parts = parts_of(name)
        except BadName:
            raise NotThereError from None
        try:
            descriptor = self._open(parts)
        except OSError as e:
            if e.errno in _ABSENT:
                raise NotThereError from None
            raise ContentError(f"{name} cannot be read: {e.strerror}") from None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise NotThereError
            return FileContent(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def read(self, name: str, most: int) -> bytes:
        """Return a whole file of at most `most` octets; raises as `open`, and Changed."""
        file = self.open(name)
        try:
            if file.size > most:
                raise ContentError(f"{name} has over {most} octets")
            return file.read(0, file.size)
        except OSError as e:
            raise ContentError(f"{name} cannot be read: {e.strerror}") from None
        finally:
            file.close()

    def _open(self, parts: tuple[str, ...]) -> int:
        *directories, last = parts
        at = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in directories:
                below = os.open(part, _DIRECTORY, dir_fd=at)
                os.close(at)
                at = below
            return os.open(last, _FILE, dir_fd=at)
        finally:
            os.close(at)


def _version(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_mtime_ns, found.st_size, found.st_ino)
