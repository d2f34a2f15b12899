"""The main job, shown: `make demo`.

Key server and gatekeeper run apart, as two processes; two phones run the firmware on
MicroPython's unix port, each on a pseudo-terminal at which extension and PIN are keyed in.
Exit 0 only if all of it happened.
"""

import argparse
import contextlib
import secrets
import shutil
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import sites
from harness.errors import HarnessError
from harness.service import Service
from harness.unixphone import REPOSITORY, UnixPhone, write_settings

EXT, OTHER_EXT = "1001", "1002"
SILENCE = 40.0  # s: three tries take 14 to 17.5 s (protocol.md section 6)

# What the servers' logs say, in words; {…} are the event's own fields.
KEY_SERVER = {
    "ready": "ready: phones on port {ports[files]}, gatekeepers on port {ports[advanced]}",
    "key_issued": "issues g {g} to extension {ext}",
    "key_looked_up": "gives its Kg to gatekeeper {gatekeeper!r}, over mutual TLS",
    "stopped": "is stopped",
}
GATEKEEPER = {
    "ready": "ready: RAS on port {ports[ras]}, signalling on port {ports[signalling]}",
    "grq_received": "GRQ of extension {ext} received",
    "check_value_compared": "check value compared, CVm {cvm[0]}: same",
    "key_fetched": "has Kg of that g, and the PIN",
    "gcf_sent": "ICV verified: GCF sent",
    "registered": "extension {ext} is registered: RCF sent",
    "channel_open": "channel of {ext} is open: {cipher}",
    "dropped": "no answer: {reason}",
}


class Teller:
    """Prints who does what, as it happens."""

    def __init__(self, out: Any) -> None:
        self._out = out
        self._start = time.monotonic()
        self._lock = threading.Lock()
        colours = out.isatty()
        self._bold, self._dim, self._plain = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if colours else ("", "", "")

    def chapter(self, text: str) -> None:
        """Begin a part of the story."""
        with self._lock:
            print(f"\n{self._bold}{text}{self._plain}", file=self._out, flush=True)

    def say(self, who: str, what: str) -> None:
        """Print one thing that happened."""
        with self._lock:
            seconds = time.monotonic() - self._start
            print(f"{self._dim}{seconds:6.1f} s{self._plain}  {who:<11} {what}", file=self._out, flush=True)


def follow(teller: Teller, who: str, words: "dict[str, str]") -> Any:
    """Return an on_event that tells a server's log in words."""

    def tell(event: "dict[str, Any]") -> None:
        text = words.get(event["event"])
        if text is not None:
            teller.say(who, text.format_map(defaultdict(lambda: "?", event)))

    return tell


def follow_phone(teller: Teller, who: str) -> Any:
    """Return an on_event that tells what a phone says of itself."""

    def tell(event: "dict[str, Any]") -> None:
        kind = event["e"]
        if kind == "boot":
            store = {"fresh": "empty", "provisioned": "a record"}.get(event["store"], event["store"])
            teller.say(who, f"starts; its store holds {store}")
        elif kind == "key-file":
            teller.say(who, f"key file fetched over HTTPS, server verified: check value CVm {event['cvm']}")
        elif kind == "ras":
            teller.say(who, f"{'sends' if event['way'] == 'out' else 'gets'} {event['message']}")
        elif kind == "commit" and event["ok"]:
            teller.say(who, "keys committed to non-volatile memory")
        elif kind == "channel" and event["state"] == "open":
            teller.say(who, f"TLS-PSK channel open: {event['cipher']}")
        elif kind == "display" and (event["lines"][0] != "PIN:" and not event["lines"][1].isdigit()):
            teller.say(who, "shows  " + "  ".join(f"[{line:<16}]" for line in event["lines"]))

    return tell


class Demo:
    """The story.  folder: where its site, phones and logs go; what was there is removed."""

    def __init__(self, folder: Path, teller: Teller) -> None:
        self.folder = folder
        self.site = folder / "site"
        self.teller = teller
        self.pins = {EXT: f"{secrets.randbelow(10**8):08}", OTHER_EXT: f"{secrets.randbelow(10**8):08}"}

    def run(self) -> None:
        """Tell it; raises HarnessError where something did not happen."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700, parents=True)
        self._make_site()
        with contextlib.ExitStack() as stack:
            key_server = stack.enter_context(self._service("key server", KEY_SERVER, "keyserver", "serve"))
            key_server.expect("ready")
            gatekeeper = stack.enter_context(self._service("gatekeeper", GATEKEEPER, "gatekeeper", "serve"))
            gatekeeper.expect("ready")
            phone = stack.enter_context(self._phone(EXT, key_server))
            other = stack.enter_context(self._phone(OTHER_EXT, key_server))
            self._first_log_in(phone, gatekeeper)
            self._begin_wrong_pin(other, gatekeeper)
            self._power_cycle(phone, key_server, gatekeeper)
            self._end_wrong_pin(other)

    def _make_site(self) -> None:
        self.teller.chapter("A site: certificate authority, seed, two extensions")
        printed = sites.make(self.site)
        cvm = next(line.split()[2] for line in printed.splitlines() if "check value" in line)
        self.teller.say("ringkey", f"made {self.site.relative_to(self.folder.parent)}; check value CVm {cvm}")
        for ext, pin in self.pins.items():
            self._add(ext, pin)
            self.teller.say("ringkey", f"extension {ext} added, with a PIN of {len(pin)} digits")
        # The PIN is in the user's head; whoever checks the logs for it finds it here.
        pins = self.folder / "pins"
        pins.touch(mode=0o600)
        pins.write_text("".join(f"{ext} {pin}\n" for ext, pin in self.pins.items()))

    def _add(self, ext: str, pin: str) -> None:
        sites.ringkey("extension", "add", ext, "--pin-stdin", site=self.site, typed=pin + "\n")

    @contextlib.contextmanager
    def _service(self, who: str, words: "dict[str, str]", *args: str) -> "Iterator[Service]":
        service = Service(self.site, *args, on_event=follow(self.teller, who, words))
        try:
            yield service
        finally:
            service.stop()
            (self.folder / f"{args[0]}.log").write_text(service.output)

    @contextlib.contextmanager
    def _phone(self, ext: str, key_server: Service) -> "Iterator[UnixPhone]":
        folder = self.folder / f"phone-{ext}"
        server = f"127.0.0.1:{key_server.ports['files']}"
        settings = write_settings(folder, self.site / "phone" / "root.der", [server])
        phone = UnixPhone(settings, on_event=follow_phone(self.teller, f"phone {ext}"))
        try:
            yield phone
        finally:
            phone.power_cut()
            phone.close()
            (self.folder / f"phone-{ext}.log").write_text(phone.output)

    def _log_in(self, phone: UnixPhone, ext: str, pin: str) -> None:
        phone.expect_display("^Extension:")
        phone.press(ext + "#")
        self.teller.say("user", f"keys in {ext} #")
        phone.expect_display("^PIN:")
        phone.press(pin + "#")
        self.teller.say("user", f"keys in {'•' * len(pin)} #")

    def _first_log_in(self, phone: UnixPhone, gatekeeper: Service) -> None:
        self.teller.chapter("First log-in: the phone knows a root certificate, its user a PIN")
        phone.power_on()
        self._log_in(phone, EXT, self.pins[EXT])
        keys = phone.expect_event("key-file")
        for way, message in (("out", "GRQ"), ("in", "GCF"), ("out", "RRQ"), ("in", "RCF")):
            phone.expect_event("ras", way=way, message=message)
        phone.expect_event("commit", ok=True)
        phone.expect_event("channel", state="open")
        compared = gatekeeper.expect("check_value_compared", ext=EXT)
        if compared["cvm"] != [keys["cvm"]] or not compared["same"]:
            raise HarnessError("the check values of phone and gatekeeper differ")
        gatekeeper.expect("channel_open", ext=EXT)
        phone.expect_display(f"^Registered\n{EXT}")

    def _power_cycle(self, phone: UnixPhone, key_server: Service, gatekeeper: Service) -> None:
        self.teller.chapter("Power cycle, with the key server stopped: the phone registers from its memory")
        phone.power_cut()
        self.teller.say(f"phone {EXT}", "loses its power")
        if key_server.stop() != 0:
            raise HarnessError(f"the key server did not stop cleanly:\n{key_server.output}")
        before = len(gatekeeper.events)
        phone.power_on()
        phone.expect_event("boot", store="provisioned")
        phone.expect_event("ras", way="in", message="RCF")
        phone.expect_event("channel", state="open")
        gatekeeper.expect("channel_open", start=before, ext=EXT)
        phone.expect_display(f"^Registered\n{EXT}")

    def _begin_wrong_pin(self, phone: UnixPhone, gatekeeper: Service) -> None:
        self.teller.chapter("Meanwhile, a second phone, at which a wrong PIN is keyed in")
        phone.power_on()
        right = self.pins[OTHER_EXT]
        wrong = right[:-1] + str((int(right[-1]) + 1) % 10)
        self._log_in(phone, OTHER_EXT, wrong)
        phone.expect_event("key-file")
        phone.expect_event("ras", way="out", message="GRQ")
        gatekeeper.expect("dropped", reason="GRQ: wrong ICV")

    def _end_wrong_pin(self, phone: UnixPhone) -> None:
        self.teller.chapter("The second phone has met silence, and asks again")
        phone.expect_display("^Log-in failed", SILENCE)
        phone.expect_display("^Extension:")
        answers = [e for e in phone.events if e["e"] == "ras" and e["way"] == "in"]
        if answers:
            raise HarnessError(f"the gatekeeper answered a wrong PIN: {answers}")


def main() -> int:
    """Run the demo; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog="Example: make demo"
    )
    parser.add_argument(
        "--folder", type=Path, default=REPOSITORY / "build" / "demo", help="where site, phones and logs go"
    )
    folder = parser.parse_args().folder.resolve()
    teller = Teller(sys.stdout)
    try:
        Demo(folder, teller).run()
    except HarnessError as error:
        print(f"\nThe demo failed.  {error}\n\nLogs: {folder}", file=sys.stderr)
        return 1
    teller.chapter("All of it happened.")
    print(f"Logs, the site and both phones' memories: {folder}")
    print("A phone of your own: make servers, then make phone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
