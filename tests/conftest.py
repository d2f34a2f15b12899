"""What the tests of the hosts share: a site made by the real `ringkey init`, and running services."""

import contextlib
import hashlib
import hmac
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# With --import-mode=importlib no test finds its neighbours: helper modules lie here, beside this file.
sys.path.insert(0, str(ROOT / "tests"))

from sites import seeds_of  # noqa: E402


def environment():
    """Return the environment in which the project's own processes run."""
    found = {k: v for k, v in os.environ.items() if not k.startswith("RINGKEY")}
    paths = [str(ROOT / "firmware"), str(ROOT / "host"), str(ROOT / "tools")]
    return {**found, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def pytest_sessionfinish():
    """Forget what the key servers of tests left in this machine's memory (keyserver/continuity.py)."""
    for token in Path("/dev/shm").glob("ringkey-*/*"):  # noqa: S108
        with contextlib.suppress(OSError, IndexError):
            if not Path(token.read_text().split(" ", 1)[1].strip()).exists():
                token.unlink()


@pytest.fixture(name="environment", scope="session")
def _environment():
    return environment()


def run_ringkey(*args, check=True):
    """Run `ringkey ARGS` to its end, warnings being errors; returns the CompletedProcess."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "ringkey", *map(str, args)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if check and done.returncode != 0:
        pytest.fail(f"ringkey {' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


@pytest.fixture
def ringkey():
    """The command line: `ringkey("init", path)`; with check=False a failure is returned."""
    return run_ringkey


@pytest.fixture(scope="session")
def site_template(tmp_path_factory):
    """A site as `ringkey init` leaves it, for this machine only."""
    path = tmp_path_factory.mktemp("template") / "site"
    run_ringkey("init", path, "--ip", "127.0.0.1", "--name", "localhost")
    return path


@pytest.fixture
def site(site_template, tmp_path):
    """A fresh site on 127.0.0.1, every port free for the taking, multicast off; a Path.

    It is a copy, so its key server begins a new range of its counter.
    """
    path = tmp_path / "site"
    shutil.copytree(site_template, path)
    configure(
        path,
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104 - it is taken away
        ("8443", "0"),
        ("8444", "0"),
        (":1719", ":0"),
        ("port = 1719", "port = 0"),
        ("signalling_port = 1300", "signalling_port = 0"),
        ("multicast = true", "multicast = false"),
    )
    return path


def configure(site, *replacements):
    """Replace texts in a site's ringkey.toml, each of which must be there."""
    file = site / "ringkey.toml"
    text = file.read_text()
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new)
    file.write_text(text)


@pytest.fixture(name="configure")
def _configure():
    """`configure(site, (old, new), ...)` changes ringkey.toml."""
    return configure


class Running:
    """A service's process: `ports`, `events` (the log's, so far), `stop()`, `kill()`."""

    def __init__(self, site, args, typed=None):
        self.site = site
        self.args = args
        self.lines = []
        self.errors = []
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-W", "error", "-m", "ringkey"),
                *("--site", str(site), "--log-format", "json", *args),
            ],
            env=environment(),
            stdin=subprocess.DEVNULL if typed is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if typed is not None:
            self.process.stdin.write(typed)
            self.process.stdin.close()
        self._more = threading.Condition()
        self._threads = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def ports(self):
        """The ports of the "ready" event, by name."""
        return self.wait_for("ready")["ports"]

    @property
    def events(self):
        """The log so far, as a list of dicts."""
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    @property
    def output(self):
        """Everything that the process has written, as one text."""
        return "".join([*self.lines, *self.errors])

    def wait_for(self, event, timeout=20, **fields):
        """Return the first event of that name with these fields; fails the test after `timeout` s."""
        end = time.monotonic() + timeout
        while True:
            with self._more:
                for found in self.events:
                    if found["event"] == event and all(found.get(k) == v for k, v in fields.items()):
                        return found
                ended = self.process.poll() is not None and not any(t.is_alive() for t in self._threads)
                if ended or time.monotonic() > end:
                    pytest.fail(f"no event {event!r} {fields or ''} from {self.args}; so far:\n{self.output}")
                self._more.wait(0.1)

    def stop(self, number=signal.SIGTERM):
        """Send a signal and return the exit status, everything it wrote having been read."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"{self.args} does not stop:\n{self.output}")
        for thread in self._threads:
            thread.join(10)
        self.process.stdout.close()
        self.process.stderr.close()
        return status

    def kill(self):
        """kill -9, and wait."""
        return self.stop(signal.SIGKILL)

    def _read(self, stream, lines):
        for line in stream:
            with self._more:
                lines.append(line)
                self._more.notify_all()
        with self._more:
            self._more.notify_all()


@pytest.fixture
def run_service():
    """`run_service(site, "keyserver", "serve")` starts a process and returns a Running, ready.

    At the end all are stopped, and the test fails if one of them has logged a secret: the seed,
    Km, the private keys, a Kg of any g in the logs, or what the test put into `run_service.secrets`.
    """
    started = []

    def start(site, *args, ready=True, typed=None, log=True):
        service = Running(site, args, typed)
        if log:  # else it has nothing new to say, and a great deal of it
            started.append(service)
        if ready:
            service.wait_for("ready")
        return service

    start.secrets = set()
    yield start
    for service in started:
        service.stop()
    output = "".join(service.output for service in started)
    assert_no_secret(output, {service.site for service in started}, start.secrets)


def assert_no_secret(output, sites, more=()):
    """Fail if `output` shows a secret of one of the sites, or one of `more` (texts)."""
    secrets = set(more)
    for site in sites:
        for seed in seeds_of(site) if (site / "keyserver" / "seed.key").exists() else ():
            secrets.add(seed.hex())
            for name in ("sha1", "sha256"):
                km = hashlib.new(name, seed).digest()
                secrets.add(km.hex())
                for g in set(re.findall(r"\b[0-9a-f]{32}\b", output)):
                    secrets.add(hmac.digest(km, bytes.fromhex(g), name)[: 16 if name == "sha1" else 32].hex())
        for file in site.rglob("*.key"):
            data = file.read_bytes()
            secrets.add(data.hex())
            if data.startswith(b"-----"):
                secrets.update(line for line in data.decode().splitlines() if len(line) > 40)
    shown = [secret[:4] + "…" for secret in secrets if secret.lower() in output.lower()]
    assert not shown, f"secrets in the log, starting with {shown}"
