"""Registrations that the gatekeeper ends, and answers that it gives again."""

from ras import build, message, profile
from ras.noise import UNSIGNED

from pair import Phone, pair
from support import Random

STRANGER = ("203.0.113.5", 5000)


def registered(count):
    """Return (gatekeeper, net) with so many phones registered."""
    net, _, gatekeeper, site = pair(3)
    for i in range(count):
        ext = str(1001 + i)
        site.pins[ext] = "1234"
        phone = Phone(site, Random(i), ("192.0.2.50", 40000 + i))
        phone.channel = gatekeeper.registrar
        net.add(phone)
        phone.login.boot(None, net.now)
        phone.login.entered(ext, "1234", net.now)
        net.run(net.now + 5000)
        assert gatekeeper.registrar.registration(ext) is not None
        del net.ends[phone.address]  # it answers no more
    return gatekeeper, net


def through(gatekeeper, net, seconds):
    """Let time pass for a gatekeeper that hears nothing; return what it has sent."""
    sent = []
    for _ in range(seconds):
        net.now += 1000
        gatekeeper.registrar.handle_timer(net.now)
        sent += gatekeeper.after(net.now)
    return sent


def asked_by_a_stranger(record, cvm):
    """Return a GRQ with the keys of a phone and this check value, from elsewhere."""
    value = build.gatekeeper_request(9, record.ext, STRANGER)
    elements = {profile.G: record.g, profile.CVM_ID: cvm, profile.RE: Random(8)(16)}
    return profile.seal(message.GRQ, value, elements, record.suite, record.ka)


def number(octets):
    return message.decode_message(octets).value["requestSeqNum"]


def test_no_two_urqs_that_wait_have_one_number():
    """Or else the first one would wait for ever, with its keys."""
    gatekeeper, net = registered(2)
    registrar = gatekeeper.registrar
    held = registrar.held()
    for one in held:
        registrar._registrations._number = 65534  # as if 65,535 others had been ended between
        assert registrar.end_registration(one.ext, "securityDenial", net.now)
    sent = gatekeeper.after(net.now)
    assert [number(octets) for octets, _ in sent] == [65535, 1]
    assert len(through(gatekeeper, net, 60)) == 4, "both are tried three times"
    assert (registrar.count(), registrar.registered()) == (0, 0)
    assert [one.ka for one in held] == [b"", b""]


def test_where_no_number_is_left_a_registration_ends_without_a_urq():
    gatekeeper, net = registered(1)
    registrar = gatekeeper.registrar
    (held,) = registrar.held()
    waiting = registrar._registrations._releases
    for i in range(1, 65536):
        waiting[i] = None
    assert registrar.end_registration(held.ext, "securityDenial", net.now)
    assert gatekeeper.after(net.now) == []
    assert gatekeeper.events[-1] == ("ended", held, "securityDenial")
    assert (registrar.count(), held.ka) == (0, b"")


def test_one_refusal_that_nobody_signs_is_not_given_again_without_end():
    """What a source asks for with forged addresses is bounded also where it is always the same."""
    net, phone, gatekeeper, _ = pair(3)
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(9000, lambda: phone.login.state == "online")
    grq = asked_by_a_stranger(phone.store, b"\xff\xff\xff")
    answers = []
    for _ in range(5 * UNSIGNED):
        net.now += 1
        answers += gatekeeper.receive(grq, STRANGER, net.now)
    assert 0 < len(answers) <= UNSIGNED
    assert len({octets for octets, _ in answers}) == 1
    assert message.decode_message(answers[0][0]).kind == message.GRJ
    reasons = [event[2] for event in gatekeeper.events if event[0] == "dropped"]
    assert "too often lately" in reasons[0]
    assert gatekeeper.registrar.ignored, "what is not answered any more is noise"


def test_a_refusal_that_is_signed_is_given_again_as_often_as_it_is_asked_for():
    net, phone, gatekeeper, site = pair(3)
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(9000, lambda: phone.login.state == "online")
    record = phone.store
    site.revoked.add(record.g)
    grq = asked_by_a_stranger(record, record.cvm)
    (first,) = gatekeeper.receive(grq, STRANGER, net.now)
    for _ in range(2 * UNSIGNED):
        assert gatekeeper.receive(grq, STRANGER, net.now) == [first]
