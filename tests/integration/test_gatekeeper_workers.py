"""A gatekeeper of two workers, as its phones and its administrator see it."""

import json
import secrets
import signal
import time
from http.client import HTTPConnection

import pytest
from harness import sites
from keyserver_client import trusting  # noqa: F401
from ras import profile, q931, tpkt
from ras.message import GCF, decode_message
from ras_phone import PIN, SILENCE, Line, Phone, fetch_keys, now, record_of
from ringkey.gatekeeper.workers.shards import of_extension
from ringkey.site import control, runtime


class World:
    def __init__(self, site, run_service, ringkey, workers=2):
        self.site = site
        self.run_service = run_service
        self.ringkey = lambda *args: ringkey("--site", site, *args)
        self.sockets = []
        self.exts = [str(1001 + n) for n in range(12)]
        file = site / "import.csv"
        file.write_text("".join(f"{ext},{PIN}\n" for ext in self.exts))
        self.ringkey("extension", "import", file)
        sites.set_values(site, "gatekeeper", workers=workers)
        self.keyserver = run_service(site, "keyserver", "serve", ready=False)
        self.keyserver.wait_for("ready", 60.0)
        self.start()
        sites.set_values(site, "gatekeeper", port=self.address[1])

    def start(self):
        self.gatekeeper = self.run_service(self.site, "gatekeeper", "serve", ready=False)
        self.gatekeeper.wait_for("ready", 60.0)
        self.address = ("127.0.0.1", self.gatekeeper.ports["ras"])

    def record(self, ext):
        return record_of(fetch_keys(self.site, self.keyserver.ports["files"], ext), ext)

    def phone(self, record):
        phone = Phone(record, self.address)
        self.sockets.append(phone.socket)
        return phone

    def registrations(self):
        answer = control.ask(self.site / "run", "gatekeeper", "registrations")
        return sorted(one["ext"] for one in answer["registrations"])


@pytest.fixture
def world(site, run_service, ringkey):
    run_service.secrets.add(PIN)
    world = World(site, run_service, ringkey)
    yield world
    for one in world.sockets:
        one.close()


def test_smoke(world):
    for ext in world.exts[:4]:
        phone = world.phone(world.record(ext))
        assert phone.register() is not None, world.gatekeeper.output
        phone.endpoint._refresh(now())
        assert phone.run(("refreshed",)) is not None
    assert world.registrations() == world.exts[:4]
    print(runtime.ask(world.site / "run", "gatekeeper"))
