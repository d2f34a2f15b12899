"""PIN guesses by the ten thousand, in simulated time: how many are compared, and the phone gets through.

docs/gatekeeper-silence.md has these numbers.
"""

from exchange import Exchange, Issuing
from pair import PHONE, Gatekeeper
from ras import build, keys, message, profile
from ras.attempts import EVERYWHERE
from support import Random

GUESSES = 10000
HOUR = 3600000
LIMIT = 10  # a site's default
EXT = "1001"


class Guesser:
    """Sends GRQs for EXT under every PIN from 0000 to 9999, with keys that it was given for EXT."""

    def __init__(self, gatekeeper, keyfiles=1, leave_out=("1234",)):
        self.gatekeeper = gatekeeper
        self.files = [gatekeeper.site.issue(EXT) for _ in range(keyfiles)]
        self.random = Random(55)
        self.sent = 0
        self.compared = 0
        self.answered = 0
        self.leave_out = leave_out
        self.templates = {}
        self.where = self.icv = None

    def template(self, f):
        """Return a GRQ whose Re lies at self.where, and whose ICV at self.icv."""
        if f.g not in self.templates:
            value = build.gatekeeper_request(9, EXT, PHONE)
            mark = b"Re lies here now"
            found = {profile.G: f.g, profile.CVM_ID: f.cvm, profile.RE: mark}
            octets = profile.seal(message.GRQ, value, found, f.suite, bytes(32))
            self.where = octets.index(mark)
            self.icv = message.decode_message(octets).icv
            self.templates[f.g] = octets
        return bytearray(self.templates[f.g])

    def guess(self, source, now):
        pin = f"{self.sent % 10000:04d}"
        if pin in self.leave_out:
            pin = "00000"
        f = self.files[self.sent % len(self.files)]
        self.sent += 1
        octets = self.template(f)
        re = self.random(16)
        octets[self.where : self.where + 16] = re
        message.sign(octets, self.icv, f.suite, keys.authentication_key(f.suite, f.kg, pin))
        octets = bytes(octets)
        self.answered += len(self.gatekeeper.receive(octets, source, now))
        for event in self.gatekeeper.events:
            self.compared += event[0] == "dropped" and "wrong ICV" in event[2]
        self.gatekeeper.events.clear()
        return octets


class Household:
    """Phones of EXT that register all the while: one that was known before, and each time a new one."""

    def __init__(self, gatekeeper, network="192.0.2"):
        self.gatekeeper = gatekeeper
        self.old = Exchange(gatekeeper, address=PHONE)
        self.network = network
        self.fresh = 150  # the last octet of an address that no guesser has
        assert self.register(self.old, 0) == 0

    def register(self, exchange, now):
        """Return how many ms it took."""
        exchange.now = now
        exchange.endpoint.register(exchange.record, (self.gatekeeper.address,), now)
        assert exchange.finish(), exchange.gatekeeper.events
        assert exchange.gatekeeper.registrar.registration(EXT).source == exchange.address
        exchange.gatekeeper.events.clear()
        exchange.gatekeeper.registrar.datagrams_to_send()
        return exchange.now - now

    def all(self, now):
        """Register the old one, and a new one with keys just fetched; return the longest time in ms."""
        self.fresh += 1
        new = Exchange(self.gatekeeper, address=(f"{self.network}.{self.fresh}", 5), seed=self.fresh)
        return max(self.register(self.old, now), self.register(new, now))


def world():
    random = Random(21)
    return Gatekeeper(Issuing(random), random)


def run(guesser, household, source_of, interval, rounds=40):
    """All guesses, one every `interval` ms, and the household between them; return the longest time."""
    longest = 0
    every = GUESSES // rounds
    for i in range(GUESSES):
        now = 1000 + int(i * interval)
        guesser.guess(source_of(i), now)
        if i % every == every - 1:
            longest = max(longest, household.all(now))
    assert guesser.answered == 0, "none succeeded"
    return longest


def bans(limit, first=30000, longest=HOUR):
    """Return how many failures one counter lets through in an hour, asked without pause."""
    count, now = limit, 0
    ban = first
    while now + ban < HOUR:
        now += ban
        ban = min(2 * ban, longest)
        count += 1
    return count


def test_from_one_address():
    gatekeeper = world()
    guesser, household = Guesser(gatekeeper), Household(gatekeeper)
    assert run(guesser, household, lambda i: ("198.51.100.9", 5000 + i % 50), 1) < 5000
    assert guesser.compared == LIMIT


def test_from_one_address_in_the_phones_own_network():
    gatekeeper = world()
    guesser, household = Guesser(gatekeeper), Household(gatekeeper)
    assert run(guesser, household, lambda i: ("192.0.2.9", 5000), 1) < 5000
    assert guesser.compared == LIMIT


def test_from_a_thousand_addresses():
    gatekeeper = world()
    guesser, household = Guesser(gatekeeper), Household(gatekeeper)
    longest = run(guesser, household, lambda i: (f"10.{i % 4}.{i % 1000 // 4}.9", 5000), 1)
    assert longest < 5000
    assert guesser.compared == EVERYWHERE * LIMIT


def test_from_a_thousand_addresses_of_which_the_phones_network_is_one():
    gatekeeper = world()
    guesser, household = Guesser(gatekeeper), Household(gatekeeper)
    longest = run(guesser, household, lambda i: (f"192.0.{i % 8}.{1 + i % 1000 // 8}", 5000), 1)
    assert longest < 5000
    # Eight networks, each over its limit after ten; a g that has failed is heard in none of them.
    assert guesser.compared == 8 * LIMIT


def test_with_all_the_keys_that_a_key_server_gives_out_in_an_hour():
    """A key server's own limit for one extension: 30 an hour to one network, ten times that in all."""
    gatekeeper = world()
    guesser, household = Guesser(gatekeeper, 300), Household(gatekeeper)
    longest = run(guesser, household, lambda i: (f"10.{i % 4}.{i % 1000 // 4}.9", 5000), 1)
    assert longest < 5000
    # Each g is heard once whatever has happened before.
    assert EVERYWHERE * LIMIT <= guesser.compared <= EVERYWHERE * LIMIT + 300


def test_slowly_for_an_hour():
    for source_of, most in (
        (lambda i: ("198.51.100.9", 5000), bans(LIMIT)),
        (lambda i: (f"10.{i % 4}.{i % 1000 // 4}.9", 5000), bans(EVERYWHERE * LIMIT)),
    ):
        gatekeeper = world()
        guesser, household = Guesser(gatekeeper), Household(gatekeeper)
        assert run(guesser, household, source_of, HOUR / GUESSES) < 5000
        assert most - 1 <= guesser.compared <= most


def test_a_right_guess_that_is_ignored_is_not_told_from_a_wrong_one():
    gatekeeper = world()
    guesser = Guesser(gatekeeper, leave_out=())
    for i in range(2000):  # 1234 is among them
        guesser.guess(("198.51.100.9", 5000), 1000 + i)
    assert guesser.answered == 0
    assert guesser.compared == LIMIT


def test_guesses_that_wait_for_one_look_up_are_not_compared_all():
    gatekeeper = world()
    guesser = Guesser(gatekeeper)
    registrar, site = gatekeeper.registrar, gatekeeper.site
    waiting = []
    gatekeeper.receive = lambda data, source, now: registrar.receive_datagram(data, source, now) or ()
    for _i in range(100):
        guesser.guess(("198.51.100.9", 5000), 1000)
        event = registrar.next_event()
        while event is not None:
            if event[0] == "lookup":
                waiting.append(event)
            event = registrar.next_event()
    assert len(waiting) == 100, "the key server is slow"
    for event in waiting:
        registrar.provide(event[1], site.look_up(event[2], event[3], event[6]), 1001)
    reasons = []
    event = registrar.next_event()
    while event is not None:
        if event[0] == "dropped":
            reasons.append(event[2])
        event = registrar.next_event()
    assert reasons.count("GRQ: wrong ICV") == LIMIT
    assert len(reasons) == 100


def test_who_has_proven_the_key_but_not_the_pin_is_no_phone():
    gatekeeper = world()
    gatekeeper.registrar.settings.icv_from_kg = True
    f = gatekeeper.site.issue(EXT)
    kr = keys.reject_key(f.suite, f.kg)
    value = build.gatekeeper_request(9, EXT, PHONE)
    found = {profile.G: f.g, profile.CVM_ID: f.cvm, profile.RE: b"n" * 16}
    octets = profile.seal(message.GRQ, value, found, f.suite, kr)
    assert len(gatekeeper.receive(octets, PHONE, 1000)) == 1
    assert not gatekeeper.registrar.attempts.proven(PHONE, EXT, f.g, 1000)


def test_a_neighbour_behind_the_same_router_does_not_stop_a_known_phone():
    gatekeeper = world()
    guesser, household = Guesser(gatekeeper), Household(gatekeeper)
    guesser.files = [household.old.record]  # even its g and its Kg, but not its PIN
    for i in range(2000):
        guesser.guess((PHONE[0], 6000 + i), 1000 + i)
        if i % 100 == 99:
            assert household.register(household.old, 1000 + i) == 0
    assert guesser.compared == LIMIT
