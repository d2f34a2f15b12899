"""One run of a gatekeeper's state, less the gatekeeper: what tests of it have in common."""

import asyncio
import secrets
import shutil
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from ras import kept
from ras.held import Held
from ras.keys import SHA256
from ras.policy import Settings
from ras.registrar import Registrar
from ras.throttle import Throttle
from ringkey.gatekeeper.answers import Found
from ringkey.gatekeeper.state import ticks
from ringkey.gatekeeper.state.keeper import State
from ringkey.gatekeeper.state.restore import Keys
from ringkey.gatekeeper.state.store import Store
from ringkey.gatekeeper.state.waiting import Outbox

KEY = bytes(range(32))
SOURCE = ("192.0.2.1", 40000)
KG = b"\x5a" * 32
FOUND = Found(KG, SHA256, b"\1\2\3")
NAME = (b"g" * 16, "1001", b"\1\2\3")
MINUTE = 60_000


def registrar():
    settings = Settings(lambda host: (("192.0.2.9", 1719), ("192.0.2.9", 1300)), throttle=Throttle(limit=2))
    return Registrar(settings, secrets.token_bytes)


def registration(ext="1001", identifier="00" * 8, life=300_000, ka=b"\xaa" * 32):
    now = ticks.moment().mono
    sid = bytes.fromhex(identifier * 2)
    held = Held(ext, SHA256, SOURCE, sid, b"g" * 16, b"\xcc" * 16, ka, b"\xbb" * 32, b"\1\2\3")
    held.since, held.expires = now, now + life
    return held


class Run:
    """One run of a gatekeeper, less the gatekeeper."""

    def __init__(self, path, key=KEY):
        self.state = State(path, key)
        self.registrar = registrar()
        self.keys = Keys()
        self.sent = []
        self.outbox = Outbox(self.state.noticed, lambda data, address: self.sent.append(data), lambda: None)
        self.left = None
        self.had = Keys()

    async def start(self, allowed=lambda held: held):
        await self.state.start()
        self.had = self.keys = self.state.keys()
        self.left = self.state.put_back(self.registrar, allowed, lambda: self.keys)
        return self

    def add(self, held):
        self.registrar._registrations.put_back(held)
        self.state.noticed.event(("registered", held, None))
        return held

    def end(self, held):
        self.registrar._registrations._end(held, "expire", "test")
        self.state.noticed.event(("ended", held, "test"))

    async def kept(self):
        """Wait until all is on the disk."""
        self.state._counts_due = True
        self.state._write()
        while self.state._writing is not None:
            await asyncio.wait([self.state._writing])


@asynccontextmanager
async def run(path, key=KEY, allowed=lambda held: held):
    one = await Run(path, key).start(allowed)
    try:
        yield one
    finally:
        await one.state.stop()


def held_in(one):
    return {held.ext: kept.pack(held, one.state._shift) for held in one.registrar.held()}


def pack_answer(source, request, answer, when):
    """Return an answer as versions before 0004 packed it."""
    host = source[0].encode()
    lengths = bytes((len(host),)) + len(request).to_bytes(2, "big")
    return lengths + source[1].to_bytes(2, "big") + when.to_bytes(8, "big") + host + request + answer


def on_disk(path, key=KEY):
    """Return what whoever reads the file now finds there, as after a kill at this moment."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / path.name
        for end in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{path}{end}", f"{copy}{end}")
        store = Store(copy, key)
        try:
            store.open()
            return store.load()
        finally:
            store.close()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.01)
