"""The key server as a process: its counter across stops and kills, refused starts, limits, status."""

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import pytest
from aiohttp import web
from keyserver_client import Client, cvm_of, kg_of, trusting
from ringkey.keyserver import gate, serving
from ringkey.site.config import Site, load

SERVE = ("keyserver", "serve")


# ---- the counter across processes


def test_the_counter_goes_on_after_a_stop_and_after_kill_9(site, run_service):
    seen = []
    for end in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
        service = run_service(site, *SERVE)
        client = Client(service)
        seen += [(client.fetch("100")["G"]) for _ in range(3)]
        # What earlier processes issued is still known, what comes next is not yet.
        for g in seen:
            assert client.look_up(g, "100")[1]["kg"] == kg_of(site, g)
        beyond = seen[-1][:20] + f"{int(seen[-1][20:], 16) + 1:012x}"
        assert client.look_up(beyond, "100") == (
            404,
            {"error": "not-issued", "detail": "this key server never issued that g"},
        )
        assert service.stop(end) == (0 if end != signal.SIGKILL else -signal.SIGKILL)
        assert (site / "run" / "keyserver.json").exists() == (end == signal.SIGKILL)
    assert len(set(seen)) == len(seen)
    counters = [int(g[20:], 16) for g in seen]
    assert counters == sorted(counters)
    assert counters[3] == counters[2] + 1  # a clean stop loses nothing
    assert counters[6] > counters[5] + 1  # kill -9 loses the rest of its block
    assert not (site / "run" / "keyserver.sock").exists()


def test_no_g_twice_while_it_is_killed_under_load(site, run_service):
    seen = []

    def hammer(client):
        found = []
        try:
            while True:
                found.append(client.fetch("100")["G"])
        except (OSError, HTTPException):  # cut off, at whatever point
            return found

    for delay in (0.2, 0.35, 0.5):
        service = run_service(site, *SERVE)
        client = Client(service)
        with ThreadPoolExecutor(4) as pool:
            under_way = [pool.submit(hammer, client) for _ in range(4)]
            time.sleep(delay)
            service.kill()
            for done in under_way:
                seen += done.result()
    assert len(seen) > 30
    assert len(set(seen)) == len(seen)


def test_two_key_servers_never_share_a_counter(site, run_service):
    first = run_service(site, *SERVE)
    second = run_service(site, *SERVE, ready=False)
    assert second.process.wait(20) == 1
    second.stop()
    assert "another key server is using" in second.output
    assert f"try: ringkey --site {site} status" in second.output
    assert Client(first).fetch()
    assert first.stop() == 0


@pytest.mark.parametrize("how", ["lost", "damaged"])
def test_a_lost_or_damaged_counter_is_refused_until_told(site, run_service, ringkey, how):
    counter = site / "keyserver" / "counter"
    if how == "lost":
        counter.unlink()
    else:
        counter.write_text("")
    service = run_service(site, *SERVE, ready=False)
    assert service.process.wait(20) == 1
    service.stop()
    assert f"try: ringkey --site {site} keyserver new-counter" in service.output
    assert "Traceback" not in service.output
    ringkey("--site", site, "keyserver", "new-counter")
    assert Client(run_service(site, *SERVE)).fetch()


# ---- refusing to start, status, limits


@pytest.mark.parametrize("name", ["keyserver/seed", "keyserver/server.key", "keyserver/counter"])
def test_a_secret_open_to_others_stops_the_start(site, ringkey, name):
    (site / name).chmod(0o644)
    done = ringkey("--site", site, *SERVE, check=False)
    assert done.returncode == 1
    assert f"chmod 600 {site / name}" in done.stderr


def test_a_taken_port_is_named(site, ringkey, configure):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        configure(site, ("advanced_port = 0", f"advanced_port = {port}"))
        done = ringkey("--site", site, *SERVE, check=False)
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 is taken" in done.stderr
    assert not list((site / "run").iterdir())


def test_status(site, run_service, ringkey):
    before = json.loads(ringkey("--site", site, "status", "--json").stdout)
    assert before["keyserver"] == {"configured": True, "running": False}
    assert f"ringkey --site {site} serve" in ringkey("--site", site, "status").stdout
    service = run_service(site, *SERVE)
    Client(service).fetch()
    found = json.loads(ringkey("--site", site, "status", "--json").stdout)
    assert found["keyserver"]["running"]
    assert found["keyserver"]["ports"] == service.ports
    assert found["keyserver"]["pid"] == service.process.pid
    assert (found["keyserver"]["cvm"], found["keyserver"]["issued"]) == (cvm_of(site), 1)
    assert not found["gatekeeper"]["running"]
    assert set(found["certificates"]) == {
        "ca/root.crt",
        "keyserver/server.crt",
        "gatekeeper/gatekeeper.crt",
    }
    assert cvm_of(site) in ringkey("--site", site, "status").stdout
    service.kill()
    after = json.loads(ringkey("--site", site, "status", "--json").stdout)
    assert not after["keyserver"]["running"]


def test_text_log_and_log_file(site, environment, tmp_path):
    log = tmp_path / "ringkey.log"
    command = [*(sys.executable, "-m", "ringkey", "--site", str(site)), "--log-file", str(log), *SERVE]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "ready" in line:
                break
        process.terminate()
        rest = process.stdout.read()
    assert process.returncode == 0
    assert "stopped" in rest
    assert "ports={'files':" in line
    assert not line.startswith("{")
    assert line in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_silent_or_slow_client_is_dropped_and_a_full_house_turned_away(site, monkeypatch):
    """In this process, so that the limits can be small."""
    monkeypatch.setattr(gate, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(gate, "HANDSHAKE", 0.5)
    config = load(Site(site)).need_keyserver()
    client = trusting(config.client_ca)

    async def main():
        context = serving.server_context(str(config.certificate), str(config.private_key))
        listener = serving.Listener(web.Application(), context, idle=0.6)
        port = await listener.start("127.0.0.1", 0)

        async def connect(tls=True):
            return await asyncio.open_connection("127.0.0.1", port, ssl=client if tls else None)

        # One that never begins TLS, one that says nothing, one that dribbles a header.
        plain, silent, slow = await connect(tls=False), await connect(), await connect()
        slow[1].write(b"GET / HTTP/1.1\r\nHost: ")
        await asyncio.sleep(0.2)
        slow[1].write(b"x")
        for reader, _ in (plain, silent, slow):
            async with asyncio.timeout(5):
                with_end = await _read(reader)
            assert with_end in (b"", None)
        crowd = [await connect() for _ in range(3)]
        async with asyncio.timeout(0.3):  # at once, not after the idle time
            with pytest.raises(OSError):  # noqa: PT011 - reset or end, as it comes
                await connect()
        for _, writer in (plain, silent, slow, *crowd):
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                continue
        await listener.stop()

    asyncio.run(main())


def test_connections_of_one_address_and_those_without_tls_count_too(site, monkeypatch):
    monkeypatch.setattr(gate, "MAX_OF_SOURCE", 3)
    config = load(Site(site)).need_keyserver()
    client = trusting(config.client_ca)

    async def main():
        context = serving.server_context(str(config.certificate), str(config.private_key))
        listener = serving.Listener(web.Application(), context, idle=5)
        port = await listener.start("127.0.0.1", 0)

        async def connect(source, **tls):
            return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0), **tls)

        mute = [await connect("127.0.0.1") for _ in range(3)]  # no octet of a handshake
        await asyncio.sleep(0.05)
        assert listener.connections == 3
        over = await connect("127.0.0.1")
        async with asyncio.timeout(1):
            assert await _read(over[0]) in (b"", None)
        other = await connect("127.0.0.2", ssl=client, server_hostname="localhost")
        mute[0][1].close()
        await asyncio.sleep(0.05)
        again = await connect("127.0.0.1", ssl=client, server_hostname="localhost")
        assert listener.connections == 4
        for _, writer in (*mute, over, other, again):
            writer.close()
        await asyncio.sleep(0.1)
        assert listener.connections == 0
        await listener.stop()

    asyncio.run(main())


async def _read(reader):
    try:
        return await reader.read()
    except OSError:
        return None


def test_a_copied_site_begins_a_range_of_its_own(site, run_service, tmp_path):
    first = run_service(site, *SERVE)
    ours = [Client(first).fetch()["G"] for _ in range(3)]
    first.stop()
    copy = tmp_path / "copy"
    shutil.copytree(site, copy)
    second = run_service(copy, *SERVE)
    second.wait_for("counter_range_begins")
    theirs = Client(second).fetch()["G"]
    assert abs(int(theirs[20:], 16) - int(ours[-1][20:], 16)) > 1 << 31
    assert Client(second).look_up(ours[0], "100")[0] == 200


def test_serve_runs_both_in_one_process(site, run_service, ringkey):
    service = run_service(site, "serve")
    admin = {"admin", "gatekeeper_admin"}
    assert set(service.ports) == {"files", "advanced", "ras", "signalling", *admin}
    found = json.loads(ringkey("--site", site, "status", "--json").stdout)
    assert found["keyserver"]["pid"] == found["gatekeeper"]["pid"] == service.process.pid
    assert found["gatekeeper"]["ports"]["ras"] == service.ports["ras"]
    assert (found["gatekeeper"]["registrations"], found["gatekeeper"]["extensions"]) == (0, 0)
    # Port 0 in the configuration: key files name the port that the gatekeeper has.
    assert Client(service).fetch()["GATEKEEPER"] == f"127.0.0.1:{service.ports['ras']}"
    assert service.stop() == 0
    assert list((site / "run").iterdir()) == []
