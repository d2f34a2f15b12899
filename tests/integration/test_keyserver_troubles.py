"""What goes wrong around a key server: a clear refusal, nothing issued off the record, back by itself.

And where its seed is not: in no file, log, core dump, environment or command line.
"""

import contextlib
import hashlib
import json
import os
import resource
import signal
import sqlite3
import time

import pytest
from keyserver_client import Client
from ringkey.keyserver import trail, words
from ringkey.keyserver.ledger import Ledger
from sites import seeds_of

SERVE = ("keyserver", "serve")
YEAR = 365 * 86400


def recorded(site):
    lines = (site / "keyserver" / "audit.jsonl").read_text().splitlines()
    return {line["g"] for line in map(json.loads, lines) if line["what"] == "issued"}


def assert_refused(client):
    """Nothing is issued; the answer says so, and when to come again."""
    before = recorded(client.site)
    status, headers, body = client.files_whole("?ext=100")
    assert (status, headers["Retry-After"]) == (503, "10")
    assert "issues no key" in body
    assert recorded(client.site) == before
    assert client.advanced("/status.json")[0] == 200  # the rest of it goes on


def assert_back(client):
    g = client.fetch()["G"]
    assert g in recorded(client.site)
    assert client.look_up(g, "100")[0] == 200
    assert trail.verify(client.site / "keyserver" / "audit.jsonl").problem is None


def test_a_full_disk(site, run_service, ringkey):
    service = run_service(site, *SERVE)
    client = Client(service)
    known = client.fetch()["G"]
    time.sleep(0.1)
    size = (site / "keyserver" / "audit.jsonl").stat().st_size
    # To a process, a file that must not grow is a disk that is full.
    old = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (size + 20, -1))
    for _ in range(3):
        assert_refused(client)
    assert client.look_up(known, "100")[0] == 200  # phones with keys register as before
    status = json.loads(ringkey("--site", site, "status", "--json").stdout)
    assert "trouble" in status["keyserver"]
    refused = ringkey("--site", site, "key", "revoke", "--g", known, check=False)
    assert "cannot be put on record" in refused.stderr
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, old)
    assert_back(client)
    service.wait_for("not_issued")
    service.wait_for("on_record_again")
    status = json.loads(ringkey("--site", site, "status", "--json").stdout)
    assert "trouble" not in status["keyserver"]


def test_a_locked_register(site, run_service):
    client = Client(run_service(site, *SERVE))
    client.fetch()
    with contextlib.closing(sqlite3.connect(site / "keyserver" / "register.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        assert_refused(client)
        db.execute("ROLLBACK")
    assert_back(client)


def test_a_clock_that_is_set_back(site, run_service, ringkey):
    ahead = Ledger(
        site / "keyserver" / "audit.jsonl",
        site / "keyserver" / "register.db",
        lambda: time.time() + YEAR,
    )
    ahead.start()
    ahead.write({"what": "started"}).result(10)
    ahead.stop()
    # To whoever wrote that, the clock is now set back by a year.
    service = run_service(site, *SERVE)
    client = Client(service)
    assert_refused(client)
    assert "clock is set back" in service.wait_for("not_issued")["reason"]
    assert "believed" in ringkey("--site", site, "audit", "accept-clock").stdout
    assert_back(client)
    service.stop()
    assert "clock-accepted" in ringkey("--site", site, "audit", "verify").stdout


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("server.crt", "not a certificate and its key"),
        ("server.key", "the key server's private key"),
        ("seed", "the sealed seed"),
        ("seed.key", "the seed's key"),
    ],
)
def test_a_file_that_is_not_there(site, run_service, name, says):
    path = site / "keyserver" / name
    path.rename(path.with_suffix(".away"))
    service = run_service(site, *SERVE, ready=False)
    assert service.process.wait(20) == 1
    path.with_suffix(".away").rename(path)
    service.stop()
    assert says in service.output
    assert "\ntry: " in service.output
    assert "Traceback" not in service.output
    assert_back(Client(run_service(site, *SERVE)))


def test_a_trail_whose_last_line_was_changed(site, run_service, ringkey):
    service = run_service(site, *SERVE)
    g = Client(service).fetch()["G"]
    service.stop()
    path = site / "keyserver" / "audit.jsonl"
    path.write_bytes(path.read_bytes()[:-10] + b'00000000"}\n')
    service = run_service(site, *SERVE, ready=False)
    assert service.process.wait(20) == 1
    service.stop()
    assert f"try: ringkey --site {site} audit renew" in service.output
    ringkey("--site", site, "audit", "renew")
    client = Client(run_service(site, *SERVE))
    assert client.look_up(g, "100")[0] == 200
    assert_back(client)


def test_the_seed_is_nowhere(site, run_service, ringkey):
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))  # as on a host that keeps core dumps
    try:
        service = run_service(site, *SERVE)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    client = Client(service)
    for ext in ("100", "101"):
        client.fetch(ext)
    ringkey("--site", site, "seed", "rotate", "--overlap", "1d")
    client.fetch()
    ringkey("--site", site, "key", "revoke", "--ext", "101")
    seeds = seeds_of(site)
    assert len(seeds) == 2
    secrets = {form for seed in seeds for form in forms(seed)}
    process = service.process.pid
    places = {name: open_bytes(f"/proc/{process}/{name}") for name in ("environ", "cmdline")}
    assert (
        "Max core file size        0                    0" in open_bytes(f"/proc/{process}/limits").decode()
    )
    os.kill(process, signal.SIGABRT)
    status = os.waitpid(process, 0)[1]
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)
    service.process.returncode = -signal.SIGABRT
    service.stop()
    places |= {str(path): path.read_bytes() for path in site.rglob("*") if path.is_file()}
    places["log"] = service.output.encode()
    assert len(places) > 12
    for name, content in places.items():
        for secret in secrets:
            assert secret.lower() not in content.lower(), name
    run_service(site, *SERVE)  # and what is left is whole


def forms(seed):
    """Return how a seed, or the Km made of it, may stand somewhere."""
    for secret in (seed, hashlib.sha256(seed).digest(), hashlib.sha1(seed).digest()):  # noqa: S324
        yield from (secret, secret.hex().encode(), repr(secret)[2:-1].encode())
    text = words.to_words(seed)
    yield text.encode()
    yield " ".join(text.split()[:4]).encode()


def open_bytes(path):
    with open(path, "rb") as file:
        return file.read()
