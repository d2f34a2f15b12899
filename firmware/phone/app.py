"""The phone: carries out what ras.login decides, and tells it what came of it.

    keys -> Prompt -> Login -> effects -> the adapters below -> Login
                                          Endpoint <-> datagrams

All of it runs in one thread.  Tasks: the keypads, the datagrams that come in, and at most
one each of "work" (key fetch, or waiting for the network) and of "channel".  The main loop
carries out effects, hands events on and sleeps until a timer is due or a task wakes it.
"""

import asyncio
import gc
import os

from phone import clock
from phone.channel import NATIVE, ChannelError, open_channel
from phone.datagram import DatagramSocket
from phone.screen import Screen
from phone.unload import unload
from ras import message
from ras.compat import const
from ras.endpoint import Endpoint
from ras.errors import RemoteProtocolError
from ras.login import Login

VERSION = "0.1.0"

# ms that a reason stays on the display before the prompt, unless a key is pressed.
NOTICE = const(4000)
# ms.  The longest sleep: phone.clock must be asked from time to time.
_LONGEST_SLEEP = const(3600000)
# What is in the heap only while it is at work: docs/memory.md has the rule.
_FETCHING = ("phone.keyfetch", "phone.http", "ras.keyfile", "ras.generator")
_STORING = ("phone.store", "ras.record_octets")
_PROMPTING = ("phone.prompt",)
_CALLING = ("ras.q931",)
# Types of messages; those of RRQ and RCF stay, without the modules that made them.
_TYPES = ("ras.h225_discovery", "ras.h225_registration", "ras.h225_reject", "ras.h225_end")
_SHARED_TYPES = ("ras.h225", "ras.h235")


class Fault(Exception):
    """A bug, or a platform that failed.  step: what was going on; kind: the exception's class name.

    The exception itself is in `cause`: not to be printed where others read along.
    """

    def __init__(self, step: str, cause: BaseException) -> None:
        super().__init__(step)
        self.step = step
        self.kind = type(cause).__name__
        self.cause = cause


class _Silence:
    """In the place of phone.events.Events where events are off."""

    on = False

    def tell(self, event: str, **members: object) -> None:
        pass


class Phone:
    """One phone on one board (phone/board.py)."""

    def __init__(self, board: object) -> None:
        self._board = board
        self._settings = board.settings
        self.events = _Silence()
        if board.settings["events"]:
            from phone.events import Events

            self.events = Events(board.console.write)
        self._screen = Screen(board.displays, self.events)
        self._clock = clock.Clock()
        self._prompt = None  # a Prompt while it shows
        self._notice = None  # until when a reason stays on the display
        self._login = Login(os.urandom)
        self._endpoint = Endpoint(os.urandom, ("0.0.0.0", 0))
        self._ext = ""
        self._status = 0  # of the last HTTP answer that refused
        self._socket = None
        self._tasks = {}
        self._wake = asyncio.Event()
        self._ended = False
        self._fault = None

    async def run(self) -> None:
        """Be a phone until the keypads end; raises Fault."""
        try:
            self._begin()
            while not self._ended:
                await self._turn()
                await self._sleep()
        except Exception as error:
            self._fault = Fault("phone", error)
        finally:
            for name in list(self._tasks):
                self._cancel(name)
            await asyncio.sleep_ms(0)  # lets them close what they hold
            if self._socket is not None:
                self._socket.close()
        if self._fault is not None:
            self.events.tell("fault", step=self._fault.step, kind=self._fault.kind)
            self._screen.reason("fault", self._fault.step)
            raise self._fault
        self._screen.step("ended")
        self.events.tell("end", reason="asked")

    def _begin(self) -> None:
        self._screen.step("starting")
        record, state = self._load()
        self._ext = record.ext if record is not None else ""
        self.events.tell("boot", board=self._board.name, version=VERSION, store=state)
        self._socket = DatagramSocket()
        self._login.boot(record, self._clock.now(), "keys-lost" if state == "damaged" else None)
        self._start("datagrams", self._take_datagrams())
        for i in range(len(self._board.keys)):
            self._start("keys%d" % i, self._take_keys(self._board.keys[i]))

    # -- the main loop

    async def _turn(self) -> None:
        """Do what is due, until nothing is left to do at once."""
        now = self._clock.now()
        if self._prompt is not None:
            self._prompt.handle_timer(now)
        self._login.handle_timer(now)
        self._endpoint.handle_timer(now)
        if self._notice is not None and now >= self._notice:
            self._notice = None
        while True:
            effect = self._login.next_effect()
            if effect is not None:
                # Each effect of ras/login.py has its method.
                await getattr(self, "_do_" + effect[0])(*effect[1:])
                continue
            self._send_datagrams()
            event = self._endpoint.next_event()
            if event is None:
                break
            self._endpoint_event(event)
        if self._prompt is not None and self._notice is None:
            self._screen.show(self._prompt.lines)

    async def _sleep(self) -> None:
        due = None
        for timer in (
            self._login.get_timer(),
            self._endpoint.get_timer(),
            None if self._prompt is None else self._prompt.get_timer(),
            self._notice,
        ):
            if timer is not None and (due is None or timer < due):
                due = timer
        wait = _LONGEST_SLEEP if due is None else due - self._clock.now()
        try:
            await asyncio.wait_for_ms(self._wake.wait(), max(0, min(wait, _LONGEST_SLEEP)))
        except asyncio.TimeoutError:
            pass
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
        elif name == "refused":
            self._login.refused(event[1], now)
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
        self._prompt = Prompt()
        self._notice = None
        if reason:
            self._screen.reason(reason, self._detail(reason))
            self._notice = self._clock.now() + NOTICE

    async def _do_show(self, step: str) -> None:
        self._prompt = None
        unload(*_PROMPTING)
        self._screen.step(step, self._detail(step))

    async def _do_fetch(self, ext: str) -> None:
        self._ext = ext
        self._status = 0
        self._start("work", self._fetch(ext))

    async def _do_register(self, record: object, gatekeepers: tuple) -> None:
        self._ext = record.ext
        self._start("work", self._register(record, gatekeepers or tuple(self._settings["gatekeepers"])))

    async def _do_unregister(self) -> None:
        self._cancel("work")
        self._endpoint.log_out(self._clock.now())

    def _load(self) -> "tuple[object, str]":
        """Return what the store holds: (Record or None, its state)."""
        from phone.store import Store

        store = Store(self._board.store)
        record = store.load()
        unload(*_STORING)
        return record, store.state

    async def _do_commit(self, record: object) -> None:
        from phone.store import Store, StoreError

        try:
            Store(self._board.store).commit(record)
        except StoreError:
            self.events.tell("commit", ok=False)
            self._login.not_committed(self._clock.now())
        else:
            self.events.tell("commit", ok=True)
            self._login.committed(self._clock.now())
        unload(*_STORING)

    async def _do_erase(self) -> None:
        from phone.store import Store, StoreError

        try:
            Store(self._board.store).erase()
            self.events.tell("erase", ok=True)
        except StoreError:
            self.events.tell("erase", ok=False)
            self._screen.reason("erase-failed")
        unload(*_STORING)

    async def _do_open(self, registration: object) -> None:
        self._start("channel", self._run_channel(registration))

    async def _do_close(self) -> None:
        self._cancel("channel")

    # -- what takes its time

    async def _fetch(self, ext: str) -> None:
        await self._network()
        try:
            await self._fetch_keys(ext)
        finally:
            unload(*_FETCHING)

    async def _fetch_keys(self, ext: str) -> None:
        from phone import keyfetch

        settings = self._settings
        try:
            fetched = await keyfetch.fetch(settings["key_servers"], ext, settings["root"], self._not_fetched)
        except keyfetch.FetchError as error:
            self._status = error.status
            self._login.no_keys(error.reason, self._clock.now())
            return
        keys = fetched.keys
        self.events.tell(
            "key-file",
            server=fetched.server,
            suite=keys.suite.name,
            g=keys.g,
            cvm=keys.cvm,
            gatekeepers=keys.gatekeepers,
        )
        self._screen.step("keys", keys.cvm.hex())
        if fetched.utc is not None and clock.keep_floor(fetched.utc):
            self.events.tell("clock", utc=fetched.utc)
        self._login.keys(keys, self._clock.now())

    def _not_fetched(self, error: object, more: bool) -> None:
        """Say so, and go on to the next key server; after the last one Login says so.

        error: keyfetch.FetchError.
        """
        self._status = error.status
        self.events.tell("reason", reason=error.reason, server=error.server, status=error.status)
        if more:
            self._screen.words(error.reason, self._detail(error.reason))

    async def _register(self, record: object, gatekeepers: tuple) -> None:
        await self._network()
        numeric = []
        for gatekeeper in gatekeepers:
            try:
                # By number, so that an answer can be held against where it was asked for.
                gatekeeper = self._socket.resolve(gatekeeper)
            except OSError:
                pass  # it is tried by its name: there may be a name server by then
            if gatekeeper not in numeric:
                numeric.append(gatekeeper)
        towards = numeric[0][0] if numeric else "224.0.1.41"
        self._endpoint.address = (self._board.network.address_towards(towards), self._socket.port)
        self._endpoint.register(record, tuple(numeric), self._clock.now())

    async def _network(self) -> None:
        if not self._board.network.is_up():
            self._screen.step("network")
            await self._board.network.up()

    async def _run_channel(self, registration: object) -> None:
        """Open the channel and serve it until it ends."""
        channel = None
        peer = registration.signalling
        self.events.tell("channel", state="opening", peer=peer)
        try:
            identity = registration.sid.hex().encode()
            native = NATIVE and self._settings["psk"] != "own"
            channel = await open_channel(
                registration.signalling, identity, registration.ks, os.urandom, native
            )
            self.events.tell("channel", state="open", cipher=channel.cipher, peer=peer)
            self._login.channel_open(channel.cipher, self._clock.now())
            self._wake.set()
            self._settle()
            if self.events.on:
                self.events.tell("memory", free=gc.mem_free(), used=gc.mem_alloc())
            while True:
                frame = await channel.receive()
                if frame is None:
                    break
                if frame:
                    await self._signal(channel, frame)
            state = "closed"
        except ChannelError as error:
            state = error.step + "-failed"
        except RemoteProtocolError:
            state = "violated"
        except OSError:
            state = "lost"
        finally:
            if channel is not None:
                channel.close()
        self.events.tell("channel", state=state, peer=peer)
        self._login.channel_failed(self._clock.now())

    async def _signal(self, channel: object, frame: bytes) -> None:
        """Take a frame of call signalling; raises RemoteProtocolError, OSError."""
        from ras import q931

        try:
            answer = q931.answer(frame)
        finally:
            unload(*_CALLING)
        if answer is not None:
            await channel.send(answer)

    def _settle(self) -> None:
        """Let go of what a phone that is registered has no need of."""
        message.forget(message.GRQ, message.GCF, message.GRJ, message.RRJ, message.URQ, message.UCF)
        unload(*_TYPES)
        unload(*_SHARED_TYPES)
        gc.collect()

    def _detail(self, word: str) -> str:
        """Return what goes into the words on the display: an HTTP status, or the extension."""
        return str(self._status) if word == "server-refused" else self._ext
