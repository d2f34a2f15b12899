"""A key server's certificate that is wrong stops the phone: it says so, and asks for and stores nothing.

The real key server with certificates of another root, another name, and of the past; the
real phone with the site's real root.
"""

import contextlib
from datetime import timedelta

import pytest
from harness.unixphone import UnixPhone, write_settings
from ringkey.site import ca


def of_another_root(root):
    return ca.server(ca.new_root("another site"), ("127.0.0.1", "localhost"))


def of_another_name(root):
    return ca.server(root, ("keys.example.org", "192.0.2.99"))


def of_the_past(root):
    return ca.server(root, ("127.0.0.1", "localhost"), timedelta(hours=2))


@contextlib.contextmanager
def phone_of(site, folder, port):
    """A phone that is switched on, and is off in the end."""
    settings = write_settings(folder, site / "phone" / "root.der", [f"127.0.0.1:{port}"])
    phone = UnixPhone(settings)
    phone.power_on()
    try:
        yield phone
    finally:
        phone.power_cut()
        phone.close()


def log_in(phone):
    phone.expect_display("^Extension:")
    phone.press("1001#")
    phone.expect_display("^PIN:")
    phone.press("4711#")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (of_another_root, "Key server cert\nwrong root CA"),
        (of_another_name, "Key server cert\nwrong name"),
        (of_the_past, "Key server cert\nhas expired"),
    ],
)
def test_the_display_says_what_is_wrong_and_nothing_is_stored(make, words, site, run_service, tmp_path):
    root = ca.load((site / "ca" / "root.crt").read_bytes(), (site / "ca" / "root.key").read_bytes())
    pair = make(root)
    (site / "keyserver" / "server.crt").write_bytes(pair.certificate_pem())
    (site / "keyserver" / "server.key").write_bytes(pair.key_pem())
    server = run_service(site, "keyserver", "serve")
    with phone_of(site, tmp_path / "phone", server.ports["files"]) as phone:
        log_in(phone)
        phone.expect_display(words)
        phone.expect_display("^Extension:")  # and asks again
    assert list((tmp_path / "phone" / "state").iterdir()) == []
    server.stop()
    assert [e for e in server.events if e["event"] in ("key_issued", "request")] == []


def test_the_right_certificate_is_no_hindrance(site, run_service, tmp_path):
    """The same, unspoilt: without this, a phone that never fetches would pass the tests above."""
    server = run_service(site, "keyserver", "serve")
    (site / "run").mkdir(exist_ok=True)
    with phone_of(site, tmp_path / "phone", server.ports["files"]) as phone:
        log_in(phone)
        phone.expect_event("key-file")
        phone.expect_event("ras", way="out", message="GRQ")
    # Fetched, and still not stored: no gatekeeper has confirmed it.
    assert list((tmp_path / "phone" / "state").iterdir()) == []
