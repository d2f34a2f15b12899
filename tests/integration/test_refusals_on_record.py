"""What the key server turns away is on record, whichever part has done so; and many look-ups at once."""

import http.client
import json
import signal

import pytest
from harness import sites
from keyserver_client import Client, request, trusting

SERVE = ("keyserver", "serve")


def record(service):
    """Stop the service and return what its trail says, without time and chain."""
    service.stop()
    lines = (service.site / "keyserver" / "audit.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def look_up_all(client, entries):
    connection = http.client.HTTPSConnection(
        "localhost", client.ports["advanced"], context=client.gatekeeper, timeout=10
    )
    try:
        connection.request("POST", "/keys/lookup.json", json.dumps({"keys": entries}))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_scope_and_enrolment(site, run_service, configure):
    configure(site, ("[keyserver.admin]", '[keyserver.scopes]\nmain = ["2*"]\n\n[keyserver.admin]'))
    sites.set_values(site, "keyserver.enrolment", per_extension=1)
    service = run_service(site, *SERVE)
    client = Client(service)
    keys = {ext: client.fetch(ext)["G"] for ext in ("100", "200")}
    assert client.files("?ext=200&serial=A-1")[0] == 429
    assert client.look_up(keys["100"], "100")[0] == 403
    assert look_up_all(client, [{"g": g, "ext": ext} for ext, g in keys.items()])[0] == 200
    lines = record(service)
    denied = [line for line in lines if line["what"] == "refused"]
    assert [(one["source"], one["ext"], one["serial"], one["why"]) for one in denied] == [
        ("127.0.0.1", "200", "A-1", "extension-limit")
    ]
    refused = [line for line in lines if line["what"] == "look-up-refused"]
    assert [(one["gatekeeper"], one["ext"], one["g"], one["why"]) for one in refused] == [
        ("main", "100", keys["100"], "not-allowed")
    ] * 2
    given = [line for line in lines if line["what"] == "looked-up"]
    assert [(one["gatekeeper"], one["ext"], one["g"]) for one in given] == [("main", "200", keys["200"])]


def test_a_batch_of_two_generations_one_of_them_revoked(site, run_service, ringkey):
    service = run_service(site, *SERVE)
    client = Client(service)
    old, lost = client.fetch("100"), client.fetch("101")
    ringkey("--site", site, "seed", "rotate", "--overlap", "1d")
    new = client.fetch("102")
    assert new["CVM"] != old["CVM"]
    ringkey("--site", site, "key", "revoke", "--ext", "101", "--reason", "lost")
    status, answer = look_up_all(
        client,
        [
            {"g": old["G"], "ext": "100"},
            {"g": old["G"], "ext": "100", "cvm": new["CVM"]},
            {"g": lost["G"], "ext": "101"},
            {"g": new["G"], "ext": "102", "cvm": new["CVM"]},
        ],
    )
    assert status == 200
    assert [one.get("cvm") or one["error"] for one in answer["keys"]] == [
        *(old["CVM"], "not-issued", "revoked", new["CVM"])
    ]
    # Nor is a file sealed for keys that were revoked.
    (site / "files" / "hello.txt").write_text("hello\n")
    for key, ext, wanted in ((old, "100", 200), (lost, "101", 410)):
        path = f"/sealed/files/hello.txt?g={key['G']}&ext={ext}"
        assert request(client.ports["files"], path, client.phone, "HEAD")[0] == wanted
    assert [line["why"] for line in record(service) if line["what"] == "sealed-refused"] == ["revoked"]


def test_handshakes_are_on_record_after_a_reload_too(site, run_service):
    service = run_service(site, *SERVE)
    service.process.send_signal(signal.SIGHUP)
    service.wait_for("reloaded", service="keyserver")
    with pytest.raises((OSError, http.client.HTTPException)):
        request(service.ports["advanced"], "/status.json", trusting(site / "ca" / "root.crt"))
    service.wait_for("tls_refused")
    assert "tls-refused" in [line["what"] for line in record(service)]
