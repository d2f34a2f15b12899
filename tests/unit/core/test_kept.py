"""What of a gatekeeper outlives its process: as octets, and in a new registrar that goes on with it."""

from ras import kept, keys, message
from ras.held import Held
from ras.policy import Settings
from ras.registrar import Registrar
from ras.throttle import Throttle

from pair import GATEKEEPER, PHONE, Gatekeeper, Network, Phone, Site
from support import Random, raises

MINUTE = 60000
ELSEWHERE = ("192.0.2.51", 40001)


class Disk:
    """What was kept of a gatekeeper so far."""

    def __init__(self, gatekeeper):
        self.gatekeeper = gatekeeper
        self.nonces = []
        self.answered = []
        self.failed = {}
        kept.watch(gatekeeper.registrar)

    def write(self, now):
        for kind, re, key, answer in kept.exchanges(self.gatekeeper.registrar, now):
            if re is not None:
                self.nonces.append((kind, re))
            if answer is not None:
                self.answered.append((key, answer, now))
        self.failed.update(kept.failures(self.gatekeeper.registrar))
        self.held = [kept.pack(held, 7) for held in self.gatekeeper.registrar.held()]

    def restarted(self, net, *, same_boot=True, seed=77):
        """Return another gatekeeper in the place of the first, which goes on from here."""
        old = self.gatekeeper
        new = Gatekeeper(old.site, Random(seed), suites=old.registrar.settings.suites)
        if same_boot:
            new.registrar.server_nonces.key = old.registrar.server_nonces.key
        held = [kept.unpack(octets, 7) for octets in self.held]
        kept.put_back(new.registrar, held, self.nonces, self.answered, list(self.failed.items()))
        net.add(new)
        return new


def logged_in(seed=1, suite=keys.SHA256):
    random = Random(seed)
    site = Site(random, suite)
    gatekeeper, phone, net = (
        Gatekeeper(site, random, suites=(suite.name,)),
        Phone(site, random),
        Network(random),
    )
    disk = Disk(gatekeeper)
    net.add(gatekeeper)
    net.add(phone)
    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(5000, lambda: phone.login.state == "online")
    assert phone.login.state == "online"
    return net, phone, disk


def kinds(net):
    return [message.decode_message(data).kind for _, data, _, _ in net.log]


def example(suite=keys.SHA256, identifier=b"\0\x11\x22\x33\x44\x55\x66\x77"):
    ka, ks = b"a" * suite.key, b"s" * suite.key
    source = ("2001:db8::1", 65535)
    held = Held(
        "1001", suite, source, b"\xab" * 16, b"g" * 16, b"r" * 16, ka, ks, b"\x00\x01\xff", identifier
    )
    held.heard, held.sent = (1 << 63) + 5, 3
    held.since, held.expires = 1000, 311000
    held.software = "ringkey 0.1.0 unix"
    return held


def test_a_registration_as_octets_and_back():
    for suite in (keys.SHA1, keys.SHA256):
        held = example(suite)
        again = kept.unpack(kept.pack(held, 12345), 12345)
        for name in ("identifier", "ext", "g", "suite", "source", "sid", "cvm", "ka", "ks", "rg", "software"):
            assert getattr(again, name) == getattr(held, name), name
        for name in ("heard", "sent", "since", "expires"):
            assert getattr(again, name) == getattr(held, name), name
        assert again.machine.state == "registered"


def test_octets_of_before_software_was_known():
    held = example()
    octets = kept.pack(held, 0)
    words = b"%c%s" % (len(held.software), held.software.encode())
    again = kept.unpack(b"\x01" + octets[1:].replace(words, b""), 0)
    assert again.software == ""
    assert (again.ks, again.source, again.expires) == (held.ks, held.source, held.expires)


def test_time_in_octets_goes_on_in_another_process():
    # The machine's clock began anew: what was 1,000,000 there is 4,000 here.
    again = kept.unpack(kept.pack(example(), 0), 1000000 - 4000)
    assert again.expires == 311000 - 996000
    assert again.since == 1000 - 996000


def test_octets_that_are_no_registration():
    octets = kept.pack(example(), 0)
    for end in range(len(octets)):
        with raises(ValueError):
            kept.unpack(octets[:end], 0)
    for wrong in (
        octets + b"\0",
        b"\x03" + octets[1:],
        b"\x00" + octets[1:],
        b"\x01" + octets[1:],
        octets[:1] + b"\x09" + octets[2:],
        octets[:1] + b"\x01" + octets[2:],  # the keys of another suite
        octets[:3] + b"G" + octets[4:],  # an identifier that nobody gave out
        octets[:3] + b"\xff" + octets[4:],
    ):
        with raises(ValueError):
            kept.unpack(wrong, 0)


def test_a_phone_goes_on_as_if_nothing_had_been():
    net, phone, disk = logged_in()
    disk.write(net.now)
    before = phone.registration
    sent = len(net.log)
    new = disk.restarted(net)
    assert new.registrar.psk(before.sid.hex()) == before.ks
    net.run(net.now + 10 * MINUTE)
    assert phone.registration is before
    assert set(kinds(net)[sent:]) == {"RRQ", "RCF"}
    assert [event[0] for event in new.events].count("refreshed") >= 3
    phone.login.log_out(net.now)
    net.run(net.now + 1000)
    assert new.registrar.held() == []
    assert kinds(net)[-2:] == ["URQ", "UCF"]


def test_a_registration_that_was_put_back_ends_in_its_time():
    net, phone, disk = logged_in()
    disk.write(net.now)
    del net.ends[PHONE]
    new = disk.restarted(net)
    [held] = new.registrar.held()
    net.run(held.expires - 1)
    assert new.registrar.held() == [held]
    net.run(held.expires)
    assert new.registrar.held() == []
    assert new.events[-1][2] == "ttlExpired"


def test_replays_after_a_restart_meet_silence():
    net, phone, disk = logged_in()
    net.run(net.now + 5 * MINUTE)  # keepAlives too
    disk.write(net.now)
    requests = [data for _, data, source, _ in net.log if source == PHONE]
    assert len(requests) >= 4
    for same_boot in (True, False):
        new = disk.restarted(net, same_boot=same_boot)
        [held] = new.registrar.held()
        state = kept.pack(held, 0)
        net.now += 11000  # older than any retransmission
        for data in requests:
            for source in (PHONE, ELSEWHERE):
                assert new.receive(data, source, net.now) == []
        assert [kept.pack(one, 0) for one in new.registrar.held()] == [state]


def test_a_retransmission_across_a_restart_gets_the_identical_answer():
    net, phone, disk = logged_in()
    disk.write(net.now)
    exchange = [data for _, data, _, _ in net.log]
    assert kinds(net) == ["GRQ", "GCF", "RRQ", "RCF"]
    new = disk.restarted(net)
    for request, answer in (exchange[:2], exchange[2:]):
        assert new.receive(request, PHONE, net.now + 9000) == [(answer, PHONE)]
        assert new.receive(request, ELSEWHERE, net.now + 9000) == []
    assert len(new.registrar.held()) == 1


def test_a_keepalive_that_was_heard_but_not_answered_is_answered_after_the_restart():
    net, phone, disk = logged_in()
    timer = phone.timer()
    net.run(timer - 1)
    phone.handle_timer(timer)
    [(request, _)] = phone.run(timer)
    [(answer, _)] = disk.gatekeeper.receive(request, PHONE, timer)
    disk.write(timer)  # and then the process is killed, before anything went out
    new = disk.restarted(net)
    assert new.receive(request, PHONE, timer + 2000) == [(answer, PHONE)]
    assert message.decode_message(answer).kind == "RCF"


def test_an_rg_given_before_a_restart_is_good_within_one_start_of_the_machine_only():
    for same_boot in (True, False):
        net, phone, disk = logged_in()
        again = Phone(disk.gatekeeper.site, Random(9), ELSEWHERE)
        again.store = phone.store
        again.login.boot(again.store, net.now)
        [(request, _)] = again.run(net.now)
        [(confirm, _)] = disk.gatekeeper.receive(request, ELSEWHERE, net.now)
        disk.write(net.now)
        new = disk.restarted(net, same_boot=same_boot)
        again.endpoint.receive_datagram(confirm, GATEKEEPER, net.now)
        [(request, _)] = again.run(net.now)
        answered = new.receive(request, ELSEWHERE, net.now)
        found = [message.decode_message(data).kind for data, to in answered if to == ELSEWHERE]
        assert found == (["RCF"] if same_boot else [])


def counting():
    registrar = Registrar(Settings(None, throttle=Throttle(3, 10000, 1000, 4000)), Random(1))
    kept.watch(registrar)
    return registrar


def test_failures_count_on():
    registrar, other = counting(), counting()
    g = b"g" * 16
    keys_ = {
        "stranger": ["192.0.2.1", ("192.0.2", "1001")],
        "extension": ["1001"],
        "key": [("1001", g)],
        "phone": [(("192.0.2.1", 40000), "1001", g), ("192.0.2.1", "1001", g)],
    }
    tables = registrar.attempts.tables()
    assert set(tables) == set(keys_)
    for name, table in tables.items():
        for key in keys_[name]:
            table.failed(key, 100)
            for _ in range(table.limit - 2):
                table.failed(key, 200)
    found = kept.failures(registrar)
    assert set(found) == {(name, key) for name in keys_ for key in keys_[name]}
    assert kept.failures(registrar) == {}
    assert not kept.counted(registrar)
    assert kept.all_failures(registrar) == found
    kept.put_back(other, [], [], [], list(found.items()))
    for name, table in other.attempts.tables().items():
        for key in keys_[name]:
            assert not table.ignores(key, 300)
            table.failed(key, 300)
            assert table.ignores(key, 1299)
            assert not table.ignores(key, 1300)
    tables["stranger"].succeeded("192.0.2.1", 400)
    assert kept.failures(registrar) == {("stranger", "192.0.2.1"): (0, 200, 0)}


def test_a_phone_that_was_registered_is_no_stranger_after_a_restart():
    net, phone, disk = logged_in()
    disk.write(net.now)
    new = disk.restarted(net)
    [held] = new.registrar.held()
    assert new.registrar.attempts.proven(held.source, held.ext, held.g, net.now)
    assert new.registrar.settings.noise.phones_at(held.source[0], net.now)


def test_nothing_is_noted_where_nobody_keeps_it():
    random = Random(3)
    gatekeeper = Gatekeeper(Site(random), random)
    gatekeeper.registrar.settings.throttle.failed("x", 1)
    assert gatekeeper.registrar.news is None
    assert gatekeeper.registrar.settings.throttle.changed is None
