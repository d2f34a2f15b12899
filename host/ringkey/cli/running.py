"""How services run: started in order, said to be ready, stopped by a signal.

All of it is shared by `serve`, `keyserver serve` and `gatekeeper serve`.  A service has
`async start()`, `async stop()`, `ports` (name to number, once started) and, if it likes, a
`status()` for `ringkey status` (what it returns may have to be awaited) and a `reload()` for SIGHUP.
"""

import asyncio
import contextlib
import inspect
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from ringkey import __version__, log
from ringkey.cli import Options
from ringkey.errors import UserError
from ringkey.site import files, process, runtime

_log = log.get("ringkey")


class Service(Protocol):
    """What can be run."""

    ports: dict[str, int]

    async def start(self) -> None:
        """Return when ready; raise UserError, with nothing left running, where it cannot be."""

    async def stop(self) -> None:
        """Stop cleanly."""


def run(options: Options, services: Mapping[str, Callable[[], Service]]) -> None:
    """Run services until SIGTERM or SIGINT; raises UserError where one cannot start.

    services: name ("keyserver", "gatekeeper") to what makes it, in the order of starting.
    """
    process.hide()
    log.configure(options.log_format, options.log_file)
    asyncio.run(_run(options, services))


async def _run(options: Options, services: Mapping[str, Callable[[], Service]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # From the first moment on: what SIGHUP does unasked is to end a process.
    started: dict[str, Service] = {}
    loop.add_signal_handler(signal.SIGHUP, _reload, started)
    run_directory = options.site.run
    files.make_directory(run_directory)
    ports: dict[str, int] = {}
    async with contextlib.AsyncExitStack() as stack:
        for name, make in services.items():
            service = make()
            await service.start()
            started[name] = service
            stack.push_async_callback(_stop, name, service)
            await stack.enter_async_context(_answering(options, name, service))
            # Only now, and before the next one starts: it may want to know this one's ports.
            runtime.write(run_directory, name, service.ports)
            stack.callback(runtime.remove, run_directory, name)
            ports.update(service.ports)
        _log.info("ready", services=list(services), ports=ports, pid=os.getpid(), version=__version__)
        _tell_systemd("READY=1")
        await stop.wait()
        _tell_systemd("STOPPING=1")
        _log.info("stopping")
    _log.info("stopped")


def _reload(services: Mapping[str, Service]) -> None:
    """Let the services take up certificates that were renewed; what cannot be read changes nothing."""
    _tell_systemd(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
    for name, service in services.items():
        reload = getattr(service, "reload", None)
        if callable(reload):
            try:
                reload()
                _log.info("reloaded", service=name)
            except UserError as e:
                _log.error("reload_failed", service=name, reason=e.what, next_step=e.next_step)
    _tell_systemd("READY=1")


def _tell_systemd(state: str) -> None:
    """Tell the service manager, if one asked to be told (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(address)
        s.send(state.encode())


async def _stop(name: str, service: Service) -> None:
    try:
        await service.stop()
    except Exception:
        # The others must stop too; the log says what happened.
        _log.exception("stop_failed", service=name)


@contextlib.asynccontextmanager
async def _answering(options: Options, name: str, service: Service) -> AsyncIterator[None]:
    """Answer whoever connects to `run/NAME.sock` with the service's status, while in the context."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(json.dumps(await _status(service)).encode())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    with runtime.socket_name(options.site.run, name) as path:
        try:
            # The directory is for this user alone, and so is the socket.
            server = await asyncio.start_unix_server(answer, path)
        except OSError as e:
            raise UserError(
                f"cannot open {options.site.run / name}.sock: {e.strerror}", f"ls -la {options.site.run}"
            ) from None
        try:
            yield
        finally:
            server.close()
            with contextlib.suppress(OSError):
                os.unlink(path)


async def _status(service: Service) -> dict[str, object]:
    own = getattr(service, "status", None)
    said = own() if callable(own) else {}
    return {
        "pid": os.getpid(),
        "version": __version__,
        "ports": service.ports,
        "status": await said if inspect.isawaitable(said) else said,
    }
