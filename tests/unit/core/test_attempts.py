"""Tables that a stranger can make grow: each is full at its cap, and forgets strangers before phones.

docs/gatekeeper-silence.md has the list.
"""

from ras import answers, keys, lookups, message, profile
from ras.attempts import Attempts
from ras.held import Held
from ras.lookups import Asked, Pending
from ras.noise import Noise
from ras.throttle import Throttle

from exchange import MANY, Exchange, Issuing, patient, registered
from pair import PHONE
from support import Random

EXT = "1001"


def test_noise_closes_the_ear_for_its_source_alone():
    noise = Noise(3)
    noise.proven(PHONE, 0)
    for _ in range(3):
        assert noise.made(("10.0.0.1", 1), 1, 0) == 0
    assert noise.ignores(("10.0.0.1", 1), 1999)
    assert not noise.ignores(("10.0.0.1", 1), 2000)
    assert not noise.ignores(("10.0.0.1", 2), 1), "a neighbour behind the same router"
    bans = [noise.made(("10.0.0.1", port), 1, 0) for port in range(10, 38)]
    assert bans == [0] * 26 + [2000, 4000]
    assert noise.ignores(("10.0.0.1", 2), 3999)
    assert not noise.ignores(("10.0.0.1", 2), 4000)
    assert not noise.ignores(("10.0.0.2", 1), 1)
    for port in range(40):
        assert noise.made((PHONE[0], port), 1, 0) == 0, "nothing for the kernel to drop"
    assert noise.ignores((PHONE[0], 70), 1)
    assert not noise.ignores(PHONE, 1), "the phone's own port"
    assert noise.phones_at(PHONE[0], 1)
    assert not noise.phones_at("10.0.0.1", 1)
    quiet = Noise(MANY, 2)
    assert [quiet.unsigned(("10.0.0.1", 1), 0) for _ in range(3)] == [True, True, False]
    assert quiet.unsigned(("10.0.0.2", 1), 0)
    assert quiet.unsigned(("10.0.0.1", 1), 20000)


class _Octets:
    """A message of which only the octets count."""

    def __init__(self, number):
        self.octets = b"%d" % number


def test_strangers_leave_room_for_phones_among_what_waits():
    pending = Pending()
    tickets = []
    for i in range(2000):
        tickets.append(pending.add(Asked(_Octets(i), ("10.0.0.1", i), (1, i), EXT, {}, keys.SHA256)))
    assert len(pending) == lookups.MAX_STRANGERS
    assert tickets.count(None) == 2000 - lookups.MAX_STRANGERS
    for i in range(2000):
        asked = Asked(_Octets(i), ("10.0.0.2", i), (2, i), EXT, {}, keys.SHA256)
        asked.phone = True
        tickets.append(pending.add(asked))
    assert len(pending) == lookups.MAX_PENDING
    assert pending.holds((1, 5))
    for ticket in tickets:
        if ticket is not None:
            assert pending.take(ticket) is not None
            assert pending.take(ticket) is None
    assert len(pending) == 0
    assert not pending.holds((1, 5))


def test_alternates_are_left_out_as_far_as_an_answer_would_outgrow_its_request():
    random = Random(3)
    others = tuple([("192.0.2.%d" % i, 1719) for i in range(1, 41)])
    gatekeeper = patient(Issuing(random), random, others=others)
    phone = Exchange(gatekeeper)
    requests = [phone.ask()]
    heard = [phone.deliver(requests[0])]
    phone.take(heard[0])
    requests.append(phone.sent())
    heard.append(phone.deliver(requests[1]))
    phone.take(heard[1])
    phone.now = phone.endpoint.get_timer()
    phone.endpoint.handle_timer(phone.now)
    requests.append(phone.sent())
    heard.append(phone.deliver(requests[2]))
    for request, octets in zip(requests, heard):
        told = message.decode_message(octets).value["alternateGatekeeper"]
        assert 3 < len(told) < 40
        assert told == answers.to_alternates(others)[: len(told)]
        entry = 14
        assert len(octets) <= len(request) * 3 // 2 < len(octets) + entry, "as many as there is room for"


def test_a_redirection_is_cut_to_size_too():
    random = Random(3)
    site = Issuing(random)
    gatekeeper = patient(site, random)
    others = tuple([("192.0.2.%d" % i, 1719) for i in range(1, 17)])
    phone = Exchange(gatekeeper)
    for kg in (phone.record.kg, None):
        site.look_up = lambda ext, g, cvm: lookups.Lookup(profile.OTHER_GATEKEEPER, kg, None, others)  # noqa: B023
        request = phone.ask()
        octets = phone.deliver(request)
        assert 2 * len(octets) <= 3 * len(request)
        assert len(message.decode_message(octets).value["altGKInfo"]["alternateGatekeeper"]) > 3


def test_a_request_too_small_for_its_answer_gets_none():
    random = Random(3)
    gatekeeper = patient(Issuing(random), random)
    sizes = []
    for n in range(4, 60):
        arq = b"\x24\x00\x12\x34" + bytes(n - 4)
        for octets, _ in gatekeeper.receive(arq, PHONE, 1):
            assert 2 * len(octets) <= 3 * n
            sizes.append(n)
    assert sizes == list(range(sizes[0], 60)), "an XRS for all but the smallest"
    assert sizes[0] < 30


def test_in_a_flood_one_is_enough():
    noise = Noise()
    noise.proven(PHONE, 0)
    bans = [noise.made(("10.%d.%d.1" % (i >> 8, i & 255), 1), 1, 0) for i in range(300)]
    assert bans == [0] * 200 + [2000] * 100
    assert not noise.ignores(("10.0.5.1", 1), 1), "it came before the flood"
    assert noise.ignores(("10.1.5.1", 1), 1)
    assert not noise.ignores(PHONE, 1)
    assert noise.made(("10.0.5.1", 1), 1, 1000) == 0, "the flood is over"


def test_in_a_flood_from_a_phones_address_the_phone_is_heard():
    noise = Noise()
    noise.proven(PHONE, 0)
    for i in range(250):
        assert noise.made((PHONE[0], 50000 + i), 1, 0) == 0
    assert noise.ignores((PHONE[0], 50249), 1)
    assert not noise.ignores(PHONE, 1)
    assert not noise.ignores((PHONE[0], 7), 1), "a phone there that has just been switched on"


def test_a_registration_that_is_back_after_a_restart_is_a_phones():
    random = Random(3)
    gatekeeper = patient(Issuing(random), random)
    phone = registered(gatekeeper)
    again = patient(gatekeeper.site, Random(4), throttle=Throttle(3))
    again.registrar.remember(gatekeeper.registrar.registration(EXT), 1000)
    for _ in range(5):
        again.registrar.settings.throttle.failed(PHONE[0], 1000)
    phone.gatekeeper = again
    phone.now = 1000
    assert phone.deliver(phone.ask())


def proven(gatekeeper, phone, address):
    """Tell whether the phone would be known if it came from there."""
    return gatekeeper.registrar.attempts.proven(address, EXT, phone.record.g, phone.now)


def test_a_registered_phone_takes_no_entry_and_is_known_until_after_its_end():
    elsewhere, neighbour = ("192.0.2.77", 4000), (PHONE[0], PHONE[1] + 1)
    gatekeeper = patient(Issuing(Random(3)), Random(3))
    attempts = gatekeeper.registrar.attempts
    phone = Exchange(gatekeeper)
    assert not proven(gatekeeper, phone, PHONE)
    phone.take(phone.deliver(phone.ask()))
    assert len(attempts._proven) == 1, "it has proven its PIN, and is not registered yet"
    assert proven(gatekeeper, phone, PHONE)
    phone.take(phone.deliver(phone.sent()))
    held = gatekeeper.registrar.registration(EXT)
    for _ in range(2):
        assert len(attempts._proven) == 0
        assert proven(gatekeeper, phone, PHONE)
        assert attempts.own(PHONE, EXT, held.g, 0) == (PHONE, EXT, held.g)
        assert attempts.own(neighbour, EXT, held.g, 0) == (PHONE[0], EXT, held.g), "another port, as ever"
        assert not proven(gatekeeper, phone, elsewhere)
        assert attempts.own(PHONE, EXT, bytes(16), 0) is None, "another key's phone"
        # A keepAlive from elsewhere moves the registration; it is no log-in.
        held.source = elsewhere
    gatekeeper.registrar.end_registration(EXT, "undefinedReason", phone.now)
    assert proven(gatekeeper, phone, PHONE)
    assert not proven(gatekeeper, phone, elsewhere)
    assert attempts.own(PHONE, EXT, held.g, 0) == (PHONE, EXT, held.g)
    assert len(attempts._proven) == 1


def test_a_phone_that_registers_from_another_place_is_known_at_both():
    elsewhere = ("192.0.2.77", 4000)
    gatekeeper = patient(Issuing(Random(3)), Random(3))
    phone = registered(gatekeeper)
    attempts = gatekeeper.registrar.attempts
    again = Exchange(gatekeeper, address=elsewhere, keyfile=phone.record, seed=8)
    again.take(again.deliver(again.ask()))
    again.take(again.deliver(again.sent()))
    held = gatekeeper.registrar.registration(EXT)
    assert (held.source, held.g) == (elsewhere, phone.record.g)
    assert proven(gatekeeper, phone, elsewhere)
    assert proven(gatekeeper, phone, PHONE)
    assert attempts._proven.keys() == [(PHONE[0], EXT, held.g)]


def test_however_many_are_registered_each_is_known():
    attempts = Attempts(Throttle())
    there = {}
    attempts.look_at(there.get)
    for i in range(3000):
        held = Held(
            str(10000 + i),
            keys.SHA256,
            ("10.0.%d.%d" % (i >> 8, i & 255), i),
            bytes(16),
            b"g" * 16,
            bytes(16),
            bytes(32),
            bytes(32),
            bytes(3),
        )
        attempts.succeeded(held.source, held.ext, held.g, 0)
        there[held.ext] = held
        attempts.registered(held)
    assert len(attempts._proven) == 0
    assert all(attempts.proven(held.source, held.ext, held.g, 0) for held in there.values())
    # Its own counter, whatever its neighbours do.
    for _ in range(20):
        attempts.failed(("10.0.0.5", 9), "10006", b"h" * 16, True, 0)
    assert attempts.refused(("10.0.0.5", 9), "10006", b"h" * 16, 1) is not None
    assert attempts.refused(("10.0.0.5", 5), "10005", b"g" * 16, 1) is None


def test_long_noise_counts_more_than_short():
    for octets, wanted in ((1, 100), (255, 100), (1472, 17)):
        noise = Noise()
        count = 0
        while not noise.ignores(("10.0.0.1", 1), 1):
            noise.made(("10.0.0.1", 1), octets, 0)
            count += 1
        assert count == wanted
