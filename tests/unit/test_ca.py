"""The site's certificates, as OpenSSL and Mbed TLS see them, and `ringkey init`."""

import shutil
import socket
import ssl
import stat
import subprocess
import sysconfig
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from ringkey.errors import UserError
from ringkey.site import ca
from sites import seed_of

MICROPYTHON = shutil.which("micropython") or shutil.which("micropython", path=sysconfig.get_path("scripts"))
SCRIPT = """
import socket, sys, tls
context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
context.verify_mode = tls.CERT_REQUIRED
context.load_verify_locations(open(sys.argv[2], "rb").read())
s = socket.socket()
s.connect(socket.getaddrinfo("127.0.0.1", int(sys.argv[1]))[0][-1])
try:
    print("verified", context.wrap_socket(s, server_hostname=sys.argv[3]).cipher()[1])
except ValueError as e:
    print("refused", e)
"""


@pytest.fixture(scope="module")
def root():
    return ca.new_root("test")


@pytest.fixture(scope="module")
def leaves(root):
    return ca.server(root, ("keys.example.org", "192.0.2.1", "::1")), ca.gatekeeper(root, "main")


def test_the_root(root):
    cert = root.certificate
    assert isinstance(cert.public_key().curve, ec.SECP256R1)
    basic = cert.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert (basic.value.ca, basic.value.path_length) == (True, 0)
    usage = cert.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature
    assert 19 < (cert.not_valid_after_utc - cert.not_valid_before_utc).days / 365.25 < 20.1
    cert.verify_directly_issued_by(cert)


def test_the_leaves(root, leaves):
    for leaf, purpose in zip(
        leaves, (ca.ExtendedKeyUsageOID.SERVER_AUTH, ca.ExtendedKeyUsageOID.CLIENT_AUTH), strict=True
    ):
        cert = leaf.certificate
        cert.verify_directly_issued_by(root.certificate)
        assert cert.not_valid_before_utc == root.certificate.not_valid_before_utc
        assert 4.9 < (cert.not_valid_after_utc - cert.not_valid_before_utc).days / 365.25 < 5.1
        found = cert.extensions
        assert list(found.get_extension_for_class(x509.ExtendedKeyUsage).value) == [purpose]
        assert not found.get_extension_for_class(x509.BasicConstraints).value.ca
        authority = found.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        assert (
            authority
            == root.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        )
        assert [e.oid for e in found if e.critical] == [ca.x509.BasicConstraints.oid, ca.x509.KeyUsage.oid]
    names = leaves[0].certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["keys.example.org"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1", "::1"]
    role = leaves[1].certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert role.get_values_for_type(x509.UniformResourceIdentifier) == ["ringkey:gatekeeper/main"]


def test_pem_there_and_back_and_no_key_in_a_repr(root, leaves):
    again = ca.load(root.certificate_pem(), root.key_pem())
    assert again.certificate == root.certificate
    assert "key" not in repr(root)
    with pytest.raises(UserError, match="does not belong"):
        ca.load(root.certificate_pem(), leaves[0].key_pem())
    with pytest.raises(UserError, match="PEM"):
        ca.load(b"", b"")


@pytest.mark.parametrize(
    "name", ["", "a..b", "-a", "a b", "a" * 64, "192.0.2.256", "ä.example", ".".join(["a" * 60] * 5)]
)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(UserError, match="neither a DNS name nor an IP address"):
        ca.check_name(name)


def openssl(*args):
    return subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not installed")
def test_openssl_verifies_each_for_its_purpose_only(site_template):
    for leaf, good, bad in (
        ("keyserver/server.crt", "sslserver", "sslclient"),
        ("gatekeeper/gatekeeper.crt", "sslclient", "sslserver"),
    ):
        common = ("verify", "-x509_strict", "-CAfile", site_template / "ca" / "root.crt")
        assert openssl(*common, "-purpose", good, site_template / leaf).returncode == 0
        assert openssl(*common, "-purpose", bad, site_template / leaf).returncode != 0


@pytest.mark.skipif(MICROPYTHON is None, reason="micropython (the unix port) is not installed")
def test_a_phones_mbed_tls_verifies_the_server_against_root_der(site_template, tmp_path):
    other = tmp_path / "other.der"
    other.write_bytes(ca.new_root("other").certificate_der())
    root = site_template / "phone" / "root.der"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(
        site_template / "keyserver" / "server.crt", site_template / "keyserver" / "server.key"
    )
    script = tmp_path / "verify.py"
    script.write_text(SCRIPT)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        for _ in range(4):
            plain, _ = listener.accept()
            with plain:
                plain.settimeout(10)
                try:
                    context.wrap_socket(plain, server_side=True).close()
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    answers = []
    for der, name in ((root, "localhost"), (root, "127.0.0.1"), (root, "elsewhere"), (other, "localhost")):
        port = str(listener.getsockname()[1])
        done = subprocess.run(
            [MICROPYTHON, script, port, der, name], capture_output=True, text=True, timeout=20, check=False
        )
        answers.append((done.stdout + done.stderr).strip())
    thread.join()
    listener.close()
    assert [a.split()[0] for a in answers] == ["verified", "verified", "refused", "refused"], answers
    assert "name" in answers[2].lower()


def test_init_makes_a_whole_site_with_the_right_modes(site_template):
    secret = {"ca/root.key", "keyserver/server.key", "keyserver/seed", "keyserver/seed.key"}
    secret |= {
        "keyserver/counter",
        "keyserver/counter.lock",
        "gatekeeper/gatekeeper.key",
        "gatekeeper/pin.key",
        "ringkey.toml",
        *("admin/accounts.db", "admin/audit.jsonl", "admin/audit.lock"),
    }
    public = {"ca/root.crt", "keyserver/server.crt", "gatekeeper/gatekeeper.crt", "phone/root.der"}
    found = {}
    for path in site_template.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700, path
        else:
            found[str(path.relative_to(site_template))] = mode
    assert found == {**dict.fromkeys(secret, 0o600), **dict.fromkeys(public, 0o644)}
    assert stat.S_IMODE(site_template.stat().st_mode) == 0o700
    assert len(seed_of(site_template)) == 32
    assert len((site_template / "gatekeeper" / "pin.key").read_bytes()) == 32


def test_init_says_what_it_made_and_no_secret(ringkey, tmp_path):
    where = tmp_path / "new" / "site"
    done = ringkey("init", where, "--name", "keys.example.org", "--ip", "192.0.2.7", "--suite", "sha1")
    for text in ("ca/root.crt", "check value", "192.0.2.7:1719", f"ringkey --site {where} serve"):
        assert text in done.stdout
    assert seed_of(where).hex() not in done.stdout
    assert 'suite = "sha1"' in (where / "ringkey.toml").read_text()
    assert [p.name for p in where.parent.iterdir()] == ["site"]


def test_init_never_touches_what_is_there(ringkey, tmp_path, site_template):
    again = ringkey("init", site_template, check=False)
    assert again.returncode == 1
    assert "is a site already" in again.stderr
    assert f"try: ringkey --site {site_template} status" in again.stderr

    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "notes").write_text("mine")
    refused = ringkey("init", tmp_path / "d", check=False)
    assert refused.returncode == 1
    assert "not empty: notes" in refused.stderr
    ringkey("init", tmp_path / "d", "--force")
    assert (tmp_path / "d" / "notes").read_text() == "mine"
    assert (tmp_path / "d" / "ringkey.toml").exists()

    (tmp_path / "e" / "ca").mkdir(parents=True)
    clash = ringkey("init", tmp_path / "e", "--force", check=False)
    assert clash.returncode == 1
    assert [p.name for p in (tmp_path / "e").iterdir()] == ["ca"]
    (tmp_path / "empty").mkdir()
    ringkey("init", tmp_path / "empty")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "e", "empty"]


def test_init_refuses_what_is_no_address(ringkey, tmp_path):
    for args in (("--ip", "keys"), ("--name", "a b"), ("--suite", "md5")):
        done = ringkey("init", tmp_path / "s", *args, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("ringkey: ")
        assert "\ntry: ringkey init --help" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_failed_init_leaves_nothing(tmp_path, monkeypatch):
    from ras.keys import SHA256
    from ringkey.keyserver import setup
    from ringkey.site import files, init

    real = files.write
    for failing in range(12):
        calls = iter(range(100))

        def write(path, data, mode=files.SECRET, calls=calls, failing=failing):
            if next(calls) == failing:
                raise OSError(28, "No space left on device")
            real(path, data, mode)

        monkeypatch.setattr(files, "write", write)
        with pytest.raises(UserError, match="No space"):
            init.create(tmp_path / "site", ("localhost",), SHA256, setup.create)
        assert list(tmp_path.iterdir()) == []


def test_help_has_examples_everywhere(ringkey):
    for words in (
        ("init",),
        ("keyserver", "serve"),
        ("keyserver", "new-counter"),
        ("gatekeeper", "serve"),
        ("serve",),
        ("status",),
        ("derive",),
    ):
        assert "Examples" in ringkey(*words, "--help").stdout
    assert "keyserver" in ringkey("--help").stdout
