"""The databases of the services, open for reading: one thread has them, and keeps them open.

To open one takes ten times as long as to ask it, and a page of the console asks while somebody types.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ringkey.site.config import Config

if TYPE_CHECKING:
    import sqlalchemy as sa

    from ringkey.gatekeeper.directory import Directory, Entry

_T = TypeVar("_T")
# Seconds that a read waits for a process that writes.
PATIENCE = 5.0


class Readers:
    """Opens what is asked for at its first use; `close` ends the thread."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        # Of the thread:
        # (what file it is, one that was brought back from a copy being another; the open file)
        self._directory: tuple[tuple[Path, Path, int], Directory] | None = None
        self._register: tuple[tuple[Path, int], sa.Engine] | None = None
        self._entries: tuple[int, tuple[Entry, ...]] | None = None

    async def directory(self, config: Config, work: "Callable[[Directory], _T]") -> _T:
        """Return what `work` reads from the directory of extensions; raises UserError."""
        found = config.need_gatekeeper()
        return await self._run(lambda: work(self._open_directory(found.directory, found.pin_key)))

    async def entries(self, config: Config) -> "tuple[Entry, ...]":
        """Return all extensions; read anew only where the directory has changed."""

        def read(directory: "Directory") -> "tuple[Entry, ...]":
            version = directory.version()
            if self._entries is None or self._entries[0] != version:
                self._entries = version, directory.list()
            return self._entries[1]

        return await self.directory(config, read)

    async def register(self, config: Config, work: "Callable[[sa.Connection], _T]", empty: _T) -> _T:
        """Return what `work` reads from the key server's register, `empty` where there is none here.

        Raises UserError.
        """
        if config.keyserver is None:
            return empty
        path = config.keyserver.register
        return await self._run(lambda: self._ask_register(path, work, empty))

    def close(self) -> None:
        """Close what is open; safe to call twice."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.submit(self._close).result()
            pool.shutdown()

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "readers")
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    # -- in the thread

    def _open_directory(self, path: Path, key: Path) -> "Directory":
        from ringkey.gatekeeper.directory import Directory

        which = (path, key, _inode(path))
        if self._directory is not None and self._directory[0] != which:
            self._directory[1].close()
            self._directory = self._entries = None
        if self._directory is None:
            directory = Directory.open(path, key, PATIENCE)  # which makes it where it is not there
            self._directory = (path, key, _inode(path)), directory
        return self._directory[1]

    def _ask_register(self, path: Path, work: "Callable[[sa.Connection], _T]", empty: _T) -> _T:
        from ringkey.database import translated
        from ringkey.keyserver import register

        if self._register is not None and self._register[0] != (path, _inode(path)):
            self._register[1].dispose()
            self._register = None
        if self._register is None:
            if not path.exists():
                return empty
            self._register = (path, _inode(path)), register.open_to_read(path, PATIENCE)
        with translated(register.KIND, path), self._register[1].connect() as connection:
            return work(connection)

    def _close(self) -> None:
        if self._directory is not None:
            self._directory[1].close()
        if self._register is not None:
            self._register[1].dispose()
        self._directory = self._register = self._entries = None


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0
