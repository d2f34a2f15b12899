"""Files that gatekeepers write: each in a directory of its own, whole or not at all, within limits.

    GET  /files/            what there is, and how much more may be written
    GET  /files/NAME        one file, in ranges too
    PUT  /files/NAME        write it, new (201) or over the old one (204); If-Match, If-None-Match: *
    DELETE /files/NAME

A name is a single part (names.py).  What arrives goes to a temporary file and takes its name when
all of it is there and on the disk.
"""

import asyncio
import contextlib
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from ringkey import log
from ringkey.errors import UserError
from ringkey.keyserver.tree import FileContent, NotThereError, Tree
from ringkey.site import files
from ringkey.site.keyserver_tables import UploadsConfig

# Seconds that a gatekeeper may take for one file: 16 MiB at 280 KiB/s, on the site's own network.
UPLOAD = 60.0
# Uploads under way for one gatekeeper, of which each has a temporary file.
MAX_AT_A_TIME = 2
_TEMPORARY = ".upload."

_log = log.get("ringkey.keyserver.uploads")


class UploadError(Exception):
    """Why a file was not written: HTTP status, code and a text for the gatekeeper."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Stored:
    """One file: octets, and seconds from 1970 when it was written."""

    name: str
    size: int
    modified: float


class Uploads:
    """The files of all gatekeepers below `config.directory`.

    All methods take the gatekeeper's name, which is a single part as its certificate's is.
    """

    def __init__(self, config: UploadsConfig, directory: Path) -> None:
        self._config = config
        self._directory = directory
        # Octets that uploads under way may still come to: two at once shall not both have the rest.
        self._promised: Counter[str] = Counter()
        self._under_way: Counter[str] = Counter()
        files.make_directory(directory)
        self._sweep()

    def stored(self, gatekeeper: str) -> list[Stored]:
        """Return a gatekeeper's files, by name."""
        found = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self._directory / gatekeeper) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                    about = entry.stat(follow_symlinks=False)
                    found.append(Stored(entry.name, about.st_size, about.st_mtime))
        return sorted(found, key=lambda one: one.name)

    def limits(self) -> dict[str, int]:
        """Return the limits that hold for each gatekeeper."""
        config = self._config
        return {"max_file": config.max_file, "max_files": config.max_files, "max_total": config.max_total}

    def open(self, gatekeeper: str, name: str) -> FileContent:
        """Return one file, open; raises NotThereError, ContentError."""
        return Tree(self._directory / gatekeeper).open(name)

    def delete(self, gatekeeper: str, name: str) -> None:
        """Remove one file, durably; raises NotThereError, OSError."""
        directory = self._directory / gatekeeper
        try:
            (directory / name).unlink()
        except (FileNotFoundError, IsADirectoryError):
            raise NotThereError from None
        files.sync_directory(directory)

    async def write(
        self, gatekeeper: str, name: str, length: int | None, body: AsyncIterator[bytes], *, only_new: bool
    ) -> bool:
        """Write one file and tell whether it is new.

        length: octets as the request says, None where it does not.  Raises UploadError, OSError;
        then nothing has changed.
        """
        with self._room(gatekeeper, name, length, only_new=only_new) as room:
            directory = self._directory / gatekeeper
            files.make_directory(directory)
            temporary = directory / f"{_TEMPORARY}{secrets.token_hex(8)}"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, files.SECRET)
            try:
                try:
                    async with asyncio.timeout(UPLOAD):
                        await _receive(descriptor, body, room)
                except TimeoutError:
                    raise UploadError(
                        408, "too-slow", f"the file was not here after {UPLOAD:.0f} s"
                    ) from None
                finally:
                    os.close(descriptor)
                new = not (directory / name).exists()
                if only_new and not new:
                    raise UploadError(412, "exists", f"{name} is there already")
                temporary.replace(directory / name)
            except BaseException:
                with contextlib.suppress(OSError):
                    temporary.unlink()
                raise
            await asyncio.to_thread(files.sync_directory, directory)
        return new

    @contextlib.contextmanager
    def _room(self, gatekeeper: str, name: str, length: int | None, *, only_new: bool) -> Iterator[int]:
        """Set octets aside for one upload; gives how many it may have.  Raises UploadError."""
        config = self._config
        if length is not None and length > config.max_file:
            raise UploadError(
                413, "too-large", f"{length} octets; a file may have {config.max_file} (max_file)"
            )
        if self._under_way[gatekeeper] >= MAX_AT_A_TIME:
            raise UploadError(429, "too-many", f"{MAX_AT_A_TIME} uploads at a time; try again")
        stored = {one.name: one.size for one in self.stored(gatekeeper)}
        if only_new and name in stored:
            raise UploadError(412, "exists", f"{name} is there already")
        if name not in stored and len(stored) + self._under_way[gatekeeper] >= config.max_files:
            raise UploadError(
                507, "too-many-files", f"{len(stored)} files are there, of {config.max_files} (max_files)"
            )
        # The old one of that name stays until the new one is whole: both are on the disk for a while.
        used = sum(stored.values()) - stored.get(name, 0) + self._promised[gatekeeper]
        left = config.max_total - used
        room = min(config.max_file, left if length is None else min(left, length))
        if left <= 0 or (length is not None and length > left):
            raise UploadError(
                507,
                "quota",
                f"{used} octets are there or on their way, of {config.max_total} (max_total); "
                f"{max(0, left)} are left",
            )
        self._promised[gatekeeper] += room
        self._under_way[gatekeeper] += 1
        try:
            yield room
        finally:
            self._promised[gatekeeper] -= room
            self._under_way[gatekeeper] -= 1

    def _sweep(self) -> None:
        """Remove what uploads have left that a crash cut off."""
        for path in self._directory.glob(f"*/{_TEMPORARY}*"):
            with contextlib.suppress(OSError):
                path.unlink()
                _log.info("upload_left_over", file=str(path))


def open_uploads(config: UploadsConfig) -> Uploads | None:
    """Return a site's Uploads, None where it has none; raises UserError."""
    if config.directory is None:
        return None
    try:
        return Uploads(config, config.directory)
    except OSError as e:
        raise UserError(
            f"cannot make {config.directory} for uploads: {e.strerror}", f"ls -ld {config.directory.parent}"
        ) from None


async def _receive(descriptor: int, body: AsyncIterator[bytes], room: int) -> None:
    got = 0
    async for piece in body:
        got += len(piece)
        if got > room:
            raise UploadError(413, "too-large", f"over {room} octets; that is all that is left or allowed")
        # In a thread: the disk may take its time, other requests need not.
        await asyncio.to_thread(_write_all, descriptor, piece)
    await asyncio.to_thread(os.fsync, descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
