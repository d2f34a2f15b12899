"""Both ends in one process: a phone (Login and Endpoint), a gatekeeper (Registrar), a site
that issues keys, and between them a network that loses, doubles, delays and flips.

Time is simulated, everything random comes from one seed.
"""

from ras import keys as k
from ras import profile
from ras.endpoint import Endpoint
from ras.generator import fits, pack
from ras.keyfile import KeyFile
from ras.login import Login
from ras.lookups import Lookup
from ras.policy import Settings
from ras.registrar import Registrar

from support import Random

GATEKEEPER = ("192.0.2.1", 1719)
SIGNALLING = ("192.0.2.1", 1300)
PHONE = ("192.0.2.50", 40000)
VERSION = "0.1.0 pair"  # of the phone's software


class Site:
    """Keys and extensions: what key server and directory know."""

    def __init__(self, random, suite=k.SHA256):
        self.suite = suite
        self.random = random
        self.km = k.master_key(suite, random(32))
        self.cvm = k.check_value(suite, self.km)
        self.old = {}  # check value -> Km of generations that still answer
        self.counter = 7
        self.pins = {"1001": "1234"}
        self.revoked = set()
        self.gatekeepers = (GATEKEEPER,)
        self.key_server_up = True
        self.issued = 0

    def rotate(self):
        """Begin a new generation of Km; the old one goes on to answer."""
        self.old[self.cvm] = self.km
        self.km = k.master_key(self.suite, self.random(32))
        self.cvm = k.check_value(self.suite, self.km)

    def tell(self, registrar):
        """Tell a registrar which generations are in force."""
        registrar.set_site((self.cvm,) + tuple(self.old), (), (self.cvm,))

    def issue(self, ext):
        """Return a fresh KeyFile."""
        self.counter += 1
        self.issued += 1
        g = pack(b"server", ext, self.counter)
        return KeyFile(self.suite, g, k.device_key(self.suite, self.km, g), self.cvm, self.gatekeepers)

    def look_up(self, ext, g, cvm=None):
        """Answer a registrar's ("lookup", …)."""
        if not self.key_server_up:
            return Lookup(available=False)
        assert fits(g, ext)
        kg = k.device_key(self.suite, self.old.get(cvm, self.km), g)
        if g in self.revoked:
            return Lookup(profile.REVOKED, kg)
        if ext not in self.pins:
            return Lookup(profile.UNKNOWN_EXTENSION, kg)
        return Lookup(0, kg, self.pins[ext])


class Gatekeeper:
    """A registrar at an address, with its site."""

    def __init__(self, site, random, address=GATEKEEPER, **settings):
        self.address = address
        self.site = site
        self.events = []
        self.registrar = Registrar(Settings(lambda host: (address, SIGNALLING), **settings), random)
        self.registrar.set_site((site.cvm,))

    def receive(self, data, source, now):
        """Take a datagram and answer its look-ups; return what goes out."""
        self.registrar.receive_datagram(data, source, now)
        return self.after(now)

    def after(self, now):
        """Take the registrar's events; return what goes out."""
        event = self.registrar.next_event()
        while event is not None:
            self.events.append(event)
            if event[0] == "lookup":
                self.registrar.provide(event[1], self.site.look_up(event[2], event[3], event[6]), now)
            event = self.registrar.next_event()
        return self.registrar.datagrams_to_send()


class Phone:
    """Login and Endpoint with a store, a user who is not there, and a channel that opens."""

    def __init__(self, site, random, address=PHONE):
        self.site = site
        self.address = address
        self.login = Login(random)
        self.endpoint = Endpoint(random, address, VERSION)
        self.store = None
        self.prompts = []
        self.shown = []
        self.registration = None
        self.opened = []
        self.renewals = 0
        self.channel = None  # the gatekeeper's registrar, to look for Ks

    def run(self, now):
        """Carry out effects and events until there are none; return what goes out."""
        while True:
            event = self.endpoint.next_event()
            if event is not None:
                self._event(event, now)
                continue
            effect = self.login.next_effect()
            if effect is None:
                return self.endpoint.datagrams_to_send()
            self._effect(effect, now)

    def _event(self, event, now):
        name = event[0]
        if name == "registered":
            self.registration = event[1]
            self.login.registered(event[1], now)
        elif name == "fetch-soon":
            self.login.fetch_soon(now)
        elif name == "refused":
            self.login.refused(event[1], now)
        elif name == "confirmed":
            self.login.confirmed()
        elif name == "no-answer":
            self.login.no_answer(now)
        elif name == "ended":
            self.registration = None
            self.login.ended(event[1], now)
        elif name == "left":
            self.registration = None
            self.login.left(now)

    def _effect(self, effect, now):
        name = effect[0]
        if name == "prompt":
            self.prompts.append(effect[1])
        elif name == "show":
            self.shown.append(effect[1])
        elif name == "fetch":
            if self.site.key_server_up:
                self.login.keys(self.site.issue(effect[1]), now)
            else:
                self.login.no_keys("key-server", now)
        elif name == "renew":
            self.renewals += 1
            if self.site.key_server_up:
                self.login.keys(self.site.issue(effect[1]), now)
            else:
                self.login.no_keys("key-server", now)
        elif name == "register":
            self.endpoint.register(effect[1], effect[2], now)
        elif name == "commit":
            self.store = effect[1]
            self.login.committed(now)
        elif name == "erase":
            self.store = None
        elif name == "open":
            self.opened.append(effect[1])
            if self.channel is None or self.channel.psk(effect[1].sid.hex()) == effect[1].ks:
                self.login.channel_open("PSK", now)
            else:
                self.login.channel_failed(now)
        elif name == "unregister":
            self.endpoint.log_out(now)

    def timer(self):
        """Return the next time something is due, or None."""
        times = [t for t in (self.login.get_timer(), self.endpoint.get_timer()) if t is not None]
        return min(times) if times else None

    def handle_timer(self, now):
        """Do what is due."""
        self.login.handle_timer(now)
        self.endpoint.handle_timer(now)


class Network:
    """Carries datagrams between phones and gatekeepers by address, in simulated time.

    Chances are of 256.  forge: `forge(data, source, target) -> [(data, source, target)]`,
    what an attacker who sees everything adds.
    """

    def __init__(self, random, loss=0, double=0, flip=0, delay=0, forge=None):
        self.random = random
        self.loss, self.double, self.flip, self.delay = loss, double, flip, delay
        self.forge = forge
        self.ends = {}
        self.now = 0
        self.flying = []  # (when, order, data, source, target)
        self.order = 0
        self.log = []
        self.lost = 0

    def add(self, end):
        """Connect a Phone or a Gatekeeper."""
        self.ends[end.address] = end

    def send(self, data, source, target):
        """Put one datagram on its way."""
        if self.log is not None:  # a run of many hours has no room for it
            self.log.append((self.now, data, source, target))
        if self.forge is not None:
            for forged in self.forge(data, source, target):
                self._fly(*forged)
        if self.random.below(256) < self.loss:
            self.lost += 1
            return
        self._fly(data, source, target)
        if self.random.below(256) < self.double:
            self._fly(data, source, target)

    def _fly(self, data, source, target):
        when = self.now + 1 + (self.random.below(self.delay) if self.delay else 0)
        if self.random.below(256) < self.flip:
            self.lost += 1
            data = bytearray(data)
            data[self.random.below(len(data))] ^= 1 << self.random.below(8)
            data = bytes(data)
        self.order += 1
        self.flying.append((when, self.order, data, source, target))

    def _flush(self, end):
        out = end.run(self.now) if isinstance(end, Phone) else end.after(self.now)
        for data, target in out:
            self.send(data, end.address, target)

    def run(self, until, done=lambda: False):
        """Let time pass until `until` ms, or until done()."""
        for end in self.ends.values():
            self._flush(end)
        while not done():
            due = [f[0] for f in self.flying]
            for end in self.ends.values():
                timer = end.timer() if isinstance(end, Phone) else end.registrar.get_timer()
                if timer is not None:
                    due.append(timer)
            if not due or min(due) > until:
                self.now = max(self.now, until)
                return
            self.now = max(self.now, min(due))
            arrived = sorted([f for f in self.flying if f[0] <= self.now])
            self.flying = [f for f in self.flying if f[0] > self.now]
            for _, _, data, source, target in arrived:
                end = self.ends.get(target)
                if isinstance(end, Phone):
                    end.endpoint.receive_datagram(data, source, self.now)
                elif end is not None:
                    for answer, to in end.receive(data, source, self.now):
                        self.send(answer, end.address, to)
                if end is not None:
                    self._flush(end)
            for end in self.ends.values():
                if isinstance(end, Phone):
                    end.handle_timer(self.now)
                else:
                    end.registrar.handle_timer(self.now)
                self._flush(end)


def pair(seed=1, suite=k.SHA256, **network):
    """Return (network, phone, gatekeeper, site), joined."""
    random = Random(seed)
    site = Site(random, suite)
    gatekeeper = Gatekeeper(site, random, suites=(suite.name,))
    phone = Phone(site, random)
    phone.channel = gatekeeper.registrar
    net = Network(random, **network)
    net.add(gatekeeper)
    net.add(phone)
    return net, phone, gatekeeper, site
