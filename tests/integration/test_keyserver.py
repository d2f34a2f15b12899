"""What the key server answers, as a process over real TLS, against independent derivations."""

import hashlib
import hmac
import json
import os
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPSConnection

import pytest
from keyserver_client import Client, cvm_of, fields, kg_of, request, trusting
from ringkey.site import ca
from ringkey.site.config import Site, load
from sites import seed_of

SERVE = ("keyserver", "serve")


@pytest.fixture
def client(site, run_service):
    return Client(run_service(site, *SERVE))


def test_a_key_file(client):
    status, headers, body = client.files("?ext=100&serial=00:11:22:33:44:55")
    assert status == 200
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert "aiohttp" not in headers["Server"]
    assert abs((parsedate_to_datetime(headers["Date"]) - datetime.now(UTC)).total_seconds()) < 5
    found = fields(body)
    assert list(found) == ["VERSION", "SUITE", "G", "KG", "CVM"] + ["GATEKEEPER"] * ("GATEKEEPER" in found)
    assert (found["VERSION"], found["SUITE"], found["CVM"]) == ("1", "sha256", cvm_of(client.site))
    config = load(Site(client.site)).need_keyserver()
    assert found["G"][:12] == config.server_id.hex()
    assert found["G"][12:20] == hashlib.sha256(b"100").hexdigest()[:8]
    assert found["KG"] == kg_of(client.site, found["G"])
    assert int(client.fetch()["G"][20:], 16) == int(found["G"][20:], 16) + 1


def test_head_issues_nothing_and_has_the_length_of_a_get(client):
    first = client.fetch()
    status, headers, body = client.files("?ext=100", "HEAD")
    assert (status, body) == (200, "")
    get = client.files("?ext=100")
    assert int(headers["Content-Length"]) == len(get[2])
    assert int(fields(get[2])["G"][20:], 16) == int(first["G"][20:], 16) + 1


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("", "ext: missing"),
        ("?ext=", "ext: 1 to 20 digits"),
        ("?ext=12a", "ext: 1 to 20 digits"),
        ("?ext=%D9%A1", "ext: 1 to 20 digits"),
        ("?ext=" + "1" * 21, "ext: 1 to 20 digits"),
        ("?ext=1&ext=2", "ext: given 2 times"),
        ("?ext=1&serial=", "serial: 1 to 64"),
        ("?ext=1&serial=a%00b", "serial: 1 to 64"),
        ("?ext=1&g=00", "g: 32 hex digits"),
        ("?ext=1&g=" + "zz" * 16, "g: 32 hex digits"),
    ],
)
def test_malformed_parameters(client, query, complaint):
    status, headers, body = client.files(query)
    assert (status, body.strip()[: len(complaint)]) == (400, complaint)
    assert headers["Content-Type"].startswith("text/plain")


def test_other_methods_paths_and_sizes(client):
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        status, headers, _ = client.files("?ext=100", method)
        assert (status, headers["Allow"]) == (405, "GET,HEAD")
    for path in ("/", "/keys/", "/keys/../keyserver/seed", "/keys/%2e%2e/%2e%2e/etc/passwd", "/status.json"):
        assert client.files("", path=path)[0] == 404
    assert client.files("?ext=100&x=" + "y" * 5000)[0] in (400, 414)
    assert client.files("?ext=100&new=1")[0] == 200  # a parameter of tomorrow


def test_the_wrong_root_and_the_wrong_name_are_noticed(client, tmp_path):
    other = tmp_path / "other.crt"
    other.write_bytes(ca.new_root("other").certificate_pem())
    with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
        request(client.ports["files"], "/keys/kkg.txt?ext=1", trusting(other))
    with (
        socket.create_connection(("127.0.0.1", client.ports["files"])) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"),
    ):
        client.phone.wrap_socket(plain, server_hostname="keys.example.org")
    assert request(client.ports["files"], "/keys/kkg.txt?ext=1", client.phone, host="127.0.0.1")[0] == 200


def test_old_tls_and_weak_suites_are_refused(site, run_service):
    service = run_service(site, *SERVE)
    client = Client(service)
    old = trusting(client.site / "ca" / "root.crt")
    old.set_ciphers("DEFAULT:@SECLEVEL=0")  # or this end would not even try
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    weak = trusting(client.site / "ca" / "root.crt")
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("ECDHE-ECDSA-AES128-SHA")
    for context, reason in ((old, "UNSUPPORTED_PROTOCOL"), (weak, "NO_SHARED_CIPHER")):
        with pytest.raises(OSError, match=r"alert|EOF|reset"):
            request(client.ports["files"], "/keys/kkg.txt?ext=1", context)
        service.wait_for("tls_refused", reason=reason)  # it was the server that refused


# ---- the Advanced Secure File Service


def test_a_look_up_equals_an_independent_derivation(client):
    found = client.fetch("4711")
    assert client.look_up(found["G"], "4711") == (
        200,
        {
            "version": 1,
            "suite": "sha256",
            "g": found["G"],
            "kg": kg_of(client.site, found["G"]),
            "cvm": cvm_of(client.site),
        },
    )
    server_id = load(Site(client.site)).need_keyserver().server_id.hex()
    status = {"version": 1, "suite": "sha256", "cvm": [cvm_of(client.site)], "servers": [server_id]}
    assert client.advanced("/status.json") == (200, status)


def test_what_a_look_up_refuses(client):
    g = client.fetch("100")["G"]
    beyond = g[:20] + f"{int(g[20:], 16) + 1:012x}"

    def refused(g, ext):
        status, body = client.look_up(g, ext)
        assert set(body) == {"error", "detail"}
        return status, body["error"]

    assert refused(g, "101") == (409, "other-extension")
    assert refused(beyond, "100") == (404, "not-issued")
    assert refused("020000000099" + g[12:], "100") == (403, "not-allowed")
    assert refused("0" * 12 + g[12:], "100") == (403, "not-allowed")
    assert refused("00", "100") == (400, "malformed")
    assert refused(g, "x") == (400, "malformed")
    assert client.advanced("/keys/kkg.json")[0] == 400
    assert client.advanced("/nothing") == (404, {"error": "no-such-request", "detail": "Not Found"})
    assert client.advanced(f"/keys/kkg.json?g={g}&ext=100", "POST")[0] == 405
    assert client.fetch("100")["G"] == beyond
    assert client.look_up(beyond, "100")[0] == 200


def certificate_of(tmp_path, pair, name):
    (tmp_path / f"{name}.crt").write_bytes(pair.certificate_pem())
    (tmp_path / f"{name}.key").write_bytes(pair.key_pem())
    return tmp_path / f"{name}.crt", tmp_path / f"{name}.key"


def refused_by_tls(client, pair):
    """Tell whether TLS refuses this client; in 1.3 it learns of it with its first read."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = trusting(client.site / "ca" / "root.crt", pair)
        context.minimum_version = context.maximum_version = version
        with pytest.raises(OSError):  # noqa: PT011 - an alert or a reset, as it comes
            request(client.ports["advanced"], "/status.json", context)
    return True


def test_mutual_tls_lets_in_gatekeepers_only(site, run_service, tmp_path):
    service = run_service(site, *SERVE)
    client = Client(service)
    root = ca.load((site / "ca" / "root.crt").read_bytes(), (site / "ca" / "root.key").read_bytes())
    server = (site / "keyserver" / "server.crt", site / "keyserver" / "server.key")
    other = certificate_of(tmp_path, ca.gatekeeper(ca.new_root("other"), "main"), "other")
    # The same name as the site's own root does not help.
    name = root.certificate.subject.rfc4514_string().removeprefix("CN=")
    namesake = certificate_of(tmp_path, ca.gatekeeper(ca.new_root(name), "main"), "namesake")
    ended = certificate_of(tmp_path, ca.gatekeeper(root, "main", ca.BACKDATE / 2), "ended")
    for pair in (None, server, other, namesake, ended):
        assert refused_by_tls(client, pair)
    service.wait_for("tls_refused", detail="unsuitable certificate purpose")
    service.wait_for("tls_refused", detail="certificate has expired")
    # A client of the site's root, but no gatekeeper: past TLS, and no further.
    role = ca.GATEKEEPER_ROLE
    try:
        ca.GATEKEEPER_ROLE = "ringkey:phone/"
        phone = certificate_of(tmp_path, ca.gatekeeper(root, "100"), "phone")
    finally:
        ca.GATEKEEPER_ROLE = role
    for path in ("/status.json", "/keys/kkg.json", "/nothing"):
        answer = request(client.ports["advanced"], path, trusting(site / "ca" / "root.crt", phone))
        assert (answer[0], json.loads(answer[2])["error"]) == (403, "not-allowed")
    assert client.advanced("/status.json")[0] == 200


def test_a_gatekeeper_keeps_one_connection(client):
    keys = [client.fetch(str(ext)) for ext in range(100, 110)]
    connection = HTTPSConnection("localhost", client.ports["advanced"], context=client.gatekeeper, timeout=10)
    connection.connect()
    first = connection.sock
    for ext, found in enumerate(keys, 100):
        connection.request("GET", f"/keys/kkg.json?g={found['G']}&ext={ext}")
        assert json.loads(connection.getresponse().read())["kg"] == found["KG"]
        assert connection.sock is first
    connection.close()


# ---- a g that a phone chose, unnamed requests, port 0


def test_a_phones_own_g_only_where_the_site_allows_it(site, run_service, configure):
    own = "0" * 12 + hashlib.sha256(b"100").hexdigest()[:8] + "0123456789ab"
    strict = run_service(site, *SERVE)
    assert Client(strict).files(f"?ext=100&g={own}")[0] == 403
    assert strict.stop() == 0
    configure(site, ("allow_phone_g = false", "allow_phone_g = true"), ("unnamed = false", "unnamed = true"))
    client = Client(run_service(site, *SERVE))
    status, _, body = client.files(f"?ext=100&g={own}")
    assert (status, fields(body)["G"], fields(body)["KG"]) == (200, own, kg_of(site, own))
    assert client.look_up(own, "100")[1]["kg"] == kg_of(site, own)
    assert client.look_up(own, "101")[0] == 409
    assert client.files(f"?ext=101&g={own}")[0] == 403
    assert client.files(f"?ext=100&g={client.fetch()['G']}")[0] == 403
    unnamed = fields(client.files("")[2])["G"]
    assert unnamed[12:20] == "00000000"
    assert client.look_up(unnamed, "555")[0] == 200


def test_suite_sha1_and_a_gatekeeper_of_this_site(site, run_service, configure):
    configure(site, ('suite = "sha256"', 'suite = "sha1"'))
    client = Client(run_service(site, *SERVE))
    assert "GATEKEEPER" not in client.fetch()  # port 0 in the configuration, and none runs
    found = client.fetch()
    seed = seed_of(site)
    km = hashlib.new("sha1", seed).digest()  # noqa: S324 - the suite's own
    assert found["KG"] == hmac.new(km, bytes.fromhex(found["G"]), "sha1").hexdigest()[:32]
    assert found["CVM"] == hashlib.new("sha1", km).hexdigest()[-6:]  # noqa: S324
    # Any living process will do for one that runs.
    (site / "run" / "gatekeeper.json").write_text(f'{{"pid": {os.getpid()}, "ports": {{"ras": 4711}}}}')
    assert client.fetch()["GATEKEEPER"] == "127.0.0.1:4711"
