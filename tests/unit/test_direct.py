"""The direct way beside the registrar: the same answers, the same state, the same events."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loadgen.answers import Answers
from loadgen.templates import Requests
from ras import build, kept
from ras.generator import pack
from ras.held import Held
from ras.keys import SHA1, SHA256, authentication_key, check_value, device_key, master_key, reject_key
from ras.lookups import Lookup
from ras.message import GCF, GRJ, RCF, RRQ, decode_message, encode_message
from ras.noise import Noise
from ras.plain import PlainEndpoint
from ras.policy import Settings
from ras.registrar import Registrar
from ras.throttle import Throttle
from ringkey.gatekeeper.codec import HostCodec
from ringkey.gatekeeper.direct import Direct
from ringkey.gatekeeper.events import GREETED, LOGGED_IN, apart

PLACES = (("192.0.2.1", 1719), ("192.0.2.1", 1300))
HOME, AWAY, NEXT = ("192.0.2.7", 40000), ("198.51.100.9", 40001), ("192.0.2.7", 40002)
SERVER = b"\2\0\0\0\0\1"
SECOND = 1000


class Twin:
    """One of the two, and all that went in and came out."""

    def __init__(self, make, world, **options):
        self.registrar = make(
            Settings(
                lambda _host: PLACES,
                throttle=Throttle(3, 60 * SECOND, SECOND),
                noise=Noise(**world.noise),
                **options,
            ),
            random.Random(7).randbytes,
            HostCodec(),
        )
        kept.watch(self.registrar)
        self.registrar.at_once = self.at_once
        self.world = world
        self.asked = 0
        self.waiting = []
        self.told = []

    def at_once(self, ext, g, cvm):
        self.asked += 1
        return self.world.look_up(ext, g, id(self))

    def receive(self, octets, source, now):
        """Return (events, answers)."""
        self.registrar.receive_datagram(octets, source, now)
        return self.after()

    def after(self):
        events = []
        while (event := self.registrar.next_event()) is not None:
            self.told.append(event[0])
            events += apart(event)
        self.waiting += [event for event in events if event[0] == "lookup" and event[1]]
        return [seen(event) for event in events], self.registrar.datagrams_to_send()

    def state(self):
        """Return all that the registrar remembers."""
        one = self.registrar
        held = one._registrations
        return {
            "held": {ext: seen(one) for ext, one in held._by_ext.items()},
            "identifiers": {name: seen(one) for name, one in held._by_identifier.items()},
            "sids": sorted(held._by_sid),
            "timers": [(when, due, seen(what)) for when, due, what in held._timers],
            "lives": (held._later, held._spans, held._waiting, held._due, held._begun),
            "answers": table(one._answers),
            "refusals": table(one._refusals),
            "nonces": table(one._nonces),
            "news": one.news,
            "failed": kept.all_failures(one),
            "proven": table(one.attempts._proven),
            "noise": {
                name: table(getattr(one.settings.noise, name)._seen)
                for name in ("_ports", "_hosts", "_flood")
            },
            "phones": table(one.settings.noise._phones),
            "ignored": one.ignored,
            "plain": [] if one.plain is None else [seen(held) for held in one.plain.all()],
            "pending": (len(one._pending), sorted(one._pending._keys)),
            "looked up": self.asked,
        }


def table(recent):
    return (
        recent._times and list(recent._times),
        list(recent._order),
        {key: list(v) if isinstance(v, list) else v for key, v in recent._entries.items()},
    )


# All that a registration says; compiled, its class has no __slots__.
_NOT_SAID = ("release", "parts", "forget_ks", "forget_keys")
HELD = [name for name in dir(Held) if not name.startswith("_") and name not in _NOT_SAID]


def seen(what):
    """Return an event, or a registration, with what is in it."""
    if isinstance(what, tuple):
        return tuple(seen(one) for one in what)
    if isinstance(what, Held):
        return tuple(getattr(what, name) for name in HELD)
    if isinstance(what, PlainEndpoint):
        return what.ext, what.identifier, what.source, what.since, what.expires, what.software
    if hasattr(what, "tries"):  # a release
        return what.number, what.octets, what.tries, seen(what.held)
    return what


class World:
    """Both of them, the phones, and who answers look-ups."""

    def __init__(self, suite=SHA256, noise=None, site=(), **options):
        self.noise = noise or {}
        self.suite = suite
        self.draw = random.Random(3)
        self.km = master_key(suite, bytes(16))
        self.cvm = check_value(suite, self.km)
        self.requests = Requests(suite, 6, HOME)
        self.layouts = Answers()
        self.now = 100 * SECOND
        self.pins = {}
        self.gone = {}  # ext -> the Lookup that refuses it, None where it is not in memory
        self._lookups = {}
        options.setdefault("suites", ("sha256", "sha1"))
        self.twins = [Twin(make, self, **options) for make in (Registrar, Direct)]
        self.direct = self.twins[1].registrar
        self.set_site((self.cvm,), *site)

    def set_site(self, *args):
        for twin in self.twins:
            twin.registrar.set_site(*args)

    def set(self, **options):
        for twin in self.twins:
            for name, value in options.items():
                setattr(twin.registrar.settings, name, value)

    def key(self, ext, number=0):
        g = pack(SERVER, ext, int(ext) + 1000 * number)
        return g, device_key(self.suite, self.km, g)

    def look_up(self, ext, g, whose):
        if ext in self.gone:
            found = self.gone[ext]
            return found and Lookup(found.code, kg=found.kg, pin=found.pin, available=found.available)
        pin = self.pins.get(ext, "4711")
        known = self._lookups.get((whose, ext))
        if known is None or known.pin != pin or known.kg != device_key(self.suite, self.km, g):
            known = Lookup(kg=device_key(self.suite, self.km, g), pin=pin)
            self._lookups[whose, ext] = known
        return known

    def send(self, octets, source=HOME, *, check=True):
        """Give a datagram to both; return the answers, which are the same.

        check: see that the state is, too, which takes as long as there is of it.
        """
        self.now += 10
        told = [twin.receive(bytes(octets), source, self.now) for twin in self.twins]
        assert told[0] == told[1]
        if check:
            self.check()
        return told[1][1]

    def check(self):
        """Hold both to the same state."""
        one, other = (twin.state() for twin in self.twins)
        for name, value in one.items():
            assert other[name] == value, name

    def provide(self):
        """Answer the look-ups that wait."""
        for twin in self.twins:
            for event in twin.waiting:
                g = event[3]
                answer = Lookup(kg=device_key(self.suite, self.km, g), pin=self.pins.get(event[2], "4711"))
                twin.registrar.provide(event[1], answer, self.now)
            twin.waiting.clear()
        told = [twin.after() for twin in self.twins]
        assert told[0] == told[1]
        self.check()
        return told[1][1]

    def grq(self, ext, *, pin="4711", key=0, number=7, re=None, ka=None, cvm=None):
        g, kg = self.key(ext, key)
        re = re or self.draw.randbytes(16)
        ka = ka or authentication_key(self.suite, kg, pin)
        return re, bytes(self.requests.grq(number, ext, g, cvm or self.cvm, re, ka))

    def rrq(self, ext, re, gcf, *, pin="4711", key=0, number=8):
        g, kg = self.key(ext, key)
        rg = gcf[slice(*self.layouts.layout(gcf).rg)]
        ka = authentication_key(self.suite, kg, pin)
        return bytes(self.requests.rrq(number, ext, g, self.cvm, re, rg, ka))

    def register(self, ext, source=HOME, **options):
        """Return (GRQ, RRQ) of a log-in that came to an RCF for the phone."""
        re, grq = self.grq(ext, **options)
        (gcf, to), *_ = self.send(grq, source)
        assert (decode_message(gcf).kind, to) == (GCF, source)
        rrq = self.rrq(ext, re, gcf, **options)
        answers = self.send(rrq, source)
        assert (RCF, source) in [(decode_message(octets).kind, to) for octets, to in answers]
        return grq, rrq

    def known(self):
        """Let two phones register, so that both shapes and both answers are known; see that it is direct."""
        self.register("100001")
        self.register("100002")
        directly(self)
        self.register("100001")
        assert directly(self) == [GREETED, LOGGED_IN]
        return self


def directly(world):
    """Return what the direct one told of since the last call, by its own names."""
    told = world.twins[1].told
    names, told[:] = list(told), []
    return names


@pytest.mark.parametrize("suite", [SHA1, SHA256], ids=lambda suite: suite.name)
def test_each_bit_flipped_and_each_length(suite):
    world = World(suite, noise={"limit": 1 << 30, "flood": 1 << 30}).known()
    # Failures would be throttled; here each is to be looked at.
    for twin in world.twins:
        for counts in twin.registrar.attempts.tables().values():
            counts.limit = 1 << 30
    for kind in ("GRQ", "RRQ"):
        re, good = world.grq("100001")
        if kind == "RRQ":
            good = world.rrq("100001", re, world.send(good)[0][0])
        before = world.direct.registration("100001")
        for bit in range(8 * len(good)):
            bad = bytearray(good)
            bad[bit >> 3] ^= 0x80 >> (bit & 7)
            answers = world.send(bad, check=bit % 97 == 0)
            assert not any(decode_message(octets).kind in (GCF, RCF) for octets, _ in answers), bit
        for length in range(len(good)):
            assert world.send(good[:length], check=length % 97 == 0) == []
        world.check()
        assert world.direct.registration("100001") is before
        directly(world)
        assert decode_message(world.send(good)[0][0]).kind == (GCF if kind == "GRQ" else RCF)
        assert directly(world) == [GREETED if kind == "GRQ" else LOGGED_IN]


class Everybody:
    """A site that lets any plain endpoint in, and has a phone for each extension too."""

    def allows(self, _ext, _host):
        return True


def test_a_plain_endpoint_gives_way_to_a_phone_on_the_direct_way_too():
    world = World(plain=Everybody()).known()
    table = world.direct.plain
    for ext in ("200001", "200002"):
        value = build.registration_request(7, ext, AWAY, AWAY, 300)
        ((answer, _),) = world.send(bytes(encode_message(RRQ, value)[0]), AWAY)
        assert decode_message(answer).kind == RCF
    held = table.of("200001")
    directly(world)
    re, grq = world.grq("200001")
    rrq = world.rrq("200001", re, world.send(grq)[0][0])
    told = [twin.receive(rrq, HOME, world.now) for twin in world.twins]
    world.check()
    # The direct way tells of a look-up with the registration it was for, so after the other's end.
    names = [[event[0] for event in events] for events, _ in told]
    assert names == [["lookup", "plain_ended", "registered"], ["plain_ended", "lookup", "registered"]]
    assert sorted(told[0][0], key=str) == sorted(told[1][0], key=str)
    assert told[0][1] == told[1][1]
    assert directly(world) == [GREETED, "plain_ended", LOGGED_IN]
    assert table.of("200001") is None
    assert [one.ext for one in table.all()] == ["200002"]
    # What it says now is nobody's, and what the phone says is the phone's.
    keep_alive = build.keep_alive(8, held.identifier, AWAY, AWAY, 300)
    ((answer, _),) = world.send(bytes(encode_message(RRQ, keep_alive)[0]), AWAY)
    assert decode_message(answer).value["rejectReason"][0] == "fullRegistrationRequired"
    assert decode_message(world.send(rrq)[0][0]).kind == RCF
    assert world.direct.registration("200001").source == HOME


def test_replayed_from_here_and_from_elsewhere():
    world = World().known()
    grq, rrq = world.register("100001")
    for source in (HOME, NEXT, AWAY):  # from here within 10 s it is a retransmission
        assert len(world.send(grq, source)) == (source == HOME)
        assert len(world.send(rrq, source)) == (source == HOME)
    world.now += 11 * SECOND
    for source in (HOME, NEXT, AWAY):
        assert world.send(grq, source) == world.send(rrq, source) == []


def test_out_of_order_too_late_and_spliced():
    world = World().known()
    directly(world)
    exchanges = []
    for ext in ("100001", "100002"):
        re, grq = world.grq(ext)
        exchanges.append((ext, re, world.send(grq)[0][0]))
    (one, re, gcf), (other, re2, gcf2) = exchanges
    assert directly(world) == [GREETED, GREETED]
    for spliced in (world.rrq(one, re, gcf2), world.rrq(one, re2, gcf), world.rrq(other, re2, gcf)):
        assert world.send(spliced) == []
    assert world.send(world.rrq(one, re, gcf), AWAY) == []
    # A phone may have several under way, and use the earlier one.
    assert len(world.send(world.rrq(one, re, gcf))) == 1
    world.now += 40 * SECOND
    assert world.send(world.rrq(other, re2, gcf2)) == []
    # No answer, or another one, to the RRQ is no RRQ again after it.
    assert LOGGED_IN in directly(world)


def test_guesses_are_counted_and_throttled():
    world = World().known()
    for number in range(12):
        assert world.send(world.grq("100002", pin="0815")[1], AWAY) == []
        world.register("100002")
        world.now += 700 * (number % 3)
    # A phone that mistypes is throttled by itself; its neighbour behind the same address is not.
    for _ in range(5):
        world.send(world.grq("100001", pin="0815")[1])
    assert world.send(world.grq("100001")[1]) == []
    world.register("100002")
    world.register("100001", NEXT)
    world.now += 60 * SECOND
    world.register("100001")


def test_phones_behind_one_address_have_one_object_of_it():
    world = World().known()
    for ext in ("100001", "100002"):
        for _ in range(2):
            world.register(ext, (str(bytes(HOME[0], "ascii"), "ascii"), int(str(HOME[1]))))
    for twin in world.twins:
        one, other = (twin.registrar.registration(ext) for ext in ("100001", "100002"))
        assert one.source == HOME
        assert one.source is one.proven is other.source is other.proven


def test_floods_are_not_even_decoded():
    world = World(noise={"limit": 5}).known()
    for _ in range(20):
        world.send(b"\0noise", AWAY)
    assert world.send(world.grq("100001")[1], AWAY) == []
    assert world.direct.ignored > 0
    world.register("100001")


@pytest.mark.parametrize(
    "refusal",
    [
        Lookup(1, kg=bytes(32)),
        Lookup(3, kg=bytes(32), pin="4711"),
        Lookup(4),
        Lookup(0, kg=bytes(16), pin="4711"),
        Lookup(available=False),
    ],
    ids=["unknown", "to be renewed", "revoked", "of the other suite", "nobody to ask"],
)
def test_refused_by_the_look_up(refusal):
    world = World().known()
    re, grq = world.grq("100001")
    gcf = world.send(grq)[0][0]
    world.gone["100001"] = refusal
    world.send(world.rrq("100001", re, gcf))
    world.send(world.grq("100001")[1])
    world.send(world.grq("100003")[1])
    del world.gone["100001"]
    world.now += 11 * SECOND
    world.register("100001")


def test_a_key_that_is_not_in_memory_is_waited_for():
    world = World().known()
    world.gone["100001"] = None
    re, grq = world.grq("100001")
    assert world.send(grq) == world.send(grq) == []  # a retransmission overtakes the look-up
    world.register("100002")
    gcf = world.provide()[0][0]
    del world.gone["100001"]
    directly(world)
    assert len(world.send(world.rrq("100001", re, gcf))) == 1
    assert directly(world) == [LOGGED_IN]


def test_a_pin_that_was_changed_and_a_key_that_was_replaced():
    world = World().known()
    world.pins["100001"] = "0815"
    assert world.send(world.grq("100001")[1]) == []
    world.register("100001", pin="0815")
    world.register("100001", pin="0815", key=1)
    world.register("100001", pin="0815", key=0)
    # Under another extension's g: fresh ones for who is not known.
    g, kg = world.key("100002")
    ka = authentication_key(world.suite, kg, "4711")
    octets = bytes(world.requests.grq(5, "100009", g, world.cvm, bytes(16), ka))
    assert world.send(octets, AWAY) == []


def test_obsolete_check_values_suites_and_key_servers():
    world = World().known()
    for site in (
        ((b"new",),),
        ((b"new", world.cvm),),
        ((b"new", world.cvm), (), (b"new",)),
        ((world.cvm,), (bytes(6),)),
        ((world.cvm,), (bytes(6), SERVER)),
    ):
        world.set_site(*site)
        answers = world.send(world.grq("100001")[1])
        if decode_message(answers[0][0]).kind == GCF:
            world.register("100001")
            world.register("100001")
    world.set(suites=("sha1",))
    assert decode_message(world.send(world.grq("100001")[1])[0][0]).kind == GRJ


def test_keys_that_are_to_be_fetched_anew_are_told_directly():
    world = World(site=((), (b"new",))).known()
    assert world.direct._registrations.outdated
    answer = world.send(world.rrq("100001", *_greeted(world, "100001")))[0][0]
    assert any(
        7 in (one["elementID"] for one in token["profileInfo"])
        for token in decode_message(answer).value["tokens"]
    )


def _greeted(world, ext, source=HOME):
    re, grq = world.grq(ext)
    return re, world.send(grq, source)[0][0]


def test_another_phone_takes_the_extension_over():
    world = World().known()
    assert (
        len(world.send(world.rrq("100001", *_greeted(world, "100001", AWAY)), AWAY)) == 1
    )  # its own key, elsewhere
    re, grq = world.grq("100001", key=1)
    gcf = world.send(grq, NEXT)[0][0]
    answers = world.send(world.rrq("100001", re, gcf, key=1), NEXT)
    assert {to for _, to in answers} == {AWAY, NEXT}  # a URQ to the first phone
    world.register("100001", HOME, key=1)
    for now in (2, 4, 8, 400):
        world.now += now * SECOND
        for twin in world.twins:
            twin.registrar.handle_timer(world.now)
        told = [twin.after() for twin in world.twins]
        assert told[0] == told[1]
        world.check()
    assert world.direct.held() == []


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_full_and_redirected_within_what_there_is_room_for(count):
    others = tuple((f"192.0.2.{20 + i}", 1719) for i in range(count))
    world = World(others=others, most=2).known()
    assert decode_message(world.send(world.grq("100003")[1])[0][0]).kind == GRJ
    # It fills up between the GRQ and the RRQ.
    world.set(most=3)
    re, gcf = _greeted(world, "100004")
    world.set(most=2)
    world.send(world.rrq("100004", re, gcf))
    world.register("100002")
    room = []
    for octets in world.register("100001"):
        ((answer, _),) = world.send(octets)  # a retransmission: what it was answered with
        assert 2 * len(answer) <= 3 * len(octets)
        room.append(len(decode_message(answer).value.get("alternateGatekeeper", ())))
    assert all(0 < told <= count for told in room) if count else room == [0, 0]
    assert count < 40 or max(room) < count, "more than there is room for"


def test_keep_alives_and_log_outs_between():
    world = World().known()
    re, gcf = _greeted(world, "100001")
    rg = gcf[slice(*world.layouts.layout(gcf).rg)]
    rcf = world.send(world.rrq("100001", re, gcf))[0][0]
    identifier = decode_message(rcf).value["endpointIdentifier"].encode("utf-16-be")
    ka = authentication_key(world.suite, world.key("100001")[1], "4711")
    for counter in (1, 2, 2):
        octets = world.requests.keep_alive(9, identifier, counter.to_bytes(8, "big") + bytes(8), rg, ka)
        assert len(world.send(octets)) == 1  # the last one is a retransmission
    assert world.send(octets, AWAY) == []
    assert len(world.send(world.requests.urq(10, identifier, (9).to_bytes(8, "big") + bytes(8), rg, ka))) == 1
    assert world.direct.registration("100001") is None
    world.register("100001")


def test_signed_with_kr_is_the_registrars():
    world = World(icv_from_kg=True).known()
    directly(world)
    kr = reject_key(world.suite, world.key("100001")[1])
    assert decode_message(world.send(world.grq("100001", ka=kr)[1])[0][0]).kind == GCF
    assert GREETED not in directly(world)


# One step of what may happen: what is sent, by whom, from where, and how long after the step before.
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "grq",
                "rrq",
                "again",
                "wrong pin",
                "other key",
                "flip",
                "cut",
                "splice",
                "full",
                "key gone",
                "provide",
            ]
        ),
        st.sampled_from(["100001", "100002", "100003"]),
        st.sampled_from([HOME, NEXT, AWAY]),
        st.sampled_from([0, 0, 1, 5, 11, 17, 40, 400]),
        st.integers(0, 4095),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(_STEPS, st.booleans())
def test_whatever_comes(steps, few):
    world = World(most=2 if few else 100, noise={"limit": 20}, others=(("192.0.2.9", 1719),)).known()
    greeted, sent = {}, []
    for what, ext, source, seconds, number in steps:
        world.now += seconds * SECOND
        octets = b""
        if what in ("grq", "wrong pin", "other key"):
            re, octets = world.grq(ext, pin="1" if what == "wrong pin" else "4711", key=what == "other key")
        elif what == "rrq" and ext in greeted:
            octets = world.rrq(ext, *greeted[ext])
        elif what == "splice" and len(greeted) > 1:
            octets = world.rrq(ext, *next(one for name, one in greeted.items() if name != ext))
        elif what == "again" and sent:
            octets = sent[number % len(sent)]
        elif what in ("flip", "cut") and sent:
            octets = bytearray(sent[-1])
            octets[number // 8 % len(octets)] ^= 0x80 >> number % 8
            octets = octets if what == "flip" else octets[: number % len(octets)]
        elif what == "full":
            world.set(most=number % 4)
        elif what == "key gone":
            world.gone = {} if number % 2 else {ext: None}
        elif what == "provide":
            world.provide()
        if octets:
            sent.append(bytes(octets))
            answers = world.send(octets, source)
            for answer, to in answers:
                if what == "grq" and to == source and decode_message(answer).kind == GCF:
                    greeted[ext] = re, answer
