"""A phone led through log-in, keep-alive and power cycle against the real servers, its heap measured."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import sites
from harness.service import Service
from harness.unixphone import UnixPhone

from heapmeter import boards

EXT = "1001"
PIN = "83614"
OWN, NATIVE = "own", "native"  # whose TLS-PSK client

# In the order in which they come.  "restarted": from the power cycle to the channel;
# "registered": with the channel open, over a keep-alive.
PHASES = ("starting", "prompting", "fetching", "registering", "opening", "restarted", "registered")

_TIME_TO_LIVE = 10  # s; the shortest that lets a phone keep alive every 5 s


class Site:
    """A running site with one extension.  key_server: its address; root: path of its root certificate."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        site = folder / "site"
        sites.make(site)
        file = site / "ringkey.toml"
        file.write_text(file.read_text().replace("time_to_live = 300", f"time_to_live = {_TIME_TO_LIVE}"))
        sites.ringkey("extension", "add", EXT, "--pin-stdin", site=site, typed=f"{PIN}\n")
        key_server = Service(site, "keyserver", "serve")
        stack.callback(key_server.stop)
        gatekeeper = Service(site, "gatekeeper", "serve")
        stack.callback(gatekeeper.stop)
        self.key_server = f"localhost:{key_server.ports['files']}"
        self.root = site / "phone" / "root.der"
        gatekeeper.expect("ready")


@contextlib.contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """Run the servers of a new site in `folder`; raises HarnessError."""
    with contextlib.ExitStack() as stack:
        yield Site(folder, stack)


class Meter:
    """Takes a metered phone's events.

    used: per phase, the most octets that were alive at once; modules: those of the phone that
    were loaded in it.
    """

    def __init__(self) -> None:
        self.used: dict[str, int] = {}
        self.modules: dict[str, set[str]] = {}
        self.phase = "starting"
        self._restarted = False
        self._loaded: set[str] = set()
        self._lock = threading.Lock()

    def on_event(self, event: "dict[str, Any]") -> None:
        """Take one event."""
        with self._lock:
            if event["e"] == "heap":
                self.used[self.phase] = max(self.used.get(self.phase, 0), event["used"])
                self.modules[self.phase] = self.modules.get(self.phase, set()) | self._loaded
            elif event["e"] == "loaded":
                self._loaded = set(event["modules"])
            elif event["e"] == "step":
                self._step(event["step"])
            elif event["e"] == "display" and event["lines"][0] == "Extension:":
                self.phase = "prompting"

    def restarted(self) -> None:
        """Take it that the phone's power was cut: its steps are those of a restart."""
        with self._lock:
            self._restarted = True
            self.phase = "restarted"

    def _step(self, step: str) -> None:
        if step == "registered":
            self.phase = "registered"
        elif not self._restarted and step in PHASES:
            self.phase = step


def lead(phone: UnixPhone, meter: "Meter | None" = None, keep_alives: int = 1) -> "list[dict[str, Any]]":
    """Lead a new phone through log-in, keep-alives, and all of it again after a power cut.

    Returns its two `memory` events, each with the `cipher` of its channel.  Raises HarnessError.
    """
    memory = []
    phone.power_on()
    phone.expect_display("^Extension:")
    phone.press(f"{EXT}#")
    phone.expect_display("^PIN:")
    phone.press(f"{PIN}#")
    for restarted in (False, True):
        if restarted:
            phone.power_cut()
            if meter is not None:
                meter.restarted()
            phone.power_on()
            phone.expect_event("boot", store="provisioned")
        phone.expect_event("registered", ext=EXT, timeout=30)
        cipher = phone.expect_event("channel", state="open", timeout=30)["cipher"]
        memory.append({**phone.expect_event("memory"), "cipher": cipher})
        phone.expect_event("step", step="registered")
        for _ in range(keep_alives):
            phone.expect_event("ras", way="out", message="RRQ")
            phone.expect_event("ras", way="in", message="RCF")
    return memory


def measure(board: str, folder: Path, site: Site, tree: Path, psk: str) -> Meter:
    """Return what the heap of a phone took; tree: its modules (boards.py); psk: OWN or NATIVE."""
    meter = Meter()
    settings = boards.settings(board, folder, site.root, site.key_server, psk)
    start = boards.start(board, tree, settings, "metered")
    phone = UnixPhone(settings, start=start, on_event=meter.on_event)
    try:
        lead(phone, meter)
    finally:
        phone.power_cut()
    return meter
