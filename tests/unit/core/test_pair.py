"""The phone and the gatekeeper over a network that does everything to datagrams.

1,000 seeded runs, the same under CPython and MicroPython, with datagrams lost, doubled,
late, out of order and flipped, and an attacker who adds forgeries.  Each ends registered,
with the same Ks on both ends, or at a message that is true.
"""

from ras import answers, keys, message, profile

from pair import pair
from support import Random

RUNS = 1000
LIMIT = 240000  # ms; by then any phone is somewhere


def attacker(random):
    """Forge answers to everything that is asked, with keys that are not the site's."""

    def forge(data, source, target):
        if random.below(4):
            return []
        m = message.decode_message(data)
        try:
            found = profile.elements(m)
        except message.RemoteProtocolError:
            return []
        number = m.value["requestSeqNum"]
        nonces = {profile.RE: found[profile.RE], profile.RG: found.get(profile.RG, b"R" * 16)}
        key = random(32)
        evil = ("203.0.113.66", 1719)
        if m.kind == "GRQ":
            code = 1 + random.below(5)
            value = answers.gatekeeper_reject(number, "securityDenial", (evil,))
            confirm = answers.gatekeeper_confirm(number, evil, ())
            rejected = {profile.ERROR: bytes((code,)), profile.RE: found[profile.RE]}
            return [
                (profile.seal("GCF", confirm, nonces, keys.SHA256, key), target, source),
                (profile.seal("GRJ", value, rejected, keys.SHA256, key), target, source),
            ]
        if m.kind == "RRQ":
            value = answers.registration_confirm(number, "evil", evil, 99, ())
            return [
                (
                    profile.seal("RCF", value, dict(nonces, **{}), keys.SHA256, key),
                    target,
                    source,
                ),
                (
                    profile.seal(
                        "RRJ",
                        answers.registration_reject(number, "securityDenial"),
                        {
                            profile.ERROR: b"\x04",
                            profile.RE: nonces[profile.RE],
                            profile.RG: nonces[profile.RG],
                        },
                        keys.SHA256,
                        key,
                    ),
                    target,
                    source,
                ),
            ]
        return []

    return forge


def one(seed):
    """Run one phone's log-in; return how it ended."""
    random = Random(seed)
    fair = seed % 4 == 0
    net, phone, gatekeeper, site = pair(
        seed,
        loss=0 if fair else random.below(90),
        double=random.below(80),
        flip=0 if fair else random.below(40),
        delay=1 + random.below(200 if fair else 6000),
        forge=attacker(Random(seed + 5000)) if seed % 2 else None,
    )
    right = seed % 5 != 0
    known = seed % 7 != 0
    ext, pin = ("1001" if known else "1002"), ("1234" if right else "9999")
    phone.login.boot(None, 0)
    phone.login.entered(ext, pin, 0)

    def settled():
        return phone.login.state in ("online", "prompting", "waiting")

    net.run(LIMIT, settled)
    assert settled(), (seed, phone.login.state)
    if phone.login.state == "online":
        assert right and known, seed
        # what it believes is what the gatekeeper holds
        assert gatekeeper.registrar.psk(phone.registration.sid.hex()) == phone.registration.ks, seed
        assert phone.registration.identifier != "evil", seed
        assert phone.store is not None
        return "registered"
    assert phone.store is None, seed
    reason = phone.prompts[-1]
    if reason == "log-in-failed":  # nobody answered: so the PIN is wrong, or the network was
        assert not right or net.lost or net.delay > 2000, seed
    elif reason == "unknown-extension":
        assert not known, seed
    elif reason == "no-answer":  # to the RRQ: a GCF had come, so the PIN is right
        assert right and known and (net.lost or net.delay > 2000), seed
    else:
        raise AssertionError((seed, reason))
    assert not (fair and right and known), (seed, reason)
    return reason


def test_a_thousand_log_ins_over_a_bad_network():
    ends = {}
    for seed in range(1, RUNS + 1):
        end = one(seed)
        ends[end] = ends.get(end, 0) + 1
    assert len(ends) == 4, ends
    assert ends["registered"] > RUNS // 3, ends


def stay(seed):
    """Keep one phone for 12 hours over a bad network, then a good one."""
    net, phone, gatekeeper, _ = pair(seed, loss=40, double=40, flip=10, delay=300)
    net.log = None

    def online():
        return phone.login.state == "online"

    phone.login.boot(None, 0)
    phone.login.entered("1001", "1234", 0)
    net.run(600000, online)
    for _ in range(20):  # a user whose log-in failed over this network tries again
        if online():
            break
        phone.login.entered("1001", "1234", net.now)
        net.run(net.now + 600000, online)
    assert online(), seed
    net.run(net.now + 12 * 3600 * 1000)
    net.loss = net.flip = 0
    net.run(net.now + 1800000, online)
    assert online(), seed
    assert gatekeeper.registrar.psk(phone.registration.sid.hex()) == phone.registration.ks


def test_a_phone_stays_registered_over_a_bad_network():
    for seed in range(1, 6):
        stay(seed)
