"""Gatekeepers that are not there, elsewhere, or say no; and those who only say that they are one."""

import contextlib
import socket
import time

import pytest
from harness import forge, sites
from ras import profile

SILENCE = 40.0  # s: three tries take 14 to 17.5 s (protocol.md section 6)


@contextlib.contextmanager
def nobody(host):
    """A UDP port that takes everything and answers nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((host if host.startswith("127.") else "", 0))
        yield f"{host}:{silent.getsockname()[1]}"


@pytest.fixture
def second(site, environment):
    """A second gatekeeper, running, which knows what is put into it: `second.add(user)`."""
    server, path = site.second_gatekeeper()
    server.start()

    def add(ext, pin):
        sites.ringkey(
            "extension", "add", ext, "--pin-stdin", site=path, typed=pin + "\n", environment=environment
        )

    server.add = add
    yield server
    server.stop()


def here(site):
    return f"{site.host}:{site.network.ras.port}"


def test_the_next_gatekeeper_is_asked_where_the_first_is_silent(phone, site, keyserver, gatekeeper):
    with nobody(site.host) as silent:
        site.configure("keyserver", gatekeepers=[silent, here(site)])
        keyserver.restart()
        phone.transition("prompting")
        phone.log_in(*phone.user)
        phone.expect_display("^Registered\n", SILENCE)
    gatekeeper.expect("registered", ext=phone.user[0])


def test_the_next_gatekeeper_is_asked_where_the_first_does_not_know_the_extension(
    phone, site, keyserver, second, gatekeeper
):
    site.configure("keyserver", gatekeepers=[here(site), f"{site.host}:{second.ports['ras']}"])
    keyserver.restart()
    ext, pin = "777001", "4711471"
    second.add(ext, pin)
    phone.transition("prompting")
    phone.log_in(ext, pin)
    phone.expect_event("ras", way="in", message="GRJ")
    phone.expect_display(f"^Registered\n{ext}")
    gatekeeper.expect("refused", ext=ext, reason="unknown extension")
    second.expect("channel_open", ext=ext)


def test_a_signed_redirection_is_followed(phone, site, relay, second):
    second.add(*phone.user)
    there = (site.host, second.ports["ras"])
    relay.ras.replace(
        "GCF",
        lambda answer: forge.reject(
            site.path,
            relay.ras.last("GRQ", answer.client),
            profile.OTHER_GATEKEEPER,
            signed=True,
            others=(there,),
        ),
    )
    phone.transition("registered")
    second.expect("registered", ext=phone.user[0])
    assert phone.user[0] not in [held["ext"] for held in site.registrations()]


def test_a_full_gatekeeper_sends_phones_to_its_alternate(phone, site, gatekeeper, second):
    site.redirect((site.host, second.ports["ras"]))
    second.add(*phone.user)
    phone.transition("prompting")
    phone.log_in(*phone.user)
    phone.expect_event("ras", way="in", message="GRJ")
    phone.expect_display("^Registered\n(?!opening)", SILENCE)
    second.expect("registered", ext=phone.user[0])
    gatekeeper.expect("refused", ext=phone.user[0], reason="other gatekeeper")
    assert phone.user[0] not in [held["ext"] for held in site.registrations()]


@pytest.mark.parametrize("fault", [None, "drop", "corrupt"], ids=["in-order", "lost", "damaged"])
def test_a_gatekeeper_that_fills_up_between_gcf_and_rrq_rejects(phone, site, relay, second, fault):
    """RRJ, which the phone asks for again where it did not come."""
    second.add(*phone.user)
    held = relay.ras.hold("GCF")
    phone.transition("prompting")
    phone.log_in(*phone.user)
    held.wait()
    site.redirect((site.host, second.ports["ras"]))
    rule = getattr(relay.ras, fault)("RRJ") if fault else None
    relay.ras.release()
    phone.expect_event("ras", SILENCE, way="in", message="RRJ")
    assert rule is None or len(rule.hits) == 1
    phone.expect_display("^Extension:", SILENCE)
    assert phone.user[0] not in [held["ext"] for held in site.registrations()]


def forged(site, relay, code, **more):
    """An unsigned GRJ to the last GRQ."""
    return lambda answer: forge.reject(
        site.path, relay.ras.last("GRQ", answer.client), code, signed=False, **more
    )


def test_an_unsigned_reject_gives_way_to_the_real_confirm(phone, site, relay):
    """Anybody on the network can say no; the gatekeeper's yes counts where it comes within 2 s."""
    held = relay.ras.hold("GCF")
    phone.transition("prompting")
    phone.log_in(*phone.user)
    answer = held.wait()
    relay.ras.inject(forged(site, relay, profile.UNKNOWN_EXTENSION)(answer), answer.client)
    phone.expect_event("ras", way="in", message="GRJ")
    relay.ras.release()
    phone.expect_display("^Registered\n(?!opening)")
    assert [e for e in phone.events if e["e"] == "reason"] == []


def test_an_unsigned_reject_is_believed_after_two_seconds(phone, site, relay):
    relay.ras.replace("GCF", forged(site, relay, profile.UNKNOWN_EXTENSION), times=None)
    phone.transition("prompting")
    phone.log_in(*phone.user)
    phone.expect_event("ras", way="in", message="GRJ")
    came = time.monotonic()
    phone.expect_display("Gatekeeper: ext.\nis not known", 5)
    assert time.monotonic() - came > 1.5, "protocol.md section 6: 2 s"
    assert phone.reset()["store"] == "fresh"


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_a_reject_that_comes_late_changes_nothing(phone, gatekeeper, relay, site, signed):
    phone.transition("registered")
    request = relay.ras.last("GRQ")
    late = forge.reject(site.path, request, profile.REVOKED, signed=signed)
    relay.ras.inject(late, request.client)
    phone.expect_event("ras", way="in", message="GRJ")
    gatekeeper.mark()
    gatekeeper.expect("kept_alive", ext=phone.user[0])
    assert phone.state == "registered"


def test_a_gatekeeper_that_is_down_at_the_first_log_in(phone, gatekeeper):
    gatekeeper.stop()
    phone.transition("prompting")
    phone.log_in(*phone.user)
    phone.expect_display("^Log-in failed", SILENCE)
    gatekeeper.start()
    phone.expect_display("^Extension:")
    phone.log_in(*phone.user)
    phone.expect_display("^Registered\n(?!opening)")


def test_a_gatekeeper_that_is_down_costs_no_keys(phone, gatekeeper, keyserver):
    phone.transition("registered")
    gatekeeper.stop()
    phone.reset()
    phone.expect_display("^Gatekeeper\ndoes not answer", SILENCE)
    phone.expect_event("key-file")  # it may be elsewhere by now: protocol.md section 6
    phone.expect_event("ras", way="out", message="GRQ")
    gatekeeper.start()
    keyserver.mark()
    assert phone.reset()["store"] == "provisioned"
    phone.expect_display(f"^Registered\n{phone.user[0]}")
    assert [e for e in keyserver.log if e["event"] == "key_issued"] == [], "the old keys are still good"


def test_a_gatekeeper_that_restarts_is_found_again(phone, gatekeeper):
    """The registration is there as it was: the phone opens its channel, and need not register."""
    phone.transition("registered")
    gatekeeper.kill()
    phone.expect_display("^Channel failed")
    gatekeeper.mark()
    gatekeeper.start()
    gatekeeper.expect("channel_open", SILENCE, ext=phone.user[0])
    phone.expect_display("^Registered\n(?!opening)", SILENCE)
    assert [e for e in gatekeeper.log if e["event"] == "registered"] == []


def test_a_gatekeeper_that_has_moved_is_found_by_new_keys(phone, site, keyserver, relay, second):
    phone.transition("registered")
    phone.transition("off")
    second.add(*phone.user)
    relay.ras.drop(None, times=None)  # nobody is left at the old address
    site.configure("keyserver", gatekeepers=[f"{site.host}:{second.ports['ras']}"])
    keyserver.restart()
    phone.power_on()
    phone.expect_display("^Gatekeeper\ndoes not answer", SILENCE)
    phone.expect_event("commit", ok=True)
    phone.expect_display("^Registered\n(?!opening)")
    phone.reset()
    phone.expect_display("^Registered\n(?!opening)", 10)  # the new address was stored
    second.expect("registered", ext=phone.user[0])


def test_a_registration_expires_unless_it_is_kept_alive(phone, phone2, gatekeeper):
    for one in (phone, phone2):
        one.transition("registered")
    phone2.transition("off")
    gatekeeper.expect("kept_alive", ext=phone.user[0])
    ended = gatekeeper.expect("registration_ended", SILENCE, ext=phone2.user[0])
    assert ended["reason"] == "ttlExpired"
    assert phone.state == "registered"
    phone2.transition("registered")


def test_a_gatekeeper_that_ends_the_registration_for_maintenance_is_come_back_to(phone, site):
    phone.transition("registered")
    assert site.end_registration(phone.user[0], "reregistrationRequired")
    phone.expect_event("ras", way="in", message="URQ")
    phone.expect_event("registered", ext=phone.user[0])
    phone.expect_display("^Registered\n(?!opening)")
