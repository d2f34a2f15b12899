"""The Advanced Secure File Service: who may ask for what, many keys at once, files that gatekeepers write."""

import contextlib
import json
import socket
import ssl
import threading
import time
from http.client import HTTPException, HTTPSConnection

import pytest
from keyserver_client import Client, cvm_of, kg_of, request, trusting
from ringkey.keyserver import batch, query
from ringkey.site import ca

SERVE = ("keyserver", "serve")
SCOPES = '[keyserver.scopes]\nmain = ["*"]\nbranch = ["2000-2999", "31*"]\n\n[keyserver.admin]'
UPLOADS = (
    '[keyserver.uploads]\ndirectory = "keyserver/uploads"\nmax_file = 100000\nmax_files = 3\n'
    "max_total = 150000\nphones = true\n\n[keyserver.admin]"
)


class Gatekeeper:
    """A gatekeeper of one name, with a certificate of the site's root."""

    def __init__(self, service, name, tmp_path, root=None, life=ca.LEAF_LIFE):
        site = service.site
        root = root or ca.load(
            (site / "ca" / "root.crt").read_bytes(), (site / "ca" / "root.key").read_bytes()
        )
        pair = ca.gatekeeper(root, name, life)
        stem = name.replace("/", "_")
        (tmp_path / f"{stem}.crt").write_bytes(pair.certificate_pem())
        (tmp_path / f"{stem}.key").write_bytes(pair.key_pem())
        self.context = trusting(
            site / "ca" / "root.crt", (tmp_path / f"{stem}.crt", tmp_path / f"{stem}.key")
        )
        self.port = service.ports["advanced"]

    def ask(self, method, path, body=None, **fields):
        """Return (status, headers, octets)."""
        connection = HTTPSConnection("localhost", self.port, context=self.context, timeout=10)
        try:
            connection.request(method, path, body, {k.replace("_", "-"): v for k, v in fields.items()})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def look_up(self, *pairs):
        body = json.dumps({"keys": [{"g": g, "ext": ext} for g, ext in pairs]})
        status, _, answer = self.ask("POST", "/keys/lookup.json", body)
        return status, json.loads(answer)

    def put(self, name, data, **fields):
        status, headers, body = self.ask("PUT", f"/files/{name}", data, **fields)
        return status, json.loads(body)["error"] if body else None

    def files(self):
        found = json.loads(self.ask("GET", "/files/")[2])
        return {one["name"]: one["size"] for one in found["files"]}


# ---- who may ask for what


def test_a_gatekeeper_asks_for_its_own_extensions_only(site, run_service, configure, tmp_path):
    configure(site, ("[keyserver.admin]", SCOPES))
    service = run_service(site, *SERVE)
    client = Client(service)
    inside, outside = client.fetch("2001")["G"], client.fetch("100")["G"]
    branch = Gatekeeper(service, "branch", tmp_path)
    other = Gatekeeper(service, "other", tmp_path)
    status, _, body = branch.ask("GET", f"/keys/kkg.json?g={inside}&ext=2001")
    assert (status, json.loads(body)["kg"]) == (200, kg_of(site, inside))
    for ext in ("100", "3000", "02001", "20010"):
        status, _, body = branch.ask("GET", f"/keys/kkg.json?g={outside}&ext={ext}")
        assert (status, json.loads(body)["error"]) == (403, "not-allowed")
        service.wait_for("look_up_refused", gatekeeper="branch", ext=ext, reason="not-allowed")
    # What was never issued looks the same from outside.
    assert branch.ask("GET", f"/keys/kkg.json?g={outside[:-2]}ff&ext=100")[0] == 403
    status, answer = branch.look_up((inside, "2001"), (outside, "100"))
    assert status == 200
    assert [("kg" in one, one.get("error")) for one in answer["keys"]] == [
        (True, None),
        (False, "not-allowed"),
    ]
    service.wait_for("look_ups_refused", gatekeeper="branch", refused=[f"100:{outside}:not-allowed"])
    service.wait_for("keys_looked_up", gatekeeper="branch", keys=[f"2001:{inside}"])
    for path in ("/status.json", f"/keys/kkg.json?g={inside}&ext=2001"):
        status, _, body = other.ask("GET", path)
        assert (status, json.loads(body)["error"]) == (403, "not-allowed")
    service.wait_for("unknown_gatekeeper", gatekeeper="other")
    assert client.look_up(outside, "100")[0] == 200  # main


def test_names_that_are_no_gatekeepers_open_nothing(site, run_service, tmp_path):
    service = run_service(site, *SERVE)
    for name in ("../keyserver", "a/b", ".", "x" * 65, "-x"):
        assert Gatekeeper(service, name, tmp_path).ask("GET", "/status.json")[0] == 403
        service.wait_for("not_a_gatekeeper", path="/status.json")


def test_every_refusal_of_mutual_tls_is_on_record(site, run_service, configure, tmp_path):
    """No certificate, wrong CA, ended, a server's, a phone's; then one outside its extensions."""
    configure(site, ("[keyserver.admin]", SCOPES))
    service = run_service(site, *SERVE)
    port = service.ports["advanced"]
    root = ca.load((site / "ca" / "root.crt").read_bytes(), (site / "ca" / "root.key").read_bytes())
    cases = (
        (trusting(site / "ca" / "root.crt"), "PEER_DID_NOT_RETURN_A_CERTIFICATE", None),
        (
            Gatekeeper(service, "wrong", tmp_path, ca.new_root("other")).context,
            "CERTIFICATE_VERIFY_FAILED",
            "unable to get local issuer certificate",
        ),
        (
            Gatekeeper(service, "ended", tmp_path, root, ca.BACKDATE / 2).context,
            "CERTIFICATE_VERIFY_FAILED",
            "certificate has expired",
        ),
        (
            trusting(
                site / "ca" / "root.crt",
                (site / "keyserver" / "server.crt", site / "keyserver" / "server.key"),
            ),
            "CERTIFICATE_VERIFY_FAILED",
            "unsuitable certificate purpose",
        ),
    )
    for context, reason, detail in cases:
        with pytest.raises((OSError, HTTPException)):
            request(port, "/status.json", context)
        service.wait_for("tls_refused", reason=reason, detail=detail)
    role = ca.GATEKEEPER_ROLE
    try:
        ca.GATEKEEPER_ROLE = "ringkey:phone/"
        phone = Gatekeeper(service, "phone", tmp_path)
    finally:
        ca.GATEKEEPER_ROLE = role
    assert phone.ask("GET", "/status.json")[0] == 403
    service.wait_for("not_a_gatekeeper", path="/status.json")
    branch = Gatekeeper(service, "branch", tmp_path)
    assert branch.ask("GET", f"/keys/kkg.json?g={'00' * 16}&ext=100")[0] == 403
    service.wait_for("look_up_refused", gatekeeper="branch", ext="100", reason="not-allowed")


# ---- many at once


def test_many_keys_in_one_request(site, run_service, tmp_path):
    service = run_service(site, *SERVE)
    client = Client(service)
    main = Gatekeeper(service, "main", tmp_path)
    keys = {str(ext): client.fetch(str(ext)) for ext in range(100, 110)}
    pairs = [(found["G"], ext) for ext, found in keys.items()]
    status, answer = main.look_up(*pairs, (pairs[0][0], "999"), ("00" * 16, "1"))
    assert status == 200
    assert (answer["version"], answer["suite"]) == (1, "sha256")
    for (g, ext), found in zip(pairs, answer["keys"], strict=False):
        assert found == {"g": g, "ext": ext, "kg": kg_of(site, g), "cvm": cvm_of(site)}
    assert [one["error"] for one in answer["keys"][10:]] == ["other-extension", "not-allowed"]
    full = [pairs[0]] * batch.MAX_BATCH
    assert len(main.look_up(*full)[1]["keys"]) == batch.MAX_BATCH
    assert main.look_up(*full, pairs[0])[0] == 400
    assert main.ask("POST", "/keys/lookup.json", b" " * (batch.MAX_REQUEST + 1))[0] == 413
    assert main.ask("GET", "/keys/lookup.json")[0] == 405


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"{}",
            b"[]",
            b"null",
            b"1",
            b'{"keys": {}}',
            b'{"keys": []}',
            b'{"keys": [1]}',
            b'{"keys": [[]]}',
        ),
        *(
            b'{"keys": [{"g": "00", "ext": "1"}]}',
            b'{"keys": [{"ext": "1"}]}',
            b'{"keys": [{"g": 1, "ext": 1}]}',
        ),
        *(b"\xff", b"[" * 60000, b'{"keys":' * 8000, b'{"keys": [{"g": "' + b"0" * 32 + b'", "ext": "1x"}]}'),
    ],
)
def test_what_is_no_batch(body):
    with pytest.raises(query.Malformed) as caught:
        batch.parse(body)
    assert len(str(caught.value)) < 100


# ---- files that gatekeepers write


@pytest.fixture
def uploads(site, run_service, configure):
    configure(site, ("[keyserver.admin]", UPLOADS))
    return run_service(site, *SERVE)


def test_a_gatekeeper_writes_reads_and_removes_its_files(uploads, tmp_path):
    main, other = Gatekeeper(uploads, "main", tmp_path), Gatekeeper(uploads, "other", tmp_path)
    assert main.put("book.csv", b"1,One\n") == (201, None)
    assert main.put("book.csv", b"1,One\n2,Two\n") == (204, None)
    assert main.put("book.csv", b"x", If_None_Match="*") == (412, "exists")
    status, headers, body = main.ask("GET", "/files/book.csv")
    assert (status, body) == (200, b"1,One\n2,Two\n")
    assert main.ask("GET", "/files/book.csv", If_None_Match=headers["ETag"])[0] == 304
    assert main.ask("GET", "/files/book.csv", Range="bytes=6-")[::2] == (206, b"2,Two\n")
    assert main.ask("HEAD", "/files/book.csv")[1]["Content-Length"] == "12"
    assert main.files() == {"book.csv": 12}
    assert other.files() == {}
    assert other.ask("GET", "/files/book.csv")[0] == 404
    file = uploads.site / "keyserver" / "uploads" / "main" / "book.csv"
    assert file.stat().st_mode & 0o777 == 0o600
    assert request(uploads.ports["files"], "/files/from/main/book.csv", main.context)[::2] == (
        200,
        "1,One\n2,Two\n",
    )
    for path in (
        "/files/from/other/book.csv",
        "/files/from/main",
        "/files/from/../seed",
        "/files/from/main/a/b",
    ):
        assert request(uploads.ports["files"], path, main.context)[0] == 404
    assert main.ask("DELETE", "/files/book.csv")[0] == 204
    assert main.ask("DELETE", "/files/book.csv")[0] == 404
    assert request(uploads.ports["files"], "/files/from/main/book.csv", main.context)[0] == 404


def test_limits_are_told_apart_and_hold(uploads, tmp_path):
    main, other = Gatekeeper(uploads, "main", tmp_path), Gatekeeper(uploads, "other", tmp_path)
    assert main.put("big", bytes(100_001)) == (413, "too-large")
    assert main.put("a", bytes(100_000)) == (201, None)
    assert main.put("b", bytes(50_001)) == (507, "quota")
    status, _, body = main.ask("PUT", "/files/b", bytes(50_001))
    assert "150000 (max_total); 50000 are left" in json.loads(body)["detail"]
    assert main.put("b", bytes(50_000)) == (201, None)
    assert main.put("a", bytes(99_999)) == (204, None)  # its own old octets are free again
    assert main.put("c", b"") == (201, None)
    assert main.put("d", b"") == (507, "too-many-files")
    assert other.put("d", bytes(100_000)) == (201, None)  # its own limits
    assert main.files() == {"a": 99_999, "b": 50_000, "c": 0}
    for name in ("..", ".", ".x", "a%2fb", "%2e%2e", "a%00", "~", "x" * 65, "%ff", "a b".replace(" ", "%20")):
        assert main.put(name, b"x")[0] in (400, 404), name
    assert main.ask("PUT", "/files/", b"x")[0] == 405
    left = sorted(p.name for p in (uploads.site / "keyserver" / "uploads").rglob("*"))
    assert left == ["a", "b", "c", "d", "main", "other"]


def begun(gatekeeper, name, head, sent):
    """Begin an upload, and send no more of it."""
    plain = socket.create_connection(("127.0.0.1", gatekeeper.port), timeout=10)
    secure = gatekeeper.context.wrap_socket(plain, server_hostname="localhost")
    secure.sendall(f"PUT /files/{name} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode() + sent)
    return secure


def test_a_file_is_there_whole_or_not_at_all(uploads, tmp_path):
    main = Gatekeeper(uploads, "main", tmp_path)
    assert main.put("a", b"old") == (201, None)
    directory = uploads.site / "keyserver" / "uploads" / "main"

    def until(names):
        end = time.monotonic() + 5
        while sorted(p.name[:8] for p in directory.iterdir()) != names:
            assert time.monotonic() < end, list(directory.iterdir())
            time.sleep(0.02)

    cut = begun(main, "a", "Content-Length: 90000", bytes(50_000))
    until([".upload.", "a"])
    assert main.ask("GET", "/files/a")[2] == b"old"
    assert main.files() == {"a": 3}
    # What it was promised nobody else gets: 150,000 less 90,000.
    assert main.put("b", bytes(60_001)) == (507, "quota")
    cut.close()
    until(["a"])
    # Without a length, and more than may be: found out on the way.
    chunks = begun(main, "a", "Transfer-Encoding: chunked", b"")
    with contextlib.suppress(OSError):
        for _ in range(3):
            chunks.sendall(b"%x\r\n" % 50_000 + bytes(50_000) + b"\r\n")
    assert b" 413 " in chunks.recv(4096)
    chunks.close()
    until(["a"])
    assert (directory / "a").read_bytes() == b"old"
    # Killed in the middle: swept at the next start.
    cut = begun(main, "a", "Content-Length: 90000", bytes(50_000))
    until([".upload.", "a"])
    uploads.kill()
    cut.close()


def test_what_a_crash_left_is_swept(uploads, run_service, tmp_path):
    directory = uploads.site / "keyserver" / "uploads" / "main"
    assert uploads.stop() == 0
    directory.mkdir()
    (directory / ".upload.0123456789abcdef").write_bytes(b"half")
    (directory / "whole").write_bytes(b"whole")
    again = run_service(uploads.site, *SERVE)
    again.wait_for("upload_left_over")
    assert [p.name for p in directory.iterdir()] == ["whole"]


def test_slow_writers_hold_up_nobody(uploads, tmp_path):
    main, other = Gatekeeper(uploads, "main", tmp_path), Gatekeeper(uploads, "other", tmp_path)
    held = [begun(main, f"slow{i}", "Content-Length: 50000", b"x") for i in range(2)]
    deadline = time.monotonic() + 5
    while main.put("more", b"x") != (429, "too-many"):
        assert time.monotonic() < deadline
    answers = []
    threads = [
        threading.Thread(target=lambda i=i: answers.append(other.put(f"f{i}", bytes(100)))) for i in range(2)
    ]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [(201, None)] * 2
    assert time.monotonic() - start < 2
    for one in held:
        one.close()


def test_an_upload_that_takes_too_long(tmp_path, monkeypatch):
    import asyncio

    from ringkey.keyserver import uploads as module
    from ringkey.site.keyserver_tables import UploadsConfig

    monkeypatch.setattr(module, "UPLOAD", 0.1)

    async def dribble():
        while True:
            yield b"x"
            await asyncio.sleep(0.02)

    async def main():
        found = module.Uploads(UploadsConfig(tmp_path), tmp_path)
        with pytest.raises(module.UploadError, match="too-slow"):
            await found.write("main", "a", None, dribble(), only_new=False)
        assert found.stored("main") == []
        assert list((tmp_path / "main").iterdir()) == []

    asyncio.run(main())


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    import asyncio
    import os

    from ringkey.keyserver import uploads as module
    from ringkey.site.keyserver_tables import UploadsConfig

    async def body():
        yield b"new"

    async def main():
        found = module.Uploads(UploadsConfig(tmp_path), tmp_path)
        assert await found.write("main", "a", 3, body(), only_new=True)

        def full(_descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            await found.write("main", "a", 3, body(), only_new=False)
        assert [one.name for one in found.stored("main")] == ["a"]
        assert [p.name for p in (tmp_path / "main").iterdir()] == ["a"]

    asyncio.run(main())


def test_sessions_of_mutual_tls_are_resumed(site, run_service, tmp_path):
    """TLS 1.2 and 1.3; the second time without a certificate on the wire, and still known by name."""
    service = run_service(site, *SERVE)
    main = Gatekeeper(service, "main", tmp_path)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        main.context.minimum_version = main.context.maximum_version = version
        session = None
        for reused in (False, True):
            plain = socket.create_connection(("127.0.0.1", main.port), timeout=10)
            with main.context.wrap_socket(plain, server_hostname="localhost", session=session) as secure:
                secure.sendall(b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert secure.recv(4096).startswith(b"HTTP/1.1 200")
                assert secure.session_reused == reused
                session = secure.session
