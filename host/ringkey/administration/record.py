"""`admin/audit.jsonl`: who changed what, in lines chained as the key server's are (keyserver/trail.py).

    {"n", "t", "what": "asked" | "done" | "failed" | "refused" | …, "author", "role", "way", "source",
     "action", "values": {…}, "reason", "of", "prev", "hash"}

An action is "asked" before it is carried out, so that none can happen that nobody finds here; its "done" or
"failed" names that line in `of`.  Commands and the console write the same file, one after the other.
"""

import asyncio
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ringkey import log
from ringkey.administration.roles import Author
from ringkey.administration.values import cut
from ringkey.errors import UserError
from ringkey.keyserver.trail import MAX_LINE, Line, Trail, TrailError
from ringkey.site import files

FILE = "audit.jsonl"
# Lines a second about refusals: whoever knocks without a session shall not fill the disk.
MAX_REFUSALS = 20
# Octets of an entry before it is chained: what is over loses its values, and says so.
_MAX_ENTRY = MAX_LINE - 512

_log = log.get("ringkey.administration")


class Unrecorded(UserError):
    """It could not be put on record, and so was not done."""


class Record:
    """The administration's record in `directory`; each write opens it, so that others may write as well."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE
        self._directory = directory
        self._ours = threading.Lock()
        self._second, self._refusals, self._left_out = 0, 0, 0

    async def write(self, author: Author, what: str, /, **fields: object) -> int:
        """Put a line on record, with its author; returns its number.  Raises Unrecorded."""
        return await asyncio.to_thread(lambda: self.put(author, what, **fields))

    def put(self, author: Author, what: str, /, **fields: object) -> int:
        """Do as `write` does, at once."""
        entry: Line = {
            "what": what,
            "author": cut(author.name),
            "role": author.role.title,
            "way": author.way,
            "source": cut(author.source),
            **{name: value for name, value in fields.items() if value is not None},
        }
        return self._write(entry)

    async def refused(self, author: Author, action: str, reason: str, /, **fields: object) -> None:
        """Note what was refused, as long as there are not too many a second; a failure is only logged."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._refusals = second, 0
        self._refusals += 1
        if self._refusals > MAX_REFUSALS:
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        more = {"left_out": left_out} if left_out else {}
        try:
            await self.write(author, "refused", action=cut(action), reason=cut(reason), **more, **fields)
        except Unrecorded as error:
            _log.error("refusal_not_on_record", reason=error.what)

    def _write(self, entry: Line) -> int:
        if len(json.dumps(entry)) > _MAX_ENTRY:
            entry = {**entry, "values": "too long for the record"}
        try:
            with self._ours, self._locked():
                trail = Trail(self.path)
                try:
                    trail.open()
                    prepared = trail.prepare([entry], time.time())
                    trail.write(prepared)
                    return trail.n
                finally:
                    trail.close()
        except OSError as error:
            raise Unrecorded(
                f"nothing was changed: {self.path} cannot be written: {error.strerror}",
                f"df -h {self._directory}",
            ) from None
        except TrailError as error:
            raise Unrecorded(f"nothing was changed: {error.what}", f"ls -la {self._directory}") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        files.make_directory(self._directory)
        descriptor = os.open(
            self._directory / "audit.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.SECRET
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def shown(line: Line) -> dict[str, Any]:
    """Return a line without what chains it."""
    return {name: value for name, value in line.items() if name not in ("prev", "hash")}
