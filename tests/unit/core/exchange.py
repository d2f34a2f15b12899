"""One phone and one gatekeeper, step by step: for tests that come between; time stands still meanwhile."""

from ras import keys as k
from ras import message, profile
from ras.endpoint import Endpoint
from ras.keys import authentication_key
from ras.noise import Noise
from ras.record import Record
from ras.registrar import Lookup
from ras.throttle import Throttle

from pair import GATEKEEPER, PHONE, Gatekeeper, Site
from support import Random

MANY = 1 << 30
# Requests to the gatekeeper, in the order of an exchange.
REQUESTS = ("GRQ", "RRQ", "keepAlive", "URQ", "UCF")


class Issuing(Site):
    """A site that gives Kg only for g that it has issued, as a key server does."""

    def __init__(self, random, suite=k.SHA256):
        super().__init__(random, suite)
        self.known = {}
        self.asked = 0

    def issue(self, ext):
        keyfile = super().issue(ext)
        self.known[keyfile.g] = ext
        return keyfile

    def look_up(self, ext, g, cvm=None):
        self.asked += 1
        if self.known.get(g) != ext and g not in self.revoked:
            return Lookup(profile.OBSOLETE if ext in self.pins else profile.UNKNOWN_EXTENSION)
        return super().look_up(ext, g, cvm)


def patient(site, random, **settings):
    """Return a gatekeeper that nothing of the same source makes tired."""
    settings.setdefault("throttle", Throttle(MANY))
    settings.setdefault("noise", Noise(MANY, MANY, MANY))
    return Gatekeeper(site, random, suites=(site.suite.name,), **settings)


class Exchange:
    """An endpoint and its datagrams.  now: ms, which only steps forward."""

    def __init__(self, gatekeeper, ext="1001", pin="1234", address=PHONE, seed=5, keyfile=None):
        self.gatekeeper = gatekeeper
        self.ext = ext
        self.address = address
        self.now = 1000
        self.heard = []
        self.endpoint = Endpoint(Random(seed), address)
        f = keyfile or gatekeeper.site.issue(ext)
        ka = authentication_key(f.suite, f.kg, pin)
        self.record = Record(ext, pin, f.suite, f.g, f.kg, f.cvm, ka, ())

    def ask(self):
        """Return the GRQ."""
        self.endpoint.register(self.record, (GATEKEEPER,), self.now)
        return self.sent()

    def sent(self):
        """Return the one datagram that the endpoint sends."""
        ((octets, _),) = self.endpoint.datagrams_to_send()
        return octets

    def deliver(self, octets):
        """Return the gatekeeper's one answer to octets of this phone."""
        ((answer, to),) = self.gatekeeper.receive(octets, self.address, self.now)
        assert to == self.address
        return answer

    def take(self, octets):
        """Give the endpoint a datagram of the gatekeeper; `heard` has them all."""
        self.heard.append(octets)
        self.endpoint.receive_datagram(octets, GATEKEEPER, self.now)

    def reach(self, kind):
        """Return the octets of the request `kind`, when it is this one's turn."""
        octets = self.ask()
        if kind == "GRQ":
            return octets
        self.take(self.deliver(octets))
        octets = self.sent()
        if kind == "RRQ":
            return octets
        self.take(self.deliver(octets))
        assert self.endpoint.state == "registered"
        if kind == "keepAlive":
            self.now = self.endpoint.get_timer()
            self.endpoint.handle_timer(self.now)
        elif kind == "URQ":
            self.endpoint.log_out(self.now)
        else:
            self.take(self.released())
        return self.sent()

    def released(self):
        """Return the gatekeeper's URQ to this phone."""
        registrar = self.gatekeeper.registrar
        assert registrar.end_registration(self.ext, "undefinedReason", self.now)
        ((urq, to),) = self.gatekeeper.after(self.now)
        assert to == self.address
        return urq

    def finish(self):
        """Carry the exchange on until the phone is registered; tell whether it is."""
        while self.endpoint.state in ("discovering", "registering"):
            out = self.endpoint.datagrams_to_send()
            if not out:
                self.now = self.endpoint.get_timer()
                self.endpoint.handle_timer(self.now)
            for octets, _ in out:
                for answer, _ in self.gatekeeper.receive(octets, self.address, self.now):
                    self.take(answer)
        return self.endpoint.state == "registered"


def registered(gatekeeper, **more):
    """Return an Exchange whose phone is registered."""
    exchange = Exchange(gatekeeper, **more)
    exchange.ask()
    exchange.endpoint.register(exchange.record, (GATEKEEPER,), exchange.now)
    assert exchange.finish()
    return exchange


def state_of(registrar):
    """Return all of a registrar that a registration, or the way to one, consists of."""
    held = sorted(
        (
            h.identifier,
            h.ext,
            h.g,
            h.source,
            h.sid,
            h.expires,
            h.since,
            h.machine.state,
            h.ka,
            h.ks,
            h.rg,
            h.heard,
            h.sent,
        )
        for h in registrar._registrations._by_identifier.values()
    )
    r = registrar._registrations
    return (held, sorted(r._by_ext), sorted(r._by_sid), sorted(r._releases), len(registrar._pending))


def flipped(octets):
    """Yield the octets with each of their bits flipped in turn: (bit, octets)."""
    for bit in range(8 * len(octets)):
        out = bytearray(octets)
        out[bit >> 3] ^= 0x80 >> (bit & 7)
        yield bit, bytes(out)


def name_of(request, answer):
    """Return what an answer to a request that nobody sent so is, and hold it to its size."""
    assert 2 * len(answer) <= 3 * len(request), (request.hex(), answer.hex())
    m = message.decode_message(answer)
    signed = "signed " if "integrityCheckValue" in m.value else ""
    if m.kind == message.XRS:
        return signed + "XRS"
    if "tokens" not in m.value:
        assert m.value["rejectReason"] == ("securityDenial", 0)
        return "%s%s plain" % (signed, m.kind)
    return "%s%s %d" % (signed, m.kind, profile.elements(m)[profile.ERROR][0])
