"""What must hold for the registrar whatever comes in whatever order: an input is a script of steps.

A step is an octet and its arguments: time passes, a stranger's octets come, a phone registers or logs out,
what is on its way arrives, changed, cut, doubled, from elsewhere, reflected or signed again; look-ups
are answered late, wrongly or never.  Everything random has one seed.  The first octet says whether it is
the registrar of the core or the host's, which knows shapes and has a direct way (gatekeeper/direct.py), and
whether the site lets plain endpoints in.
"""

import sys

from ras import build, codec, generator, keys, message, profile
from ras import registrar as core
from ras.endpoint import Endpoint
from ras.errors import LocalProtocolError, RemoteProtocolError
from ras.record import Record
from ras.throttle import Throttle
from ringkey.gatekeeper.codec import HostCodec
from ringkey.gatekeeper.direct import Direct
from support import Random

# Octets of an input; steps of a script: some 10 ms a script, so that a hang is told from a long one.
MAX_INPUT = 1024
MAX_STEPS = 60
# Small, so that scripts reach them.
MAX_PENDING = 4
MAX_HELD = 3
# What tables of the registrar may hold together after a script, entries of entries too: a script of
# MAX_STEPS leaves at most a few entries a step, of some 20 values each.
MAX_ENTRIES = 4000

GATEKEEPER = ("192.0.2.1", 1719)
SIGNALLING = ("192.0.2.1", 1300)
SOURCES = (("192.0.2.50", 40000), ("192.0.2.51", 1719), ("198.51.100.7", 5), ("192.0.2.50", 40001))

_KM = {name: keys.master_key(suite, bytes(range(16))) for name, suite in keys.SUITES.items()}
_CVM = {name: keys.check_value(keys.SUITES[name], km) for name, km in _KM.items()}
_OLD_KM = keys.master_key(keys.SHA256, bytes(range(1, 17)))
_OLD_CVM = keys.check_value(keys.SHA256, _OLD_KM)
_PINS = {"1001": "1234", "1002": "99", "1003": "555", "1004": "8"}
# Extensions that plain endpoints may have: one of nobody, one that a phone without a PIN asks for, and one
# that has a PIN, which a site's policy could say while its directory changes.
_PLAIN = ("2001", "1009", "1003")
_REVOKED = generator.pack(b"server", "1004", 9)


def set_caps() -> list:
    """Make the core's limits small wherever they are, in this process; return (module, name, before)."""
    changed = []
    for name, cap in (("MAX_PENDING", MAX_PENDING),):
        where = [m for key, m in sorted(sys.modules.items()) if key[:4] == "ras." and hasattr(m, name)]
        assert where, f"no module of the core has {name} any more"
        for module in where:
            changed.append((module, name, getattr(module, name)))
            setattr(module, name, cap)
    return changed


def _record(ext, counter, *, pin=None, suite=keys.SHA256, cvm=None, km=None):
    g = generator.pack(b"server", ext, counter)
    kg = keys.device_key(suite, km or _KM[suite.name], g)
    pin = pin or _PINS[ext]
    ka = keys.authentication_key(suite, kg, pin)
    return Record(ext, pin, suite, g, kg, cvm or _CVM[suite.name], ka, ())


PHONES = (
    _record("1001", 1),
    _record("1002", 2, suite=keys.SHA1),
    _record("1003", 3, cvm=_OLD_CVM, km=_OLD_KM),
    _record("1001", 4),  # takes the extension over from the first
    _record("1002", 5, pin="1"),  # wrong
    _record("1009", 6, pin="1"),  # unknown
    _record("1003", 7, cvm=b"\0\0\0"),  # obsolete
    _record("1004", 9),  # revoked
    _record("1004", 8),
)
# By g, what is right: for the judge, which knows more than the registrar.
_RIGHT = {r.g: r for r in PHONES if _PINS.get(r.ext) == r.pin and r.cvm != b"\0\0\0"}


class _Listed:
    """Which plain endpoints the site lets in."""

    def allows(self, ext: "str | None", host: str) -> bool:
        return host.startswith("192.0.2.") and (ext is None or ext in _PLAIN)


def one(data: bytes) -> None:
    """Run the script."""
    set_caps()
    _Run(data).play()


def _codec(knows: "HostCodec | None") -> HostCodec:
    """Return one that knows what `knows` does, which learns nothing by it: an input says all of a run."""
    made = HostCodec()
    if knows is not None:
        made.shapes._by_length = {size: list(shapes) for size, shapes in knows.shapes._by_length.items()}
        made.shapes._count = len(knows.shapes)
        made._templates = knows._templates.copy()
    return made


class _Run:
    knows = None  # a HostCodec that has seen all phones of PHONES in order

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.now = 1000
        self.random = Random(7)
        options = self.byte()
        settings = core.Settings(
            lambda _host: (GATEKEEPER, SIGNALLING),
            suites=("sha256", "sha1"),
            others=(("192.0.2.2", 1719),),
            throttle=Throttle(limit=3),
            icv_from_kg=bool(options & 1),
            most=MAX_HELD,
            plain=_Listed() if options & 4 else None,
        )
        if options & 2:
            self.registrar = Direct(settings, self.random, _codec(self.knows))
            self.registrar.at_once = self.known
        else:
            self.registrar = core.Registrar(settings, self.random)
        self.registrar.set_site(self.generations, (b"server",), (_CVM["sha256"], _CVM["sha1"]))
        self.phones = [Endpoint(self.random, SOURCES[i % 4]) for i in range(len(PHONES))]
        self.flying = []  # (octets, source, phone's number) to the gatekeeper
        self.answers = []  # (octets, target)
        self.sent = []  # what has been on its way to the gatekeeper
        self.asked = []  # (ticket, ext, g, cvm)
        self.hold = False
        self.accepted = {}  # octets -> source they were accepted from

    def known(self, ext: str, g: bytes, cvm: bytes) -> "core.Lookup | None":
        """Look up from memory, as far as it is there."""
        return None if self.hold else _look_up(ext, g, cvm)

    generations = (_CVM["sha256"], _CVM["sha1"], _OLD_CVM)

    # -- the script

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def play(self) -> None:
        steps = (
            self.wait,
            self.wait,
            self.garbage,
            self.register,
            self.register,
            self.arrive,
            self.arrive,
            self.arrive,
            self.answer,
            self.answer,
            self.look_up,
            self.replay,
            self.end,
            self.rotate,
            self.leave,
            self.reflect,
        )
        for _ in range(MAX_STEPS):
            if self.at >= len(self.data):
                break
            steps[self.byte() % len(steps)]()
            self.collect()
            self.check()
        self.finish()

    def wait(self) -> None:
        self.now += 1 + (1 << (self.byte() % 23))  # up to two hours
        # As often as the registrar asks for it: a timer that is due for ever is a hang.
        for _ in range(10 * MAX_STEPS):
            due = self.registrar.get_timer()
            if due is None or due > self.now:
                break
            self.registrar.handle_timer(self.now)
        else:
            raise AssertionError("a timer that is always due")
        for phone in self.phones:
            due = phone.get_timer()
            if due is not None and due <= self.now:
                phone.handle_timer(self.now)

    def garbage(self) -> None:
        source = SOURCES[self.byte() % 4]
        size = self.byte()
        if not size and self.registrar.plain is not None:
            self.deliver(self.plain_request(), source)
            return
        octets = bytes(self.byte() for _ in range(size))
        self.deliver(octets, source)

    def plain_request(self) -> bytes:
        """Return what an endpoint without the profile sends, with the name of another one or of a phone."""
        which, number, place = self.byte(), 1 + self.byte(), SOURCES[0]
        ext = _PLAIN[which // 4 % len(_PLAIN)]
        there = [one.identifier for one in (*self.registrar.plain.all(), *self.registrar.held())]
        identifier = there[number % len(there)] if there else "0011223344556677-plain"
        kind, value = (
            (message.GRQ, build.gatekeeper_request(number, ext, place)),
            (message.RRQ, build.registration_request(number, ext, place, place, 10 * number)),
            (message.RRQ, build.keep_alive(number, identifier, place, place, 10 * number)),
            (message.URQ, build.unregistration_request(number, identifier, place, None)),
        )[which % 4]
        return bytes(message.encode_message(kind, value)[0])

    def register(self) -> None:
        number = self.byte() % len(PHONES)
        self.phones[number].register(PHONES[number], (GATEKEEPER,), self.now)

    def arrive(self) -> None:
        if not self.flying:
            return
        octets, source, number = self.flying.pop(0)
        how = self.byte() % 12
        if how == 1:
            return  # lost
        if how == 2:
            octets = self.changed(octets)
        elif how == 3:
            octets = octets[: self.byte() * 2 % (len(octets) + 1)]
        elif how == 4:
            source = SOURCES[self.byte() % 4]
        elif how == 5:
            self.deliver(octets, source)
        elif how == 6:
            octets += bytes(self.byte() for _ in range(self.byte() % 32))
        elif how == 7:
            octets = self.signed(self.changed(octets), number)
        elif how == 8 and self.registrar.plain is not None:
            octets = _without_token(octets)
        self.deliver(octets, source)

    def changed(self, octets: bytes) -> bytes:
        out = bytearray(octets)
        for _ in range(1 + self.byte() % 3):
            out[self.byte() * 2 % len(out)] ^= 1 << (self.byte() % 8)
        return bytes(out)

    def signed(self, octets: bytes, number: int) -> bytes:
        """Return it signed anew with its phone's Ka: an odd message from one who has the key."""
        try:
            decoded = message.decode_message(octets)
        except RemoteProtocolError:
            return octets
        if decoded.icv is None:
            return octets
        out = bytearray(octets)
        suite = PHONES[number].suite
        if decoded.icv[1] == suite.icv:
            message.sign(out, decoded.icv, suite, PHONES[number].ka)
        return bytes(out)

    def answer(self) -> None:
        """Let the answers on their way arrive, or the oldest get lost."""
        if self.byte() % 8 == 7 and self.answers:
            self.answers.pop(0)
        while self.answers:
            octets, target = self.answers.pop(0)
            for number, phone in enumerate(self.phones):
                if phone.address == target:
                    phone.receive_datagram(octets, GATEKEEPER, self.now)
                    self.fetch(number)

    def look_up(self) -> None:
        how = self.byte()
        self.hold = bool(how & 1)
        if self.asked and not self.hold:
            ticket, ext, g, cvm = self.asked.pop(how % len(self.asked))
            lookup = _look_up(ext, g, cvm)
            if how % 16 == 4:
                lookup = core.Lookup(available=False)
            elif how % 16 == 6:
                lookup = core.Lookup(1 + how // 16 % 5)
            self.registrar.provide(ticket, lookup, self.now)
            self.registrar.provide(ticket, lookup, self.now)  # the second one says nothing
        elif how % 16 == 2:
            self.registrar.provide(how, core.Lookup(available=False), self.now)

    def replay(self) -> None:
        if self.sent:
            octets, source = self.sent[self.byte() % len(self.sent)]
            if self.byte() & 1:
                source = SOURCES[self.byte() % 4]
            self.deliver(octets, source)

    def end(self) -> None:
        ext = tuple(_PINS)[self.byte() % len(_PINS)]
        there = self.registrar.registration(ext) is not None
        assert self.registrar.end_registration(ext, "reregistrationRequired", self.now) == there
        assert self.registrar.registration(ext) is None

    def rotate(self) -> None:
        current = self.generations[: 1 + self.byte() % 3]
        self.registrar.set_site(current, (b"server",), current[:2])

    def leave(self) -> None:
        number = self.byte() % len(PHONES)
        self.phones[number].log_out(self.now)

    def reflect(self) -> None:
        if self.answers:
            self.deliver(self.answers[0][0], SOURCES[self.byte() % 4])

    # -- what comes of it

    def deliver(self, octets: bytes, source) -> None:
        self.collect()
        before = {held.identifier: (held.source, held.expires, held.heard) for held in self.registrar.held()}
        genuine = self.genuine(octets)
        known = self.accepted.get(octets)
        held_back = len(self.asked)
        self.registrar.receive_datagram(octets, source, self.now)
        out = self.collect()
        if len(self.asked) > held_back:
            return  # its answer comes later
        if genuine is None:
            self.silent(octets, out, before)
        if known is not None and known != source:
            assert not [one for one in out if one[1] == source], "a replay from elsewhere was answered"
        if genuine and any(_kind(one) in ("GCF", "RCF", "UCF") for one, _ in out):
            self.accepted.setdefault(octets, source)

    def silent(self, octets: bytes, out: list, before: dict) -> None:
        """Nobody with a key has made this: no state has changed, nothing but a refusal goes out."""
        after = {held.identifier: (held.source, held.expires, held.heard) for held in self.registrar.held()}
        assert after == before, "changed by what nobody has signed"
        kind = _kind(octets)
        allowed = {"GRQ": ("GRJ",), None: ()}.get(kind, ("XRS", "RRJ"))
        if self.registrar.plain is not None and kind is not None and _is_plain(octets):
            allowed += {"GRQ": ("GCF",), "RRQ": ("RCF",), "URQ": ("UCF",)}.get(kind, ())
        assert {_kind(one) for one, _ in out} <= set(allowed), f"{kind} was answered"

    def genuine(self, octets: bytes):
        """Return the Record or Held whose key has signed these octets, None where there is none."""
        try:
            decoded = message.decode_message(octets)
            found = profile.elements(decoded)
            suite = profile.suite_of(decoded)
        except (RemoteProtocolError, KeyError):
            return None
        record = _RIGHT.get(found.get(profile.G))
        if record is not None and record.suite is suite:
            if message.verify(decoded, suite, record.ka):
                return record
            if message.verify(decoded, suite, keys.reject_key(suite, record.kg)):
                return record
        for one in _RIGHT.values():  # whose key a registration, or the end of one, may be under
            if one.suite is suite and message.verify(decoded, suite, one.ka):
                return one
        return None

    def collect(self) -> list:
        """Answer look-ups, carry datagrams off; return those of the gatekeeper."""
        out = []
        for _ in range(10 * MAX_STEPS):
            event = self.registrar.next_event()
            if event is None:
                break
            if event[0] == "lookup" and event[1]:  # else it was known at once
                self.asked.append((event[1], event[2], event[3], event[6]))
                if not self.hold:
                    ticket, ext, g, cvm = self.asked.pop()
                    self.registrar.provide(ticket, _look_up(ext, g, cvm), self.now)
        else:
            raise AssertionError("events without an end")
        for octets, target in self.registrar.datagrams_to_send():
            assert _kind(octets) is not None, "what the gatekeeper sends cannot be decoded"
            out.append((octets, target))
        self.answers += out
        for number, _ in enumerate(self.phones):
            self.fetch(number)
        return out

    def fetch(self, number: int) -> None:
        phone = self.phones[number]
        for octets, target in phone.datagrams_to_send():
            if target == GATEKEEPER:
                self.flying.append((octets, phone.address, number))
                self.sent.append((octets, phone.address))
        while phone.next_event() is not None:
            pass

    def check(self) -> None:
        held = self.registrar.held()
        assert len(held) <= MAX_HELD
        assert len({one.ext for one in held}) == len(held)
        assert len(self.asked) <= MAX_PENDING
        for one in held:
            assert self.registrar.psk(one.sid) == one.ks
            assert self.registrar.registration(one.ext) is one
            assert one.ext in _PINS
        plain = [] if self.registrar.plain is None else self.registrar.plain.all()
        assert {one.ext for one in plain} <= set(_PLAIN) - {one.ext for one in held}, "both of one extension"
        for one in plain:
            assert one.source[0].startswith("192.0.2.")
            assert self.registrar.psk(one.identifier) is None

    def finish(self) -> None:
        """Whatever happened, a phone with the right PIN registers after a time, and nothing has piled up."""
        for ticket, _, _, _ in self.asked:
            self.registrar.provide(ticket, core.Lookup(available=False), self.now)
        self.asked.clear()
        self.hold = False
        self.registrar.set_site(self.generations, (b"server",))
        self.now += 4 * 3600_000  # registrations, bans and Rg are over
        self.registrar.handle_timer(self.now)
        for _ in range(4):  # a URQ that nobody answers
            self.now += 20_000
            self.registrar.handle_timer(self.now)
        self.collect()
        assert self.registrar.held() == []
        assert not self.registrar.plain
        assert self.registrar.get_timer() is None, "something is due for ever"
        assert _entries(self.registrar) <= MAX_ENTRIES
        self.flying.clear()
        self.answers.clear()
        self.phones[0] = Endpoint(self.random, ("203.0.113.9", 1719))
        self.phones[0].register(PHONES[0], (GATEKEEPER,), self.now)
        for _ in range(2):  # GRQ, RRQ
            self.collect()
            octets, source, _ = self.flying.pop()
            self.registrar.receive_datagram(octets, source, self.now)
            self.collect()
            self.phones[0].receive_datagram(self.answers.pop()[0], GATEKEEPER, self.now)
        assert [one.ext for one in self.registrar.held()] == ["1001"]


def _look_up(ext: str, g: bytes, cvm: bytes) -> core.Lookup:
    """Say what key server and directory would: by g and check value, as the registrar was told of them."""
    suite = keys.SHA1 if cvm == _CVM["sha1"] else keys.SHA256
    kg = keys.device_key(suite, _OLD_KM if cvm == _OLD_CVM else _KM[suite.name], g)
    if g == _REVOKED:
        return core.Lookup(profile.REVOKED, kg)
    if ext not in _PINS:
        return core.Lookup(profile.UNKNOWN_EXTENSION, kg)
    return core.Lookup(0, kg, _PINS[ext])


def _kind(octets: bytes) -> "str | None":
    try:
        return message.decode_message(octets).kind
    except (RemoteProtocolError, LocalProtocolError):
        return None


def _is_plain(octets: bytes) -> bool:
    return codec.Codec().is_plain(message.decode_message(octets))


def _without_token(octets: bytes) -> bytes:
    """Return a phone's message as a plain endpoint would send it."""
    try:
        decoded = message.decode_message(octets)
        decoded.value.pop("tokens", None)
        return bytes(message.encode_message(decoded.kind, decoded.value)[0])
    except (RemoteProtocolError, LocalProtocolError):
        return octets


def _entries(value: object, seen: "set | None" = None) -> int:
    """Count what tables and objects of the core hold, those within each other too."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, str | bytes | int | None):
        return 0
    seen.add(id(value))
    if isinstance(value, dict):
        return len(value) + sum(_entries(one, seen) for pair in value.items() for one in pair)
    if isinstance(value, list | tuple | set) or type(value).__name__ == "deque":
        return len(value) + sum(_entries(one, seen) for one in value)
    return _entries(vars(value), seen) if type(value).__module__.startswith("ras.") else 0


def _learn() -> HostCodec:
    """Return a codec that has seen each phone register twice: shapes come with the first, templates too."""
    run = _Run(bytes((2,)))
    for number in (*range(len(PHONES)), *range(len(PHONES))):
        run.phones[number].register(PHONES[number], (GATEKEEPER,), run.now)
        for _ in range(4):
            run.collect()
            for octets, source, _ in run.flying:
                run.registrar.receive_datagram(octets, source, run.now)
            run.flying.clear()
            run.collect()
            run.answer()
        run.now += 1
    codec = run.registrar._host_codec
    assert len(codec.shapes) >= 2, "it has learned nothing"
    return codec


_Run.knows = _learn()
