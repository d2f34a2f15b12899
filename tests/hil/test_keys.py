"""Keys that are no longer good: Km replaced, g revoked."""

import pytest
from harness import forge
from harness.bench import MissingError
from ras import profile


def test_another_km(phone, site):
    """A site with a new seed and nothing of the old one: the phone gets new keys by itself."""
    phone.transition("registered")
    old = next(e["cvm"] for e in phone.events if e["e"] == "key-file")
    phone.transition("off")
    site.new_seed()
    assert phone.reset()["store"] == "provisioned"
    phone.expect_event("ras", way="in", message="GRJ")
    phone.expect_display("Gatekeeper: keys\nare obsolete")
    assert phone.expect_event("key-file")["cvm"] != old
    phone.expect_event("commit", ok=True)
    phone.expect_display(f"^Registered\n{phone.user[0]}")


def test_a_key_that_is_said_to_be_revoked_is_fetched_anew(phone, site, relay):
    """GRJ 4, signed: forged with the site's own keys until its servers can revoke."""
    phone.transition("registered")
    phone.transition("off")
    relay.ras.replace(
        "GCF",
        lambda answer: forge.reject(
            site.path, relay.ras.last("GRQ", answer.client), profile.REVOKED, signed=True
        ),
    )
    phone.power_on()
    phone.expect_display("Gatekeeper: key\nis revoked")
    phone.expect_event("key-file")
    phone.expect_event("commit", ok=True)
    phone.expect_display(f"^Registered\n{phone.user[0]}")


def test_km_rotated_with_both_generations_in_force(phone, site):
    phone.transition("registered")
    old = next(e["cvm"] for e in phone.events if e["e"] == "key-file")
    try:
        new = site.rotate()
    except MissingError as missing:
        pytest.skip(str(missing))
    assert new != old
    phone.reset()
    phone.expect_display("^Registered\n(?!opening)")
    assert phone.expect_event("key-file", 60)["cvm"] == new, "fetched while the old ones still work"
    phone.expect_event("commit", ok=True)


def test_g_revoked(phone, site):
    phone.transition("registered")
    g = next(e["g"] for e in phone.events if e["e"] == "key-file")
    try:
        site.revoke(g)
    except MissingError as missing:
        pytest.skip(str(missing))
    phone.reset()
    phone.expect_display("Gatekeeper: key\nis revoked", 60)
    assert phone.expect_event("key-file")["g"] != g
    phone.expect_display(f"^Registered\n{phone.user[0]}")
