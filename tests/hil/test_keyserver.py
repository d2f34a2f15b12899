"""Key servers that are down, slow, or not who they should be."""

from datetime import UTC, datetime, timedelta

import pytest
from ringkey.site import ca


def root_of(site):
    """The site's root, with its key."""
    return ca.load((site.path / "ca" / "root.crt").read_bytes(), (site.path / "ca" / "root.key").read_bytes())


def names(site):
    return (site.host, "127.0.0.1", "localhost")


def of_another_root(site):
    return ca.server(ca.new_root("another site"), names(site))


def of_another_name(site):
    return ca.server(root_of(site), ("keys.example.org", "192.0.2.99"))


def of_the_past(site):
    return ca.server(root_of(site), names(site), timedelta(hours=2))


def of_the_future(site):
    """Signed by the site's own key; dated from a root that was born next month."""
    root = root_of(site)
    born = datetime.now(UTC) + timedelta(days=30)
    later = ca.new_root("later", born)
    certificate = later.certificate
    builder = ca._builder(
        root.certificate.subject,
        root.certificate.subject,
        root.key.public_key(),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )
    from cryptography.hazmat.primitives import hashes

    return ca.server(ca.Pair(builder.sign(root.key, hashes.SHA256()), root.key), names(site))


def put(site, pair):
    site.certificate(pair.certificate_pem(), pair.key_pem())
    site.keyserver.restart()


def test_down(phone, keyserver):
    keyserver.stop()
    phone.transition("prompting")
    phone.log_in(*phone.user)
    phone.expect_display("^Key server\nunreachable")
    keyserver.start()
    phone.expect_display("^Extension:")
    phone.log_in(*phone.user)
    phone.expect_display("^Registered\n(?!opening)")


def test_slow(phone, relay):
    relay.files.delay(1.0)
    phone.transition("prompting")
    phone.log_in(*phone.user)
    phone.expect_display("^Registered\n(?!opening)", 30)


def test_silent(phone, relay):
    relay.files.stall()
    phone.transition("prompting")
    phone.log_in(*phone.user)
    phone.expect_display("^Key server\ndoes not answer", 30)
    relay.files.go_on()
    phone.expect_display("^Extension:")
    phone.log_in(*phone.user)
    phone.expect_display("^Registered\n(?!opening)")


def test_an_answer_that_is_damaged_on_its_way_gives_no_keys(phone, relay):
    relay.files.corrupt()
    phone.transition("prompting")
    phone.log_in(*phone.user)
    phone.expect_display("^Key server")  # what it says depends on where the bit was
    assert [e for e in phone.events if e["e"] == "key-file"] == []
    phone.expect_display("^Extension:")
    phone.log_in(*phone.user)
    phone.expect_display("^Registered\n(?!opening)")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (of_another_root, "wrong root CA"),
        (of_another_name, "wrong name"),
        (of_the_past, "has expired"),
        (of_the_future, "not yet valid"),
    ],
    ids=["root", "name", "expired", "not-yet-valid"],
)
def test_a_wrong_certificate(phone, site, keyserver, make, words):
    """The display says what is wrong, nothing is asked for and nothing is stored."""
    put(site, make(site))
    phone.transition("prompting")
    phone.log_in(*phone.user)
    phone.expect_display(f"^Key server cert\n{words}")
    phone.expect_display("^Extension:")
    assert phone.reset()["store"] == "fresh"
    assert "/keys/kkg.txt" not in [event.get("path") for event in keyserver.log]


def test_a_wrong_certificate_takes_no_keys_away(phone, site):
    """A phone that has keys does not need the key server, and keeps them."""
    phone.transition("registered")
    put(site, of_another_root(site))
    assert phone.reset()["store"] == "provisioned"
    phone.expect_display(f"^Registered\n{phone.user[0]}")


def test_a_renewed_certificate_is_taken(phone, site):
    put(site, ca.server(root_of(site), names(site)))
    phone.transition("registered")
