"""The phone: carries out what ras.login decides, and tells it what came of it.

    keys -> Prompt -> Login -> effects -> the adapters below -> Login
                                          Endpoint <-> datagrams

All of it runs in one thread.  Tasks: the keypads, the datagrams that come in, the watch over
a network that can get lost, and at most one each of "work" (key fetch, or waiting for the
network) and of "channel".  The main loop carries out effects, hands events on, feeds the
watchdog and sleeps until a timer is due or a task wakes it.

While the network is away no time-out of RAS or of Login runs: nobody can answer.  When it is
back, Login starts over what was under way.
"""

import asyncio
import gc
import os

from phone import clock
from phone.datagram import DatagramSocket
from phone.fault import Fault
from phone.network import Network
from phone.screen import Screen
from phone.unload import CHANNEL, FETCHING, RAS, STORING, TLSPSK, TYPES, make_room, unload
from ras.compat import const
from ras.login import Login

VERSION = "0.1.0"

NOTICE = const(4000)  # ms that a reason stays on the display before the prompt
# ms that it sleeps at the most: phone.clock must be asked from time to time.
_LONGEST_SLEEP = const(3600000)
# ms.  A sleep as long as this that nobody has cut short is a quiet moment: the heap is tidied up.
_QUIET = const(500)


class Phone:
    """One phone on one board (phone/board.py)."""

    def __init__(self, board: object) -> None:
        self._board = board
        self._settings = board.settings
        if board.settings["events"]:
            from phone.events import Events

            self.events = Events(board.console.write)
        else:
            from phone.silence import Silence

            self.events = Silence()
        self._screen = Screen(board.displays, self.events)
        self._clock = clock.Clock()
        self._prompt = None  # a Prompt while it shows
        self._wall = clock.Wall(self._clock, self._settings["built"])
        self._watchdog = board.watchdog
        self._longest_sleep = min(board.watchdog.period or _LONGEST_SLEEP, _LONGEST_SLEEP)
        self._network = Network(board.network, self._network_is, self._no_network)
        self._awaited = False  # whether "work" waits for the network
        self._notice = None  # until when a reason stays on the display
        self._login = Login(os.urandom, board.settings["renew_spread"])
        self._endpoint = None  # an Endpoint, from the first registration on
        self._ext = ""
        self._status = 0  # of the last HTTP answer that refused
        self._socket = None
        self._tasks = {}
        self._wake = asyncio.Event()
        self._ended = self.restarts = False
        self._fault = None

    async def run(self) -> None:
        """Be a phone until the keypads end; raises Fault."""
        try:
            await self._begin()
            while not self._ended:
                await self._turn()
                await self._sleep()
        except Exception as error:
            self._fault = Fault("phone", error)
        # Not behind an interrupt: start.main().
        for name in list(self._tasks):
            self._cancel(name)
        await asyncio.sleep_ms(0)  # lets them close what they hold
        if self._socket is not None:
            self._socket.close()
        from phone.restart import note_end

        note_end(self._watchdog, self._fault)
        if self._fault is not None:
            self.events.tell("fault", step=self._fault.step, kind=self._fault.kind)
            self._screen.reason("fault", self._fault.step)
            raise self._fault
        self._screen.step("starting" if self.restarts else "ended")
        self.events.tell("end", reason="restart" if self.restarts else "asked")

    async def _begin(self) -> None:
        self._screen.step("starting")
        record, state = self._load()
        self._ext = record.ext if record is not None else ""
        await self._tell_start(state)
        self._socket = DatagramSocket()
        self._login.boot(record, self._clock.now(), "keys-lost" if state == "damaged" else None)
        self._start("datagrams", self._take_datagrams())
        if self._network.can_get_lost:
            self._start("network", self._network.watch())
        for i in range(len(self._board.keys)):
            self._start("keys%d" % i, self._take_keys(self._board.keys[i]))

    async def _tell_start(self, store: str) -> None:
        from phone.restart import tell_start

        await tell_start(self._board, VERSION, store, self._screen, self.events)
        unload("phone.restart")

    # -- the main loop

    async def _turn(self) -> None:
        """Do what is due, until nothing is left to do at once."""
        self._watchdog.feed()
        now = self._clock.now()
        if self._prompt is not None:
            self._prompt.handle_timer(now)
        if self._timers_run:
            self._login.handle_timer(now)
            if self._endpoint is not None:
                self._endpoint.handle_timer(now)
        if self._notice is not None and now >= self._notice:
            self._notice = None
        while True:
            effect = self._login.next_effect()
            if effect is not None:
                # Each effect of ras/login.py has its method.
                await getattr(self, "_do_" + effect[0])(*effect[1:])
                continue
            if self._endpoint is None:
                break
            self._send_datagrams()
            event = self._endpoint.next_event()
            if event is None:
                break
            self._endpoint_event(event)
        if self._prompt is not None and self._notice is None:
            if self._board.room.is_lost and self._login.state == "prompting" and not self._prompt.get_timer():
                # Nobody is logged in, and nobody is at it: now, before TLS is wanted again.
                self.restarts = self._ended = True
                self._wake.set()
                return
            self._screen.show(self._prompt.lines)

    async def _sleep(self) -> None:
        due = None
        for timer in (
            self._login.get_timer() if self._timers_run else None,
            self._endpoint.get_timer() if self._endpoint is not None and self._timers_run else None,
            None if self._prompt is None else self._prompt.get_timer(),
            self._notice,
        ):
            if timer is not None and (due is None or timer < due):
                due = timer
        wait = self._longest_sleep if due is None else min(due - self._clock.now(), self._longest_sleep)
        try:
            await asyncio.wait_for_ms(self._wake.wait(), max(0, wait))
        except asyncio.TimeoutError:
            if wait >= _QUIET:
                gc.collect()
        self._wake.clear()

    def _start(self, name: str, coroutine: object) -> None:
        """Run a task under this name; one that runs under it already is cancelled."""
        self._cancel(name)
        self._tasks[name] = asyncio.create_task(self._guard(name, coroutine))

    def _cancel(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()

    async def _guard(self, name: str, coroutine: object) -> None:
        """Run a task's coroutine; a bug in it ends the phone, and says where."""
        try:
            await coroutine
        except Exception as error:
            self._fault = Fault(name, error)
            self._ended = True
        if self._tasks.get(name) is asyncio.current_task():
            # A task that has ended still holds all that its coroutines had in hand.
            del self._tasks[name]
        self._wake.set()

    # -- the network

    @property
    def _timers_run(self) -> bool:
        """Whether somebody could answer; a user who logs out is not kept waiting for that."""
        return self._network.is_up or self._login.state == "leaving"

    def _network_is(self, up: bool) -> None:
        """Take it that the network has come up or gone."""
        if not up:
            self.events.tell("network", state="down")
            if self._prompt is None:
                self._screen.step("network")
            return
        self.events.tell("network", state="up", address=self._network.address_towards("224.0.1.41"))
        # Not if it was waited for anyhow, nor from under the fingers of a user.
        if not self._awaited and (self._prompt is None or self._prompt.get_timer() is None):
            self._login.network_back(self._clock.now())
        self._wake.set()

    def _no_network(self, reason: str) -> None:
        """Say why the network does not come up; it is tried again."""
        self.events.tell("reason", reason=reason)
        if self._prompt is None:
            self._screen.words(reason)

    async def _until_network(self) -> None:
        if not self._network.is_up:
            self._screen.step("network")
            self._awaited = True
            try:
                await self._network.wait()
            finally:
                self._awaited = False

    # -- keys

    async def _take_keys(self, keypad: object) -> None:
        while True:
            key = await keypad.key()
            if key is None:
                self._ended = True
                return
            self._key(key, self._clock.now())
            self._wake.set()

    def _key(self, key: str, now: int) -> None:
        if self._prompt is None:
            self._login.touched(now)
            if key == "L":
                self._login.log_out(now)
            return
        self._notice = None
        self._login.touched(now)
        self._prompt.key(key, now)
        event = self._prompt.next_event()
        if event is None:
            self._screen.show(self._prompt.lines)  # here, so that no key press goes unanswered
            return
        if event[0] == "entered":
            self._ext = event[1]
            self._login.entered(event[1], event[2], now)
        else:
            self._login.log_out(now)

    # -- datagrams

    async def _take_datagrams(self) -> None:
        while True:
            data, source = await self._socket.receive()
            if self._endpoint is None:
                continue  # nothing has been asked
            self.events.tell("ras", way="in", message=data, peer=source)
            self._endpoint.receive_datagram(data, source, self._clock.now())
            self._wake.set()

    def _send_datagrams(self) -> None:
        for data, destination in self._endpoint.datagrams_to_send():
            self.events.tell("ras", way="out", message=data, peer=destination)
            self._socket.send(data, destination)

    def _endpoint_event(self, event: tuple) -> None:
        """Tell Login what Endpoint says."""
        name = event[0]
        now = self._clock.now()
        if name == "registered":
            registration = event[1]
            self.events.tell(
                "registered",
                ext=self._ext,
                gatekeeper=registration.signalling,
                ttl=registration.time_to_live,
            )
            self._login.registered(registration, now)
        elif name == "fetch-soon":
            self.events.tell("fetch-soon", ext=self._ext)
            self._login.fetch_soon(now)
        elif name == "refused":
            self._login.refused(event[1], now)
        elif name == "confirmed":
            self._login.confirmed()
        elif name == "no-answer":
            self._login.no_answer(now)
        elif name == "ended":
            self._login.ended(event[1], now)
        elif name == "left":
            self._login.left(now)

    # -- effects

    async def _do_prompt(self, reason: "str | None") -> None:
        from phone.prompt import Prompt

        self._cancel("work")
        if self._prompt is None or reason:
            self._prompt = Prompt()
        # Else a held "*" has started it anew, and keys may have been pressed since.
        self._notice = None
        if reason:
            self._screen.reason(reason, self._detail(reason))
            self._notice = self._clock.now() + NOTICE

    async def _do_show(self, step: str) -> None:
        self._prompt = None
        unload("phone.prompt")
        self._watchdog.note(step)
        self._screen.step(step, self._detail(step))

    async def _do_fetch(self, ext: str) -> None:
        self._ext = ext
        self._status = 0
        # It has ended what it was at, and the channel is closed: they make room for TLS.
        self._endpoint = None
        make_room(RAS, TYPES, CHANNEL, TLSPSK)
        self._start("work", self._fetch(ext))

    async def _do_renew(self, ext: str) -> None:
        self._start("work", self._fetch(ext, quietly=True))

    async def _do_register(self, record: object, gatekeepers: tuple) -> None:
        self._ext = record.ext
        self._start("work", self._register(record, gatekeepers or tuple(self._settings["gatekeepers"])))

    async def _do_unregister(self) -> None:
        self._cancel("work")
        if self._endpoint is None:
            self._login.left(self._clock.now())
        else:
            self._endpoint.log_out(self._clock.now())

    def _load(self) -> "tuple[object, str]":
        """Return what the store holds: (Record or None, its state)."""
        from phone import storing

        loaded = storing.load(self._board.store)
        unload(STORING)
        return loaded

    async def _do_commit(self, record: object) -> None:
        from phone import storing

        if storing.commit(self._board.store, record, self.events):
            self._login.committed(self._clock.now())
        else:
            self._login.not_committed(self._clock.now())
        unload(STORING)

    async def _do_erase(self) -> None:
        from phone import storing

        if not storing.erase(self._board.store, self.events):
            self._screen.reason("erase-failed")
        unload(STORING)

    async def _do_open(self, registration: object) -> None:
        self._start("channel", self._run_channel(registration))

    async def _do_close(self) -> None:
        self._cancel("channel")
        if self._login.state == "leaving":  # else it is opened again, and reading it takes a second
            await asyncio.sleep_ms(0)  # lets it close what it holds
            make_room(CHANNEL, TLSPSK)

    # -- what takes its time

    async def _fetch(self, ext: str, quietly: bool = False) -> None:
        """Fetch keys.  quietly: beside a registration, which is what the display goes on to show."""
        if not quietly:
            await self._until_network()
        try:
            await self._fetch_keys(ext, quietly)
        finally:
            unload(FETCHING)

    async def _fetch_keys(self, ext: str, quietly: bool) -> None:
        from phone.fetching import Fetching

        fetching = Fetching(self._board, self._wall, self.events, None if quietly else self._screen)
        keys = await fetching.keys(ext)
        self._status = fetching.status
        if keys is not None:
            self._login.keys(keys, self._clock.now())
        elif self._network.is_up:  # else it is fetched anew as soon as that is back
            self._login.no_keys(fetching.reason, self._clock.now())

    async def _register(self, record: object, gatekeepers: tuple) -> None:
        await self._until_network()
        numeric = []
        for gatekeeper in gatekeepers:
            await asyncio.sleep_ms(0)  # a look-up blocks: not all of them between two feedings
            try:
                # By number, so that an answer can be held against where it was asked for.
                gatekeeper = self._socket.resolve(gatekeeper)
            except OSError:
                pass  # it is tried by its name: there may be a name server by then
            if gatekeeper not in numeric:
                numeric.append(gatekeeper)
        towards = numeric[0][0] if numeric else "224.0.1.41"
        if self._endpoint is None:
            from ras.endpoint import Endpoint

            gc.collect()  # of what reading it has left: small pieces between those that stay
            self._endpoint = Endpoint(os.urandom, ("0.0.0.0", 0), "%s %s" % (VERSION, self._board.name))
        self._endpoint.address = (self._network.address_towards(towards), self._socket.port)
        self._endpoint.register(record, tuple(numeric), self._clock.now())

    async def _run_channel(self, registration: object) -> None:
        """Open the channel and serve it until it ends."""
        self._settle()
        peer = registration.signalling
        self.events.tell("channel", state="opening", peer=peer)
        from phone.channel import NATIVE, serve

        native = NATIVE and self._settings["psk"] != "own"
        if native:
            self._board.room.lend()
        try:
            state = await serve(registration, os.urandom, native, self._channel_open)
        finally:
            if native:
                self._board.room.take_back()
        self.events.tell("channel", state=state, peer=peer)
        if self._network.is_up:  # else it is opened anew as soon as that is back
            self._login.channel_failed(self._clock.now())

    def _channel_open(self, cipher: str, peer: tuple) -> None:
        self.events.tell("channel", state="open", cipher=cipher, peer=peer)
        self._login.channel_open(cipher, self._clock.now())
        self._wake.set()
        gc.collect()
        self.events.tell("memory", free=gc.mem_free(), used=gc.mem_alloc(), system=self._board.room.free)

    def _settle(self) -> None:
        """Let go of what a phone that is registered has no need of."""
        from ras import message

        message.forget(message.GRQ, message.GCF, message.GRJ, message.RRJ, message.URQ, message.UCF)
        make_room(TYPES)

    def _detail(self, word: str) -> str:
        """Return what goes into the words on the display: an HTTP status, or the extension."""
        return str(self._status) if word == "server-refused" else self._ext
