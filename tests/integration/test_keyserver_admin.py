"""Health, readiness and metrics; what systemd is told."""

import json
import os
import signal
import socket
from http.client import HTTPConnection

import pytest
from harness import sites
from keyserver_client import Client
from ringkey.errors import UserError
from ringkey.site.config import Site, load

SERVE = ("keyserver", "serve")


def ask(port, path, method="GET"):
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def value(text, start):
    """Return the figure of the only line that starts so."""
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return float(line.rsplit(" ", 1)[1])


def test_metrics_count_what_happened_and_show_no_secret(site, run_service):
    service = run_service(site, *SERVE)
    client = Client(service)
    found = client.fetch("100")
    client.fetch("101")
    client.files("?ext=x")
    client.files("", path="/no/such/" + "path")
    client.files("", path="/files/none")
    client.look_up(found["G"], "100")
    client.look_up(found["G"], "101")
    with socket.create_connection(("127.0.0.1", service.ports["files"])) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        plain.recv(100)
    status, text = ask(service.ports["admin"], "/metrics")
    assert status == 200
    key_file = 'ringkey_requests_total{method="GET",route="/keys/kkg.txt",service="files",status='
    assert value(text, key_file + '"200"}') == 2
    assert value(text, key_file + '"400"}') == 1
    assert value(text, 'ringkey_requests_total{method="none",route="none",service="files",status="404"}') == 1
    assert value(text, 'ringkey_look_ups_total{outcome="given"}') == 1
    assert value(text, 'ringkey_look_ups_total{outcome="other-extension"}') == 1
    assert value(text, 'ringkey_request_seconds_count{route="/keys/kkg.txt",service="files"}') == 3
    assert value(text, "ringkey_keys_issued ") == 2
    assert value(text, 'ringkey_tls_refused_total{reason="HTTP_REQUEST"}') == 1
    assert value(text, "ringkey_certificate_end_seconds") > 1.8e9
    assert value(text, "process_resident_memory_bytes") > 1e6
    for secret in (found["KG"], found["G"], "/no/such", "/files/none"):
        assert secret not in text


def test_health_and_readiness(site, run_service, configure):
    configure(site, ('policy = "open"', 'policy = "listed"'))
    service = run_service(site, *SERVE)
    port = service.ports["admin"]
    assert ask(port, "/healthz") == (200, "ok\n")
    assert json.loads(ask(port, "/readyz")[1]) == {"ready": True, "problems": {}}
    (site / "keyserver" / "enrolment.csv").write_text("no extension,\n")
    crt = site / "keyserver" / "server.crt"
    good = crt.read_bytes()
    crt.unlink()
    status, text = ask(port, "/readyz")
    assert status == 503
    assert set(json.loads(text)["problems"]) == {"enrolment", "certificate"}
    assert ask(port, "/metrics")[0] == 200
    assert ask(port, "/healthz")[0] == 200
    crt.write_bytes(good)
    (site / "keyserver" / "enrolment.csv").unlink()
    assert ask(port, "/readyz")[0] == 200  # back by itself
    assert ask(port, "/metrics", "POST")[0] == 405
    assert ask(port, "/keys/kkg.txt?ext=1")[0] == 404


def test_a_full_disk_is_not_ready(site, monkeypatch):
    from ringkey.keyserver import observed

    config = load(Site(site)).need_keyserver()
    assert observed._disk(config) is None
    monkeypatch.setattr(observed.shutil, "disk_usage", lambda _: observed.shutil._ntuple_diskusage(9, 9, 0))
    assert "0 octets are free" in observed._disk(config)


def test_for_this_machine_unless_told_otherwise(site):
    assert load(Site(site)).need_keyserver().admin.listen == "127.0.0.1"
    sites.set_values(site, "keyserver.admin", listen="192.0.2.1")
    with pytest.raises(UserError, match="not a loopback address"):
        load(Site(site))
    sites.set_values(site, "keyserver.admin", anybody=True)
    assert load(Site(site)).need_keyserver().admin.listen == "192.0.2.1"


def test_what_systemd_is_told(site, run_service, tmp_path, monkeypatch):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        service = run_service(site, *SERVE)
        assert notify.recv(100) == b"READY=1"
        os.kill(service.process.pid, signal.SIGHUP)
        assert notify.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert notify.recv(100) == b"READY=1"
        assert service.stop() == 0
        assert notify.recv(100) == b"STOPPING=1"
