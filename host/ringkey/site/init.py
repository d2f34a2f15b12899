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
from ras.keys import Suite, check_value, master_key

from ringkey.errors import UserError
from ringkey.site import ca, files
from ringkey.site.config import FILE, MAX_NAMES, Site

# Octets of a drawn seed: as strong as suite sha256's Km; protocol.md wants 16 or more.
SEED = 32
PIN_KEY = 32  # octets: an AES-256 key, as the gatekeeper's directory wants it
_OWN = (FILE, "ca", "keyserver", "gatekeeper", "phone", "run")


@dataclass(frozen=True, slots=True)
class Made:
    """What `init` has made: cvm is the check value, 3 octets; names are in the certificate."""

    site: Site
    suite: Suite
    cvm: bytes
    server_id: bytes
    names: tuple[str, ...]
    advertised: str


# Given by the caller, since the counter's format is the key server's and sites know no services.
NewCounter = Callable[[Path, bytes], None]


def create(
    directory: Path,
    names: tuple[str, ...],
    suite: Suite,
    new_counter: NewCounter,
    *,
    force: bool = False,
) -> Made:
    """Make a site in `directory`, which must not exist or be empty, and say what was made.

    names: DNS names and IP addresses of the key server, the first one being the one that key
    files name as gatekeeper; none means this machine's own.  new_counter(path, server_id) writes
    the key generating agent's first counter file.  With `force` the directory may hold other
    things; nothing that is there is ever replaced or erased.

    Raises UserError, and then has made nothing.
    """
    directory = directory.absolute()
    _check_free(directory, force=force)
    advertised = names[0] if names else _own_address()
    names = tuple(dict.fromkeys(ca.check_name(n) for n in names or (*_own_names(), advertised)))
    if len(names) > MAX_NAMES:
        raise UserError(f"more than {MAX_NAMES} names", "ringkey init --help", usage=True)
    server_id = _server_id()
    seed = secrets.token_bytes(SEED)
    temporary = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        _build(
            temporary,
            names=names,
            suite=suite,
            server_id=server_id,
            advertised=advertised,
            seed=seed,
            new_counter=new_counter,
        )
        _put(temporary, directory)
    except OSError as e:
        raise UserError(
            f"cannot make a site in {directory}: {e.strerror}", f"ls -ld {directory.parent}"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    cvm = check_value(suite, master_key(suite, seed))
    return Made(Site(directory), suite, cvm, server_id, names, advertised)


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
    seed: bytes,
    new_counter: NewCounter,
) -> None:
    for path in (root, root / "ca", root / "keyserver", root / "gatekeeper", root / "phone", root / "run"):
        path.mkdir(mode=files.PRIVATE_DIRECTORY)
    authority = ca.new_root(f"ringkey site {secrets.token_hex(4)}")
    server = ca.server(authority, names)
    client = ca.gatekeeper(authority, "main")
    files.write(root / "ca" / "root.crt", authority.certificate_pem(), files.PUBLIC)
    files.write(root / "ca" / "root.key", authority.key_pem())
    files.write(root / "keyserver" / "server.crt", server.certificate_pem(), files.PUBLIC)
    files.write(root / "keyserver" / "server.key", server.key_pem())
    files.write(root / "keyserver" / "seed", seed.hex().encode() + b"\n")
    new_counter(root / "keyserver" / "counter", server_id)
    files.write(root / "gatekeeper" / "gatekeeper.crt", client.certificate_pem(), files.PUBLIC)
    files.write(root / "gatekeeper" / "gatekeeper.key", client.key_pem())
    files.write(root / "gatekeeper" / "pin.key", secrets.token_bytes(PIN_KEY))
    files.write(root / "phone" / "root.der", authority.certificate_der(), files.PUBLIC)
    files.write(root / FILE, _configuration(names, suite, server_id, advertised).encode())


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
    drawn = bytearray(secrets.token_bytes(SERVER_ID))
    drawn[0] = drawn[0] & 0xFC | 0x02
    return bytes(drawn)


def _configuration(names: tuple[str, ...], suite: Suite, server_id: bytes, advertised: str) -> str:
    # A JSON text is a TOML text: both escape alike, and only ASCII is left.
    def quoted(*texts: str) -> str:
        return ", ".join(json.dumps(text) for text in texts)

    # Over the loopback where the certificate allows it, so that it works without a resolver.
    local = next((name for name in ("localhost", "127.0.0.1") if name in names), names[0])
    return _TEMPLATE.format(
        server_id=server_id.hex(":"),
        names=quoted(*names),
        suite=suite.name,
        gatekeeper=quoted(join_address(advertised, 1719)),
        key_server=quoted(f"https://{join_address(local, 8444)}"),
    )


_TEMPLATE = """\
# A ringkey site.  Paths are relative to this file.  A port of 0 is any free port: the one it
# became is in the log's "ready" line.  After a change, start the service again.

[keyserver]
listen = "0.0.0.0"
port = 8443                 # Secure File Service: phones, HTTPS
advanced_port = 8444        # Advanced Secure File Service: gatekeepers, mutual TLS
server_id = "{server_id}"  # octets 0-5 of every g; no two key servers may have the same
names = [{names}]  # what the certificate is made out to
suite = "{suite}"            # of new keys: "sha256", or "sha1" for phones that have no other
gatekeepers = [{gatekeeper}]  # written into key files, in order of preference
peers = []                  # server ids of key servers with the same seed
allow_phone_g = false       # accept a g that a phone chose by itself
allow_unnamed = false       # accept a request for keys that names no extension

[gatekeeper]
listen = "0.0.0.0"
port = 1719                 # RAS, UDP
signalling_port = 1300      # TLS-PSK, TCP
multicast = true            # answer discovery on 224.0.1.41:1718
# advertise = "192.0.2.10"  # what phones are told for signalling; else the address they came to
identifier = "ringkey"
key_servers = [{key_server}]
time_to_live = 300          # seconds until a phone must have said that it is still there
suites = ["{suite}"]        # accepted from phones
alternates = []             # "host:port" of gatekeepers that phones may try instead
icv_from_kg = false         # accept a GRQ that proves the key but not the PIN

[gatekeeper.throttle]       # failed log-ins: so many within a window, then silence; all in seconds
failures = 10
window = 900
ignore = 30
ignore_max = 3600
"""
