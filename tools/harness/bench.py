"""The bench: a site, its two servers, the network with its faults in between, and phones to try them.

One bench serves a whole run of tests: extensions are many and each test takes its own; what a test
changes in the site is put back, and the servers run again, before the next one.
"""

import csv
import io
import re
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringkey.keyserver import keyring
from ringkey.site import control

from harness import judge, sites
from harness.errors import HarnessError
from harness.faults import UP, Datagram
from harness.judge import GATEKEEPER, KEY_SERVER, Judge
from harness.phonelog import PhoneLog
from harness.relay import FILES, RAS, SIGNALLING, Network
from harness.server import Moved, Server
from harness.sites import set_values
from harness.timeline import BAD, PLAIN, Switch, Timeline
from harness.unixphone import UnixPhone, write_settings
from harness.verdict import Evidence

EXTENSIONS = 300  # more than any run takes; one import costs as much as one extension
LIFE = 10  # s of a registration, the shortest that a site may set: keep-alives every 5 s
RENEWAL = 2000  # ms over which phones spread that are to fetch new keys: by default it is an hour
_CHANGED = ("ringkey.toml", "keyserver/server.crt", "keyserver/server.key", "keyserver/seed")
# Wrong PINs and replays come from one address here, which is the last thing a throttle lets pass.
_NO_THROTTLE = 10_000


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with an extension and a PIN."""

    ext: str
    pin: str

    @property
    def wrong_pin(self) -> str:
        """Another PIN of the same length."""
        return self.pin[:-1] + str((int(self.pin[-1]) + 1) % 10)


class Bench:
    """template: a site of `make_template`, which is copied; folder: where site and phones go, made
    anew; host: this machine as phones reach it; ports: of the relays for RAS, signalling and key
    files, 0 for any free one; gatekeeper_program: instead of `python -m ringkey`.
    """

    def __init__(
        self,
        template: Path,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        ports: tuple[int, int, int] = (0, 0, 0),
        seed: int = 1,
        environment: Mapping[str, str] | None = None,
        warnings: str = "default",
        gatekeeper_program: Sequence[str] | None = None,
    ) -> None:
        self.folder = folder
        self.host = host
        self.path = folder / "site"
        self.switch = Switch()
        self.evidence = Evidence()
        self.pins = {user.ext: user.pin for user in _users()}
        self._environment = environment
        self._warnings = warnings
        self._users = _users()
        self._phones = 0
        self._stale_keyserver = self._stale_gatekeeper = False
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        shutil.copytree(template, self.path)
        self.judge = Judge(lambda: judge.seeds_of(self.path), self.pins.get)
        # On every address where phones come from outside; the servers stay behind, on the loopback.
        self._listen = host if host.startswith("127.") else "0.0.0.0"  # noqa: S104 - phones come from outside
        self.network = Network(
            self._listen,
            seed,
            ports=ports,
            told=self._told,
            say=lambda text: self.switch.add("network", text),
        )
        self._configure()
        self.keyserver = self._server(KEY_SERVER, "keyserver", self._keyserver_moved, None)
        self.gatekeeper = self._server(GATEKEEPER, "gatekeeper", self._gatekeeper_moved, gatekeeper_program)
        self._pristine = {name: (self.path / name).read_bytes() for name in _CHANGED}

    # -- tests

    def begin(self, timeline: Timeline, name: str = "", capture: Path | None = None) -> Evidence:
        """Begin a test: everything runs as it should, and what happens from now on is its own."""
        self.network.reseed(name)
        self.evidence = Evidence()
        self.switch.to = timeline
        self.keyserver.start()
        self.gatekeeper.start()
        self.keyserver.mark()
        self.gatekeeper.mark()
        self.network.record(capture)
        return self.evidence

    def end(self) -> None:
        """End a test: look for what died in it, and put back what it has changed."""
        for server in (self.keyserver, self.gatekeeper):
            server.check()
        self.network.clear()
        self.network.record(None)
        self.switch.to = None
        # A server that has read what goes now starts again for the next test; it takes a second.
        if self._stale_keyserver:
            self.keyserver.stop()
        if self._stale_gatekeeper:
            self.gatekeeper.stop()
        for name in self._changed():
            (self.path / name).write_bytes(self._pristine[name])
        self._stale_keyserver = self._stale_gatekeeper = False

    def close(self) -> None:
        """Stop everything."""
        self.gatekeeper.stop()
        self.keyserver.stop()
        self.network.close()

    # -- the site

    def user(self) -> User:
        """Return somebody whose extension nobody else has used."""
        try:
            return next(self._users)
        except StopIteration:
            raise HarnessError(f"the bench has {EXTENSIONS} extensions, and all are used") from None

    def configure(self, table: str, **values: "str | int | bool | Sequence[str]") -> None:
        """Change the site's configuration for this test; a server takes it at its next start."""
        set_values(self.path, table, **values)
        if table == "keyserver":
            self._stale_keyserver = True
        else:
            self._stale_gatekeeper = True

    def certificate(self, certificate: bytes, key: bytes) -> None:
        """Give the key server another certificate and key, both PEM, for this test."""
        self._stale_keyserver = True
        (self.path / "keyserver" / "server.crt").write_bytes(certificate)
        (self.path / "keyserver" / "server.key").write_bytes(key)

    def second_gatekeeper(self, name: str = "second") -> "tuple[Server, Path]":
        """Return another gatekeeper of the same key server, not started, and its site.

        It has no extensions: `ringkey extension add` puts them into that site.
        """
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.path, path, ignore=shutil.ignore_patterns("run", "directory.db*", "keyserver"))
        text = (path / sites.FILE).read_text()
        (path / sites.FILE).write_text(text[text.index("[gatekeeper]") :])
        # It finds the key server's port, whatever that becomes, as the first gatekeeper does.
        (path / "run").mkdir(mode=0o700)
        (path / "run" / "keyserver.json").symlink_to(self.path / "run" / "keyserver.json")
        set_values(
            path,
            "gatekeeper",
            listen=self._listen,
            advertise_port=0,
            advertise_signalling_port=0,
        )
        server = Server(
            path,
            f"{GATEKEEPER} {name}",
            ("gatekeeper", "serve"),
            switch=self.switch,
            evidence=lambda: self.evidence,
            moved=lambda _ports: None,
            environment=self._environment,
            warnings=self._warnings,
        )
        return server, path

    def new_seed(self) -> None:
        """Give the site another seed, for this test: another Km, and none of the old one's keys."""
        self._stale_keyserver = self._stale_gatekeeper = True
        file = self.path / "keyserver" / "seed"
        seal = judge.keyring_of(self.path).seal
        keyring.write(file, keyring.first(secrets.token_bytes(keyring.SEED), seal))
        self.keyserver.restart()
        self.gatekeeper.restart()

    def end_registration(self, ext: str, reason: str = "undefinedReason") -> bool:
        """End a registration by the gatekeeper; tell whether there was one."""
        answer = control.ask(self.path / "run", "gatekeeper", "end", ext=ext, reason=reason)
        return bool(answer and answer["ended"])

    def registrations(self) -> "list[dict[str, Any]]":
        """Return the registrations that the gatekeeper holds."""
        answer = control.ask(self.path / "run", "gatekeeper", "registrations")
        return [] if answer is None else list(answer["registrations"])

    def rotate(self, overlap: str = "1d") -> str:
        """Begin a new generation of Km, the old one in force for `overlap`; return its check value."""
        self._stale_keyserver = self._stale_gatekeeper = True
        # What it prints, the new seed among it, is shown to nobody.
        self._ringkey("seed", "rotate", "--overlap", overlap)
        return judge.check_value(judge.seeds_of(self.path)[-1])

    def revoke(self, g: str) -> None:
        """Revoke one key, g in hex."""
        self._ringkey("key", "revoke", "--g", g, "--reason", "a test of the harness")

    def redirect(self, to: "tuple[str, int]") -> None:
        """Let the gatekeeper send phones that it does not have elsewhere, for this test."""
        self.configure("gatekeeper", max_registrations=0, alternates=[f"{to[0]}:{to[1]}"])
        self.gatekeeper.restart()

    # -- phones

    def unix_phone(
        self, name: str, log: PhoneLog | None = None, *, events: bool = True, **more: str
    ) -> UnixPhone:
        """Return a phone of this machine with an empty store, off; more: for its environment."""
        self._phones += 1
        return UnixPhone(
            self.settings(f"phone-{self._phones}", events=events),
            name=name,
            board="unix",
            log=log,
            add=self.switch.add,
            on_event=self.phone_event,
            environment=more,
        )

    def settings(self, name: str, *, events: bool = True) -> Path:
        """Write the settings of a unix phone into a folder of its own; return their path."""
        server = f"{self.host}:{self.network.files.port}"
        return write_settings(
            self.folder / name,
            self.path / "phone" / "root.der",
            [server],
            events=events,
            renew_spread=RENEWAL,
        )

    def phone_event(self, event: dict[str, object]) -> None:
        """Take what a phone says of itself as evidence."""
        if event["e"] == "fault":
            self.evidence.add("phone", f"fault in {event.get('step')}: {event.get('kind')}")
        elif event["e"] == "key-file":
            known = judge.check_values(judge.seeds_of(self.path))
            if known and event.get("cvm") not in known:
                self.evidence.add(KEY_SERVER, f"gave keys of check value {event.get('cvm')}, not of its seed")

    # -- inside

    def _ringkey(self, *words: str) -> None:
        sites.ringkey(*words, site=self.path, environment=self._environment)

    def _changed(self) -> list[str]:
        return [n for n, content in self._pristine.items() if (self.path / n).read_bytes() != content]

    def _configure(self) -> None:
        network = self.network
        set_values(self.path, "keyserver", gatekeepers=[f"{self.host}:{network.ras.port}"])
        set_values(
            self.path,
            "gatekeeper",
            advertise=self.host,
            advertise_port=network.ras.port,
            advertise_signalling_port=network.signalling.port,
            time_to_live=LIFE,
        )
        set_values(self.path, "gatekeeper.throttle", failures=_NO_THROTTLE)

    def _server(
        self,
        who: str,
        word: str,
        moved: Moved,
        program: Sequence[str] | None,
    ) -> Server:
        return Server(
            self.path,
            who,
            (word, "serve"),
            switch=self.switch,
            evidence=lambda: self.evidence,
            moved=moved,
            environment=self._environment,
            warnings=self._warnings,
            program=program,
        )

    def _keyserver_moved(self, ports: dict[str, int] | None) -> None:
        self.network.files.to = None if ports is None else ("127.0.0.1", ports["files"])

    def _gatekeeper_moved(self, ports: dict[str, int] | None) -> None:
        self.network.ras.to = None if ports is None else ("127.0.0.1", ports["ras"])
        self.network.signalling.to = None if ports is None else ("127.0.0.1", ports["signalling"])

    def _told(self, datagram: Datagram, fate: str) -> None:
        complaint = self.judge.complaint(datagram)
        self.evidence.passed(datagram, complaint, fate)
        arrow = "→" if datagram.way == UP else "←"
        text = f":{datagram.client[1]} {arrow} {datagram.kind} ({len(datagram.data)} octets)"
        if fate:
            text += f"; the fault kit {fate} it"
        if complaint:
            text += f"; {complaint}"
        self.switch.add("network", text, BAD if complaint else PLAIN)


def make_template(
    path: Path,
    *,
    host: str = "127.0.0.1",
    site: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Make a site for benches at `path`, with their extensions.

    site: an existing one to copy, whose root certificate is in the phones' images; nothing of what
    runs from it is disturbed.
    """
    if site is None:
        sites.make(path, environment, tuple(dict.fromkeys(("127.0.0.1", host))))
    else:
        shutil.copytree(site, path, ignore=shutil.ignore_patterns("run", "*.db*", "pin.key"))
        sites.free_ports(path)
    table = io.StringIO()
    csv.writer(table).writerows((user.ext, user.pin) for user in _users())
    sites.ringkey("extension", "import", "-", site=path, typed=table.getvalue(), environment=environment)


def _users() -> Iterator[User]:
    for number in range(EXTENSIONS):
        yield User(f"{2000 + number}", f"{7_351_000 + 17 * number}")


def own_address() -> str:
    """Return the address that this machine has towards others; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1, RFC 5737
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def well_known() -> tuple[int, int, int]:
    """Return the relays' ports as images know them: RAS, signalling, key files."""
    return RAS, SIGNALLING, FILES


def file_name(text: str) -> str:
    """Return a file's name for a test's."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-")[:120]
