"""One worker: a whole gatekeeper whose datagrams and orders come from the supervisor.

The supervisor starts it as `python -m ringkey.gatekeeper.workers TALK PHONES STRANGERS PORT`, numbers
of open sockets.
"""

import asyncio
import ctypes
import os
import pickle
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ras.errors import RemoteProtocolError
from ras.policy import Settings
from ras.registrar import Registrar

from ringkey import log
from ringkey.admin import Check, run
from ringkey.errors import UserError
from ringkey.gatekeeper import many, metrics, ras_port
from ringkey.gatekeeper.addresses import Address
from ringkey.gatekeeper.direct import Direct
from ringkey.gatekeeper.directory import Directory
from ringkey.gatekeeper.events import LOGGED_IN
from ringkey.gatekeeper.flow import now
from ringkey.gatekeeper.keys import KeyClient
from ringkey.gatekeeper.lookup_queue import LookupQueue
from ringkey.gatekeeper.lookups import Lookups
from ringkey.gatekeeper.randomness import Randomness
from ringkey.gatekeeper.ras_port import RasPort
from ringkey.gatekeeper.service import GatekeeperService
from ringkey.gatekeeper.workers import layout, merge
from ringkey.gatekeeper.workers.codec import WorkerCodec
from ringkey.gatekeeper.workers.lane import UNSORTED, Inlet
from ringkey.gatekeeper.workers.shards import IDENTIFIER, key_of, marked, shard_of
from ringkey.gatekeeper.workers.shared import Shared
from ringkey.gatekeeper.workers.talk import Line, Talk
from ringkey.site import process
from ringkey.site.config import GatekeeperConfig, Site
from ringkey.site.control import Command
from ringkey.site.keyserver_tables import AdminConfig

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class Part:
    """What a worker is: number `shard` of `shards`; config: the site's, with this worker's file and port;
    parent: the supervisor's process id; form, file: its log, see ringkey.log.
    """

    config: GatekeeperConfig
    site: Site
    shard: int
    shards: int
    parent: int
    form: str
    file: Path | None


def own(config: GatekeeperConfig, shard: int, shards: int) -> GatekeeperConfig:
    """Return a worker's configuration: the site's, less what is the supervisor's; of the rest its part."""

    def after(port: int) -> int:
        return port + shard if port else 0

    return replace(
        config,
        multicast=False,
        signalling_port=after(config.signalling_port),
        advertise_signalling_port=after(config.advertise_signalling_port),
        state=layout.file_of(config.state, shard, shards),
        log_lines=-(-config.log_lines // shards),
    )


class WorkerPort(RasPort):
    """The RAS port as a worker has it: two lanes to hear, the shared socket to answer by."""

    def __init__(self, *parts: Any, service: "WorkerService") -> None:
        super().__init__(*parts)
        self._service = service
        self._look = service.codec.look
        shards = service.part.shards
        # The key server sees no more of N workers than of one process.
        self._queue = LookupQueue(max(1, ras_port.ASKED // shards), share=shards)

    async def start(self, host: str, port: int) -> None:
        """Begin to hear; the supervisor has opened the port."""
        *lanes, sock = self._service.sockets
        self._ear = Inlet(lanes, sock, self._take, self._odd, self._turn_over, self._service.deaf)
        self._flow.sender = many.sender(sock)

    def _odd(self, flag: int, data: bytes, source: Address) -> None:
        codec = self._service.codec
        if flag != UNSORTED:
            codec.set_aside(data)
            self._take(data, source)
            return
        if not self._registrar.settings.noise.ignores(source, now()):
            found = codec.look(data)
            key = None if isinstance(found, RemoteProtocolError) else key_of(found)
            if key is not None:
                self._service.talk.news(handed=[*source, data.hex(), *key])
                return
        self._take(data, source)  # which answers what needs no worker, and counts the rest


class WorkerService(GatekeeperService):
    """The worker `part`.  sockets: its ends of its lanes, and the RAS port."""

    def __init__(self, part: Part, talk: Talk, sockets: tuple[socket.socket, ...]) -> None:
        super().__init__(part.config, part.site)
        self.part = part
        self.talk = talk
        self.sockets = sockets
        self.commands: dict[str, Command] = {}
        self._names: list[str] = []  # of those that the control socket has
        self.codec = WorkerCodec(part.shard, part.shards, talk)
        self._shared = Shared(self._tell_others, self.deaf, self._registered_here)
        self._strays: set[str] = set()
        self._problems: dict[str, Check] = {}
        self._doing: dict[int, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """As a gatekeeper; then tell the supervisor that it may send datagrams."""
        await super().start()
        if self._watch is not None:
            self._watch.cancel()  # the supervisor looks at the certificates, once for all
            self._watch = None
        if self._registrar is not None:
            self._strays = {
                held.identifier
                for held in self._registrar.held()
                if shard_of((IDENTIFIER, held.identifier), self.part.shards) != self.part.shard
            }
        self.talk.say(hello={"ports": self.ports, "strays": list(self._strays), "commands": self._names})
        self._shared.everything()

    async def stop(self) -> None:
        """As a gatekeeper."""
        self._shared.close()
        await super().stop()

    def _registered_here(self) -> int:
        return 0 if self._registrar is None else self._registrar.registered()

    def deaf(self, host: str, seconds: float) -> None:
        """Have the kernel drop an address at the port."""
        self.talk.news(deaf=host, seconds=seconds)

    def take(self, line: Line) -> None:
        """Take a line of the supervisor's."""
        if "do" in line:
            number = line["do"]
            doing = asyncio.get_running_loop().create_task(self._do(number, line["request"]))
            self._doing[number] = doing
            doing.add_done_callback(lambda _: self._doing.pop(number, None))
        elif "never_mind" in line:
            unwanted = self._doing.get(line["never_mind"])
            if unwanted is not None:
                unwanted.cancel()
        elif "sync" in line:
            self._shared.everything()
        else:
            self._shared.told(line, now())

    async def _do(self, number: int, request: dict[str, Any]) -> None:
        try:
            found = self.commands[request["do"]](request)
            answer = found if isinstance(found, dict | bytes) else await found
        except UserError as error:
            self.talk.say(did=number, error=[error.what, error.next_step, error.usage])
        except Exception as error:
            # A bug of ours.  Its text may hold anything, its type does not.
            self._log.error("command_failed", command=request.get("do"), reason=type(error).__name__)
            what = f"a worker could not do it ({type(error).__name__})"
            self.talk.say(did=number, error=[what, None, False])
        else:
            if isinstance(answer, bytes):
                self.talk.hand_over(number, answer)
            else:
                self.talk.say(did=number, of=answer)

    def _tell_others(self, **line: Any) -> None:
        self.talk.news(**line, **{"from": self.part.shard})

    # What a gatekeeper has in another way

    async def _open_control(self, commands: Mapping[str, Command]) -> None:
        self._names = list(commands)
        self.commands = {
            **commands,
            "status": lambda _: self.status(),
            "reload": self._reload,
            "metrics": lambda _: {"metrics": merge.families(self._metrics.registry)},
            "problems": lambda _: {"problems": self._all_problems()},
        }

    def _make_registrar(self, settings: Settings) -> Registrar:
        self._shared.take(settings)
        return Direct(settings, marked(Randomness(), self.part.shard, self.part.shards), self.codec)

    def _make_port(self, registrar: Registrar, lookups: Lookups) -> RasPort:
        return WorkerPort(registrar, lookups, self._event, self._state, self._observed, service=self)

    async def _open_admin(self, admin: AdminConfig, keys: KeyClient, directory: Directory) -> None:
        self._metrics.registry.register(metrics.Outcomes(self._observed))
        self._metrics.add(metrics.read_when_asked(self._config, self._observed, keys, self._sizes))
        self._problems = metrics.checks(self._config, keys, directory)

    def _event(self, event: tuple[Any, ...]) -> None:
        self._witnesses.tell(event)
        if event[0] in ("registered", "ended", LOGGED_IN):
            self._shared.changed()
            gone = event[1] if event[0] == "ended" else event[2]
            if gone is not None and gone.identifier in self._strays:
                self._strays.discard(gone.identifier)
                self.talk.say(gone=gone.identifier)

    def figures(self) -> dict[str, Any]:
        """As of a gatekeeper, with all times: percentiles of several workers are none of percentiles."""
        return {**super().figures(), "times": self._observed.times()}

    def apply_settings(self) -> list[str]:
        """As of a gatekeeper."""
        applied = super().apply_settings()
        if self._settings is not None:
            self._shared.limit(self._settings.most)
        return applied

    def _on_disk(self) -> GatekeeperConfig:
        return own(super()._on_disk(), self.part.shard, self.part.shards)

    def _reload(self, _request: dict[str, Any]) -> dict[str, Any]:
        self.reload()
        return {}

    def _all_problems(self) -> dict[str, str]:
        found = {name: run(check) for name, check in self._problems.items()}
        return {name: wrong for name, wrong in found.items() if wrong is not None}


def die_with(parent: int) -> None:
    """Let the kernel end this process with its parent, where it can; at once where that has gone already."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


async def _run(talk_end: int, *others: int) -> int:
    talk = await Talk.over(socket.socket(fileno=talk_end))
    begin = await talk.hear()
    if begin is None:
        return 1
    part: Part = pickle.loads(bytes.fromhex(begin["begin"]))  # noqa: S301 - the parent's, by a socket of its own
    die_with(part.parent)
    log.configure(part.form, part.file)
    stop = asyncio.Event()
    service = WorkerService(part, talk, tuple(socket.socket(fileno=one) for one in others))
    try:
        await service.start()
    except UserError as error:
        talk.say(cannot=[error.what, error.next_step, error.usage])
        await talk.close()
        return 1

    def take(line: Line) -> None:
        if "stop" in line:
            stop.set()
        else:
            service.take(line)

    listening = asyncio.create_task(talk.listen(take), name="supervisor")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait((listening, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        # The supervisor was killed, and another one may be on its way: leave it the ports and files at once.
        # What was confirmed is on disk.
        os._exit(1)
    await service.stop()
    listening.cancel()
    await talk.close()
    return 0


def main(arguments: list[str]) -> int:
    """Be the worker whose sockets have these numbers; returns the exit status."""
    # They come to all processes of a terminal, or of a unit of systemd's: the supervisor's to act upon.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    process.hide()
    return asyncio.run(_run(*map(int, arguments[:4])))
