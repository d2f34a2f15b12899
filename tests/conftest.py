"""What the tests of the hosts share: a site made by the real `ringkey init`, and running services."""

import contextlib
import hashlib
import hmac
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# With --import-mode=importlib no test finds its neighbours: helper modules lie here, beside this file.
sys.path.insert(0, str(ROOT / "tests"))

import hil_options  # noqa: E402 - it is found from here on
from harness import sites  # noqa: E402
from harness.service import Service  # noqa: E402
from sites import seeds_of  # noqa: E402


def pytest_addoption(parser):
    """Here, since a conftest.py of tests/hil would come too late for a run of all tests."""
    hil_options.add(parser)


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
    sites.free_ports(path)
    # Tests fetch more keys than people do; those of the limits set their own.
    sites.set_values(path, "keyserver.enrolment", per_source=0, per_extension=0)
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


class Running(Service):
    """A service's process, warnings being errors, as the harness runs it."""

    def __init__(self, site, args, typed=None):
        super().__init__(site, *args, environment=environment(), warnings="error", typed=typed)

    # What its log has so far to say: "wait" as the tests of the hosts call it.
    wait_for = Service.expect


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


@pytest.fixture(scope="session")
def no_secret():
    """`no_secret(output, sites, more)` fails if the output shows a secret."""
    return assert_no_secret


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
