"""A new generation of Km: phones fetch new keys, spread over time, and never lose their registration."""

from ras import keys, message, profile
from ras.login import RENEW_SPREAD

from pair import PHONE, Gatekeeper, Network, Phone, Site, pair
from support import Random

MINUTE = 60000
HOUR = 60 * MINUTE


def online(seed=1, **network):
    """Return a pair whose phone is online."""
    net, phone, gatekeeper, site = pair(seed, **network)
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(5000, lambda: phone.login.state == "online")
    assert phone.login.state == "online"
    return net, phone, gatekeeper, site


def rotate(site, *gatekeepers):
    """Begin a generation, and tell the gatekeepers."""
    site.rotate()
    for gatekeeper in gatekeepers:
        site.tell(gatekeeper.registrar)


def watched(net, gatekeeper, until, done=lambda: False, ext="1001"):
    """Let time pass; the extension must be registered at every moment of it."""

    def check():
        assert gatekeeper.registrar.registration(ext) is not None, net.now
        return done()

    net.run(until, check)


def last_rcf(net):
    """Return the elements of the last RCF that was sent."""
    for _, data, _, _ in reversed(net.log):
        m = message.decode_message(data)
        if m.kind == "RCF":
            return profile.elements(m)
    raise AssertionError("no RCF")


def test_a_registered_phone_renews_within_the_spread_and_is_never_without_a_registration():
    net, phone, gatekeeper, site = online()
    old = phone.store
    rotate(site, gatekeeper)
    shown = len(phone.shown)
    watched(net, gatekeeper, 10 * HOUR, lambda: phone.login.state == "renewing" or phone.renewals)
    assert net.now <= RENEW_SPREAD + 5 * MINUTE  # a keepAlive tells it, then it draws its moment
    watched(net, gatekeeper, net.now + MINUTE, lambda: phone.login.state == "online")
    assert phone.store.cvm == site.cvm != old.cvm
    assert gatekeeper.registrar.registration("1001").cvm == site.cvm
    assert gatekeeper.registrar.psk(phone.registration.sid.hex()) == phone.registration.ks
    assert phone.shown[shown:] == ["registered"]  # the display says nothing else
    assert phone.prompts == [None]
    kinds = [message.decode_message(data).kind for _, data, _, _ in net.log]
    assert "URQ" not in kinds
    net.run(net.now + 5 * HOUR)
    assert phone.renewals == 1
    assert profile.REFRESH not in last_rcf(net)


def test_the_element_is_in_the_rcf_of_a_registration_and_of_a_keep_alive():
    net, phone, gatekeeper, site = online()
    assert profile.REFRESH not in last_rcf(net)
    rotate(site, gatekeeper)
    site.key_server_up = True
    net.run(net.now + 4 * MINUTE, lambda: profile.REFRESH in last_rcf(net))
    assert last_rcf(net)[profile.REFRESH] == b"\x01"
    net.run(net.now + 1000)
    assert phone.registration.fetch_soon
    again = Phone(site, Random(9), phone.address)
    again.store, again.channel = phone.store, phone.channel
    net.add(again)
    again.login.boot(again.store, net.now)
    net.run(net.now + 5000, lambda: again.login.state == "online")
    assert again.registration.fetch_soon
    assert last_rcf(net)[profile.REFRESH] == b"\x01"


def test_phones_spread():
    times = []
    for seed in range(1, 41):
        net, phone, gatekeeper, site = online(seed)
        rotate(site, gatekeeper)
        net.run(3 * HOUR, lambda phone=phone: phone.renewals)
        times.append(net.now)
    times.sort()
    for quarter in range(4):
        low, high = quarter * RENEW_SPREAD // 4, (quarter + 1) * RENEW_SPREAD // 4
        assert 4 <= sum(low <= t - 150000 < high for t in times), times


def test_one_that_slept_through_it_recovers_by_itself():
    net, phone, gatekeeper, site = online()
    del net.ends[PHONE]
    rotate(site, gatekeeper)
    net.run(net.now + HOUR)
    site.old.clear()
    site.tell(gatekeeper.registrar)
    again = Phone(site, Random(9), phone.address)
    again.store, again.channel = phone.store, phone.channel
    net.add(again)
    again.login.boot(again.store, net.now)
    net.run(net.now + MINUTE, lambda: again.login.state == "online")
    assert again.login.state == "online"
    assert "keys-obsolete" in again.shown
    assert again.store.cvm == site.cvm
    assert again.prompts == []


def test_without_a_key_server_it_stays_and_tries_again():
    net, phone, gatekeeper, site = online()
    rotate(site, gatekeeper)
    site.key_server_up = False
    watched(net, gatekeeper, net.now + 6 * HOUR)
    assert 2 <= phone.renewals <= 12
    assert phone.login.state == "online"
    assert phone.prompts == [None]
    assert gatekeeper.registrar.registration("1001").cvm != site.cvm
    site.key_server_up = True
    watched(net, gatekeeper, net.now + 3 * HOUR, lambda: phone.store.cvm == site.cvm)
    assert phone.store.cvm == site.cvm


def test_a_key_server_that_has_not_rotated_yet_does_no_harm():
    net, phone, gatekeeper, site = online()
    km, cvm = site.km, site.cvm
    rotate(site, gatekeeper)
    new_km, new_cvm = site.km, site.cvm
    site.km, site.cvm = km, cvm  # what it gives out is of the old generation still
    first = phone.registration
    watched(net, gatekeeper, net.now + 5 * HOUR)
    assert phone.registration is first  # it did not even register anew
    assert phone.renewals >= 2
    site.km, site.cvm = new_km, new_cvm
    watched(net, gatekeeper, net.now + 3 * HOUR, lambda: phone.store.cvm == new_cvm)
    assert phone.store.cvm == new_cvm


def test_new_keys_that_are_refused_leave_the_stored_ones():
    net, phone, gatekeeper, site = online()
    before = phone.store
    rotate(site, gatekeeper)
    # The gatekeeper hears of the rotation, but not of the check value that the key server then has.
    site.rotate()
    watched(net, gatekeeper, net.now + 2 * HOUR, lambda: phone.renewals)
    watched(net, gatekeeper, net.now + MINUTE, lambda: phone.login.state == "online")
    assert phone.login.state == "online"
    assert phone.store is before
    assert phone.prompts == [None]
    site.tell(gatekeeper.registrar)
    watched(net, gatekeeper, net.now + 4 * HOUR, lambda: phone.store.cvm == site.cvm)
    assert phone.store.cvm == site.cvm


def test_a_gatekeeper_that_vanishes_while_new_keys_are_tried():
    net, phone, gatekeeper, site = online()
    before = phone.store
    rotate(site, gatekeeper)
    net.run(3 * HOUR, lambda: phone.renewals)
    del net.ends[gatekeeper.address]
    net.run(net.now + MINUTE)
    assert phone.store is before
    net.add(gatekeeper)
    net.run(net.now + HOUR, lambda: phone.login.state == "online")
    assert phone.login.state == "online"


def test_a_power_cut_at_any_moment_of_it_leaves_a_phone_that_registers():
    states = set()
    for cut in range(24):
        net, phone, gatekeeper, site = online(3)
        rotate(site, gatekeeper)
        net.run(3 * HOUR, lambda phone=phone: phone.renewals)
        count = [0]

        def stop(count=count, cut=cut):
            count[0] += 1
            return count[0] > cut

        net.run(net.now + 2000, stop)
        states.add(phone.login.state)
        again = Phone(site, Random(100 + cut), phone.address)
        again.store, again.channel = phone.store, phone.channel
        net.add(again)
        again.login.boot(again.store, net.now)
        net.run(net.now + MINUTE, lambda again=again: again.login.state == "online")
        assert again.login.state == "online"
        assert again.prompts == []
    assert "proving" in states, states


def test_the_user_goes_first():
    net, phone, gatekeeper, site = online()
    rotate(site, gatekeeper)
    net.run(net.now + 4 * MINUTE, lambda: phone.registration.fetch_soon)
    due = phone.login.get_timer()
    assert due is not None
    net.run(due - 1000)
    phone.login.touched(net.now)
    assert phone.login.get_timer() >= net.now + MINUTE
    net.run(net.now + 30000)
    assert phone.renewals == 0
    # And a log-out in the midst of it ends it.
    net.run(3 * HOUR, lambda: phone.renewals)
    assert phone.login.state in ("renewing", "proving")
    phone.login.log_out(net.now)
    net.run(net.now + MINUTE)
    assert phone.login.state == "prompting"
    assert phone.store is None


def test_a_channel_that_breaks_while_keys_are_fetched():
    net, phone, gatekeeper, site = online()
    rotate(site, gatekeeper)
    net.run(net.now + 4 * MINUTE, lambda: phone.registration.fetch_soon)
    late = []
    phone.login.keys, real = (lambda keyfile, now: late.append(keyfile)), phone.login.keys
    net.run(3 * HOUR, lambda: late)
    assert phone.login.state == "renewing"
    phone.login.channel_failed(net.now)
    assert phone.login.state == "opening"
    real(late.pop(), net.now)  # too late: it is let go
    assert phone.login.state == "opening"
    phone.login.keys = real
    net.run(net.now + 3 * HOUR, lambda: phone.store.cvm == site.cvm)
    assert phone.store.cvm == site.cvm


def test_a_network_that_was_away_in_the_midst_of_it():
    for wanted in ("renewing", "proving"):
        net, phone, gatekeeper, site = online()
        before = phone.store
        rotate(site, gatekeeper)
        net.run(net.now + 4 * MINUTE, lambda phone=phone: phone.registration.fetch_soon)
        held = []
        real, phone.login.keys = phone.login.keys, lambda keyfile, now, held=held: held.append(keyfile)
        net.run(3 * HOUR, lambda held=held: held)
        phone.login.keys = real
        if wanted == "proving":
            phone.login.keys(held.pop(), net.now)
        assert phone.login.state == wanted
        phone.login.network_back(net.now)
        assert phone.login.state == "stored"
        net.run(net.now + MINUTE, lambda phone=phone: phone.login.state == "online")
        assert phone.login.state == "online"
        assert phone.store is before
        net.run(net.now + 3 * HOUR, lambda phone=phone, site=site: phone.store.cvm == site.cvm)
        assert phone.store.cvm == site.cvm


def test_no_urq_to_a_phone_that_has_registered_anew_from_the_same_place():
    net, phone, gatekeeper, site = online()
    sid = phone.registration.sid.hex()
    rotate(site, gatekeeper)
    net.run(3 * HOUR, lambda: phone.store.cvm == site.cvm)
    assert gatekeeper.registrar.psk(sid) is None
    assert ("ended", "reregistered") in [(e[0], e[-1]) for e in gatekeeper.events if e[0] == "ended"]


def test_twenty_phones_over_a_bad_network():
    """None is without a registration at any moment, and all have moved when the overlap ends."""
    random = Random(11)
    site = Site(random)
    gatekeeper = Gatekeeper(site, random)
    net = Network(random, loss=20, double=20, delay=100)
    net.log = None
    net.add(gatekeeper)
    phones = []
    for i in range(20):  # 200 in tests/integration/test_rotation.py
        ext = str(2000 + i)
        site.pins[ext] = "1234"
        phone = Phone(site, random, ("192.0.2.60", 40000 + i))
        phone.channel = gatekeeper.registrar
        net.add(phone)
        phone.login.boot(None, 0)
        phone.login.entered(ext, "1234", 0)
        phones.append((ext, phone))

    def all_online():
        for _, phone in phones:
            if phone.login.state == "prompting":
                phone.login.entered(phone.login._ext, "1234", net.now)
        return all(phone.login.state == "online" for _, phone in phones)

    net.run(HOUR, all_online)
    assert all_online()
    site.pins.pop("1001")
    rotate(site, gatekeeper)

    def moved():
        for ext, _ in phones:
            assert gatekeeper.registrar.registration(ext) is not None, (ext, net.now)
        return all(phone.store.cvm == site.cvm for _, phone in phones)

    net.run(net.now + 3 * HOUR, moved)
    assert moved()


def test_keys_of_both_suites_name_their_generation():
    for suite in (keys.SHA1, keys.SHA256):
        net, phone, gatekeeper, site = pair(4, suite)
        phone.login.boot(None, 0)
        phone.login.entered("1001", "1234", 0)
        net.run(5000)
        assert gatekeeper.registrar.registration("1001").cvm == site.cvm
