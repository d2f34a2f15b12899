"""What nobody sent so is met with silence and changes nothing (protocol.md section 5).

Every bit of every request flipped, every request cut at every octet, replayed, reflected, spliced;
docs/gatekeeper-silence.md says which few of these have an answer, and here each is named.
"""

from ras import build, keys, message, profile

from exchange import REQUESTS, Exchange, Issuing, flipped, name_of, patient, registered, state_of
from pair import GATEKEEPER, PHONE, Gatekeeper
from support import Random

ELSEWHERE = ("198.51.100.7", 40000)
NEIGHBOUR = (PHONE[0], PHONE[1] + 1)
# Answers that a GRQ or RRQ with a bit flipped may get, each unsigned, none of which confirms anything:
# what can not be told from a phone with obsolete keys, of a stranger, or of an H.323 endpoint.
NAMED = {
    "GRQ": {"GRJ 3", "GRJ plain", "RRJ plain", "XRS"},
    "RRQ": {"GRJ plain", "RRJ plain", "XRS"},
    "keepAlive": {"GRJ plain", "RRJ plain", "XRS"},
    "URQ": {"GRJ plain", "RRJ plain", "XRS"},
    "UCF": {"GRJ plain", "RRJ plain", "XRS"},
}
RIGHT = {"GRQ": ["GCF"], "RRQ": ["RCF"], "keepAlive": ["RCF"], "URQ": ["UCF"], "UCF": []}


def at(kind, suite=keys.SHA256, site=Issuing, **settings):
    """Return (exchange, octets) of a phone about to send a request of that kind."""
    random = Random(3)
    exchange = Exchange(patient(site(random, suite), random, **settings))
    return exchange, exchange.reach(kind)


def try_all(exchange, variants, source, named):
    """Send octets one by one; nothing may change.  Return how many had each named answer."""
    gatekeeper = exchange.gatekeeper
    before = state_of(gatekeeper.registrar)
    counts = {}
    tried = 0
    for octets in variants:
        out = gatekeeper.receive(octets, source, exchange.now)
        gatekeeper.events.clear()
        assert len(out) <= 1
        for answer, to in out:
            assert to == source
            name = name_of(octets, answer)
            assert name in named, (name, octets.hex())
            counts[name] = counts.get(name, 0) + 1
        tried += 1
        if tried % 16 == 0:
            assert state_of(gatekeeper.registrar) == before
    assert state_of(gatekeeper.registrar) == before
    return counts


def then_the_right_one(exchange, octets, kind):
    """The phone's own request is answered as if nothing had been."""
    out = exchange.gatekeeper.receive(octets, exchange.address, exchange.now)
    assert [message.decode_message(data).kind for data, _ in out] == RIGHT[kind]
    for answer, _ in out:
        exchange.take(answer)
    if kind in ("GRQ", "RRQ", "keepAlive"):
        assert exchange.finish() or exchange.endpoint.state == "registered"
    else:
        assert not [held for held in state_of(exchange.gatekeeper.registrar)[0] if held[1] == exchange.ext]


def test_every_bit_flipped():
    for suite in (keys.SHA1, keys.SHA256):
        for kind in REQUESTS:
            exchange, octets = at(kind, suite)
            variants = [bad for _, bad in flipped(octets)]
            counts = try_all(exchange, variants, PHONE, NAMED[kind])
            # A bit of CVm, or of g's server's id or counter: 24, 48 and 48.
            assert counts.get("GRJ 3", 0) == (120 if kind == "GRQ" else 0), counts
            then_the_right_one(exchange, octets, kind)


def test_every_octet_cut_off():
    for suite in (keys.SHA1, keys.SHA256):
        for kind in REQUESTS:
            exchange, octets = at(kind, suite)
            counts = try_all(exchange, [octets[:n] for n in range(len(octets))], PHONE, {"XRS"})
            assert not counts
            longer = [octets + bytes(n) for n in (1, 2, 100)] + [octets + octets, octets + bytes(9000)]
            assert not try_all(exchange, longer, PHONE, set())
            then_the_right_one(exchange, octets, kind)


def test_a_bit_flipped_by_somebody_with_another_suite_in_the_gatekeeper():
    # Where both suites are allowed, the other one's algorithm has another length of ICV: silence.
    exchange, octets = at("GRQ")
    exchange.gatekeeper.registrar.settings.suites = ("sha256", "sha1")
    icv = message.decode_message(octets).icv
    variants = [bad for bit, bad in flipped(octets) if icv[0] - 30 <= bit >> 3 < icv[0]]
    assert not try_all(exchange, variants, PHONE, set())
    then_the_right_one(exchange, octets, "GRQ")


def test_bits_flipped_from_elsewhere_with_the_limits_in_force():
    """No phone is ignored for what others do to its messages, from its network or from afar."""
    random = Random(3)
    site = Issuing(random)
    gatekeeper = Gatekeeper(site, random)
    before = registered(gatekeeper)
    for source in (ELSEWHERE, ("192.0.2.77", 7), NEIGHBOUR):
        octets = before.ask()
        for _, bad in flipped(octets):
            for answer, _ in gatekeeper.receive(bad, source, before.now):
                name_of(bad, answer)
        before.take(before.deliver(octets))
        assert before.finish()
    assert gatekeeper.registrar.ignored > 1000


def replays(kind):
    exchange, octets = at(kind)
    gatekeeper = exchange.gatekeeper
    then_the_right_one(exchange, octets, kind)
    state = state_of(gatekeeper.registrar)
    for later in (0, 9999, 10001, 31000, 33000, 290000):
        now = exchange.now + later
        for source in (PHONE, ELSEWHERE, NEIGHBOUR):
            out = gatekeeper.receive(octets, source, now)
            if source == PHONE and later < 10000 and kind != "UCF":
                assert len(out) == 1, "a retransmission"
            else:
                assert out == [], (kind, later, source)
            assert state_of(gatekeeper.registrar) == state


def test_replayed_later_and_from_elsewhere():
    for kind in REQUESTS:
        replays(kind)


def test_replayed_at_another_gatekeeper_of_the_site():
    """It shares no memory with the first: a GRQ wins a GCF there, which nobody can use; else silence."""
    for kind in REQUESTS:
        exchange, octets = at(kind)
        then_the_right_one(exchange, octets, kind)
        for source in (PHONE, ELSEWHERE):
            other = patient(exchange.gatekeeper.site, Random(77))
            empty = state_of(other.registrar)
            out = other.receive(octets, source, exchange.now)
            assert [message.decode_message(data).kind for data, _ in out] == (
                ["GCF"] if kind == "GRQ" else []
            )
            assert state_of(other.registrar) == empty


def test_reflected():
    """Everything that the gatekeeper has ever sent, sent back to it."""
    exchange, _ = at("GRQ")
    gatekeeper = exchange.gatekeeper
    exchange.ask()
    exchange.endpoint.register(exchange.record, (GATEKEEPER,), exchange.now)
    assert exchange.finish()
    exchange.now = exchange.endpoint.get_timer()
    exchange.endpoint.handle_timer(exchange.now)
    exchange.take(exchange.deliver(exchange.sent()))
    heard = exchange.heard[:]
    bad = exchange.endpoint
    exchange.endpoint = type(bad)(Random(9), PHONE)
    exchange.record.cvm = b"old"
    heard.append(exchange.deliver(exchange.ask()))  # a GRJ
    exchange.record.cvm = gatekeeper.site.cvm
    exchange.endpoint = bad
    heard.append(exchange.released())  # a URQ, under the same key as the phone's
    assert [message.decode_message(data).kind for data in heard] == ["GCF", "RCF", "RCF", "GRJ", "URQ"]
    for source in (PHONE, NEIGHBOUR, ELSEWHERE, GATEKEEPER):
        assert not try_all(exchange, heard, source, set())
    exchange.take(heard[-1])
    ucf = exchange.sent()
    assert gatekeeper.receive(ucf, PHONE, exchange.now) == []
    assert len(gatekeeper.registrar._registrations) == 0
    for source in (PHONE, ELSEWHERE, GATEKEEPER):
        assert not try_all(exchange, heard, source, set())
    assert registered(gatekeeper)


def test_a_phones_own_messages_reflected_to_it():
    exchange, _ = at("GRQ")
    phone = registered(exchange.gatekeeper)
    phone.endpoint.log_out(phone.now)
    urq = phone.sent()
    phone.take(urq)
    assert phone.endpoint.state == "leaving"
    assert phone.endpoint.datagrams_to_send() == []
    phone.take(phone.deliver(urq))
    assert phone.endpoint.state == "idle"


def tokens_of(octets):
    return message.decode_message(octets).value["tokens"]


def spliced(one, other):
    """Return `one` with parts of `other`: the tokens, the signature, both, the number."""
    out = []
    kind = message.decode_message(one).kind
    for names in (
        ("tokens",),
        ("integrityCheckValue",),
        ("tokens", "integrityCheckValue"),
        ("requestSeqNum",),
    ):
        value = message.decode_message(one).value
        theirs = message.decode_message(other).value
        for name in names:
            value[name] = theirs[name]
        out.append(bytes(message.encode_message(kind, value)[0]))
    return [octets for octets in out if octets not in (one, other)]


def test_spliced_from_two_exchanges():
    for kind in REQUESTS:
        exchange, octets = at(kind)
        gatekeeper = exchange.gatekeeper
        gatekeeper.site.pins["1002"] = "1234"
        second = Exchange(gatekeeper, ext="1002", address=("192.0.2.60", 5), seed=8)
        second.now = exchange.now
        theirs = second.reach(kind)
        variants = spliced(octets, theirs) + spliced(theirs, octets)
        assert len(variants) >= 6
        assert not try_all(exchange, variants, PHONE, set())
        assert not try_all(exchange, variants, second.address, set())
        then_the_right_one(exchange, octets, kind)


def test_two_exchanges_of_one_phone_spliced():
    """Not even the phone's own key joins the Rg of one exchange to the Re of another."""
    exchange, first = at("RRQ")
    old = profile.elements(message.decode_message(first))
    second = exchange.reach("RRQ")
    new = profile.elements(message.decode_message(second))
    assert old[profile.RG] != new[profile.RG]
    record = exchange.record
    for re, rg in ((old[profile.RE], new[profile.RG]), (new[profile.RE], old[profile.RG])):
        value = build.registration_request(9, "1001", PHONE, PHONE, 300)
        found = {profile.G: record.g, profile.CVM_ID: record.cvm, profile.RE: re, profile.RG: rg}
        octets = profile.seal(message.RRQ, value, found, record.suite, record.ka)
        assert not try_all(exchange, [octets], PHONE, set())
    then_the_right_one(exchange, second, "RRQ")


# -- the phone's side


def phone_at(kind, suite=keys.SHA256):
    """Return (exchange, octets): a phone that waits for an answer, and that answer, not yet delivered."""
    random = Random(4)
    exchange = Exchange(patient(Issuing(random, suite), random))
    if kind == "GRJ":
        exchange.gatekeeper.site.revoked.add(exchange.record.g)
        return exchange, exchange.deliver(exchange.ask())
    if kind == "URQ":
        exchange = registered(exchange.gatekeeper)
        return exchange, exchange.released()
    request = {"GCF": "GRQ", "RCF": "RRQ", "refreshed": "keepAlive", "UCF": "URQ"}[kind]
    return exchange, exchange.deliver(exchange.reach(request))


ANSWERS = ("GCF", "GRJ", "RCF", "refreshed", "UCF", "URQ")
AFTER = {
    "GCF": "registering",
    "GRJ": "idle",
    "RCF": "registered",
    "refreshed": "registered",
    "UCF": "idle",
    "URQ": "idle",
}


def hold(exchange, variants, doubt=0):
    """Give octets to the phone one by one; it may not move, but for as many doubts as said."""
    endpoint = exchange.endpoint
    while endpoint.next_event() is not None:
        pass
    state, timer = endpoint.state, endpoint.get_timer()
    doubts = 0
    for octets in variants:
        exchange.take(octets)
        if endpoint.state == "doubting":  # an unsigned GRJ, believed after 2 s without a GCF
            doubts += 1
            endpoint._machine.state, endpoint._timer = state, timer
        assert endpoint.state == state, octets.hex()
        assert endpoint.get_timer() == timer
        assert endpoint.next_event() is None
        assert endpoint.datagrams_to_send() == []
    assert doubts == doubt


def test_answers_with_a_bit_flipped_or_cut_off_do_not_move_a_phone():
    for suite in (keys.SHA1, keys.SHA256):
        for kind in ANSWERS:
            exchange, octets = phone_at(kind, suite)
            hold(exchange, [bad for _, bad in flipped(octets)], doubt=UNSIGNED.get(kind, 0))
            hold(exchange, [octets[:n] for n in range(len(octets))])
            exchange.take(octets)
            assert exchange.endpoint.state == AFTER[kind]


# Of a signed GRJ, one bit says that a signature is there, and one in the list of what is there puts
# another name to it: without a signature, it is one to doubt.
UNSIGNED = {"GRJ": 2}


def test_another_phones_answers_do_not_move_a_phone():
    for kind in ANSWERS:
        exchange, octets = phone_at(kind)
        gatekeeper = exchange.gatekeeper
        gatekeeper.site.pins["1002"] = "1234"
        other = Exchange(gatekeeper, ext="1002", address=("192.0.2.60", 5), seed=8)
        gatekeeper.site.revoked.add(other.record.g) if kind == "GRJ" else None
        other.now = exchange.now
        # With the same requestSeqNum, and even the same Re: it is the key that tells them apart.
        other.endpoint._number = exchange.endpoint._number - 1
        theirs = other.heard
        if kind == "GRJ":
            theirs.append(other.deliver(other.ask()))
        else:
            other.endpoint.register(other.record, (GATEKEEPER,), other.now)
            assert other.finish()
            theirs.append(other.released())
        hold(exchange, theirs)
        exchange.take(octets)
        assert exchange.endpoint.state == AFTER[kind]


def test_replayed_answers_do_not_move_a_phone():
    exchange, _ = phone_at("GCF")
    phone = registered(exchange.gatekeeper)
    heard = phone.heard[:]
    assert len(heard) == 2
    phone.endpoint.register(phone.record, (GATEKEEPER,), phone.now)
    request = phone.sent()
    hold(phone, heard)
    phone.take(phone.deliver(request))
    rrq = phone.sent()
    hold(phone, heard)
    phone.take(phone.deliver(rrq))
    assert phone.endpoint.state == "registered"
    hold(phone, heard)
