"""`ringkey init`: a whole, working, secure site in one step, or nothing at all.

The site is built in a directory beside the one that was asked for and takes its name when it is
complete: a site half made never has the name that services look for.
"""

import contextlib
import json
import secrets
import shutil
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ras.address import join_address
from ras.generator import SERVER_ID
from ras.keys import Suite

from ringkey.errors import UserError
from ringkey.site import ca, files
from ringkey.site.config import FILE, MAX_NAMES, KeyServerConfig, Site
from ringkey.site.console_table import IDLE, PORT, TOTAL

PIN_KEY = 32  # octets: an AES-256 key, as the gatekeeper's directory wants it
_OWN = (FILE, "admin", "ca", "files", "gatekeeper", "keyserver", "phone", "run", "templates")
# Directories of a further key server.
_OF_KEY_SERVER = ("ca", "files", "keyserver", "run", "templates")


@dataclass(frozen=True, slots=True)
class Made:
    """What `init` has made: cvm is the check value, 3 octets; names are in the certificate."""

    site: Site
    suite: Suite
    cvm: bytes
    server_id: bytes
    names: tuple[str, ...]
    advertised: str


# Given by the caller, since these formats are the key server's and sites know no services.
# new_key_server(directory, server id, suite) writes the sealed seed and the first counter there,
# and returns CVm.
NewKeyServer = Callable[[Path, bytes, Suite], bytes]


def create(
    directory: Path,
    names: tuple[str, ...],
    suite: Suite,
    new_key_server: NewKeyServer,
    *,
    force: bool = False,
) -> Made:
    """Make a site in `directory`, which must not exist or be empty, and say what was made.

    names: DNS names and IP addresses of the key server, the first one being the one that key
    files name as gatekeeper; none means this machine's own.  With `force` the directory may hold
    other things; nothing that is there is ever replaced or erased.

    Raises UserError, and then has made nothing.
    """
    directory = directory.absolute()
    _check_free(directory, force=force)
    advertised = names[0] if names else _own_address()
    names = tuple(dict.fromkeys(ca.check_name(n) for n in names or (*_own_names(), advertised)))
    if len(names) > MAX_NAMES:
        raise UserError(f"more than {MAX_NAMES} names", "ringkey init --help", usage=True)
    server_id = _server_id()
    temporary = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        cvm = _build(
            temporary,
            names=names,
            suite=suite,
            server_id=server_id,
            advertised=advertised,
            new_key_server=new_key_server,
        )
        _put(temporary, directory)
    except OSError as e:
        raise UserError(
            f"cannot make a site in {directory}: {e.strerror}", f"ls -ld {directory.parent}"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Made(Site(directory), suite, cvm, server_id, names, advertised)


def create_another(
    directory: Path, site: Site, config: KeyServerConfig, names: tuple[str, ...], ports: tuple[int, int, int]
) -> bytes:
    """Make a further key server of `site` in `directory`, which must not exist; returns its server id.

    It has the site's root certificate and one of its own that the root has signed, but no seed: that
    is entered there.  names: DNS names and IP addresses of it, at least one; ports: for phones,
    for gatekeepers, and for health and metrics.  Raises UserError, and then has made nothing.
    """
    directory = directory.absolute()
    _check_free(directory, force=False)
    authority = ca.load(
        files.read(site.root_certificate, "root certificate"),
        files.read_secret(site.root / "ca" / "root.key", "the root's private key"),
    )
    server = ca.server(authority, names)
    # Drawn: the machine that it will run on is another one.
    server_id = _drawn_id()
    known = (config.server_id, *config.peers)
    temporary = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        for path in (temporary, *(temporary / name for name in _OF_KEY_SERVER)):
            path.mkdir(mode=files.PRIVATE_DIRECTORY)
        files.write(temporary / "ca" / "root.crt", authority.certificate_pem(), files.PUBLIC)
        files.write(temporary / "keyserver" / "server.crt", server.certificate_pem(), files.PUBLIC)
        files.write(temporary / "keyserver" / "server.key", server.key_pem())
        text = _HEAD + _KEYSERVER.format(
            port=ports[0],
            advanced_port=ports[1],
            admin_port=ports[2],
            server_id=server_id.hex(":"),
            names=_quoted(*names),
            suite=config.suite.name,
            peers=_quoted(*(one.hex(":") for one in known)),
            gatekeeper=_quoted(*(join_address(*address) for address in config.gatekeepers)),
        )
        files.write(temporary / FILE, text.encode())
        _put(temporary, directory)
    except OSError as e:
        raise UserError(
            f"cannot make a key server in {directory}: {e.strerror}", f"ls -ld {directory.parent}"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return server_id


def _check_free(directory: Path, *, force: bool) -> None:
    try:
        there = sorted(entry.name for entry in directory.iterdir())
    except FileNotFoundError:
        return
    except OSError as e:
        raise UserError(f"{directory}: {e.strerror}", f"ls -ld {directory}") from None
    if FILE in there:
        raise UserError(f"{directory} is a site already", f"ringkey --site {directory} status")
    if there and not force:
        raise UserError(f"{directory} is not empty: {', '.join(there[:5])}", "ringkey init ANOTHER-DIRECTORY")
    taken = [name for name in there if name in _OWN]
    if taken:
        raise UserError(
            f"{directory} has {', '.join(taken)}, and init replaces nothing, with --force neither",
            "ringkey init ANOTHER-DIRECTORY",
        )


def _build(
    root: Path,
    *,
    names: tuple[str, ...],
    suite: Suite,
    server_id: bytes,
    advertised: str,
    new_key_server: NewKeyServer,
) -> bytes:
    for path in (root, *(root / name for name in _OWN if name != FILE)):
        path.mkdir(mode=files.PRIVATE_DIRECTORY)
    authority = ca.new_root(f"ringkey site {secrets.token_hex(4)}")
    server = ca.server(authority, names)
    client = ca.gatekeeper(authority, "main")
    files.write(root / "ca" / "root.crt", authority.certificate_pem(), files.PUBLIC)
    files.write(root / "ca" / "root.key", authority.key_pem())
    files.write(root / "keyserver" / "server.crt", server.certificate_pem(), files.PUBLIC)
    files.write(root / "keyserver" / "server.key", server.key_pem())
    cvm = new_key_server(root / "keyserver", server_id, suite)
    files.write(root / "gatekeeper" / "gatekeeper.crt", client.certificate_pem(), files.PUBLIC)
    files.write(root / "gatekeeper" / "gatekeeper.key", client.key_pem())
    files.write(root / "gatekeeper" / "pin.key", secrets.token_bytes(PIN_KEY))
    files.write(root / "phone" / "root.der", authority.certificate_der(), files.PUBLIC)
    files.write(root / FILE, _configuration(names, suite, server_id, advertised).encode())
    return cvm


def _put(temporary: Path, directory: Path) -> None:
    try:
        # Takes the place of an empty directory in one step, and fails on any other.
        temporary.rename(directory)
    except OSError:
        if not directory.is_dir():
            raise
        # --force: entry by entry, the configuration last, without which this is no site.
        for name in sorted(_OWN, key=lambda n: n == FILE):
            if (directory / name).exists():
                raise
            (temporary / name).rename(directory / name)
        files.sync_directory(directory)
    files.sync_directory(directory.parent)


def _own_names() -> tuple[str, ...]:
    found = ["localhost", "127.0.0.1"]
    with contextlib.suppress(UserError):
        found.insert(0, ca.check_name(socket.gethostname()))
    return tuple(found)


def _own_address() -> str:
    """Return the address that this machine has towards others; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # TEST-NET-1, RFC 5737
            return str(s.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _server_id() -> bytes:
    """Return this machine's MAC address, or six random octets where it has none to show."""
    node = uuid.getnode()
    if not node >> 40 & 1 and node:
        return node.to_bytes(SERVER_ID, "big")
    # uuid drew it, anew in each process: marked as a multicast address (RFC 9562 section 6.10).
    # Here it is drawn once, kept in the configuration, and marked as locally administered.
    return _drawn_id()


def _drawn_id() -> bytes:
    drawn = bytearray(secrets.token_bytes(SERVER_ID))
    drawn[0] = drawn[0] & 0xFC | 0x02
    return bytes(drawn)


def _quoted(*texts: str) -> str:
    # A JSON text is a TOML text: both escape alike, and only ASCII is left.
    return ", ".join(json.dumps(text) for text in texts)


def _configuration(names: tuple[str, ...], suite: Suite, server_id: bytes, advertised: str) -> str:
    # Over the loopback where the certificate allows it, so that it works without a resolver.
    local = next((name for name in ("localhost", "127.0.0.1") if name in names), names[0])
    return _HEAD + (_KEYSERVER + _GATEKEEPER + _CONSOLE).format(
        port=8443,
        advanced_port=8444,
        admin_port=8445,
        console_port=PORT,
        session_idle=IDLE,
        session_total=TOTAL,
        server_id=server_id.hex(":"),
        names=_quoted(*names),
        suite=suite.name,
        peers="",
        gatekeeper=_quoted(join_address(advertised, 1719)),
        key_server=_quoted(f"https://{join_address(local, 8444)}"),
    )


_HEAD = """\
# A ringkey site.  Paths are relative to this file.  A port of 0 is any free port: the one it
# became is in the log's "ready" line.  After a change, start the service again.
"""
_KEYSERVER = """
[keyserver]
listen = "0.0.0.0"
port = {port:<20} # Secure File Service: phones, HTTPS
advanced_port = {advanced_port:<11} # Advanced Secure File Service: gatekeepers, mutual TLS
server_id = "{server_id}"  # octets 0-5 of every g; no two key servers may have the same
names = [{names}]  # what the certificate is made out to
suite = "{suite}"            # of new keys: "sha256", or "sha1" for phones that have no other
gatekeepers = [{gatekeeper}]  # written into key files, in order of preference
peers = [{peers}]                  # server ids of key servers with the same seed
allow_phone_g = false       # accept a g that a phone chose by itself
allow_unnamed = false       # accept a request for keys that names no extension

[keyserver.enrolment]       # who gets keys: see `ringkey enrol --help`
policy = "open"             # "open"; "window": while `ringkey enrol open`; "listed": `ringkey enrol import`
per_source = 120            # key files a minute for one address; 0: no limit
per_extension = 30          # key files an hour for one extension, from one network; 0: no limit

[keyserver.files]           # what phones get besides keys; docs/files.md
directory = "files"         # as they are: scripts, firmware
templates = "templates"     # settings, rendered for an extension, a model or a group
variables = "variables.toml"  # what they are filled from
sealed = []                 # names given out sealed for one device only, such as "settings/wifi*"

# [keyserver.uploads]       # gatekeepers may write files, each within these limits
# directory = "keyserver/uploads"
# max_file = 1048576        # octets
# max_files = 100
# max_total = 16777216      # octets
# phones = false            # let phones read them, under /files/from/GATEKEEPER/

# [keyserver.scopes]        # which gatekeeper may ask for which extensions; no table: each for all
# main = ["*"]
# branch = ["2000-2999", "31*"]

[keyserver.admin]           # /metrics, /healthz, /readyz; plain HTTP, for this machine
listen = "127.0.0.1"
port = {admin_port}
"""
_GATEKEEPER = """
[gatekeeper]
listen = "0.0.0.0"
port = 1719                 # RAS, UDP
signalling_port = 1300      # TLS-PSK, TCP
multicast = true            # answer discovery on 224.0.1.41:1718
# advertise = "192.0.2.10"  # address that phones are told; else the one they came to
# advertise_port = 1719     # ports that phones are told, where a router forwards others to those
# advertise_signalling_port = 1300  # above; 0 or none: those above
identifier = "ringkey"
key_servers = [{key_server}]
time_to_live = 300          # seconds until a phone must have said that it is still there
suites = ["{suite}"]        # accepted from phones
# state = "gatekeeper/state.db"  # what outlives a restart: registrations, counters, keys, sealed
alternates = []             # "host:port" of gatekeepers that phones may try instead
icv_from_kg = false         # accept a GRQ that proves the key but not the PIN
max_registrations = 20000   # held at a time, 1.5 KB each; more go to the alternates (0: all new ones)
workers = 1                 # processes on the port, each with a signalling port; 0: one a processor
log_lines = 100             # a second, that strangers may cause; registered phones twice as many

[gatekeeper.throttle]       # failed log-ins: so many within a window, then silence; all in seconds
failures = 10
window = 900
ignore = 30
ignore_max = 3600

[gatekeeper.admin]          # /metrics, /healthz, /readyz; plain HTTP, for this machine
listen = "127.0.0.1"
port = 8446

# [gatekeeper.plain]        # H.323 endpoints that may register without a PIN, and so without any security
# networks = ["192.0.2.0/24"]
# extensions = ["2001", "2100-2199"]
"""
_CONSOLE = """
[console]
listen = "0.0.0.0"
port = {console_port:<20} # HTTPS: a browser, and scripts (docs/console.md)
session_idle = {session_idle:<12} # seconds without a request, and in all, until one must log in again
session_total = {session_total}
# client_ca = "ca/root.crt" # let in only browsers with a certificate of this root
"""
