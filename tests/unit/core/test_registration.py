"""Endpoint, Login and Registrar joined in memory: protocol.md sections 5, 6 and 7, case by case."""

from ras import answers, build, keys, message, profile
from ras.errors import LocalProtocolError
from ras.held import software
from ras.registrar import Lookup
from ras.tables import ENDPOINT, LOGIN, REGISTRATION, Machine
from ras.throttle import Throttle

from pair import GATEKEEPER, PHONE, VERSION, Gatekeeper, Network, Phone, Site, pair
from support import Random, raises

MINUTE = 60000


def logged_in(seed=1, **network):
    """Return a pair whose phone is registered with keys that it has committed."""
    net, phone, gatekeeper, site = pair(seed, **network)
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(5000, lambda: phone.login.state == "online")
    assert phone.login.state == "online", phone.shown
    return net, phone, gatekeeper, site


def rebooted(net, phone, site, seed=99):
    """Return the phone after a power cut: nothing of it is left but its store."""
    again = Phone(site, Random(seed), phone.address)
    again.store = phone.store
    again.channel = phone.channel
    net.add(again)
    again.login.boot(again.store, net.now)
    return again


def kinds(net):
    """Return the kinds of all messages that were sent."""
    return [message.decode_message(data).kind for _, data, _, _ in net.log]


def test_first_log_in():
    net, phone, gatekeeper, _ = logged_in()
    assert kinds(net) == ["GRQ", "GCF", "RRQ", "RCF"]
    assert phone.store.ext == "1001"
    held = gatekeeper.registrar.registration("1001")
    assert held.sid == phone.registration.sid.hex()
    assert held.ks == phone.registration.ks
    assert gatekeeper.registrar.psk(held.sid) == phone.registration.ks


def test_a_full_rrq_tells_the_version_of_the_phone_and_a_keep_alive_does_not():
    net, _, _, _ = logged_in()
    net.run(2 * 300_000, lambda: len(net.log) > 5)
    requests = [message.decode_message(data) for _, data, _, _ in net.log]
    vendors = [request.value["endpointVendor"] for request in requests if request.kind == "RRQ"]
    assert [vendor.get("versionId") for vendor in vendors] == [VERSION.encode(), None]
    assert [vendor["productId"] for vendor in vendors] == [b"ringkey"] * 2


def test_a_gatekeeper_knows_what_an_endpoint_says_of_its_software():
    _, _, gatekeeper, _ = logged_in()
    held = gatekeeper.registrar.registration("1001")
    assert held.software == "ringkey " + VERSION
    assert software(b"ringkey", VERSION.encode()) is held.software, "thousands of phones share one text"
    assert software(b"", b"") == ""
    assert software(b"", b"2") == "2"
    assert software(b"\xff<b>\n", b"x" * 300) == "?<b>? " + 58 * "x"
    for i in range(1000):
        assert software(b"%d" % i, b"") == str(i), "of any number of them"


class NoAnswer(Exception):
    """What asking the kernel comes to while the machine has no descriptor left."""


def test_a_request_that_can_not_be_answered_now_changes_nothing():
    """So its retransmission is answered: neither a replayed Re nor an old counter."""
    net, phone, gatekeeper, _ = pair(5)
    settings, receive = gatekeeper.registrar.settings, gatekeeper.receive
    addresses, fails, asked = settings.addresses, [], []

    def no_answer(host):
        asked.append(host)
        if len(asked) in fails:
            raise NoAnswer
        return addresses(host)

    def received(data, source, now):
        try:
            return receive(data, source, now)
        except NoAnswer:
            return []

    settings.addresses, gatekeeper.receive = no_answer, received
    fails += [1, 3]
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(9000, lambda: phone.login.state == "online")
    assert kinds(net) == ["GRQ", "GRQ", "GCF", "RRQ", "RRQ", "RCF"]
    held = gatekeeper.registrar.registration("1001")
    before = held.heard, held.expires
    fails.append(5)
    net.run(2 * 300_000, lambda: len(net.log) > 6)
    net.run(net.now)
    assert (held.heard, held.expires) == before
    net.run(net.now + 9000, lambda: len(net.log) > 8)
    assert kinds(net)[6:] == ["RRQ", "RRQ", "RCF"]
    assert held.heard > before[0]
    fails.append(7)
    try:
        gatekeeper.registrar.end_registration("1001", "securityDenial", net.now)
    except NoAnswer:
        assert held.machine.state == "registered"
    assert gatekeeper.registrar.end_registration("1001", "securityDenial", net.now)


def test_both_suites():
    for suite in (keys.SHA1, keys.SHA256):
        net, phone, gatekeeper, _ = pair(4, suite)
        phone.login.boot(None, 0)
        phone.login.entered("1001", "1234", 0)
        net.run(5000)
        assert phone.login.state == "online"
        assert len(phone.registration.ks) == suite.key


def test_keys_are_committed_only_after_rcf():
    net, phone, _, _ = pair(2)
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    while phone.login.state != "online":
        assert phone.store is None or "RCF" in kinds(net)
        net.run(net.now + 1)
    assert phone.store is not None


def test_a_power_cycle_needs_no_key_server_and_sends_no_urq():
    net, phone, gatekeeper, site = logged_in()
    issued = site.issued
    phone = rebooted(net, phone, site)
    net.run(net.now + 5000)
    assert phone.login.state == "online"
    assert site.issued == issued
    assert "URQ" not in kinds(net)
    assert len(gatekeeper.registrar.held()) == 1


def test_it_is_kept_alive_and_expires_when_the_phone_is_gone():
    net, _, gatekeeper, _ = logged_in()
    net.run(60 * MINUTE)
    assert [e[0] for e in gatekeeper.events].count("refreshed") >= 20
    assert gatekeeper.registrar.registration("1001")
    sid = gatekeeper.registrar.registration("1001").sid
    del net.ends[PHONE]
    net.run(net.now + 6 * MINUTE)
    assert gatekeeper.registrar.registration("1001") is None
    assert gatekeeper.registrar.psk(sid) is None
    assert gatekeeper.events[-1][2] == "ttlExpired"


def test_a_short_life_is_granted_and_kept():
    random = Random(5)
    site = Site(random)
    gatekeeper, phone = Gatekeeper(site, random, time_to_live=20), Phone(site, random)
    net = Network(random)
    net.add(gatekeeper)
    net.add(phone)
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(3 * MINUTE)
    assert phone.registration.time_to_live == 20
    assert "ttlExpired" not in [e[-1] for e in gatekeeper.events]


def test_log_out_ends_the_registration_and_erases_the_keys():
    net, phone, gatekeeper, _ = logged_in()
    phone.login.log_out(net.now)
    net.run(net.now + 1000)
    assert kinds(net)[-2:] == ["URQ", "UCF"]
    assert phone.login.state == "prompting"
    assert phone.store is None
    assert gatekeeper.registrar.held() == []


def test_a_phone_that_has_logged_out_holds_nothing_of_its_registration():
    """Ks is in it, and by its class a module for which an ESP32 has no room while keys are fetched."""
    net, phone, _, _ = logged_in()
    assert [name for name, value in phone.login.__dict__.items() if hasattr(value, "ks")]
    phone.login.log_out(net.now)
    net.run(net.now + 1000)
    assert phone.prompts[-1] is None
    assert not [name for name, value in phone.login.__dict__.items() if hasattr(value, "ks")]


def test_log_out_without_a_gatekeeper_ends_at_the_prompt_too():
    net, phone, gatekeeper, _ = logged_in()
    del net.ends[GATEKEEPER]
    phone.login.log_out(net.now)
    net.run(net.now + MINUTE)
    assert phone.login.state == "prompting"
    assert kinds(net)[-3:] == ["URQ"] * 3


def test_a_wrong_pin_meets_silence_and_the_prompt():
    net, phone, gatekeeper, _ = pair()
    phone.login.boot(None, 0)
    phone.login.entered("1001", "9999", 0)
    net.run(MINUTE)
    assert kinds(net) == ["GRQ"] * 3
    assert phone.prompts == [None, "log-in-failed"]
    assert phone.store is None
    phone.login.entered("1001", "1234", net.now)
    net.run(net.now + 5000)
    assert phone.login.state == "online"


def test_a_gatekeeper_gone_after_its_gcf_is_not_a_wrong_pin():
    net, phone, gatekeeper, _ = pair()
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(MINUTE, lambda: kinds(net) == ["GRQ", "GCF"])
    del net.ends[GATEKEEPER]
    net.run(MINUTE)
    assert "RRQ" in kinds(net)
    assert phone.prompts == [None, "no-answer"]


def test_tries_double_from_two_seconds():
    net, phone, gatekeeper, _ = pair()
    del net.ends[GATEKEEPER]
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(MINUTE)
    times = [when for when, _, _, _ in net.log]
    assert 2000 <= times[1] - times[0] <= 2500
    assert 4000 <= times[2] - times[1] <= 5000
    assert len({data for _, data, _, _ in net.log}) == 1  # a retransmission has the same octets


def test_an_unknown_extension_is_told_and_signed_with_kr():
    net, phone, _, site = pair()
    phone.login.boot(None, 0)
    phone.login.entered("1002", "1234", 0)
    net.run(1000)
    assert phone.prompts == [None, "unknown-extension"]
    grj = message.decode_message(net.log[-1][1])
    kg = keys.device_key(
        site.suite, site.km, profile.elements(message.decode_message(net.log[0][1]))[profile.G]
    )
    assert message.verify(grj, site.suite, keys.reject_key(site.suite, kg))


def test_stored_keys_without_an_answer_are_fetched_again_then_prompted_then_retried():
    net, phone, gatekeeper, site = logged_in()
    del net.ends[GATEKEEPER]
    issued = site.issued
    phone = rebooted(net, phone, site)
    net.run(net.now + MINUTE, lambda: phone.login.state == "waiting")
    assert site.issued == issued + 1
    assert phone.prompts == ["log-in-failed"]
    assert phone.store is not None
    net.add(gatekeeper)
    net.run(net.now + 3 * MINUTE, lambda: phone.login.state == "online")
    assert phone.login.state == "online"  # by itself


def test_a_user_at_the_prompt_is_not_interrupted():
    net, phone, gatekeeper, site = logged_in()
    del net.ends[GATEKEEPER]
    site.key_server_up = False
    phone = rebooted(net, phone, site)
    net.run(net.now + MINUTE, lambda: phone.login.state == "waiting")
    assert phone.prompts == ["key-server"]
    for _ in range(10):
        phone.login.touched(net.now)
        net.run(net.now + 30000)
        assert phone.login.state == "waiting"


def test_alternates_are_asked_in_order():
    random = Random(6)
    site = Site(random)
    second = Gatekeeper(site, random, ("192.0.2.2", 1719))
    site.gatekeepers = (GATEKEEPER, second.address)
    phone = Phone(site, random)
    net = Network(random)
    net.add(second)
    net.add(phone)
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(MINUTE)
    assert phone.login.state == "online"
    assert [to for _, _, _, to in net.log[:4]] == [GATEKEEPER] * 3 + [second.address]


def test_an_unknown_extension_is_tried_at_the_next_gatekeeper():
    random = Random(6)
    site, other_site = Site(random), Site(random)
    other_site.km, other_site.cvm = site.km, site.cvm
    site.pins = {}
    first, second = Gatekeeper(site, random), Gatekeeper(other_site, random, ("192.0.2.2", 1719))
    site.gatekeepers = (first.address, second.address)
    phone = Phone(site, random)
    net = Network(random)
    for end in (first, second, phone):
        net.add(end)
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(MINUTE)
    assert phone.login.state == "online"
    assert second.registrar.registration("1001") is not None


class _Elsewhere:
    """A site whose extensions are all at another gatekeeper."""

    def __init__(self, site, other):
        self.site = site
        self.other = other

    def look_up(self, ext, g, cvm):
        return Lookup(profile.OTHER_GATEKEEPER, self.site.look_up(ext, g).kg, None, (self.other,))


def test_a_redirection_is_followed_and_a_circle_of_them_ends():
    random = Random(8)
    site = Site(random)
    first, second = Gatekeeper(site, random), Gatekeeper(site, random, ("192.0.2.2", 1719))
    first.site = _Elsewhere(site, second.address)
    phone = Phone(site, random)
    net = Network(random)
    for end in (first, second, phone):
        net.add(end)
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(MINUTE)
    assert phone.login.state == "online"
    assert second.registrar.registration("1001")
    second.site = _Elsewhere(site, first.address)
    phone.login.log_out(net.now)
    net.run(net.now + 1000)
    phone.login.entered("1001", "1234", net.now)
    net.run(net.now + MINUTE)
    assert phone.prompts[-1] == "other-gatekeeper"


def test_a_full_gatekeeper_sends_phones_to_its_alternates_and_keeps_those_it_has():
    net, phone, first, site = logged_in()
    second = Gatekeeper(site, Random(9), ("192.0.2.2", 1719))
    net.add(second)
    first.registrar.settings.most = 0
    first.registrar.settings.others = (second.address,)
    phone = rebooted(net, phone, site)
    net.run(net.now + 10000)
    assert phone.login.state == "online"
    assert second.registrar.registration("1001") is None
    assert first.registrar.end_registration("1001", "maintenance", net.now)
    net.run(net.now + 20000, lambda: second.registrar.registration("1001") is not None)
    assert first.registrar.registration("1001") is None
    assert second.registrar.registration("1001") is not None


def test_a_gatekeeper_that_fills_up_after_its_gcf_rejects_signed():
    net, phone, gatekeeper, _ = pair()

    def fill(data, source, target):
        if message.decode_message(data).kind == message.GCF:
            gatekeeper.registrar.settings.most = 0
        return []

    net.forge = fill
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(MINUTE)
    kinds = [message.decode_message(data).kind for _, data, _, _ in net.log]
    assert kinds[:4] == [message.GRQ, message.GCF, message.RRQ, message.RRJ]
    assert phone.prompts[-1] == "other-gatekeeper"
    assert phone.store is None


def test_obsolete_keys_are_fetched_once_then_the_prompt():
    net, phone, gatekeeper, site = logged_in()
    site.km = bytes(32)
    old = site.cvm
    site.cvm = keys.check_value(site.suite, site.km)
    gatekeeper.registrar.set_site((site.cvm,))
    phone = rebooted(net, phone, site)
    net.run(net.now + 10000)
    assert phone.login.state == "online"
    assert "keys-obsolete" in phone.shown
    assert phone.store.cvm == site.cvm != old
    gatekeeper.registrar.set_site((b"xyz",))  # the gatekeeper disagrees with the key server
    phone = rebooted(net, phone, site, 100)
    issued = site.issued
    net.run(net.now + 20000)
    assert site.issued == issued + 1
    assert phone.prompts == ["keys-obsolete"]
    assert phone.store is not None


def test_a_revoked_key_is_replaced_by_a_new_one():
    net, phone, _, site = logged_in()
    site.revoked.add(phone.store.g)
    phone = rebooted(net, phone, site)
    net.run(net.now + 10000)
    assert phone.login.state == "online"
    assert "key-revoked" in phone.shown


def test_a_refused_suite_is_told():
    net, phone, gatekeeper, _ = pair()
    gatekeeper.registrar.settings.suites = ("sha1",)
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(MINUTE)
    assert phone.prompts == [None, "suite-refused"]


def forge_grj(suite=None, key=None, code=profile.REVOKED):
    """Return an attacker who answers each GRQ with a GRJ, at once."""

    def forge(data, source, target):
        m = message.decode_message(data)
        if m.kind != message.GRQ:
            return []
        value = answers.gatekeeper_reject(m.value["requestSeqNum"], "securityDenial", ())
        elements = {profile.ERROR: bytes((code,)), profile.RE: profile.elements(m)[profile.RE]}
        return [(profile.seal(message.GRJ, value, elements, suite, key), target, source)]

    return forge


def test_an_unsigned_grj_is_not_believed_while_a_gcf_may_come():
    net, phone, _, site = pair(11)
    net.forge = forge_grj()
    net.delay = 1500
    issued = site.issued
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(20000)
    assert phone.login.state == "online"
    assert site.issued == issued + 1


def test_an_unsigned_grj_is_believed_after_two_seconds():
    net, phone, _, site = pair(11, forge=forge_grj())
    net.ends[GATEKEEPER].registrar = _Silent()
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(1999)
    assert "key-revoked" not in phone.shown
    net.run(2100)
    assert "key-revoked" in phone.shown


class _Silent:
    def receive_datagram(self, data, source, now):
        pass

    def next_event(self):
        return None

    def datagrams_to_send(self):
        return []

    def get_timer(self):
        return None

    def handle_timer(self, now):
        pass


def test_a_grj_signed_with_a_wrong_key_is_not_believed():
    net, phone, _, _ = pair(11, forge=forge_grj(keys.SHA256, bytes(32)))
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(20000)
    assert phone.login.state == "online"
    assert "key-revoked" not in phone.shown


def test_a_retransmission_gets_the_same_answer_and_a_replay_none():
    net, _, gatekeeper, _ = logged_in()
    grq, rrq = net.log[0][1], net.log[2][1]
    gcf, rcf = net.log[1][1], net.log[3][1]
    assert gatekeeper.receive(grq, PHONE, 100) == [(gcf, PHONE)]
    assert gatekeeper.receive(rrq, PHONE, 100) == [(rcf, PHONE)]
    elsewhere = (PHONE[0], PHONE[1] + 1)
    assert gatekeeper.receive(grq, elsewhere, 100) == []
    assert gatekeeper.receive(rrq, elsewhere, 100) == []
    assert gatekeeper.receive(grq, PHONE, 10100) == []
    assert gatekeeper.receive(rrq, PHONE, 10100) == []
    assert gatekeeper.receive(grq, PHONE, 100 * MINUTE) == []
    assert gatekeeper.receive(rrq, PHONE, 100 * MINUTE) == []


def test_replayed_keep_alives_and_urqs_meet_silence():
    net, phone, gatekeeper, _ = logged_in()
    net.run(5 * MINUTE)
    keep = [data for _, data, _, to in net.log if to == GATEKEEPER][-1]
    answer = net.log[-1][1]
    assert message.decode_message(answer).kind == "RCF"
    assert gatekeeper.receive(keep, PHONE, net.log[-1][0] + 5) == [(answer, PHONE)]
    assert gatekeeper.receive(keep, PHONE, net.now + 20000) == []
    assert "replayed Re" in gatekeeper.events[-1][2]
    phone.login.log_out(net.now)
    net.run(net.now + 100)
    urq, ucf = net.log[-2][1], net.log[-1][1]
    assert gatekeeper.receive(urq, PHONE, net.now) == [(ucf, PHONE)]
    assert gatekeeper.receive(urq, PHONE, net.now + 20000) == []


def test_a_message_for_another_extension_or_registration_meets_silence():
    net, phone, gatekeeper, site = logged_in()
    site.pins["1002"] = "1234"
    record = phone.store
    value = build.gatekeeper_request(9, "1002", PHONE)
    elements = {profile.G: record.g, profile.CVM_ID: record.cvm, profile.RE: b"n" * 16}
    octets = profile.seal(message.GRQ, value, elements, record.suite, record.ka)
    assert gatekeeper.receive(octets, PHONE, net.now) == []
    assert "another extension" in gatekeeper.events[-1][2]
    value = build.keep_alive(9, "0123", PHONE, PHONE, 300)
    elements = {profile.RE: b"n" * 16, profile.RG: b"r" * 16}
    octets = profile.seal(message.RRQ, value, elements, record.suite, record.ka)
    assert gatekeeper.receive(octets, PHONE, net.now) == []


def test_strangers_are_met_politely_and_noise_with_silence():
    net, _, gatekeeper, _ = logged_in()
    arq = b"\x24\x00\x12\x34" + bytes(30)
    ((xrs, to),) = gatekeeper.receive(arq, PHONE, net.now)
    m = message.decode_message(xrs)
    assert m.kind == message.XRS
    assert m.value == {"requestSeqNum": 0x1235, "messageNotUnderstood": arq}
    for noise in (b"", b"\x00", xrs, net.log[1][1], net.log[3][1], bytes(1473), b"\x80\x01\x00"):
        assert gatekeeper.receive(noise, PHONE, net.now) == []


def test_a_request_too_long_to_be_given_back_is_noise_like_any_other():
    _, _, gatekeeper, _ = logged_in()
    stranger = ("198.51.100.9", 5000)
    longest = 0
    for octets in range(1450, message.MAX_MESSAGE + 1):
        before = len(gatekeeper.events)
        answers = gatekeeper.receive(bytes((9 << 2,)) + bytes(octets - 1), stranger, 1000)
        assert [event[0] for event in gatekeeper.events[before:]] == ["dropped"]
        if answers:
            assert octets == longest + 1 or not longest
            longest = octets
            assert message.decode_message(answers[0][0]).kind == message.XRS
            assert len(answers[0][0]) <= message.MAX_MESSAGE
    assert longest == 1463
    for _ in range(200):
        gatekeeper.receive(bytes((9 << 2,)) + bytes(message.MAX_MESSAGE - 1), stranger, 1000)
    assert gatekeeper.registrar.ignored, "it is ignored once there is so much of it"


def test_wrong_pins_are_throttled_by_source_and_do_not_lock_out_the_real_phone():
    random = Random(12)
    site = Site(random)
    gatekeeper = Gatekeeper(site, random, throttle=Throttle(3, 15 * MINUTE, 30000, 3600000))
    guesser, phone = Phone(site, random, ("198.51.100.9", 5000)), Phone(site, random)
    net = Network(random)
    for end in (gatekeeper, guesser, phone):
        net.add(end)
    guesser.login.boot(None, 0)
    for pin in ("0001", "0002", "0003"):
        guesser.login.entered("1001", pin, net.now)
        net.run(net.now + 20000)
    # three log-ins of three tries each are three failures
    assert [e[2] for e in gatekeeper.events if e[0] == "dropped"].count("GRQ: wrong ICV") == 3
    guesser.login.entered("1001", "1234", net.now)  # right at last, but ignored
    net.run(net.now + 5000)
    assert guesser.login.state == "fresh"
    assert "throttled" in gatekeeper.events[-1][2]
    phone.login.boot(None, net.now)
    phone.login.entered("1001", "1234", net.now)
    net.run(net.now + 5000, lambda: phone.login.state == "online")
    assert phone.login.state == "online"


def test_a_second_phone_takes_the_extension_over_and_the_first_is_told():
    net, phone, gatekeeper, site = logged_in()
    second = Phone(site, Random(50), ("192.0.2.51", 40001))
    net.add(second)
    second.login.boot(None, net.now)
    second.login.entered("1001", "1234", net.now)
    sid = phone.registration.sid.hex()
    net.run(net.now + 5000)
    assert second.login.state == "online"
    assert phone.login.state == "prompting"
    assert phone.prompts[-1] == "logged-out"
    assert gatekeeper.registrar.psk(sid) is None
    assert kinds(net).count("URQ") == kinds(net).count("UCF") == 1
    net.run(net.now + 10 * MINUTE)
    assert second.login.state == "online"
    assert gatekeeper.registrar.registration("1001").source == second.address


def test_a_lost_urq_is_sent_again_and_a_lost_ucf_answered_again():
    net, phone, gatekeeper, _ = logged_in()
    net.loss = 256
    gatekeeper.registrar.end_registration("1001", "maintenance", net.now)
    net.run(net.now + 1000)
    net.loss = 0
    net.run(net.now + 4000)
    assert "maintenance" in [e[2] for e in gatekeeper.events if e[0] == "ended"]
    urq = [data for _, data, _, to in net.log if to == PHONE and message.decode_message(data).kind == "URQ"][
        0
    ]
    phone.endpoint.receive_datagram(urq, GATEKEEPER, net.now)
    ((ucf, _),) = phone.endpoint.datagrams_to_send()
    assert message.decode_message(ucf).kind == "UCF"
    net.run(net.now + 5000)
    assert phone.login.state == "online"  # maintenance: it came back by itself


def test_a_replayed_urq_does_not_end_a_later_registration():
    net, phone, gatekeeper, _ = logged_in()
    gatekeeper.registrar.end_registration("1001", "maintenance", net.now)
    net.run(net.now + 5000)
    assert phone.login.state == "online"
    urq = [data for _, data, _, to in net.log if to == PHONE and message.decode_message(data).kind == "URQ"][
        0
    ]
    phone.endpoint._answered = None
    phone.endpoint.receive_datagram(urq, GATEKEEPER, net.now)
    assert phone.endpoint.state == "registered"


def test_an_unreachable_key_server_at_the_gatekeeper_is_silence_until_the_next_try():
    net, phone, gatekeeper, site = pair()
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    phone.run(0)
    site.key_server_up = False
    net.run(1000)
    site.key_server_up = True
    net.run(10000)
    assert phone.login.state == "online"


def test_a_channel_that_does_not_open_is_tried_again_then_the_phone_registers_anew():
    net, phone, gatekeeper, _ = logged_in()
    phone.channel = _Refuses()
    phone.login.channel_failed(net.now)
    before = kinds(net).count("GRQ")
    net.run(net.now + MINUTE)
    assert kinds(net).count("GRQ") > before
    assert len(phone.opened) > 4
    phone.channel = gatekeeper.registrar
    net.run(net.now + 2 * MINUTE, lambda: phone.login.state == "online")
    assert phone.login.state == "online"


class _Refuses:
    def psk(self, identity):
        return None


def test_a_network_that_is_back_is_used_at_once():
    net, phone, gatekeeper, site = logged_in()
    issued = site.issued
    before = len(phone.opened)
    phone.login.network_back(net.now)
    start = net.now
    net.run(start + 1000, lambda: len(phone.opened) > before)
    assert phone.login.state == "online"
    assert len(phone.opened) == before + 1
    assert site.issued == issued, "with the keys it has"
    assert kinds(net)[-4:] == ["GRQ", "GCF", "RRQ", "RCF"]
    # The registration before this one is over; the gatekeeper holds the new one only.
    assert [event[0] for event in gatekeeper.events].count("registered") == 2
    assert phone.channel.psk(phone.opened[-1].sid.hex()) == phone.opened[-1].ks
    assert phone.channel.psk(phone.opened[-2].sid.hex()) is None


def test_a_network_that_is_back_starts_over_what_was_under_way():
    # With stored keys: no key distribution for want of a network.
    net, phone, gatekeeper, site = logged_in()
    issued = site.issued
    del net.ends[GATEKEEPER]
    phone = rebooted(net, phone, site)
    net.run(net.now + 3000)
    assert phone.login.state == "stored"
    net.add(gatekeeper)
    phone.login.network_back(net.now)
    net.run(net.now + 1000, lambda: phone.login.state == "online")
    assert phone.login.state == "online"
    assert site.issued == issued
    # With fresh keys, which are in RAM only.
    net, phone, gatekeeper, site = pair()
    del net.ends[GATEKEEPER]
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(3000)
    assert phone.login.state == "fresh"
    net.add(gatekeeper)
    phone.login.network_back(net.now)
    net.run(net.now + 1000, lambda: phone.login.state == "online")
    assert phone.login.state == "online"
    assert phone.store is not None


def test_a_network_that_is_back_fetches_again_and_wakes_who_waits():
    net, phone, _, site = logged_in()
    login = phone.login
    login.log_out(net.now)
    net.run(net.now + 1000)
    login.entered("1001", "1234", net.now)
    assert login.next_effect() == ("show", "fetching")
    assert login.next_effect() == ("fetch", "1001")
    login.network_back(net.now)  # before any keys have come
    assert login.next_effect() == ("show", "fetching")
    assert login.next_effect() == ("fetch", "1001")
    assert login.next_effect() is None
    net, phone, gatekeeper, site = logged_in()
    del net.ends[GATEKEEPER]
    site.key_server_up = False
    phone = rebooted(net, phone, site)
    net.run(net.now + MINUTE, lambda: phone.login.state == "waiting")
    net.add(gatekeeper)
    site.key_server_up = True  # the gatekeeper needs it as well
    phone.login.network_back(net.now)
    net.run(net.now + 1000, lambda: phone.login.state == "online")
    assert phone.login.state == "online", "not after its minute"


def test_a_network_that_is_back_disturbs_nobody():
    net, phone, _, _ = pair()
    phone.login.boot(None, 0)
    phone.run(0)
    phone.login.network_back(0)
    assert phone.login.state == "prompting"
    assert phone.login.next_effect() is None
    net, phone, _, _ = logged_in()
    phone.login.log_out(net.now)
    phone.login.network_back(net.now)
    net.run(net.now + 1000, lambda: phone.login.state == "prompting")
    assert phone.login.state == "prompting"
    assert phone.store is None


def test_a_store_that_can_not_write_does_not_stop_the_phone():
    net, phone, _, _ = pair()
    phone.login.committed = lambda now: type(phone.login).not_committed(_AsIs(phone.login), now)
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(5000)
    assert "store-failed" in phone.shown
    assert phone.login.state == "online"


class _AsIs:
    """The login, with its own `committed` again."""

    def __init__(self, login):
        self._login = login

    def __getattr__(self, name):
        if name == "committed":
            return lambda now: type(self._login).committed(self._login, now)
        return getattr(self._login, name)


def test_multicast_discovery_when_no_gatekeeper_is_known():
    from ras.endpoint import MULTICAST

    net, phone, gatekeeper, site = pair()
    site.gatekeepers = ()
    net.ends[MULTICAST] = gatekeeper
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(5000)
    assert phone.login.state == "online"
    assert net.log[0][3] == MULTICAST
    assert net.log[2][3] == GATEKEEPER


def test_a_grq_signed_from_kg_is_taken_only_where_the_site_says_so():
    for allowed in (False, True):
        net, phone, gatekeeper, site = logged_in()
        gatekeeper.registrar.settings.icv_from_kg = allowed
        record = phone.store
        kr = keys.reject_key(record.suite, record.kg)
        value = build.gatekeeper_request(9, "1001", PHONE)
        elements = {profile.G: record.g, profile.CVM_ID: record.cvm, profile.RE: b"n" * 16}
        octets = profile.seal(message.GRQ, value, elements, record.suite, kr)
        answers = gatekeeper.receive(octets, PHONE, net.now)
        assert [message.decode_message(data).kind for data, _ in answers] == (["GCF"] if allowed else [])
        value = build.registration_request(10, "1001", PHONE, PHONE, 300)
        elements[profile.RG] = gatekeeper.registrar.server_nonces.make(
            PHONE, "1001", elements[profile.G], elements[profile.RE], net.now
        )
        octets = profile.seal(message.RRQ, value, elements, record.suite, kr)
        assert gatekeeper.receive(octets, PHONE, net.now) == []  # an RRQ has to prove the PIN


def test_machines_name_event_role_and_state():
    machine = Machine("endpoint", ENDPOINT, "idle")
    with raises(LocalProtocolError) as caught:
        machine.feed("confirm")
    assert "endpoint" in str(caught.value)
    assert "confirm" in str(caught.value)
    assert "idle" in str(caught.value)


def test_every_state_of_every_table_can_be_reached_and_left():
    for text, start, ends in (
        (ENDPOINT, "idle", ()),
        (REGISTRATION, "registered", ("ended",)),
        (LOGIN, "off", ()),
    ):
        table = {}
        for line in text.strip().split("\n"):
            state, *moves = line.split(" ")
            assert state not in table
            table[state] = dict([move.split(">") for move in moves])
        for state, moves in table.items():
            for event, after in moves.items():
                machine = Machine("any", text, state)
                assert machine.allows(event)
                assert machine.feed(event) == machine.state == after
            assert not Machine("any", text, state).allows("no-such-event")
        reached, todo = {start}, [start]
        while todo:
            for after in table.get(todo.pop(), {}).values():
                if after not in reached:
                    reached.add(after)
                    todo.append(after)
        assert set(table) | set(ends) == reached
        assert not set(table) & set(ends)


def test_nothing_secret_shows_in_a_repr():
    net, phone, gatekeeper, site = logged_in()
    secrets = [phone.store.kg, phone.store.ka, phone.registration.ks, site.km]
    for thing in (phone.store, phone.registration, gatekeeper.registrar.held()[0], gatekeeper.events):
        for secret in secrets:
            assert secret.hex() not in repr(thing)
            assert repr(secret) not in repr(thing)


def crossed(confirm):
    """Both sides end one registration at the same time; confirm: the phone confirms the gatekeeper's URQ."""
    net, phone, gatekeeper, _ = logged_in()
    registrar, now = gatekeeper.registrar, net.now
    phone.endpoint.log_out(now)
    (theirs,) = [data for data, _ in phone.endpoint.datagrams_to_send()]
    held = registrar.registration("1001")
    ka = held.ka
    assert registrar.end_registration("1001", "reregistrationRequired", now)
    (ours,) = [data for data, _ in registrar.datagrams_to_send()]
    registrar.receive_datagram(theirs, PHONE, now + 1)
    if confirm:
        urq = message.decode_message(ours)
        value = build.unregistration_confirm(urq.value["requestSeqNum"])
        found = {n: v for n, v in profile.elements(urq).items() if n in (profile.RE, profile.RG)}
        registrar.receive_datagram(profile.seal("UCF", value, found, held.suite, ka), PHONE, now + 2)
    for later in (3000, 7000, 15000, 400000):
        registrar.handle_timer(now + later)
    sent = [message.decode_message(data).kind for data, _ in registrar.datagrams_to_send()]
    events = []
    event = registrar.next_event()
    while event is not None:
        events.append(event[0])
        event = registrar.next_event()
    return sent, events, registrar


def test_a_urq_that_crosses_ours_ends_both():
    """Found by fuzzing: the timer of our own URQ raised an error, and no timer ran any more."""
    for confirm in (False, True):
        sent, events, registrar = crossed(confirm)
        assert sent == ["UCF"], "a URQ was sent again to a phone that has left"
        assert events.count("ended") == 1
        assert registrar.held() == []
        assert registrar.get_timer() is None
