"""Many phones in one process: the core's Login and Endpoint on sockets, keys over real HTTPS.

Their signalling channel is taken to be open; everything else is as on a phone.
"""

import asyncio
import os
import time

import aiohttp
from keyserver_client import trusting
from ras import keyfile
from ras.endpoint import Endpoint
from ras.login import Login


def now():
    return time.monotonic_ns() // 1_000_000


class SimPhone(asyncio.DatagramProtocol):
    """One phone.  store: its Record, or None; prompts: reasons with which it asked its user."""

    def __init__(self, farm, ext, pin):
        self.farm, self.ext, self.pin = farm, ext, pin
        self.login = Login(os.urandom, farm.spread)
        self.endpoint = None
        self.store = None
        self.prompts = []
        self.transport = None
        self.timer = None
        self.tasks = set()

    async def start(self):
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.endpoint = Endpoint(os.urandom, self.transport.get_extra_info("sockname")[:2])
        self.login.boot(None, now())
        self.work()
        self.login.entered(self.ext, self.pin, now())
        self.work()

    def stop(self):
        self.transport.close()
        if self.timer is not None:
            self.timer.cancel()
        for task in self.tasks:
            task.cancel()

    def datagram_received(self, data, addr):
        self.endpoint.receive_datagram(data, addr[:2], now())
        self.work()

    def due(self):
        self.login.handle_timer(now())
        self.endpoint.handle_timer(now())
        self.work()

    def work(self):
        while True:
            event = self.endpoint.next_event()
            if event is not None:
                self.take(event)
                continue
            effect = self.login.next_effect()
            if effect is None:
                break
            self.carry_out(effect)
        for data, address in self.endpoint.datagrams_to_send():
            self.transport.sendto(data, address)
        times = [t for t in (self.login.get_timer(), self.endpoint.get_timer()) if t is not None]
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if times:
            wait = max(0, min(times) - now()) / 1000
            self.timer = asyncio.get_running_loop().call_later(wait, self.due)

    def take(self, event):
        name, *rest = event
        if name == "registered":
            self.login.registered(rest[0], now())
        elif name in ("refused", "ended"):
            getattr(self.login, name)(rest[0], now())
        elif name in ("fetch-soon", "no-answer", "left"):
            getattr(self.login, name.replace("-", "_"))(now())

    def carry_out(self, effect):
        name, *rest = effect
        if name in ("fetch", "renew"):
            task = asyncio.get_running_loop().create_task(self.fetch())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif name == "register":
            self.endpoint.register(rest[0], rest[1], now())
        elif name == "commit":
            self.store = rest[0]
            self.login.committed(now())
        elif name == "open":
            self.login.channel_open("none", now())
        elif name == "prompt":
            self.prompts.append(rest[0])

    async def fetch(self):
        try:
            async with self.farm.session.get(f"{self.farm.files}/keys/kkg.txt?ext={self.ext}") as answer:
                body = await answer.read()
                if answer.status != 200:
                    raise OSError(answer.status)
            self.login.keys(keyfile.decode(body), now())
        except (OSError, aiohttp.ClientError, TimeoutError):
            self.login.no_keys("key-server", now())
        self.work()


class Farm:
    """The phones.  spread: ms, see ras/login.py."""

    def __init__(self, files_port, root, spread):
        self.files = f"https://localhost:{files_port}"
        self.root = root
        self.spread = spread
        self.session = None
        self.phones = []

    async def start(self, pins):
        connector = aiohttp.TCPConnector(ssl=trusting(self.root), limit=20, force_close=True)
        self.session = aiohttp.ClientSession(connector=connector)
        self.phones = [SimPhone(self, ext, pin) for ext, pin in pins.items()]
        for phone in self.phones:
            await phone.start()

    async def stop(self):
        for phone in self.phones:
            phone.stop()
        await self.session.close()
        await asyncio.sleep(0.1)
