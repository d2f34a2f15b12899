"""How this user's commands ask a running service to do something: a Unix socket of mode 0600.

`run/NAME-control.sock` takes one line of JSON, {"do": COMMAND, …}, and answers with one JSON
document, {"error": text} where it cannot do it.  (How the service is, `run/NAME.sock` says unasked:
`ringkey.site.runtime.ask`.)
"""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ringkey.errors import UserError
from ringkey.site import runtime

# Octets of one request: a command and its arguments, of which a reason for people is the longest.
MAX_REQUEST = 4096
# Octets of one answer: 100,000 registrations of some 200 octets each, and room.
MAX_ANSWER = 64 << 20
# Connections at a time: only this user's own commands connect here.
_MAX_CONNECTIONS = 16
# Seconds for one request: the other end is on this machine.
_TIMEOUT = 10.0
_CONTROL = "-control"

Answer = dict[str, Any] | bytes
"""What is sent as JSON, or the JSON itself."""
Command = Callable[[dict[str, Any]], Answer | Awaitable[Answer]]


class ControlServer:
    """Serves the socket of service `name`.

    Each command gets the request, and returns (now, or when awaited) what is sent as JSON.
    """

    def __init__(self, run: Path, name: str, commands: Mapping[str, Command]) -> None:
        self._run = run
        self._name = name
        self._commands = commands
        self._server: asyncio.Server | None = None
        self._busy = asyncio.Semaphore(_MAX_CONNECTIONS)

    async def start(self) -> None:
        """Make the socket; raises UserError where another such service of this site has it."""
        try:
            listening = _bind(self._run, self._name)
        except OSError as error:
            raise UserError(
                f"cannot make the socket {self._run / _socket(self._name)}: {error.strerror}",
                f"ls -la {self._run}",
            ) from None
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=MAX_REQUEST)

    async def stop(self) -> None:
        """Take the socket away."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with suppress(FileNotFoundError):
                (self._run / _socket(self._name)).unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._busy, asyncio.timeout(_TIMEOUT):
                answer = await self._obey(await reader.readline())
                writer.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())
                await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # whoever asked has gone, or has sent over MAX_REQUEST octets
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _obey(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
            command = self._commands.get(request["do"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return {"error": 'not of the form {"do": COMMAND}'}
        if command is None:
            return {"error": f"there are the commands {', '.join(self._commands)}"}
        try:
            answer = command(request)
            return answer if isinstance(answer, dict | bytes) else await answer
        except UserError as error:
            return {"error": error.what, "next_step": error.next_step, "usage": error.usage}


def ask(run: Path, name: str, do: str, **arguments: object) -> dict[str, Any] | None:
    """Return the running service's answer to a command, None where it does not run.

    Raises UserError for what it says it cannot do.
    """
    data = bytearray()
    try:
        with (
            runtime.socket_name(run, name + _CONTROL) as path,
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
    return _answered(name, answer)


async def inquire(run: Path, name: str, do: str, **arguments: object) -> dict[str, Any] | None:
    """Do as `ask` does, without holding up the event loop."""
    request = json.dumps({"do": do, **arguments}).encode() + b"\n"
    if len(request) > MAX_REQUEST:
        raise UserError(f"what the {name} is asked is over {MAX_REQUEST} octets long")
    try:
        async with asyncio.timeout(_TIMEOUT):
            with runtime.socket_name(run, name + _CONTROL) as path:
                reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(request)
                await writer.drain()
                data = bytearray()
                while len(data) <= MAX_ANSWER and (more := await reader.read(65_536)):
                    data += more
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        answer = json.loads(data)
    except (OSError, ValueError):
        return None
    return _answered(name, answer)


def _answered(name: str, answer: object) -> dict[str, Any] | None:
    if not isinstance(answer, dict):
        return None
    if "error" in answer:
        raise UserError(
            f"the {name} refuses: {answer['error']}",
            answer.get("next_step"),
            usage=bool(answer.get("usage")),
        )
    return answer


def _socket(name: str) -> str:
    return f"{name}{_CONTROL}.sock"


def _bind(run: Path, name: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Before bind: the name in the file system has this mode from its first moment on (Linux).
        os.fchmod(listening.fileno(), 0o600)
        with runtime.socket_name(run, name + _CONTROL) as path:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                try:
                    probe.connect(path)
                except OSError:
                    with suppress(FileNotFoundError):
                        Path(path).unlink()  # left by one that was killed
                else:
                    raise UserError(
                        f"a {name} of this site is running already", f"ringkey --site {run.parent} status"
                    )
            listening.bind(path)
    except BaseException:
        listening.close()
        raise
    return listening
