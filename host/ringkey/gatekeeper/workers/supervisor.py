"""A gatekeeper of several workers, as one service: owns the port, hands on what comes, tells one view."""

import asyncio
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ringkey import log
from ringkey.admin import Admin, Check
from ringkey.errors import UserError
from ringkey.figures import Figures
from ringkey.gatekeeper import metrics, steering
from ringkey.gatekeeper.addresses import Address
from ringkey.gatekeeper.client_tls import client_tls
from ringkey.gatekeeper.ear import Ear
from ringkey.gatekeeper.ras_port import group_port, udp_port
from ringkey.gatekeeper.workers import layout, merge
from ringkey.gatekeeper.workers.child import Child
from ringkey.gatekeeper.workers.finder import Finder
from ringkey.gatekeeper.workers.lane import SORTED, UNSHAPED, UNSORTED, pack
from ringkey.gatekeeper.workers.shards import EXT
from ringkey.gatekeeper.workers.talk import Line
from ringkey.gatekeeper.workers.worker import Part, own
from ringkey.site import certificates
from ringkey.site.config import GatekeeperConfig, Site
from ringkey.site.control import Answer, Command, ControlServer
from ringkey.site.keyserver_tables import AdminConfig

# What /readyz tells of: a worker's checks (metrics.checks), by name.
_CHECKS = ("key_server", "directory", "certificate")
# Seconds in which no strangers are read, once a lane has no more room for them: what would only be dropped
# is dropped by the kernel, which takes a tenth of the time.
REST = 0.005


class WorkersService:
    """`start()` and `stop()` it; `ports` then has what a GatekeeperService's has.

    shards: how many workers, 2 or more; form, file: where they log to, as ringkey.log takes it.
    """

    def __init__(
        self, config: GatekeeperConfig, site: Site, shards: int, form: str = "text", file: Path | None = None
    ) -> None:
        self.ports: dict[str, int] = {}
        self._config = config
        self._site = site
        self._shards = shards
        self._form = form
        self._file = file
        self._log = log.get("ringkey.gatekeeper.workers")
        self._finder = Finder(shards)
        self._control: ControlServer | None = None
        self._ears: list[Ear] = []
        self._steering: steering.Steering | None = None
        self._children: list[Child] = []
        self._commands: dict[str, Command] = {}
        self._admin: Admin | None = None
        self._metrics = merge.MergedMetrics()
        self._problems: dict[str, str] = {}
        self._watch: asyncio.Task[None] | None = None
        self._began = time.monotonic()
        self._received = 0
        self._odd = 0
        self._known_dropped = 0
        self._doing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open the port and start the workers; raises UserError, and then nothing is left running."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End all workers, then close the port; safe at any time, and twice."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._admin is not None:
            await self._admin.stop()
            self._admin = None
        if self._control is not None:
            await self._control.stop()
            self._control = None
        # Nothing more is heard, but the workers may still answer.
        if self._steering is not None:
            self._steering.close()
        ears, self._ears = self._ears, []
        for ear in ears:
            ear.close()
        children, self._children = self._children, []
        if children:
            await asyncio.gather(*(child.stop() for child in children))
        self.ports = {}

    async def status(self) -> dict[str, Any]:
        """Return what `ringkey status` shows; no secret is in it."""
        answers = await self._ask_there("status")
        there = sum(child.there for child in self._children)
        found = merge.statuses(answers) if answers else {}
        found["workers"] = f"{there} of {self._shards}"
        found["datagrams"] = self._received
        found["sources_ignored"] = self._ears[0].ignored if self._ears else 0
        found["lanes_dropped"] = self._dropped()
        return found

    def reload(self) -> None:
        """Let all show the certificate that is on disk now to key servers.

        Raises UserError where it cannot be used, and then nothing has changed.
        """
        config = self._config
        with suppress(OSError):
            certificates.finish(config.certificate, config.private_key)
        client_tls(config.key_server_ca, config.certificate, config.private_key)
        task = asyncio.get_running_loop().create_task(self._reload(), name="reload")
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)
        certificates.warn((config.certificate,), config.key_server_ca, self._log)

    async def _reload(self) -> None:
        for child in self._children:
            try:
                await child.ask({"do": "reload"})
            except UserError as error:
                self._log.error("reload_failed", worker=child.part.shard, reason=error.what)

    async def _start(self) -> None:
        config = self._config
        # First: it finds out whether another gatekeeper of this site runs.  Its commands are the workers'.
        self._control = ControlServer(self._site.run, "gatekeeper", self._commands)
        await self._control.start()
        with suppress(OSError):
            certificates.finish(config.certificate, config.private_key)
        await asyncio.get_running_loop().run_in_executor(None, layout.settle, config, self._shards)
        port = udp_port(config.listen, config.port)
        self._steering = steering.Steering(port)
        strangers = [] if self._steering.strangers is None else [self._steering.strangers]
        self._children = [
            Child(self._part(shard), port, self._take, self._there) for shard in range(self._shards)
        ]
        try:
            await asyncio.gather(*(child.start() for child in self._children))
        except BaseException:
            for sock in (port, *strangers):
                sock.close()
            raise
        for name in self._children[0].commands:
            self._commands[name] = partial(self._do, name)
        group = group_port(config.listen) if config.multicast else None
        if group is not None:
            strangers.append(group)
        # The phones' first.
        self._ears = [
            Ear(sock, partial(self._datagram, phone=phone), partial(self._flush, phone=phone))
            for phone, sock in ((True, port), *((False, one) for one in strangers))
        ]
        self.ports = {"ras": self._ears[0].address[1], "signalling": self._children[0].ports["signalling"]}
        if config.admin is not None:
            await self._open_admin(config.admin)
        self._watch = asyncio.create_task(
            certificates.watch((config.certificate,), config.key_server_ca, self._log), name="certificates"
        )
        self._log.info("gatekeeper_workers", workers=[child.pid for child in self._children])

    def _part(self, shard: int) -> Part:
        """Return what worker `shard` is: the site's configuration, less what is the supervisor's."""
        mine = own(self._config, shard, self._shards)
        return Part(mine, self._site, shard, self._shards, 0, self._form, self._file)

    # Datagrams

    def _datagram(self, data: bytes, source: Address, *, phone: bool) -> None:
        self._received += 1
        shard, flag = self._finder.find(data), SORTED
        if shard is None:
            self._odd += 1
            shard, flag = self._finder.by_source(source[0]), UNSORTED
        self._children[shard].lane(phone=phone).put(pack(flag, source, data))

    def _flush(self, *, phone: bool) -> None:
        for child in self._children:
            child.lane(phone=phone).flush()
        if not phone and (dropped := self._dropped()) > self._known_dropped:
            self._known_dropped = dropped
            for ear in self._ears[1:]:
                ear.rest(REST)

    def _dropped(self) -> int:
        return sum(lane.dropped for child in self._children for lane in child.lanes)

    def _take(self, child: Child, line: Line) -> None:
        """Take a line of a worker's that is no answer: for the supervisor, or for all others."""
        if "handed" in line:
            host, port, octets, *key = line["handed"]
            shard = self._finder.of((key[0], key[1]))
            if shard is None:
                shard = child.part.shard
            lane = self._children[shard].lane(phone=False)  # whoever wants to can send what has no shape
            lane.put(pack(UNSHAPED, (host, port), bytes.fromhex(octets)))
            lane.flush()
        elif "learn" in line:
            self._finder.learn(bytes.fromhex(line["learn"]))
        elif "deaf" in line:
            for ear in self._ears:
                ear.ignore(line["deaf"], line["seconds"])
        elif "gone" in line:
            self._finder.strays.pop(line["gone"], None)
        else:
            if self._steering is not None:
                for host, _ in line.get("sums", {}).get("phones", ()):
                    self._steering.phone_at(host)
            for other in self._children:
                if other is not child:
                    other.news(line)

    def _there(self, child: Child) -> None:
        """A worker has begun: learn what it holds, and let it learn what the others know."""
        strays, shard = self._finder.strays, child.part.shard
        for identifier in [one for one, whose in strays.items() if whose == shard]:
            del strays[identifier]
        strays.update(dict.fromkeys(child.strays, shard))
        child.strays = []
        for other in self._children:
            if other is not child:
                other.say(sync=True)

    # Commands

    async def _do(self, do: str, request: dict[str, Any]) -> Answer:
        """Answer a command of the control socket: the extension's worker, or all of them as one."""
        if isinstance(request.get("ext"), str):
            try:
                shard = self._finder.of((EXT, request["ext"])) or 0
            except ValueError:
                shard = 0  # no extension: any worker may say so
            return await self._children[shard].ask(request)
        if do == "events":
            return await self._events(request)
        answers = await asyncio.gather(*(child.ask(request) for child in self._children))
        if do == "registrations":
            return merge.registrations([one for one in answers if isinstance(one, bytes)])
        found = [one for one in answers if isinstance(one, dict)]
        if do == "figures":
            return merge.both_figures(found, time.monotonic(), time.monotonic() - self._began)
        if do == "settings":
            return found[0]
        merged: dict[str, Any] = merge.together(found)
        return merged

    async def _events(self, request: dict[str, Any]) -> Answer:
        """Answer with what is new at any worker; wait for the first of them where nothing is."""
        requests = merge.event_requests(request, self._shards)
        asked = [self._children[number].ask({**one, "wait": 0}) for number, one in enumerate(requests)]
        answers = await asyncio.gather(*asked)
        found = {number: one for number, one in enumerate(answers) if isinstance(one, dict)}
        if not merge.is_news(found) and request.get("wait"):
            found = await self._news(dict(enumerate(requests)))
        return merge.events(requests, found)

    async def _news(self, requests: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """Ask workers for events, and return the answers by number that are there once one has news."""
        asking = {
            asyncio.create_task(self._children[number].ask(one), name="events"): number
            for number, one in requests.items()
        }
        found: dict[int, dict[str, Any]] = {}
        try:
            left = set(asking)
            while left and not merge.is_news(found):
                done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    answer = one.result()
                    if isinstance(answer, dict):
                        found[asking[one]] = answer
        finally:
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        return found

    async def _ask_there(self, do: str) -> list[dict[str, Any]]:
        """Return the answers of all workers that are there."""
        answers = await asyncio.gather(
            *(child.ask({"do": do}) for child in self._children if child.there), return_exceptions=True
        )
        for one in answers:
            if isinstance(one, BaseException) and not isinstance(one, UserError):
                raise one
        return [one for one in answers if isinstance(one, dict)]

    # The admin port

    async def _open_admin(self, admin: AdminConfig) -> None:
        own = Figures()
        own.gauge("ringkey_workers", "Workers that are there.", lambda: sum(c.there for c in self._children))
        own.counter(
            "ringkey_worker_starts", "Starts of workers.", lambda: sum(c.starts for c in self._children)
        )
        own.counter(
            "ringkey_lanes_dropped",
            "Datagrams for which a worker had no room.",
            self._dropped,
        )
        own.counter("ringkey_unshaped", "Datagrams of no known shape.", lambda: self._odd)
        metrics.count_dropped(
            own, lambda: steering.dropped(self._ears[0], self._ears[1:]) if self._ears else {}
        )
        self._metrics.add(own)
        checks: dict[str, Check] = {name: partial(self._problems.get, name) for name in (*_CHECKS, "workers")}
        self._admin = Admin(admin, self._metrics, checks, self._refresh)
        self.ports["gatekeeper_admin"] = await self._admin.start()

    async def _refresh(self) -> None:
        """Ask the workers for what the admin port is about to tell."""
        found = await self._ask_there("metrics")
        self._metrics.families = [one["metrics"] for one in found]
        problems: dict[str, str] = {}
        for one in reversed(await self._ask_there("problems")):
            problems.update(one["problems"])
        away = [str(child.part.shard) for child in self._children if not child.there]
        if away:
            problems["workers"] = f"away: {', '.join(away)}"
        self._problems.clear()
        self._problems.update(problems)
