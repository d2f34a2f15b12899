"""What supervisor and worker tell each other: lines of JSON over a Unix socket, both ways.

Octets are hex in them.  The two are the same program of the same version, one the child of the other.
"""

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ringkey.site.control import MAX_ANSWER

# Octets that the other end has not read yet, beyond which news are not told: it hangs, or has gone.
# Answers and orders are few, and always go.
MAX_UNREAD = 4 << 20
# The first octet of an answer that stays as it is; other lines begin with a brace.
_WHOLE = ord("=")
Line = dict[str, Any]


class Talk:
    """One end; `listen` until the other end is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.untold = 0

    @classmethod
    async def over(cls, sock: socket.socket) -> "Talk":
        """Return the end that is `sock`, which it then owns."""
        # The longest line is an answer for the control socket: all registrations.
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=MAX_ANSWER)
        return cls(reader, writer)

    def say(self, **line: Any) -> None:
        """Send a line."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps(line).encode() + b"\n")

    def news(self, **line: Any) -> None:
        """Send a line that may be lost where the other end reads nothing."""
        if self._writer.transport.get_write_buffer_size() > MAX_UNREAD:
            self.untold += 1
        else:
            self.say(**line)

    def hand_over(self, number: int, answer: bytes) -> None:
        """Send the answer to question `number`, JSON on one line, which neither end takes apart."""
        if not self._writer.is_closing():
            self._writer.write(b"%c%d %b\n" % (_WHOLE, number, answer))

    async def hear(self) -> Line | None:
        """Return the next line, None at the end."""
        try:
            octets = await self._reader.readline()
        except (OSError, ValueError):
            return None
        if not octets.endswith(b"\n"):
            return None  # cut off: the other end was killed
        if octets[0] == _WHOLE:
            number, _, answer = octets[1:-1].partition(b" ")
            return {"did": int(number), "of": answer}
        found: Line = json.loads(octets)
        return found

    async def listen(self, take: Callable[[Line], None]) -> None:
        """Give each line to `take`, until the other end is gone."""
        while (line := await self.hear()) is not None:
            take(line)

    async def close(self) -> None:
        """Close this end."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
