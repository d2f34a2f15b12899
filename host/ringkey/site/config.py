"""`ringkey.toml`: what a site's services do, read and checked as one.

A table that is missing means that its service does not run from this site: a gatekeeper on a
machine of its own has a file with `[gatekeeper]` only.  Paths are relative to the file.  Port 0
is any free port; the one it became is in the "ready" line of the log and in `run/NAME.json`.
"""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ras.address import join_address
from ras.errors import RemoteProtocolError
from ras.generator import NO_SERVER, SERVER_ID
from ras.hostport import split_address
from ras.keys import SUITES, Suite
from ras.record import MAX_GATEKEEPERS
from ras.registrations import MAX_HELD

from ringkey.errors import UserError
from ringkey.site import files, runtime
from ringkey.site import keyserver_tables as tables
from ringkey.site.console_table import ConsoleConfig, read_console
from ringkey.site.plain_table import PlainConfig, read_plain
from ringkey.site.table import Table

FILE = "ringkey.toml"
# Key servers are tried in turn while a phone waits 2 s for its answer (protocol.md section 6).
MAX_KEY_SERVERS = 4
# A phone tries alternates in turn, 14 s each; the same limit as in a key file.
MAX_ALTERNATES = MAX_GATEKEEPERS
# Worker processes of a gatekeeper: more processors than a machine has whose network card is not the limit.
MAX_WORKERS = 32
_LAST_PORT = 65535
# Key servers that share one seed: a handful per site; the list is searched for every look-up.
MAX_PEERS = 16
# Names and addresses in a certificate: phones parse it with some 20 KiB of memory.
MAX_NAMES = 16


@dataclass(frozen=True, slots=True)
class Site:
    """The directory of a site, and where in it things are that no configuration moves."""

    root: Path

    @property
    def config_file(self) -> Path:
        """`ringkey.toml`."""
        return self.root / FILE

    @property
    def run(self) -> Path:
        """The directory of runtime files: which ports the running services have."""
        return self.root / "run"

    @property
    def root_certificate(self) -> Path:
        """The site's root certificate, PEM."""
        return self.root / "ca" / "root.crt"

    @property
    def root_der(self) -> Path:
        """The same as DER: what goes into a phone's image."""
        return self.root / "phone" / "root.der"


@dataclass(frozen=True, slots=True)
class Throttle:
    """Limits on failed log-ins (protocol.md section 5).

    failures within window seconds, then silence for ignore seconds, doubling up to ignore_max.
    """

    failures: int = 10
    window: int = 900
    ignore: int = 30
    ignore_max: int = 3600


@dataclass(frozen=True, slots=True)
class KeyServerConfig:
    """`[keyserver]`.

    listen: IP address; port, advanced_port: Secure and Advanced Secure File Service, TCP;
    server_id: octets 0-5 of every g; peers: ids of key servers that share the seed; names: what
    the certificate is made out to; gatekeepers: (host, port) for key files, port 0 where this
    site's own gatekeeper shall be asked which it has; allow_phone_g: accept a g that a phone
    chose; allow_unnamed: accept a request without EXT; seed: the sealed seeds; seed_key: the file
    with the key that they are sealed under, where that is neither a credential nor a passphrase;
    register: SQLite file of the issued keys; audit: the trail that it is made from; files, uploads,
    scopes, enrolment, admin: the tables below it (keyserver_tables.py).
    """

    listen: str
    port: int
    advanced_port: int
    server_id: bytes
    peers: tuple[bytes, ...]
    names: tuple[str, ...]
    suite: Suite
    gatekeepers: tuple[tuple[str, int], ...]
    allow_phone_g: bool
    allow_unnamed: bool
    certificate: Path
    private_key: Path
    client_ca: Path
    seed: Path
    seed_key: Path
    counter: Path
    register: Path
    audit: Path
    files: tables.FilesConfig
    uploads: tables.UploadsConfig
    scopes: tables.Scopes
    enrolment: tables.EnrolmentConfig
    admin: tables.AdminConfig | None


@dataclass(frozen=True, slots=True)
class GatekeeperConfig:
    """`[gatekeeper]`.

    listen: IP address; port: RAS, UDP; signalling_port: TLS-PSK, TCP; multicast: answer GRQ to
    224.0.1.41:1718 too; advertise: IP address that phones are told for RAS and signalling, None for
    the one their datagram came to; advertise_port, advertise_signalling_port: the ports they are
    told, 0 for those above (a router or a relay in between may have others); identifier: its
    gatekeeperIdentifier; key_servers: base URLs of Advanced Secure File Services, in order of
    preference, port 0 for the one of this site; key_server_ca: the root that signed them;
    certificate, private_key: what the gatekeeper shows there; directory: SQLite file; state: the
    one with what outlives a restart; pin_key: the key that PINs and state are sealed under;
    time_to_live: seconds; suites: names, the ones it accepts; alternates: (host, port) of other
    gatekeepers; icv_from_kg: accept a GRQ signed under Kr (protocol.md section 4, at its end);
    max_registrations: held at a time, further phones are sent to the alternates; workers: processes
    on the port, 0 for one a processor; log_lines: a second, that strangers may cause, and phones
    twice as many; admin: health and metrics, None
    where they are not wanted; plain: which H.323 endpoints without the profile may register, None for none.
    """

    listen: str
    port: int
    signalling_port: int
    multicast: bool
    advertise: str | None
    advertise_port: int
    advertise_signalling_port: int
    identifier: str
    key_servers: tuple[str, ...]
    key_server_ca: Path
    certificate: Path
    private_key: Path
    directory: Path
    state: Path
    pin_key: Path
    time_to_live: int
    suites: tuple[str, ...]
    alternates: tuple[tuple[str, int], ...]
    icv_from_kg: bool
    max_registrations: int
    workers: int
    log_lines: int
    throttle: Throttle
    admin: tables.AdminConfig | None
    plain: PlainConfig | None


@dataclass(frozen=True, slots=True)
class Config:
    """A whole `ringkey.toml`."""

    file: Path
    keyserver: KeyServerConfig | None
    gatekeeper: GatekeeperConfig | None
    console: ConsoleConfig | None = None

    def need_keyserver(self) -> KeyServerConfig:
        """Return `[keyserver]`; raises UserError where the site has none."""
        if self.keyserver is None:
            raise UserError(f"{self.file} has no [keyserver]: this site runs none", "ringkey status")
        return self.keyserver

    def need_gatekeeper(self) -> GatekeeperConfig:
        """Return `[gatekeeper]`; raises UserError where the site has none."""
        if self.gatekeeper is None:
            raise UserError(f"{self.file} has no [gatekeeper]: this site runs none", "ringkey status")
        return self.gatekeeper

    def need_console(self) -> ConsoleConfig:
        """Return `[console]`; a site that was made before there was one has it with its defaults."""
        if self.console is None:
            return read_console(Table(self.file, "console", {}))
        return self.console


def load(site: Site) -> Config:
    """Return the site's configuration; raises UserError that names the file and the key."""
    path = site.config_file
    if not path.exists():
        raise UserError(f"there is no site in {site.root} (no {FILE})", f"ringkey init {site.root}")
    return parse(path, files.read(path, "configuration"))


def parse(path: Path, text: bytes) -> Config:
    """Return what the text of a `ringkey.toml` at `path` says; raises UserError as `load`."""
    try:
        content = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UserError(f"{path}: {e}", f"{os.environ.get('EDITOR', 'nano')} {path}") from None
    top = Table(path, "", content)
    keyserver = top.table("keyserver")
    gatekeeper = top.table("gatekeeper")
    console = top.table("console")
    config = Config(
        path,
        None if keyserver is None else _keyserver(keyserver),
        None if gatekeeper is None else _gatekeeper(gatekeeper),
        None if console is None else read_console(console),
    )
    top.done()
    return config


def _keyserver(table: Table) -> KeyServerConfig:
    config = KeyServerConfig(
        listen=table.ip("listen", "0.0.0.0"),  # noqa: S104 - phones come from the whole site
        port=table.port("port", 8443),
        advanced_port=table.port("advanced_port", 8444),
        server_id=_server_id(table, "server_id", table.text("server_id")),
        peers=tuple(_server_id(table, "peers", text) for text in table.texts("peers", (), MAX_PEERS)),
        names=table.texts("names", (), MAX_NAMES),
        suite=_suite(table, "suite", table.text("suite", "sha256")),
        gatekeepers=_addresses(table, "gatekeepers", MAX_GATEKEEPERS),
        allow_phone_g=table.flag("allow_phone_g", False),
        allow_unnamed=table.flag("allow_unnamed", False),
        certificate=table.path("certificate", "keyserver/server.crt"),
        private_key=table.path("private_key", "keyserver/server.key"),
        client_ca=table.path("client_ca", "ca/root.crt"),
        seed=table.path("seed", "keyserver/seed"),
        seed_key=table.path("seed_key", "keyserver/seed.key"),
        counter=table.path("counter", "keyserver/counter"),
        register=table.path("register", "keyserver/register.db"),
        audit=table.path("audit", "keyserver/audit.jsonl"),
        files=tables.read_files(table.table("files")),
        uploads=tables.read_uploads(table.table("uploads")),
        scopes=tables.read_scopes(table.table("scopes")),
        enrolment=tables.read_enrolment(table.table("enrolment"), table.file.parent / "keyserver"),
        admin=tables.read_admin(table.table("admin")),
    )
    if config.port and config.port == config.advanced_port:
        raise table.error("advanced_port", "the same as port")
    table.done()
    return config


def _gatekeeper(table: Table) -> GatekeeperConfig:
    suites = table.texts("suites", ("sha256",), len(SUITES))
    for name in suites:
        _suite(table, "suites", name)
    if not suites:
        raise table.error("suites", "at least one of sha256, sha1")
    throttle = table.table("throttle")
    directory = table.path("directory", "gatekeeper/directory.db")
    config = GatekeeperConfig(
        listen=table.ip("listen", "0.0.0.0"),  # noqa: S104 - phones come from the whole site
        port=table.port("port", 1719),
        # H.323 call signalling over TLS has this port registered (IANA: h323hostcallsc).
        signalling_port=table.port("signalling_port", 1300),
        multicast=table.flag("multicast", True),
        advertise=table.ip("advertise") if "advertise" in table else None,
        advertise_port=table.port("advertise_port", 0),
        advertise_signalling_port=table.port("advertise_signalling_port", 0),
        # 128 characters: H.225.0, GatekeeperIdentifier.
        identifier=table.text("identifier", "ringkey", longest=128),
        key_servers=_urls(table, "key_servers"),
        key_server_ca=table.path("key_server_ca", "ca/root.crt"),
        certificate=table.path("certificate", "gatekeeper/gatekeeper.crt"),
        private_key=table.path("private_key", "gatekeeper/gatekeeper.key"),
        directory=directory,
        state=table.path("state", "") if "state" in table else directory.with_name("state.db"),
        pin_key=table.path("pin_key", "gatekeeper/pin.key"),
        # Below 10 s the keep-alives of a site would be most of its traffic; a day is longer than
        # anybody wants to see a phone listed that has gone.
        time_to_live=table.integer("time_to_live", 300, 10, 86400),
        suites=suites,
        alternates=_addresses(table, "alternates", MAX_ALTERNATES),
        icv_from_kg=table.flag("icv_from_kg", False),
        # The default takes 30 MB.  Ten times the largest site that is measured is a mistake.
        # 0: phones that are here stay, all others are sent to the alternates.
        max_registrations=table.integer("max_registrations", MAX_HELD, 0, 1_000_000),
        workers=table.integer("workers", 1, 0, MAX_WORKERS),
        # 100: see gatekeeper/record.py.  Ten thousand lines are more than a second has room for.
        log_lines=table.integer("log_lines", 100, 0, 10_000),
        throttle=Throttle() if throttle is None else _throttle(throttle),
        admin=tables.read_admin(table.table("admin"), 8446),
        plain=read_plain(table.table("plain")),
    )
    for key, port in (
        ("signalling_port", config.signalling_port),
        ("advertise_signalling_port", config.advertise_signalling_port),
    ):
        if port + (config.workers or MAX_WORKERS) - 1 > _LAST_PORT and config.workers != 1:
            raise table.error(key, "each worker has one of its own, this and those after it: too high")
    table.done()
    return config


def _throttle(table: Table) -> Throttle:
    day = 86400
    default = Throttle()
    throttle = Throttle(
        failures=table.integer("failures", default.failures, 1, 10_000),
        window=table.integer("window", default.window, 1, day),
        ignore=table.integer("ignore", default.ignore, 1, day),
        ignore_max=table.integer("ignore_max", default.ignore_max, 1, day),
    )
    if throttle.ignore_max < throttle.ignore:
        raise table.error("ignore_max", "smaller than ignore")
    table.done()
    return throttle


def _server_id(table: Table, key: str, text: str) -> bytes:
    try:
        value = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        value = b""
    if len(value) != SERVER_ID or value == NO_SERVER:
        raise table.error(key, f"{SERVER_ID} octets in hex, not all zero, such as 02:00:5e:10:00:01")
    return value


def _suite(table: Table, key: str, name: str) -> Suite:
    suite = SUITES.get(name)
    if suite is None:
        raise table.error(key, "there are sha256 and sha1")
    return suite


def _addresses(table: Table, key: str, most: int) -> tuple[tuple[str, int], ...]:
    found = []
    for text in table.texts(key, (), most):
        # Port 0 is not an address on the wire; here it is this site's own gatekeeper.
        host, _, port = text.rpartition(":")
        try:
            address = (split_address(f"{host}:1")[0], 0) if port == "0" else split_address(text)
        except RemoteProtocolError as e:
            raise table.error(key, f"{text!r}: {e}") from None
        found.append(address)
    return tuple(found)


def _urls(table: Table, key: str) -> tuple[str, ...]:
    urls = table.texts(key, ("https://localhost:8444",), MAX_KEY_SERVERS)
    for url in urls:
        try:
            parts = urlsplit(url)
            good = parts.scheme == "https" and parts.hostname and parts.path in ("", "/")
            good = good and not parts.query and parts.username is None and parts.port is not None
        except ValueError:
            good = False
        if not good:
            raise table.error(key, f"{url!r} is not of the form https://host:port")
    if not urls:
        raise table.error(key, "at least one, such as https://localhost:8444")
    return tuple(url.rstrip("/") for url in urls)


def resolve_url(url: str, site: Site) -> str:
    """Return a key server's URL with port 0 replaced by the port that this site's key server has.

    Raises UserError where that one does not run.
    """
    parts = urlsplit(url)
    if parts.port != 0 or parts.hostname is None:
        return url
    port = runtime.ports(site.run, "keyserver").get("advanced")
    if port is None:
        raise UserError(f"{url}: the key server of {site.root} does not run", "ringkey keyserver serve")
    return "https://" + join_address(parts.hostname, port)


def resolve_address(address: tuple[str, int], site: Site) -> tuple[str, int] | None:
    """Return a gatekeeper's (host, port), port 0 replaced by the one this site's gatekeeper has.

    None where that one does not run.
    """
    host, port = address
    if port:
        return address
    found = runtime.ports(site.run, "gatekeeper").get("ras")
    return None if found is None else (host, found)
