"""The store of the unix board: a file per slot in the state directory (slots of phone/store.py).

A write goes to a new file, is flushed (which is fsync() in MicroPython's unix port), and
renamed over the old one; then the directory is flushed too.  So a slot holds the old octets
or the new ones, whatever happens.

MicroPython has neither chmod() nor umask(): what keeps others from the keys is the
directory, which must be 0700.  It is made so, and refused otherwise.  The launcher should
set umask 077 besides.
"""

import os
from builtins import open as _open_file

from phone.board import BoardError

_NAMES = ("slot0", "slot1", "provisioned")
_NEW = "new"
_OTHERS = 0o077  # rights of group and others
_DIRECTORY = 0x4000  # of st_mode
_ENOENT = 2


def open(params: dict) -> "FileSlots":  # noqa: A001  (every driver's entry is called open)
    """Return the slots in the directory `params["settings"]["state"]`; raises BoardError."""
    directory = params["settings"]["state"]
    try:
        mode = os.stat(directory)[0]
    except OSError:
        _make(directory)
        mode = os.stat(directory)[0]
    if not mode & _DIRECTORY:
        raise BoardError("%s is no directory" % directory)
    if mode & _OTHERS:
        raise BoardError("others may read %s, where keys are kept: chmod 700 %s" % (directory, directory))
    return FileSlots(directory)


def _make(directory: str) -> None:
    quoted = "'" + directory.replace("'", "'\\''") + "'"
    # os.mkdir() would take 0777 less the umask.
    if "\0" in directory or os.system("mkdir -p -m 700 -- " + quoted):
        raise BoardError("cannot make the directory " + directory)


class FileSlots:
    """Slots 0 and 1, and the marker; read, write and erase raise OSError."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def read(self, i: int) -> "bytes | None":
        """Return what is in slot i, or None."""
        try:
            with _open_file(self._path(_NAMES[i]), "rb") as file:
                return file.read()
        except OSError as error:
            if error.errno == _ENOENT:
                return None
            raise

    def write(self, i: int, data: bytes) -> None:
        """Put `data` into slot i, wholly and durably."""
        new = self._path(_NEW)
        with _open_file(new, "wb") as file:
            if file.write(data) != len(data):
                raise OSError(28)  # ENOSPC: the disk took a part
            file.flush()
        os.rename(new, self._path(_NAMES[i]))
        self._flush_directory()

    def erase(self, i: int) -> None:
        """Empty slot i, durably, and whatever a cut-off write has left behind."""
        for name in (_NEW, _NAMES[i]):
            try:
                os.remove(self._path(name))
            except OSError as error:
                if error.errno != _ENOENT:
                    raise
        self._flush_directory()

    def _path(self, name: str) -> str:
        return self._directory + "/" + name

    def _flush_directory(self) -> None:
        with _open_file(self._directory, "rb") as directory:
            directory.flush()
