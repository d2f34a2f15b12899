"""The phone's TLS-PSK client against OpenSSL's server, under CPython and MicroPython."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENT = Path(__file__).parent / "upy_psk_client.py"
KEY = bytes(range(32)).hex()
IDENTITY = "00112233445566778899aabbccddeeff"
SUITE = "PSK-AES128-CBC-SHA256"
TIMEOUT = 60  # seconds: never waited for when all is well

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on PATH")


def micropython():
    beside = Path(sys.executable).parent / "micropython"
    found = os.environ.get("MICROPYTHON") or shutil.which("micropython")
    return found or (str(beside) if beside.exists() else None)


@pytest.fixture(params=["cpython", "micropython"])
def run_client(request):
    """A function that runs the client: (port, key, send, expect) -> (exit code, lines it printed)."""
    executable = sys.executable if request.param == "cpython" else micropython()
    if executable is None:
        pytest.skip("no micropython: set MICROPYTHON or put it on PATH")
    paths = {"PYTHONPATH": str(ROOT / "firmware"), "MICROPYPATH": f"{ROOT / 'firmware'}:.frozen"}

    def run(port, key=KEY, send=0, expect=0):
        done = subprocess.run(
            [executable, str(CLIENT), "127.0.0.1", str(port), IDENTITY, key, str(send), str(expect)],
            env={**os.environ, **paths},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    return run


@pytest.fixture
def serve(tmp_path):
    """A function that starts s_server on a free port for one connection: (process, port)."""
    started = []

    def start(*options, key=KEY, cipher=SUITE, config=None):
        environment = dict(os.environ)
        if config is not None:
            path = tmp_path / "openssl.cnf"
            path.write_text(config)
            environment["OPENSSL_CONF"] = str(path)
        process = subprocess.Popen(
            [
                "openssl",
                "s_server",
                "-accept",
                "127.0.0.1:0",
                "-naccept",
                "1",
                "-nocert",
                "-tls1_2",
                "-psk",
                key,
                "-psk_identity",
                IDENTITY,
                "-cipher",
                cipher,
                *options,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=tmp_path,
        )
        started.append(process)
        for line in process.stdout:
            if line.startswith(b"ACCEPT"):
                return process, int(line.split(b":")[-1])
        raise AssertionError("s_server did not start")

    yield start
    for process in started:
        process.kill()
        process.communicate()


def pattern(size):
    line = b"0123456789 ringkey 0123456789\n"
    return (line * (size // len(line) + 1))[:size]


def session(output):
    """What `openssl sess_id` says of the session that s_server printed."""
    command = ["openssl", "sess_id", "-text", "-noout"]
    text = subprocess.run(command, input=output, capture_output=True, check=True).stdout.decode()
    fields = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in fields}


def received(size):
    return f"received {size} {hashlib.sha256(pattern(size)).hexdigest()}"


CONNECTED = "connected TLS_PSK_WITH_AES_128_CBC_SHA256"


@pytest.mark.parametrize("size", [1, 20_000])
def test_data_both_ways_and_close(run_client, serve, size):
    process, port = serve()
    process.stdin.write(pattern(size))
    process.stdin.flush()
    code, lines = run_client(port, send=size, expect=size)
    # s_server answers our close_notify with its own
    assert (code, lines) == (0, [CONNECTED, received(size), "closed"])
    output, _ = process.communicate(timeout=TIMEOUT)
    assert pattern(size) in output


def test_close_notify_from_the_server(run_client, serve, tmp_path):
    (tmp_path / "file").write_bytes(pattern(20_000))
    _, port = serve("-HTTP")  # sends the file as it is, then close_notify
    code, lines = run_client(port, send="GET /file HTTP/1.0\r\n\r\n", expect=-1)
    assert (code, lines) == (0, [CONNECTED, received(20_000), "closed"])


def test_hint_is_skipped(run_client, serve):
    process, port = serve("-psk_hint", "h" * 127)
    process.stdin.write(b"0")
    process.stdin.flush()
    assert run_client(port, expect=1)[0] == 0


def test_server_without_extended_master_secret(run_client, serve):
    config = (
        "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n"
        "[tls]\nOptions = -ExtendedMasterSecret\n"
    )
    process, port = serve(config=config)
    assert run_client(port, send=100) == (0, [CONNECTED, received(0), "closed"])
    output, _ = process.communicate(timeout=TIMEOUT)
    assert pattern(100) in output
    assert session(output)["Extended master secret"] == "no"


def test_what_is_negotiated(run_client, serve):
    process, port = serve()
    assert run_client(port)[0] == 0
    negotiated = session(process.communicate(timeout=TIMEOUT)[0])
    assert negotiated["Protocol"] == "TLSv1.2"
    assert negotiated["Cipher"] == SUITE
    assert negotiated["Extended master secret"] == "yes"


def test_wrong_key(run_client, serve):
    process, port = serve()
    code, lines = run_client(port, key="00" * 32)
    assert (code, lines) == (1, ["refused 20 server sent bad_record_mac"])
    output, _ = process.communicate(timeout=TIMEOUT)
    assert b"bad record mac" in output


def test_server_without_encrypt_then_mac(run_client, serve):
    process, port = serve("-no_etm")
    code, lines = run_client(port)
    assert (code, lines) == (1, ["refused 40 server has no encrypt-then-MAC (RFC 7366)"])
    output, _ = process.communicate(timeout=TIMEOUT)
    assert b"handshake failure" in output


@pytest.mark.parametrize(
    "cipher", ["PSK-AES128-GCM-SHA256", "ECDHE-PSK-AES128-CBC-SHA256", "PSK-AES128-CBC-SHA"]
)
def test_server_without_our_suite(run_client, serve, cipher):
    _, port = serve(cipher=cipher)
    assert run_client(port) == (1, ["refused 40 server sent handshake_failure"])
