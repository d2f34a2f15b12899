"""Keys that are no longer good: Km replaced, g revoked."""

from harness import forge
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
    """GRJ 4, signed: forged with the site's own keys: a phone that was off when its key was revoked."""
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


def test_km_rotated_with_both_generations_in_force(case, site, gatekeeper):
    """The gatekeeper asks for new keys (RCF, element 7): fetched and proven while the old ones still work."""
    phone = case.unix_phone()  # a board spreads its renewal over an hour
    phone.transition("registered")
    old = next(e["cvm"] for e in phone.events if e["e"] == "key-file")
    new = site.rotate()
    assert new != old
    assert phone.expect_event("key-file", 60)["cvm"] == new
    phone.expect_event("commit", 60, ok=True)
    phone.expect_event("channel", state="open")
    assert [p.lines for p in phone.stream.pictures(0)][-1] == ("Registered", phone.user[0])
    assert phone.reset()["store"] == "provisioned"
    phone.expect_display(f"^Registered\n{phone.user[0]}")


def test_km_rotated_and_the_old_generation_ended_at_once(phone, site):
    phone.transition("registered")
    new = site.rotate("0")
    phone.reset()
    phone.expect_display("Gatekeeper: keys\nare obsolete")
    assert phone.expect_event("key-file")["cvm"] == new
    phone.expect_display(f"^Registered\n{phone.user[0]}")


def test_g_revoked(phone, site):
    phone.transition("registered")
    g = next(e["g"] for e in phone.events if e["e"] == "key-file")
    site.revoke(g)
    phone.reset()
    assert phone.expect_event("key-file", 60)["g"] != g
    phone.expect_display(f"^Registered\n{phone.user[0]}")
    assert {"e": "step", "step": "key-revoked"} in phone.events
