"""What runs: `run/NAME.json` with a service's process id and ports, and how others ask it.

The file is there from the moment a service is ready until it stops.  Beside it lies the socket
`run/NAME.sock`, which answers every connection with the service's own view of itself as JSON:
whoever answers is alive, which a file left by a killed process is not.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ringkey.site import files

# Octets of an answer: counts and ports, never a list that grows with the site.
MAX_STATUS = 1 << 16
# Seconds; the other end is on this machine and computes nothing.
_TIMEOUT = 2.0


def write(run: Path, name: str, ports: dict[str, int]) -> None:
    """Say that service `name` is ready in this process, with these ports."""
    text = json.dumps({"pid": os.getpid(), "ports": ports}, indent=1) + "\n"
    files.write(run / f"{name}.json", text.encode())


def remove(run: Path, name: str) -> None:
    """Take back what `write` said, unless another process has written since."""
    with contextlib.suppress(OSError):
        if read(run, name).get("pid") == os.getpid():
            (run / f"{name}.json").unlink()


def read(run: Path, name: str) -> dict[str, Any]:
    """Return the runtime file's {"pid", "ports"}, or {} where there is none."""
    try:
        found = json.loads((run / f"{name}.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def ports(run: Path, name: str) -> dict[str, int]:
    """Return the ports of service `name`, or {} where it does not run."""
    found = read(run, name)
    pid, named = found.get("pid"), found.get("ports")
    if not isinstance(pid, int) or not isinstance(named, dict) or not _alive(pid):
        return {}
    return {k: v for k, v in named.items() if isinstance(k, str) and isinstance(v, int)}


def ask(run: Path, name: str) -> dict[str, Any] | None:
    """Return what service `name` says of itself, or None where nobody answers."""
    data = b""
    try:
        with (
            socket_name(run, name) as path,
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s,
        ):
            s.settimeout(_TIMEOUT)
            s.connect(path)
            while len(data) <= MAX_STATUS and (more := s.recv(4096)):
                data += more
        answer = json.loads(data)
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


@contextlib.contextmanager
def socket_name(run: Path, name: str) -> Iterator[str]:
    """Give a name for `run/NAME.sock` that is short enough whatever the length of `run`.

    A Unix socket's name has at most 107 octets; the open directory's name in /proc has 20.
    """
    descriptor = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}.sock"
    finally:
        os.close(descriptor)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it is another user's
    return True
