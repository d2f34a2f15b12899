"""How this user's commands ask a running gatekeeper to do something: a Unix socket of mode 0600.

`run/gatekeeper-control.sock` takes one line of JSON, {"do": COMMAND, …}, and answers with one
JSON document, {"error": text} where it cannot do it.  (How the gatekeeper is, `run/gatekeeper.sock`
says unasked: `ringkey.site.runtime.ask`.)
"""

import asyncio
import json
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ringkey.errors import UserError
from ringkey.site import runtime

NAME = "gatekeeper-control"
# Octets of one request: a command and an extension.
MAX_REQUEST = 4096
# Octets of one answer: 100,000 registrations of some 200 octets each, and room.
MAX_ANSWER = 64 << 20
# Connections at a time: only this user's own commands connect here.
_MAX_CONNECTIONS = 16
# Seconds for one request: the other end is on this machine.
_TIMEOUT = 10.0

Command = Callable[[dict[str, Any]], dict[str, Any]]


class ControlServer:
    """Serves the socket.  Each command gets the request and returns what is sent as JSON."""

    def __init__(self, run: Path, commands: Mapping[str, Command]) -> None:
        self._run = run
        self._commands = commands
        self._server: asyncio.Server | None = None
        self._busy = asyncio.Semaphore(_MAX_CONNECTIONS)

    async def start(self) -> None:
        """Make the socket; raises UserError where another gatekeeper of this site has it."""
        try:
            listening = _bind(self._run)
        except OSError as error:
            raise UserError(
                f"cannot make the socket {self._run / NAME}.sock: {error.strerror}", f"ls -la {self._run}"
            ) from None
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=MAX_REQUEST)

    async def stop(self) -> None:
        """Take the socket away."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with suppress(FileNotFoundError):
                (self._run / f"{NAME}.sock").unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._busy, asyncio.timeout(_TIMEOUT):
                writer.write(json.dumps(self._obey(await reader.readline())).encode())
                await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # whoever asked has gone, or has sent over MAX_REQUEST octets
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _obey(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            command = self._commands.get(request["do"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return {"error": 'not of the form {"do": COMMAND}'}
        if command is None:
            return {"error": f"there are the commands {', '.join(self._commands)}"}
        try:
            return command(request)
        except UserError as error:
            return {"error": str(error)}


def ask(run: Path, do: str, **arguments: object) -> dict[str, Any] | None:
    """Return a running gatekeeper's answer to a command, None where none runs.

    Raises UserError for what it says it cannot do.
    """
    data = bytearray()
    try:
        with (
            runtime.socket_name(run, NAME) as path,
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
        ):
            connection.settimeout(_TIMEOUT)
            connection.connect(path)
            connection.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
            while len(data) <= MAX_ANSWER and (more := connection.recv(65_536)):
                data += more
        answer = json.loads(data)
    except (OSError, ValueError):
        return None
    if not isinstance(answer, dict):
        return None
    if "error" in answer:
        raise UserError(f"the gatekeeper refuses: {answer['error']}")
    return answer


def _bind(run: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Before bind: the name in the file system has this mode from its first moment on (Linux).
        os.fchmod(listening.fileno(), 0o600)
        with runtime.socket_name(run, NAME) as path:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                try:
                    probe.connect(path)
                except OSError:
                    with suppress(FileNotFoundError):
                        Path(path).unlink()  # left by one that was killed
                else:
                    raise UserError(
                        "a gatekeeper of this site is running already", f"ringkey --site {run.parent} status"
                    )
            listening.bind(path)
    except BaseException:
        listening.close()
        raise
    return listening
