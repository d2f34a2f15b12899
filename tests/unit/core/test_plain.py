"""H.323 endpoints without the profile: who of them is registered, and that no phone is ever touched by it."""

from ras import build, keys, message, plain, profile
from ras.held import GRACE, octets_of
from ras.noise import Noise

from exchange import REQUESTS, Exchange, Issuing, patient, registered, state_of
from pair import GATEKEEPER, PHONE, Gatekeeper, Network, Phone
from support import Random

DOOR = ("192.0.2.80", 1719)
OTHER = ("192.0.2.81", 1719)
OUTSIDE = ("198.51.100.7", 1719)
LIFE = 300


class Listed:
    """What a host says: one network; extensions of four digits that begin with 2, but the directory's."""

    def __init__(self, site):
        self.site = site
        self.asked = []
        self.also = ()

    def allows(self, ext, host):
        self.asked.append((ext, host))
        if not host.startswith("192.0.2."):
            return False
        return (
            ext is None or ext in self.also or (len(ext) == 4 and ext[0] == "2" and ext not in self.site.pins)
        )


def site_with_plain(seed=3, make=patient, suite=keys.SHA256, **settings):
    """Return (gatekeeper, policy)."""
    random = Random(seed)
    site = Issuing(random, suite)
    policy = Listed(site)
    return make(site, random, plain=policy, **settings), policy


def strict(site, random, **settings):
    """Return a gatekeeper with the limits of every day."""
    return Gatekeeper(site, random, suites=(site.suite.name,), **settings)


def octets(kind, value):
    return bytes(message.encode_message(kind, value)[0])


def grq(ext="2001", number=7, **more):
    value = build.gatekeeper_request(number, ext or "0", DOOR)
    if ext is None:
        del value["endpointAlias"]
    value.update(more)
    return octets("GRQ", value)


def rrq(ext="2001", number=8, life=LIFE, **more):
    value = build.registration_request(number, ext, DOOR, DOOR, life or 1)
    if life is None:
        del value["timeToLive"]
    value.update(more)
    return octets("RRQ", value)


def keep_alive(identifier, number=9, life=LIFE):
    return octets("RRQ", build.keep_alive(number, identifier, DOOR, DOOR, life))


def urq(identifier, number=10):
    value = build.unregistration_request(number, identifier or "", DOOR, None)
    if identifier is None:
        del value["endpointIdentifier"]
    return octets("URQ", value)


def ask(gatekeeper, data, source=DOOR, now=1000):
    """Return the one answer, None for silence; it is unsigned and short."""
    out = gatekeeper.receive(data, source, now)
    if not out:
        return None
    ((answer, to),) = out
    assert to == source
    assert 2 * len(answer) <= 3 * len(data)
    found = message.decode_message(answer)
    assert "tokens" not in found.value
    assert "integrityCheckValue" not in found.value
    return found


def told(answer):
    """Return an answer's kind, and of a reject its reason, as one text."""
    if answer is None:
        return "silence"
    reason = answer.value.get("rejectReason")
    return answer.kind if reason is None else "%s %s" % (answer.kind, reason[0])


def admit(gatekeeper, ext="2001", source=DOOR, now=1000, life=LIFE):
    """Register a plain endpoint; return its endpointIdentifier."""
    answer = ask(gatekeeper, rrq(ext, life=life), source, now)
    assert told(answer) == "RCF"
    return answer.value["endpointIdentifier"]


def table(gatekeeper):
    """Return all of the table, with its own numbers."""
    registrar = gatekeeper.registrar
    found = sorted((h.ext, h.identifier, h.source, h.since, h.expires) for h in registrar.plain.all())
    assert len(registrar.plain) == len(registrar.plain._by_identifier) == len(found)
    assert registrar.sizes()["plain"] == len(found)
    return found


def events(gatekeeper):
    """Return the plain endpoints' events, and forget them."""
    found = [event for event in gatekeeper.events if event[0].startswith("plain_")]
    gatekeeper.events.clear()
    return found


# -- who is let in


def test_a_site_that_says_nothing_lets_none_in():
    random = Random(3)
    gatekeeper = patient(Issuing(random), random)
    registrar = gatekeeper.registrar
    assert registrar.plain is None
    assert told(ask(gatekeeper, grq())) == "GRJ securityDenial"
    assert told(ask(gatekeeper, grq(None))) == "GRJ securityDenial"
    assert told(ask(gatekeeper, rrq())) == "RRJ securityDenial"
    assert told(ask(gatekeeper, keep_alive("0011223344556677-plain"))) == "RRJ securityDenial"
    assert told(ask(gatekeeper, urq("0011223344556677-plain"))) == "silence"
    assert registrar.sizes()["plain"] == 0
    assert registrar.get_timer() is None
    assert {event[0] for event in gatekeeper.events} == {"dropped"}


def test_discovery():
    gatekeeper, policy = site_with_plain()
    for ext in ("2001", None):
        answer = ask(gatekeeper, grq(ext))
        assert told(answer) == "GCF"
        assert answer.value["requestSeqNum"] == 7
        assert answer.value["rasAddress"] == ("ipAddress", {"ip": bytes((192, 0, 2, 1)), "port": 1719})
    assert policy.asked == [("2001", DOOR[0]), (None, DOOR[0])]
    assert events(gatekeeper) == [("plain_confirmed", DOOR, "2001"), ("plain_confirmed", DOOR, None)]
    assert table(gatekeeper) == []


def test_whoever_is_not_allowed_is_told_what_every_site_tells():
    gatekeeper, _ = site_with_plain()
    random = Random(3)
    other = patient(Issuing(random), random)  # none is allowed there
    identifier = "0011223344556677-plain"
    tries = [
        (grq("3001"), DOOR),
        (grq("2001"), OUTSIDE),
        (grq(None), OUTSIDE),
        (rrq("3001"), DOOR),
        (rrq("2001"), OUTSIDE),
        (rrq("2001", terminalAlias=[("h323-ID", "door")]), DOOR),  # without an extension there is no place
        (rrq("2001", terminalAlias=[("dialledDigits", "2#"), ("dialledDigits", "2001")]), DOOR),
        (keep_alive(identifier), OUTSIDE),
        (urq(identifier), OUTSIDE),
        (urq(identifier), DOOR),
        (urq(None), DOOR),
    ]
    for data, source in tries:
        assert gatekeeper.receive(data, source, 1000) == other.receive(data, source, 1000), data
        assert gatekeeper.events == other.events
        assert table(gatekeeper) == []


def test_registration():
    gatekeeper, _ = site_with_plain()
    registrar = gatekeeper.registrar
    vendor = dict(build._VENDOR, productId=b"Door", versionId=b"2.1")
    answer = ask(gatekeeper, rrq(endpointVendor=vendor))
    assert told(answer) == "RCF"
    value = answer.value
    identifier = value["endpointIdentifier"]
    assert value["requestSeqNum"] == 8
    assert value["callSignalAddress"] == [], "the signalling port speaks TLS-PSK only"
    assert value["timeToLive"] == LIFE
    assert "terminalAlias" not in value
    assert len(identifier) == 16 + len("-plain")
    assert identifier.endswith("-plain")
    assert len(bytes.fromhex(identifier[:16])) == 8
    assert octets_of(identifier) == b"", "no phone's registration can be taken for it"
    (event,) = events(gatekeeper)
    held = registrar.plain.of("2001")
    assert event == ("plain_registered", held, None)
    assert (held.ext, held.identifier, held.source) == ("2001", identifier, DOOR)
    assert held.software == "Door 2.1"
    assert (held.since, held.expires) == (1000, 1000 + 1000 * LIFE + GRACE)
    # None of it is a phone's registration.
    assert registrar.held() == []
    assert (registrar.count(), registrar.registered(), registrar.sizes()["registrations"]) == (0, 0, 0)
    assert registrar.registration("2001") is None
    for text in (identifier, identifier[:16], held.identifier[:16] * 2):
        assert registrar.psk(text) is None
        assert registrar.with_sid(text) is None
    assert not registrar.end_registration("2001", "undefinedReason", 1000)


def test_the_identifier_begins_with_eight_octets_drawn_for_it():
    gatekeeper, _ = site_with_plain()
    drawn = []
    random = gatekeeper.registrar.plain._random
    gatekeeper.registrar.plain._random = lambda n: drawn.append(random(n)) or drawn[-1]
    identifier = admit(gatekeeper)
    assert [one.hex() for one in drawn] == [identifier[:16]]
    assert len(drawn[0]) == 8


def test_of_several_aliases_one_is_registered_and_told():
    gatekeeper, _ = site_with_plain()
    aliases = [("h323-ID", "door"), ("dialledDigits", "2001"), ("dialledDigits", "2002")]
    answer = ask(gatekeeper, rrq(terminalAlias=aliases))
    assert answer.value["terminalAlias"] == [("dialledDigits", "2001")]
    assert [one[0] for one in table(gatekeeper)] == ["2001"]


def test_an_additive_registration_is_not_taken_for_another_one():
    gatekeeper, _ = site_with_plain()
    identifier = admit(gatekeeper)
    before = table(gatekeeper)
    data = rrq("2002", endpointIdentifier=identifier, additiveRegistration=0)
    assert told(ask(gatekeeper, data)) == "RRJ additiveRegistrationNotSupported"
    assert table(gatekeeper) == before


def test_alternates_as_far_as_there_is_room():
    others = tuple([("192.0.2.%d" % i, 1719) for i in range(2, 10)])
    gatekeeper, _ = site_with_plain(others=others)
    told_of = [
        len(ask(gatekeeper, data).value["alternateGatekeeper"])
        for data in (grq(), rrq(), grq(endpointAlias=[("dialledDigits", "2001"), ("h323-ID", "x" * 80)]))
    ]
    assert 0 < told_of[0] < told_of[2]
    assert told_of[1] < len(others)


# -- time


def test_the_time_to_live_is_what_it_asks_for_within_the_sites():
    gatekeeper, _ = site_with_plain(time_to_live=LIFE)
    for asked, granted in ((60, 60), (LIFE, LIFE), (86400, LIFE), (4294967295, LIFE), (None, LIFE), (1, 1)):
        answer = ask(gatekeeper, rrq(life=asked))
        assert answer.value["timeToLive"] == granted
        assert table(gatekeeper)[0][4] == 1000 + 1000 * granted + GRACE


def test_it_ends_when_its_time_is_over_and_not_before():
    gatekeeper, _ = site_with_plain()
    registrar = gatekeeper.registrar
    admit(gatekeeper, "2002", life=60, now=1000)
    admit(gatekeeper, "2001", life=20, now=2000)
    admit(gatekeeper, "2002", life=60, now=2000)
    first, second = 2000 + 20000 + GRACE, 2000 + 60000 + GRACE
    assert registrar.get_timer() == first
    registrar.handle_timer(first - 1)
    assert len(table(gatekeeper)) == 2
    events(gatekeeper)
    held = registrar.plain.of("2001")
    registrar.handle_timer(first)
    assert gatekeeper.after(first) == []
    assert events(gatekeeper) == [("plain_ended", held, plain.EXPIRED)]
    assert [one[0] for one in table(gatekeeper)] == ["2002"]
    assert registrar.get_timer() == second
    registrar.handle_timer(second)
    assert table(gatekeeper) == []
    assert registrar.get_timer() is None


def test_timers_of_phones_and_plain_endpoints_do_not_hide_each_other():
    gatekeeper, _ = site_with_plain()
    registrar = gatekeeper.registrar
    phone = registered(gatekeeper)
    phones = registrar.get_timer()
    admit(gatekeeper, life=20, now=phone.now)
    assert registrar.get_timer() == phone.now + 20000 + GRACE < phones
    registrar.handle_timer(registrar.get_timer())
    assert registrar.get_timer() == phones
    admit(gatekeeper, life=LIFE, now=phones - 1000)
    assert registrar.get_timer() == phones
    while registrar.registration("1001") is not None:
        registrar.handle_timer(registrar.get_timer())
    assert len(table(gatekeeper)) == 1


def test_a_keep_alive_prolongs_it():
    gatekeeper, _ = site_with_plain()
    registrar = gatekeeper.registrar
    identifier = admit(gatekeeper, now=1000)
    moved = (DOOR[0], 40000)
    answer = ask(gatekeeper, keep_alive(identifier, life=200), moved, 200_000)
    assert told(answer) == "RCF"
    assert answer.value["endpointIdentifier"] == identifier
    assert answer.value["timeToLive"] == 200
    assert answer.value["callSignalAddress"] == []
    assert table(gatekeeper) == [("2001", identifier, moved, 1000, 400_000 + GRACE)]
    assert [event[0] for event in events(gatekeeper)] == ["plain_registered", "plain_refreshed"]
    # What was due before is looked at, and nothing becomes of it.
    registrar.handle_timer(registrar.get_timer())
    assert len(table(gatekeeper)) == 1
    assert registrar.get_timer() == 400_000 + GRACE
    for i in range(1, 10):
        assert told(ask(gatekeeper, keep_alive(identifier, 100 + i), DOOR, 110_000 + 290_000 * i)) == "RCF"


def test_after_a_restart_it_is_asked_to_register_again():
    before, _ = site_with_plain()
    after, _ = site_with_plain(seed=4)
    identifier = admit(before)
    answer = ask(after, keep_alive(identifier))
    assert told(answer) == "RRJ fullRegistrationRequired"
    assert events(after) == [("plain_refused", DOOR, None, "fullRegistrationRequired")]
    assert told(ask(after, urq(identifier))) == "silence"
    assert admit(after) != identifier


# -- whose it is


def test_nobody_elses_host_prolongs_or_ends_it():
    gatekeeper, _ = site_with_plain()
    identifier = admit(gatekeeper)
    before = table(gatekeeper)
    events(gatekeeper)
    for source in (OTHER, OUTSIDE):
        found = told(ask(gatekeeper, keep_alive(identifier), source, 5000))
        assert found == ("RRJ fullRegistrationRequired" if source == OTHER else "RRJ securityDenial")
        assert told(ask(gatekeeper, urq(identifier), source, 5000)) == "silence"
        assert table(gatekeeper) == before
    for wrong in (identifier[:-1], identifier[:16], identifier.upper(), "x" * 128):
        assert told(ask(gatekeeper, keep_alive(wrong), DOOR, 5000)) == "RRJ fullRegistrationRequired"
        assert told(ask(gatekeeper, urq(wrong), DOOR, 5000)) == "silence"
        assert table(gatekeeper) == before
    assert told(ask(gatekeeper, urq(None), DOOR, 5000)) == "silence"
    assert table(gatekeeper) == before
    assert {event[0] for event in events(gatekeeper)} == {"plain_refused"}


def test_it_logs_out():
    gatekeeper, _ = site_with_plain()
    identifier = admit(gatekeeper)
    held = gatekeeper.registrar.plain.of("2001")
    events(gatekeeper)
    answer = ask(gatekeeper, urq(identifier), (DOOR[0], 5))
    assert told(answer) == "UCF"
    assert answer.value["requestSeqNum"] == 10
    assert events(gatekeeper) == [("plain_ended", held, plain.LEFT)]
    assert table(gatekeeper) == []
    assert told(ask(gatekeeper, urq(identifier))) == "silence"
    assert told(ask(gatekeeper, keep_alive(identifier))) == "RRJ fullRegistrationRequired"
    assert admit(gatekeeper, source=OTHER) != identifier, "and it is free for another one"


def test_the_same_host_again_gets_the_identical_answer():
    gatekeeper, _ = site_with_plain()
    data = rrq()
    first = gatekeeper.receive(data, DOOR, 1000)
    assert gatekeeper.receive(data, DOOR, 1500) == first
    assert gatekeeper.receive(data, DOOR, 100_000) == first
    assert [event[0] for event in events(gatekeeper)] == ["plain_registered"] + 2 * ["plain_refreshed"]
    # With another port, or other software, it is another registration, under the same identifier.
    identifier = table(gatekeeper)[0][1]
    moved = (DOOR[0], 5)
    vendor = dict(build._VENDOR, versionId=b"3")
    for number, more, words in ((20, {}, "ringkey"), (21, {"endpointVendor": vendor}, "ringkey 3")):
        again = ask(gatekeeper, rrq(number=number, **more), moved, 100_001)
        assert again.value["endpointIdentifier"] == identifier
        ((name, held, before),) = events(gatekeeper)
        assert (name, held.source, held.software) == ("plain_registered", moved, words)
        assert before == (DOOR if number == 20 else moved)
        assert len(table(gatekeeper)) == 1


def test_no_other_host_takes_an_extension_over_while_it_lives():
    gatekeeper, _ = site_with_plain()
    admit(gatekeeper, life=20)
    before = table(gatekeeper)
    events(gatekeeper)
    answer = ask(gatekeeper, rrq(), OTHER, 2000)
    assert answer.value["rejectReason"] == ("duplicateAlias", [("dialledDigits", "2001")])
    assert events(gatekeeper) == [("plain_refused", OTHER, "2001", "duplicateAlias")]
    assert table(gatekeeper) == before
    end = 1000 + 20000 + GRACE
    assert told(ask(gatekeeper, rrq(), OTHER, end - 1)) == "RRJ duplicateAlias"
    # No timer has been asked; its time is over all the same.
    assert told(ask(gatekeeper, rrq(), OTHER, end)) == "RCF"
    assert [one[2] for one in table(gatekeeper)] == [OTHER]


def test_one_host_may_have_several():
    gatekeeper, _ = site_with_plain()
    found = {admit(gatekeeper, ext) for ext in ("2001", "2002", "2003")}
    assert len(found) == len(table(gatekeeper)) == 3


def test_the_table_is_full_of_so_many_and_phones_have_their_room():
    gatekeeper, policy = site_with_plain(most=1)
    policy.also = [str(30000 + i) for i in range(25)]
    identifiers = []
    for i in range(1024):
        identifiers.append(admit(gatekeeper, str(2000 + i) if i < 1000 else str(29000 + i)))
        policy.asked.clear()
        events(gatekeeper)
    assert len(gatekeeper.registrar.plain) == plain.MAX_PLAIN == 1024
    assert told(ask(gatekeeper, rrq("30024"))) == "RRJ resourceUnavailable"
    assert events(gatekeeper) == [("plain_refused", DOOR, "30024", "resourceUnavailable")]
    assert len(gatekeeper.registrar.plain) == 1024
    # Those who are there stay, and a phone is registered as ever.
    assert admit(gatekeeper, "2000") == identifiers[0]
    assert told(ask(gatekeeper, keep_alive(identifiers[1023]))) == "RCF"
    assert registered(gatekeeper).endpoint.state == "registered"
    assert told(ask(gatekeeper, urq(identifiers[3]))) == "UCF"
    assert told(ask(gatekeeper, rrq("30024"))) == "RCF"


# -- how much is answered


def test_an_address_has_so_many_answers_in_ten_seconds_and_what_has_none_changes_nothing():
    gatekeeper, _ = site_with_plain(make=strict, noise=Noise(unsigned=5))
    identifier = admit(gatekeeper)
    for i in range(4):
        assert told(ask(gatekeeper, grq(number=50 + i))) == "GCF"
    before = table(gatekeeper)
    events(gatekeeper)
    for data in (grq(), rrq("2002"), rrq(number=44), keep_alive(identifier), urq(identifier)):
        assert told(ask(gatekeeper, data, now=3000)) == "silence"
        assert table(gatekeeper) == before
    assert events(gatekeeper) == []
    assert told(ask(gatekeeper, rrq("2003"), OTHER, 3000)) == "RCF", "another address has its own"
    assert told(ask(gatekeeper, keep_alive(identifier), now=30000)) == "RCF"


def test_two_hundred_answers_by_default():
    gatekeeper, _ = site_with_plain(make=strict)
    found = [told(ask(gatekeeper, grq(number=1 + i), now=1000 + i)) for i in range(300)]
    assert found.count("GCF") == 200


def test_a_request_that_is_too_short_for_its_answer_has_none_and_registers_nobody():
    gatekeeper, _ = site_with_plain()
    vendor = {"vendor": build._VENDOR["vendor"]}
    value = {
        "requestSeqNum": 8,
        "protocolIdentifier": build.H225_V6,
        "discoveryComplete": True,
        "callSignalAddress": [],
        "rasAddress": [],
        "terminalType": {"mc": False, "undefinedNode": False},
        "terminalAlias": [("dialledDigits", "2001")],
        "endpointVendor": vendor,
    }
    data = octets("RRQ", value)
    assert told(ask(gatekeeper, data)) == "silence"
    assert table(gatekeeper) == []
    assert [event[0] for event in gatekeeper.events] == ["dropped"]


# -- phones


def counts(registrar):
    """Return what the throttles know: failures, and who has proven a PIN."""
    attempts = registrar.attempts
    return {name: len(one) for name, one in attempts.tables().items()}, len(attempts._proven)


def test_an_extension_of_the_directory_is_secured_whatever_the_list_says():
    gatekeeper, _ = site_with_plain()
    gatekeeper.site.pins["2001"] = "1234"
    assert told(ask(gatekeeper, grq())) == "GRJ securityDenial"
    assert told(ask(gatekeeper, rrq())) == "RRJ securityDenial"
    assert table(gatekeeper) == []
    # One that is added later: it ends when it is heard of, and says so in the same words.
    identifier = admit(gatekeeper, "2002")
    admit(gatekeeper, "2003")
    second, third = (gatekeeper.registrar.plain.of(ext) for ext in ("2002", "2003"))
    gatekeeper.site.pins.update({"2002": "1", "2003": "2"})
    events(gatekeeper)
    assert told(ask(gatekeeper, rrq("2003"), OTHER)) == "RRJ securityDenial"
    assert len(table(gatekeeper)) == 2, "another host's message ends nothing"
    assert told(ask(gatekeeper, keep_alive(identifier))) == "RRJ securityDenial"
    assert told(ask(gatekeeper, rrq("2003"))) == "RRJ securityDenial"
    assert events(gatekeeper) == [
        ("plain_ended", second, plain.DENIED),
        ("plain_ended", third, plain.DENIED),
    ]
    assert table(gatekeeper) == []
    assert told(ask(gatekeeper, keep_alive(identifier))) == "RRJ fullRegistrationRequired"
    assert told(ask(gatekeeper, rrq("2002"))) == "RRJ securityDenial"


def test_a_phone_that_registers_the_extension_ends_the_plain_one_at_once():
    for suite in (keys.SHA1, keys.SHA256):
        gatekeeper, _ = site_with_plain(suite=suite)
        identifier = admit(gatekeeper, source=DOOR)
        admit(gatekeeper, "2002", source=DOOR)
        held = gatekeeper.registrar.plain.of("2001")
        gatekeeper.site.pins["2001"] = "77"
        events(gatekeeper)
        phone = Exchange(gatekeeper, ext="2001", pin="77")
        phone.take(phone.deliver(phone.ask()))
        assert len(table(gatekeeper)) == 2, "a GRQ does not"
        assert phone.finish()
        assert ("plain_ended", held, plain.SECURED) in events(gatekeeper)
        assert [one[0] for one in table(gatekeeper)] == ["2002"]
        before = state_of(gatekeeper.registrar)
        assert told(ask(gatekeeper, keep_alive(identifier))) == "RRJ fullRegistrationRequired"
        assert told(ask(gatekeeper, rrq())) == "RRJ securityDenial"
        assert state_of(gatekeeper.registrar) == before


def test_an_extension_with_a_phone_is_never_plain_even_where_the_policy_says_so():
    gatekeeper, policy = site_with_plain()
    policy.also = ("1001",)
    phone = registered(gatekeeper)
    before = state_of(gatekeeper.registrar)
    for source in (DOOR, phone.address):
        assert told(ask(gatekeeper, grq("1001"), source, phone.now)) == "GRJ securityDenial"
        assert told(ask(gatekeeper, rrq("1001"), source, phone.now)) == "RRJ securityDenial"
    assert state_of(gatekeeper.registrar) == before
    assert table(gatekeeper) == []


def test_what_a_plain_endpoint_sends_changes_nothing_of_a_phone():
    gatekeeper, _ = site_with_plain(make=strict)
    phone = registered(gatekeeper)
    registrar = gatekeeper.registrar
    held = registrar.registration("1001")
    before, counted = state_of(registrar), counts(registrar)
    answers = set()
    for source in (phone.address, (phone.address[0], 7), DOOR, OUTSIDE):
        for identifier in (held.identifier, held.identifier + "-plain", held.sid):
            for data in (grq("1001"), rrq("1001"), keep_alive(identifier), urq(identifier)):
                answers.add(told(ask(gatekeeper, data, source, phone.now)))
                assert state_of(registrar) == before
                assert counts(registrar) == counted
    assert answers == {
        "GRJ securityDenial",
        "RRJ securityDenial",
        "RRJ fullRegistrationRequired",
        "silence",
    }
    assert table(gatekeeper) == []
    # It is kept alive, and logs out.
    phone.now = phone.endpoint.get_timer()
    phone.endpoint.handle_timer(phone.now)
    phone.take(phone.deliver(phone.sent()))
    assert phone.endpoint.state == "registered"
    assert registrar.registration("1001").expires > before[0][0][5]
    phone.endpoint.log_out(phone.now)
    phone.take(phone.deliver(phone.sent()))
    assert registrar.held() == []


def without_token(data, icv):
    """Return a phone's message without its token; icv: its integrityCheckValue stays."""
    found = message.decode_message(data)
    del found.value["tokens"]
    if not icv:
        del found.value["integrityCheckValue"]
    return octets(found.kind, found.value)


def test_every_message_of_a_phone_with_its_token_cut_out():
    named = {
        "GRQ": {"GRJ securityDenial"},
        "RRQ": {"RRJ securityDenial"},
        "keepAlive": {"RRJ fullRegistrationRequired", "RRJ securityDenial"},
        "URQ": {"silence"},
        "UCF": {"silence"},
    }
    right = {"GRQ": ["GCF"], "RRQ": ["RCF"], "keepAlive": ["RCF"], "URQ": ["UCF"], "UCF": []}
    for suite in (keys.SHA1, keys.SHA256):
        for kind in REQUESTS:
            gatekeeper, policy = site_with_plain(suite=suite)
            phone = Exchange(gatekeeper)
            data = phone.reach(kind)
            before = state_of(gatekeeper.registrar)
            found = set()
            for icv in (True, False):
                for source in (phone.address, DOOR, OUTSIDE):
                    found.add(told(ask(gatekeeper, without_token(data, icv), source, phone.now)))
                    assert state_of(gatekeeper.registrar) == before
                    assert table(gatekeeper) == []
            assert found == named[kind]
            out = gatekeeper.receive(data, phone.address, phone.now)
            assert [message.decode_message(one).kind for one, _ in out] == right[kind]
            assert policy.asked or kind in ("URQ", "UCF")


def test_a_phone_is_not_led_astray_by_what_its_message_without_a_token_gets():
    """Who forges them from its address gets it an unsigned RRJ or GRJ; it registers and stays."""
    gatekeeper, _ = site_with_plain()
    phone = Exchange(gatekeeper)
    for kind in ("GRQ", "RRQ"):
        data = phone.ask() if kind == "GRQ" else phone.sent()
        ((forged, _),) = gatekeeper.receive(without_token(data, True), phone.address, phone.now)
        phone.take(forged)
        phone.take(phone.deliver(data))
    assert phone.endpoint.state == "registered"
    phone.now = phone.endpoint.get_timer()
    phone.endpoint.handle_timer(phone.now)
    data = phone.sent()
    ((forged, _),) = gatekeeper.receive(without_token(data, True), phone.address, phone.now)
    assert message.decode_message(forged).value["rejectReason"][0] == "fullRegistrationRequired"
    phone.take(forged)
    assert phone.endpoint.state == "refreshing"
    phone.take(phone.deliver(data))
    assert phone.endpoint.state == "registered"


def test_a_message_with_the_token_never_reaches_the_plain_table():
    """Whatever its signature, it is a phone's; a plain endpoint's name in it is nobody's."""
    gatekeeper, policy = site_with_plain()
    identifier = admit(gatekeeper)
    before, state = table(gatekeeper), state_of(gatekeeper.registrar)
    policy.asked.clear()
    found = {profile.RE: bytes(16), profile.RG: bytes(16)}
    whole = {profile.G: bytes(16), profile.CVM_ID: gatekeeper.site.cvm}
    whole.update(found)
    values = [
        ("GRQ", build.gatekeeper_request(1, "2001", DOOR), dict(whole)),
        ("RRQ", build.registration_request(2, "2001", DOOR, DOOR, LIFE), whole),
        ("RRQ", build.keep_alive(3, identifier, DOOR, DOOR, LIFE), found),
        ("RRQ", build.keep_alive(4, identifier[:16], DOOR, DOOR, LIFE), found),
        ("URQ", build.unregistration_request(5, identifier, DOOR, None), found),
    ]
    del values[0][2][profile.RG]
    for suite, key in ((keys.SHA256, bytes(32)), (keys.SHA1, bytes(16))):
        for kind, value, elements in values:
            data = profile.seal(kind, dict(value), elements, suite, key)
            out = gatekeeper.receive(data, DOOR, 2000)
            assert [message.decode_message(one).kind for one, _ in out] in ([], ["GRJ"])
            assert table(gatekeeper) == before
            assert state_of(gatekeeper.registrar) == state
    assert policy.asked == []


def test_a_whole_fleet_of_both_in_one_network_that_loses():
    """Phones and plain endpoints side by side for an hour; neither sees the other."""
    gatekeeper, _ = site_with_plain(make=strict)
    site = gatekeeper.site
    random = Random(9)
    net = Network(random, loss=20, double=20, delay=50)
    net.add(gatekeeper)
    phones = []
    for i in range(3):
        site.pins[str(1001 + i)] = "1234"
        phone = Phone(site, random, ("192.0.2.%d" % (50 + i), 40000))
        phone.channel = gatekeeper.registrar
        net.add(phone)
        phone.login.boot(None, 0)
        phone.login.entered(str(1001 + i), "1234", 0)
        phones.append(phone)
    identifiers = {}
    for minute in range(1, 60):
        for i in range(3):
            ext, source = str(2001 + i), ("192.0.2.%d" % (80 + i), 1719)
            data = keep_alive(identifiers[ext]) if ext in identifiers else rrq(ext)
            for answer, to in gatekeeper.receive(data, source, net.now):
                if to == source:
                    identifiers[ext] = message.decode_message(answer).value["endpointIdentifier"]
                else:
                    net.send(answer, GATEKEEPER, to)
        net.run(minute * 60_000)
    assert [phone.login.state for phone in phones] == ["online"] * 3
    assert sorted(held.ext for held in gatekeeper.registrar.held()) == ["1001", "1002", "1003"]
    assert [one[:3] for one in table(gatekeeper)] == [
        (str(2001 + i), identifiers[str(2001 + i)], ("192.0.2.%d" % (80 + i), 1719)) for i in range(3)
    ]
    assert PHONE[0] not in [one[2][0] for one in table(gatekeeper)]
