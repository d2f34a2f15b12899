"""The supervisor's side of one worker: its process, started again when it dies, its lanes, its line."""

import asyncio
import os
import pickle
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ringkey import log
from ringkey.errors import UserError
from ringkey.gatekeeper.workers.lane import FULL_OF_STRANGERS, Lane
from ringkey.gatekeeper.workers.talk import Line, Talk
from ringkey.gatekeeper.workers.worker import Part
from ringkey.site.control import Answer

# Seconds before a worker is started again that has not lived for LIVED: the first time, and at most.
PAUSE_FIRST = 0.5
PAUSE_LAST = 10.0
LIVED = 10.0
# Seconds for a worker to begin (it reads its state), to answer a command (control.py's own limit), and to
# write its state and end.
BEGIN = 120.0
ANSWER = 9.0
END = 15.0
_MODULE = "ringkey.gatekeeper.workers"

Take = Callable[["Child", Line], None]


class Child:
    """One worker.  on_line: told of each line that is no answer; on_there: told when it is there (again).

    ports: its own, of the first time on; starts: how often it was started; commands: what it can be asked.
    """

    def __init__(
        self, part: Part, port: socket.socket, on_line: Take, on_there: Callable[["Child"], None]
    ) -> None:
        self.part = part
        self._phones, self._strangers = Lane(), Lane(FULL_OF_STRANGERS)
        self.ports: dict[str, int] = {}
        self.commands: list[str] = []
        self.strays: list[str] = []
        self.starts = 0
        self._port = port
        self._on_line = on_line
        self._on_there = on_there
        self._log = log.get("ringkey.gatekeeper.workers")
        self._talk: Talk | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._there: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        self._life: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """Its process id, None while it is away."""
        return None if self._process is None else self._process.pid

    @property
    def there(self) -> bool:
        """Whether it has begun, and not died since."""
        return self._there.done() and not self._there.cancelled() and self._there.exception() is None

    @property
    def lanes(self) -> tuple[Lane, Lane]:
        """The ways for phones' datagrams and for strangers'."""
        return self._phones, self._strangers

    def lane(self, *, phone: bool) -> Lane:
        """Return the way for a datagram; phone: it comes from where a phone is."""
        return self._phones if phone else self._strangers

    async def start(self) -> None:
        """Return when it hears datagrams; raises the UserError that it could not start with."""
        self._life = asyncio.create_task(self._live(), name=f"worker {self.part.shard}")
        try:
            async with asyncio.timeout(BEGIN):
                await asyncio.shield(self._there)
        except TimeoutError:
            raise UserError(
                f"worker {self.part.shard} of the gatekeeper did not begin within {BEGIN:.0f} s"
            ) from None

    async def stop(self) -> None:
        """Let it write its state and end; kill it where it does not."""
        self._stopping = True
        process = self._process
        if process is not None:
            self.say(stop=True)
            try:
                async with asyncio.timeout(END):
                    await process.wait()
            except TimeoutError:
                self._log.error("worker_killed", worker=self.part.shard, pid=process.pid)
                with suppress(ProcessLookupError):
                    process.kill()
        if self._life is not None:
            if self._process is None:
                self._life.cancel()  # it waits to start it again
            await asyncio.wait([self._life])
        for lane in self.lanes:
            lane.close()

    def say(self, **line: Any) -> None:
        """Send a line, where it is there."""
        if self._talk is not None:
            self._talk.say(**line)

    def news(self, line: Line) -> None:
        """Send a line that may be lost where it hangs."""
        if self._talk is not None:
            self._talk.news(**line)

    async def ask(self, request: dict[str, Any]) -> Answer:
        """Return its answer to a command; raises UserError for what it says, and where it is away.

        Whoever no longer wants it cancels.
        """
        away = UserError(f"worker {self.part.shard} of the gatekeeper is away", "ringkey status")
        if self._talk is None or not self.there:
            raise away
        self._number += 1
        number = self._number
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._talk.say(do=number, request=request)
        try:
            async with asyncio.timeout(ANSWER):
                line = await answer
        except (TimeoutError, ConnectionError):
            raise away from None
        except asyncio.CancelledError:
            self.say(never_mind=number)
            raise
        finally:
            self._asked.pop(number, None)
        if "error" in line:
            what, next_step, usage = line["error"]
            raise UserError(what, next_step, usage=usage)
        found: Answer = line["of"]
        return found

    async def _live(self) -> None:
        """Run it, again and again."""
        pause = PAUSE_FIRST
        while True:
            began = time.monotonic()
            status = await self._once()
            if self._stopping or (self.starts == 1 and not self.there):
                break  # a first start that fails is the supervisor's to tell
            self._there = asyncio.get_running_loop().create_future()
            self._log.error("worker_died", worker=self.part.shard, status=status)
            if time.monotonic() - began < LIVED:
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSE_LAST)
            else:
                pause = PAUSE_FIRST

    async def _once(self) -> int:
        """Run it once; return its exit status."""
        self.starts += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            sockets = [one.fileno() for one in (theirs, *(lane.end for lane in self.lanes), self._port)]
            try:
                self._process = process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *(f"-W{option}" for option in sys.warnoptions),
                    *("-m", _MODULE),
                    *map(str, sockets),
                    f"worker-{self.part.shard}-of-{self.part.shards}",  # for people who look at processes
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=sockets,
                )
            except OSError as error:
                ours.close()
                self._fail(UserError(f"cannot start a worker of the gatekeeper: {error.strerror}"))
                return -1
        self._talk = talk = await Talk.over(ours)
        config = self.part.config
        if "signalling" in self.ports:
            # Phones that are registered open their channels there.
            config = replace(config, signalling_port=self.ports["signalling"])
        part = replace(self.part, config=config, parent=os.getpid())
        talk.say(begin=pickle.dumps(part).hex())
        await talk.listen(self._take)
        status = await process.wait()
        self._process = self._talk = None
        await talk.close()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ConnectionError())
        self._fail(
            UserError(
                f"worker {self.part.shard} of the gatekeeper has ended before it began (status {status})"
            )
        )
        return status

    def _fail(self, error: UserError) -> None:
        """Say why it is not there, to whoever waits for it."""
        if not self._there.done():
            self._there.set_exception(error)
            self._there.exception()  # nobody has to

    def _take(self, line: Line) -> None:
        if "did" in line:
            answer = self._asked.get(line["did"])
            if answer is not None and not answer.done():
                answer.set_result(line)
        elif "hello" in line:
            hello = line["hello"]
            self.ports, self.commands, self.strays = hello["ports"], hello["commands"], hello["strays"]
            if not self._there.done():
                self._there.set_result(None)
            self._log.info("worker_ready", worker=self.part.shard, pid=self.pid, ports=self.ports)
            self._on_there(self)
        elif "cannot" in line:
            what, next_step, usage = line["cannot"]
            self._fail(UserError(what, next_step, usage=usage))
        else:
            self._on_line(self, line)
