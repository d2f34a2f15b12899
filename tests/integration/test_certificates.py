"""Certificates of a running site: status, renewal, reload, a new root; nothing is ever half replaced."""

import json
import os
import signal
import ssl
import time
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection

import pytest
from cryptography import x509
from keyserver_client import Client, request, trusting
from ringkey.errors import UserError
from ringkey.site import ca, certificates, files, roots
from ringkey.site.config import Site

SERVE = ("keyserver", "serve")


def root_of(site):
    return ca.load((site / "ca" / "root.crt").read_bytes(), (site / "ca" / "root.key").read_bytes())


def shown(port, trusted):
    """Return the serial number of the certificate that a server shows."""
    import socket

    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        trusted.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True)).serial_number


def on_disk(path):
    return x509.load_pem_x509_certificate(path.read_bytes()).serial_number


def wait_until(true):
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


# ---- status, renewal, reload


def test_status_and_renewal(site, ringkey):
    found = json.loads(ringkey("--site", site, "cert", "status", "--json").stdout)
    assert found["roots"] == "one root"
    assert {row["file"]: row["state"] for row in found["certificates"]} == {
        "keyserver/server.crt": "ok",
        "gatekeeper/gatekeeper.crt": "ok",
        "ca/root.crt": "ok",
    }
    before = on_disk(site / "keyserver" / "server.crt"), on_disk(site / "gatekeeper" / "gatekeeper.crt")
    out = ringkey("--site", site, "cert", "renew", "keyserver", "--days", 60).stdout
    assert "The key server's certificate is valid until" in out
    after = on_disk(site / "keyserver" / "server.crt"), on_disk(site / "gatekeeper" / "gatekeeper.crt")
    assert after[0] != before[0]
    assert after[1] == before[1]
    row = json.loads(ringkey("--site", site, "cert", "status", "--json").stdout)["certificates"][0]
    assert (row["state"], row["days"], row["names"]) == ("soon", 59, ["127.0.0.1", "localhost"])
    text = ringkey("--site", site, "cert", "status").stdout
    assert f"ringkey --site {site} cert renew" in text
    # A phone's clock may stand at its image's build: a renewed certificate starts with the root too.
    cert = x509.load_pem_x509_certificate((site / "keyserver" / "server.crt").read_bytes())
    assert cert.not_valid_before_utc == root_of(site).certificate.not_valid_before_utc
    ringkey("--site", site, "cert", "renew", "--days", 5)
    ended = ringkey("--site", site, "cert", "status", check=False)
    assert ended.returncode == 1
    assert "urgent" in ended.stdout
    for path in ("keyserver/server.key", "gatekeeper/gatekeeper.key"):
        assert (site / path).stat().st_mode & 0o777 == 0o600
    assert not list(site.rglob("*.new"))


def test_a_renewal_is_taken_up_without_a_restart(site, run_service, ringkey):
    service = run_service(site, "serve")
    client = Client(service)
    old = shown(service.ports["files"], client.phone)
    kept = HTTPSConnection("localhost", service.ports["files"], context=client.phone, timeout=10)
    kept.request("GET", "/keys/kkg.txt?ext=100")
    assert kept.getresponse().read()
    out = ringkey("--site", site, "cert", "renew").stdout
    assert f"Told process {service.process.pid}" in out
    service.wait_for("reloaded", service="keyserver")
    service.wait_for("reloaded", service="gatekeeper")
    new = shown(service.ports["files"], client.phone)
    assert new != old
    assert new == on_disk(site / "keyserver" / "server.crt") == shown(service.ports["files"], client.phone)
    kept.request("GET", "/keys/kkg.txt?ext=100")  # what was open stays open
    assert kept.getresponse().status == 200
    kept.close()
    found = client.fetch()
    assert client.look_up(found["G"], "100")[0] == 200
    assert service.process.poll() is None


def test_what_cannot_be_read_changes_nothing(site, run_service):
    service = run_service(site, *SERVE)
    client = Client(service)
    old = shown(service.ports["files"], client.phone)
    key = site / "keyserver" / "server.key"
    good = key.read_bytes()
    key.chmod(0o644)
    os.kill(service.process.pid, signal.SIGHUP)
    service.wait_for("reload_failed", service="keyserver", next_step=f"chmod 600 {key}")
    key.chmod(0o600)
    other = ca.server(root_of(site), ("localhost",))
    key.write_bytes(other.key_pem())  # not the certificate's
    os.kill(service.process.pid, signal.SIGHUP)
    wait_until(lambda: len([e for e in service.events if e["event"] == "reload_failed"]) == 2)
    assert shown(service.ports["files"], client.phone) == old
    key.write_bytes(good)
    os.kill(service.process.pid, signal.SIGHUP)
    service.wait_for("reloaded", service="keyserver")
    assert client.fetch()


def test_a_word_well_before_the_end(site, run_service):
    pair = ca.server(root_of(site), ("localhost", "127.0.0.1"), timedelta(days=30), datetime.now(UTC))
    certificates.replace(site / "keyserver" / "server.crt", site / "keyserver" / "server.key", pair)
    service = run_service(site, *SERVE)
    said = service.wait_for("certificate_ends_soon", state="soon")
    assert (said["days"], said["next_step"], said["level"]) == (29, "ringkey cert renew", "warning")


def test_certificates_that_another_root_signed_or_that_are_gone(site, caplog):
    class Log:
        def __init__(self):
            self.said = []

        def warning(self, event, **fields):
            self.said.append((event, fields.get("state")))

        error = warning

    log = Log()
    crt, roots_file = site / "keyserver" / "server.crt", site / "ca" / "root.crt"
    certificates.warn((crt,), roots_file, log)
    assert log.said == []
    certificates.warn((crt,), roots_file, log, datetime.now(UTC) + timedelta(days=365 * 30))
    assert log.said == [("certificate_ends_soon", "ended")] * 2
    log.said.clear()
    crt.write_bytes(ca.server(ca.new_root("x"), ("localhost",)).certificate_pem())
    certificates.warn((crt, site / "none.crt"), roots_file, log)
    assert [event for event, _ in log.said] == ["certificate_of_unknown_root", "certificate_unreadable"]


# ---- a crash in the middle


def test_a_renewal_that_was_cut_off_anywhere_leaves_a_pair(tmp_path, monkeypatch):
    """Every write and rename fails once; what is left is always wholly old or wholly new."""
    root = ca.new_root("test")
    crt, key = tmp_path / "server.crt", tmp_path / "server.key"
    ended = set()
    for failing in range(16):
        old, new = ca.server(root, ("old",)), ca.server(root, ("new",))
        files.write(crt, old.certificate_pem())
        files.write(key, old.key_pem())
        left = iter([True] * failing)

        def step(*args, real, left=left):
            if not next(left, False):
                raise OSError(28, "No space left on device")
            return real(*args)

        with monkeypatch.context() as patch:
            for owner, name in ((os, "fsync"), (type(tmp_path), "replace"), (files, "sync_directory")):
                real = getattr(owner, name)
                patch.setattr(owner, name, lambda *args, real=real: step(*args, real=real))
            try:
                certificates.replace(crt, key, new)
                ended.add("done")
            except OSError:
                pass
        certificates.finish(crt, key)
        pair = ca.load(crt.read_bytes(), key.read_bytes())
        ended.add("new" if pair.certificate == new.certificate else "old")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["server.crt", "server.key"]
    assert ended == {"old", "new", "done"}


def test_a_start_completes_what_a_crash_cut_off(site, run_service):
    crt, key = site / "keyserver" / "server.crt", site / "keyserver" / "server.key"
    pair = ca.server(root_of(site), ("localhost", "127.0.0.1"))
    files.write(key, pair.key_pem())  # the first rename done, the second not
    files.write(crt.with_name("server.crt.new"), pair.certificate_pem(), files.PUBLIC)
    service = run_service(site, *SERVE)
    service.wait_for("renewal_completed")
    client = Client(service)
    assert shown(service.ports["files"], client.phone) == pair.certificate.serial_number


# ---- for others, and a new root


def test_certificates_for_others(site, run_service, ringkey, tmp_path):
    out = tmp_path / "branch"
    ringkey("--site", site, "cert", "issue", "gatekeeper", "branch", "--out", out)
    assert sorted(p.name for p in out.iterdir()) == ["gatekeeper.crt", "gatekeeper.key", "root.crt"]
    assert (out / "gatekeeper.key").stat().st_mode & 0o777 == 0o600
    service = run_service(site, *SERVE)
    branch = trusting(out / "root.crt", (out / "gatekeeper.crt", out / "gatekeeper.key"))
    assert request(service.ports["advanced"], "/status.json", branch)[0] == 200
    again = ringkey("--site", site, "cert", "issue", "gatekeeper", "branch", "--out", out, check=False)
    assert again.returncode == 1
    assert "is there already" in again.stderr
    bad = ringkey("--site", site, "cert", "issue", "gatekeeper", "a/b", "--out", tmp_path / "x", check=False)
    assert (bad.returncode, (tmp_path / "x").exists()) == (2, False)
    second = tmp_path / "second"
    ringkey("--site", site, "cert", "issue", "keyserver", "--name", "keys2.example.org", "--out", second)
    seen = certificates.look(second / "server.crt", certificates.bundle(site / "ca" / "root.crt"))
    assert (seen.names, seen.signed) == (("keys2.example.org",), True)
    # The authority's key may be kept elsewhere.
    elsewhere = tmp_path / "usb"
    elsewhere.mkdir()
    for name in ("root.crt", "root.key"):
        (elsewhere / name).write_bytes((site / "ca" / name).read_bytes())
        (elsewhere / name).chmod(0o600)
    (site / "ca" / "root.key").unlink()
    assert ringkey("--site", site, "cert", "renew", check=False).returncode == 1
    assert "valid until" in ringkey("--site", site, "cert", "renew", "--ca", elsewhere).stdout


def test_a_new_root_in_three_steps(site, run_service, ringkey, tmp_path):
    service = run_service(site, "serve")
    ports = service.ports

    def trust(name):
        """A phone with what is in phone/root.der now."""
        path = tmp_path / name
        der = (site / "phone" / "root.der").read_bytes()
        texts = []
        while der:
            size = 4 + int.from_bytes(der[2:4], "big")
            texts.append(ssl.DER_cert_to_PEM_cert(der[:size]))
            der = der[size:]
        path.write_text("".join(texts))
        return trusting(path)

    def works(context):
        try:
            return request(ports["files"], "/keys/kkg.txt?ext=100", context)[0] == 200
        except ssl.SSLCertVerificationError:
            return False

    def reloads():
        return len([e for e in service.events if e["event"] == "reloaded"])

    def look_up_works():
        gatekeeper = trusting(
            site / "ca" / "root.crt",
            (site / "gatekeeper" / "gatekeeper.crt", site / "gatekeeper" / "gatekeeper.key"),
        )
        return request(ports["advanced"], "/status.json", gatekeeper)[0] == 200

    old = trust("old")
    (tmp_path / "old.gk.crt").write_bytes((site / "gatekeeper" / "gatekeeper.crt").read_bytes())
    (tmp_path / "old.gk.key").write_bytes((site / "gatekeeper" / "gatekeeper.key").read_bytes())
    old_gatekeeper = trusting(site / "ca" / "root.crt", (tmp_path / "old.gk.crt", tmp_path / "old.gk.key"))
    early = ringkey("--site", site, "cert", "root", "switch", check=False)
    assert f"try: ringkey --site {site} cert root new" in early.stderr

    ringkey("--site", site, "cert", "root", "new")
    wait_until(lambda: reloads() == 2)
    both = trust("both")
    assert works(old)
    assert works(both)
    assert look_up_works()
    assert roots.stage(Site(site)) == roots.STAGES[1]
    assert "cert root switch" in ringkey("--site", site, "cert", "root", "drop", check=False).stderr

    ringkey("--site", site, "cert", "root", "switch")
    wait_until(lambda: reloads() == 4)
    assert not works(old)  # why there are weeks between the steps
    assert works(both)
    assert look_up_works()
    old_gatekeeper.load_verify_locations(site / "ca" / "root.crt")
    assert request(ports["advanced"], "/status.json", old_gatekeeper)[0] == 200  # not renewed yet
    assert "cert root drop" in ringkey("--site", site, "cert", "root", "new", check=False).stderr

    ringkey("--site", site, "cert", "root", "drop")
    wait_until(lambda: reloads() == 6)
    assert works(trust("new"))
    assert works(both)
    assert look_up_works()
    with pytest.raises(OSError):  # noqa: PT011 - an alert or a reset, as it comes
        request(ports["advanced"], "/status.json", old_gatekeeper)
    assert roots.stage(Site(site)) == roots.STAGES[0]
    assert sorted(p.name for p in (site / "ca").iterdir()) == ["root.crt", "root.key"]
    assert json.loads(ringkey("--site", site, "cert", "status", "--json").stdout)["roots"] == "one root"


def test_a_phones_image_takes_both_roots(site):
    from image.tree import root_certificate

    roots.new(Site(site))
    found = root_certificate(site)
    pair = certificates.der_bundle(found.data)
    assert [c.serial_number for c in pair] == [
        c.serial_number for c in certificates.bundle(site / "ca" / "root.crt")
    ]
    # The image's time is a floor for the phone's clock: both have begun by then.
    assert found.born == max(int(c.not_valid_before_utc.timestamp()) for c in pair)
    for data in (b"", found.data[:-1], found.data + b"0", b"not a certificate"):
        (site / "phone" / "root.der").write_bytes(data)
        with pytest.raises(UserError, match="no certificate of an authority"):
            root_certificate(site)


def test_a_roll_over_that_was_cut_off_is_made_again(site, monkeypatch):
    here = Site(site)
    real = files.write
    switching = False
    for failing in range(20):
        left = iter([True] * failing)

        def write(path, data, mode=files.SECRET, left=left):
            if not next(left, False):
                raise OSError(28, "No space left on device")
            real(path, data, mode)

        with monkeypatch.context() as patch:
            patch.setattr(files, "write", write)
            try:
                if roots.stage(here) == roots.STAGES[0] or not switching:
                    roots.new(here)
                switching = True
                roots.switch(here)
                break
            except OSError:
                trusted = certificates.bundle(here.root_certificate)
                assert certificates.look(site / "keyserver" / "server.crt", trusted).signed
    pair = roots.switch(here)
    assert roots.signing(here).certificate == pair.certificate
    with pytest.raises(UserError, match="does not sign yet"):
        roots.drop(here, [])
    roots.switched(here)
    with pytest.raises(UserError, match="not signed by the new root"):
        roots.drop(here, [site / "keyserver" / "server.crt"])
    assert len(certificates.bundle(here.root_certificate)) == 2
