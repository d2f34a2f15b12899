"""The gatekeeper's side of RAS: verifies, registers, keeps alive, unregisters.

Without I/O.  Times are milliseconds.  What it can not know it asks for with an event,
("lookup", ticket, ext, g, suite name, kind, cvm), and gets by `provide`.  Its other events tell
what happened, for logs and for the signalling channel:

    ("request", source, ext) ("confirmed", source, ext)      GRQ came, GCF went
    ("refused", source, ext, code)                           GRJ or RRJ went
    ("registered", Held, Held or None)                       and what it replaces
    ("refreshed", Held) ("ended", Held, reason)
    ("dropped", source, reason)                              no answer went

Source: the seed, figure 4, steps 60 to 67; protocol.md sections 4 and 5.
"""

from ras import answers, profile
from ras.compat import compare_digest, const
from ras.errors import RemoteProtocolError
from ras.generator import fits, unpack
from ras.keys import NONCE, Suite, authentication_key, ext_digits, reject_key, session_key
from ras.mac import hmac_digest
from ras.message import GCF as _GCF
from ras.message import (
    GRJ,
    GRQ,
    MAX_MESSAGE,
    RCF,
    RRJ,
    RRQ,
    UCF,
    URQ,
    XRS,
    Message,
    decode_message,
    encode_message,
    verify,
)
from ras.registrations import MAX_HELD, Held, Registrations
from ras.replay import Recent
from ras.throttle import Throttle, network_of

RETRANSMISSION = const(10000)  # ms in which the same octets get the same answer again
# Answers kept for that: at 1,000 requests a second they would be 10,000; the oldest goes.
MAX_ANSWERS = const(10000)
# Nonces of verified requests.  They can only come from who holds a Ka; at a log-in a
# minute from each of 1,000 phones this is over an hour, and a GRQ that is replayed after
# that wins a GCF it can do nothing with.
MAX_NONCES = const(65536)
MAX_PENDING = const(1024)  # look-ups under way: beyond, phones are left to their next try
# ms for which an Rg is good, at least; at most twice that.  A phone's three tries of RRQ
# take 14 s and more, and need not all succeed.
_RG_SPAN = const(16000)

_GRJ_REASONS = {
    profile.UNKNOWN_EXTENSION: "terminalExcluded",
    profile.OTHER_GATEKEEPER: "resourceUnavailable",
}


class Settings:
    """What a site sets.

    addresses: `addresses(source host) -> (RAS address, signalling address)`, the numeric
    (host, port) by which that source reaches this gatekeeper; suites: names allowed;
    time_to_live: s; others: alternate gatekeepers; throttle: a Throttle; icv_from_kg: take
    a GRQ that is signed with Kr, too, which proves Kg but not the PIN (section 4, at its
    end: the RRQ still has to prove it).
    """

    def __init__(
        self,
        addresses,
        suites=("sha256",),
        time_to_live=300,
        others=(),
        throttle=None,
        icv_from_kg=False,
    ) -> None:
        self.addresses = addresses
        self.suites = suites
        self.time_to_live = time_to_live
        self.others = tuple(others)
        self.throttle = throttle if throttle is not None else Throttle()
        self.icv_from_kg = icv_from_kg


class Lookup:
    """The answer to a ("lookup", …).

    code: 0 where the endpoint may go on, else an error code of profile.py; kg: where the
    key server gave it; pin: where the extension is known; others: for a redirection;
    available: False where nobody could be asked: the request is dropped, and its next
    try looks up anew.
    """

    def __init__(self, code=0, kg=None, pin=None, others=(), available=True) -> None:
        self.code = code
        self.kg = kg
        self.pin = pin
        self.others = tuple(others)
        self.available = available

    def __repr__(self) -> str:
        return "Lookup(%d)" % self.code


class _Asked:
    """A request that waits for its look-up."""

    def __init__(self, message: Message, source, ext: str, found: dict, suite: Suite) -> None:
        self.message = message
        self.source = source
        self.ext = ext
        self.found = found
        self.suite = suite


class Registrar:
    """The machine.  random: `random(n) -> bytes` that nobody can predict."""

    def __init__(self, settings: Settings, random) -> None:
        self.settings = settings
        self._random = random
        self._rg_key = random(32)
        self._answers = Recent(MAX_ANSWERS, RETRANSMISSION)
        self._nonces = Recent(MAX_NONCES, None)
        self._pending = {}
        self._ticket = 0
        self._cvms = None
        self._servers = ()
        self._asking = set()  # (source, octets) of the pending
        self._out = []
        self._events = []
        self._registrations = Registrations(settings, random, self._out, self._events)

    # -- what the gatekeeper tells

    def set_site(
        self,
        cvms: "tuple[bytes, ...]",
        servers: "tuple[bytes, ...]" = (),
        current: "tuple[bytes, ...] | None" = None,
    ) -> None:
        """Set the check values of the Km that are in force and the key servers' ids (none: any).

        current: those of them that new keys come from; phones with keys of another one are told
        to fetch new ones.  None: all of them.
        """
        self._cvms = tuple(cvms)
        self._servers = tuple(servers)
        outdated = () if current is None else [cvm for cvm in self._cvms if cvm not in current]
        self._registrations.outdated = tuple(outdated)

    def psk(self, identity: str) -> "bytes | None":
        """Return Ks for a signalling channel's identity (SID in lower-case hex), or None."""
        held = self._registrations.with_sid(identity)
        return held.ks if held is not None else None

    def held(self) -> "list[Held]":
        """Return the registrations there are."""
        return self._registrations.all()

    def registration(self, ext: str) -> "Held | None":
        """Return the registration of an extension, or None."""
        return self._registrations.of(ext)

    def sizes(self) -> "dict[str, int]":
        """Return how many entries each table has, by its name."""
        return {
            "registrations": len(self._registrations),
            "answers": len(self._answers),
            "nonces": len(self._nonces),
            "look_ups": len(self._pending),
            "throttle": len(self.settings.throttle),
        }

    def end_registration(self, ext: str, reason: str, now: int) -> bool:
        """End a registration from this side: URQ with an UnregRequestReason; tell whether there was one."""
        held = self._registrations.of(ext)
        if held is None:
            return False
        self._registrations.release(held, reason, now)
        return True

    # -- the face of all machines

    def datagrams_to_send(self) -> list:
        """Return and forget what is to go out: [(octets, source)]."""
        out = self._out[:]
        self._out.clear()
        return out

    def next_event(self) -> "tuple | None":
        """Return the next event, or None."""
        return self._events.pop(0) if self._events else None

    def get_timer(self) -> "int | None":
        """Return when `handle_timer` wants to be called, or None."""
        return self._registrations.get_timer()

    def handle_timer(self, now: int) -> None:
        """Do what is due at `now`; may be called early."""
        self._registrations.handle_timer(now)

    def receive_datagram(self, data: bytes, source: "tuple[str, int]", now: int) -> None:
        """Take one datagram."""
        key = (source, data)
        answer = self._answers.get(key, now)
        if answer is not None:
            if answer:  # else silence was the answer
                self._out.append((answer, source))
            return
        try:
            message = decode_message(data)
            if message.kind == GRQ or (message.kind == RRQ and not message.value.get("keepAlive")):
                self._log_in(message, source, now)
            elif message.kind in (RRQ, URQ):
                self._answer(message, source, self._registrations.receive(message, source, now), now)
            elif message.kind == UCF:
                self._registrations.released(message)
            elif "requestSeqNum" in message.value and message.kind not in _ANSWERS:
                self._not_understood(message, source, now)
            else:
                raise RemoteProtocolError("%s is nothing for a gatekeeper" % message.kind)
        except RemoteProtocolError as error:
            self._events.append(("dropped", source, str(error)))

    # -- GRQ and RRQ

    def _log_in(self, message: Message, source: "tuple[str, int]", now: int) -> None:
        throttle = self.settings.throttle
        if throttle.ignores(source[0], now):
            raise RemoteProtocolError("throttled source")
        found = profile.elements(message)
        suite = profile.suite_of(message)
        if suite is None:
            raise RemoteProtocolError("%s: not signed" % message.kind)
        ext = _extension(message)
        if throttle.ignores((network_of(source[0]), ext), now):
            raise RemoteProtocolError("throttled source network for this extension")
        if len(self._pending) >= MAX_PENDING:
            raise RemoteProtocolError("too many look-ups under way")
        if (source, message.octets) in self._asking:
            return  # a retransmission overtook the look-up
        asked = _Asked(message, source, ext, found, suite)
        if message.kind == GRQ:
            self._events.append(("request", source, ext))
        elif not self._rg_valid(asked, now):
            raise RemoteProtocolError("RRQ: Rg is not ours, or too old")
        if self._nonces.get((message.kind, found[profile.RE]), now) is not None:
            raise RemoteProtocolError("%s: replayed Re" % message.kind)
        if suite.name not in self.settings.suites:
            self._refuse(asked, profile.SUITE_REFUSED, Lookup(), now)
            return
        if self._cvms is None:
            raise RemoteProtocolError("no check value yet: the key server was not reached")
        known = False
        for cvm in self._cvms:  # all of them, in constant time (section 2)
            known |= compare_digest(found[profile.CVM_ID], cvm)
        if not known:
            self._refuse(asked, profile.OBSOLETE, Lookup(), now)
            return
        if not fits(found[profile.G], ext):
            self._failed(asked, now)
            raise RemoteProtocolError("%s: g is another extension's" % message.kind)
        if self._servers and unpack(found[profile.G])[0] not in self._servers:
            self._refuse(asked, profile.OBSOLETE, Lookup(), now)
            return
        self._ticket += 1
        self._pending[self._ticket] = asked
        self._asking.add((source, message.octets))
        self._events.append(
            ("lookup", self._ticket, ext, found[profile.G], suite.name, message.kind, found[profile.CVM_ID])
        )

    def provide(self, ticket: int, lookup: Lookup, now: int) -> None:
        """Take the answer to a ("lookup", ticket, …)."""
        asked = self._pending.pop(ticket, None)
        if asked is None:
            return
        message, found, suite = asked.message, asked.found, asked.suite
        self._asking.remove((asked.source, message.octets))
        if not lookup.available:
            self._events.append(("dropped", asked.source, "the key server was not reached"))
            return
        if lookup.kg is not None and len(lookup.kg) != suite.key:
            self._refuse(asked, profile.SUITE_REFUSED, Lookup(), now)  # the site has the other suite
            return
        if lookup.code and lookup.pin is None:
            if lookup.code != profile.OTHER_GATEKEEPER:
                # Or else extensions, and g that were never issued, could be tried at leisure.
                self._count_failure(asked, now)
            self._refuse(asked, lookup.code, lookup, now)
            return
        ka = authentication_key(suite, lookup.kg, lookup.pin) if lookup.kg is not None else None
        if ka is not None and not verify(message, suite, ka) and not self._from_kg(message, suite, lookup.kg):
            self._failed(asked, now)
            self._events.append(("dropped", asked.source, "%s: wrong ICV" % message.kind))
            return
        if lookup.code:
            self._refuse(asked, lookup.code, lookup, now, ka)
            return
        self._nonces.put((message.kind, found[profile.RE]), True, now)
        self.settings.throttle.succeeded((network_of(asked.source[0]), asked.ext), now)
        if message.kind == GRQ:
            self._confirm(asked, ka, now)
        else:
            self._register(asked, ka, lookup, now)

    def _from_kg(self, message: Message, suite: Suite, kg: bytes) -> bool:
        allowed = self.settings.icv_from_kg and message.kind == GRQ
        return allowed and verify(message, suite, reject_key(suite, kg))

    def _confirm(self, asked: _Asked, ka: bytes, now: int) -> None:
        ras, _ = self.settings.addresses(asked.source[0])
        value = answers.gatekeeper_confirm(asked.message.value["requestSeqNum"], ras, self.settings.others)
        elements = {profile.RE: asked.found[profile.RE], profile.RG: self._rg(asked, now // _RG_SPAN)}
        self._answer(asked.message, asked.source, profile.seal(_GCF, value, elements, asked.suite, ka), now)
        self._events.append(("confirmed", asked.source, asked.ext))

    def _register(self, asked: _Asked, ka: bytes, lookup: Lookup, now: int) -> None:
        found, value = asked.found, asked.message.value
        old = self._registrations.of(asked.ext)
        if old is None and len(self._registrations) >= MAX_HELD:
            self._refuse(asked, profile.OTHER_GATEKEEPER, Lookup(others=self.settings.others), now, ka)
            return
        if old is not None:
            self._registrations.replace(old, found[profile.G], asked.source, now)
        held = Held(self._random(8).hex(), asked.ext, found[profile.G], asked.suite, asked.source)
        held.sid = self._random(NONCE).hex()
        held.cvm = found[profile.CVM_ID]
        held.ka = ka
        held.rg = found[profile.RG]
        held.ks = session_key(asked.suite, lookup.kg, lookup.pin, found[profile.RE], held.rg)
        life = self._registrations.life(value)
        self._registrations.add(held, life, now)
        _, signalling = self.settings.addresses(asked.source[0])
        answer = answers.registration_confirm(
            value["requestSeqNum"], held.identifier, signalling, life, self.settings.others
        )
        elements = {
            profile.RE: found[profile.RE],
            profile.RG: held.rg,
            profile.SID: bytes.fromhex(held.sid),
        }
        self._registrations.ask_to_fetch(held, elements)
        self._answer(asked.message, asked.source, profile.seal(RCF, answer, elements, held.suite, ka), now)
        self._events.append(("registered", held, old))

    def _refuse(self, asked: _Asked, code: int, lookup: Lookup, now: int, ka: "bytes | None" = None) -> None:
        number = asked.message.value["requestSeqNum"]
        suite, re = asked.suite, asked.found[profile.RE]
        if asked.message.kind == GRQ:
            key = reject_key(suite, lookup.kg) if lookup.kg is not None else None
            value = answers.gatekeeper_reject(number, _GRJ_REASONS.get(code, "securityDenial"), lookup.others)
            elements = {profile.ERROR: bytes((code,)), profile.RE: re}
            answer = profile.seal(GRJ, value, elements, suite if key else None, key)
        elif ka is None:
            # RRJ is signed with Ka or not at all (section 4).
            self._events.append(("dropped", asked.source, "RRQ: refused, and no key to say so"))
            return
        else:
            value = answers.registration_reject(number, "securityDenial")
            elements = {
                profile.ERROR: bytes((code,)),
                profile.RE: re,
                profile.RG: asked.found[profile.RG],
            }
            answer = profile.seal(RRJ, value, elements, suite, ka)
        self._answer(asked.message, asked.source, answer, now)
        self._events.append(("refused", asked.source, asked.ext, code))

    def _count_failure(self, asked: _Asked, now: int) -> None:
        throttle = self.settings.throttle
        throttle.failed(asked.source[0], now)
        throttle.failed((network_of(asked.source[0]), asked.ext), now)

    def _failed(self, asked: _Asked, now: int) -> None:
        """Count a failure whose answer is silence."""
        self._count_failure(asked, now)
        # Its retransmissions are the same failure, not further ones.
        self._answers.put((asked.source, asked.message.octets), b"", now)

    # Rg is a keyed function of the exchange, so nothing is kept between GCF and RRQ.

    def _rg(self, asked: _Asked, span: int) -> bytes:
        text = "%d %s %d %s " % (span, asked.source[0], asked.source[1], asked.ext)
        return hmac_digest(
            "sha256", self._rg_key, text.encode(), asked.found[profile.G], asked.found[profile.RE]
        )[:NONCE]

    def _rg_valid(self, asked: _Asked, now: int) -> bool:
        span = now // _RG_SPAN
        rg = asked.found[profile.RG]
        return compare_digest(rg, self._rg(asked, span)) or compare_digest(rg, self._rg(asked, span - 1))

    # -- answers

    def _answer(self, message: Message, source: "tuple[str, int]", octets: bytes, now: int) -> None:
        self._answers.put((source, message.octets), octets, now)
        self._out.append((octets, source))

    def _not_understood(self, message: Message, source: "tuple[str, int]", now: int) -> None:
        """Answer a request that is none of ours with XRS (H.225.0 section 7.6)."""
        if self.settings.throttle.ignores(source[0], now) or len(message.octets) > MAX_MESSAGE - 32:
            raise RemoteProtocolError("a request that is not understood")
        value = {
            "requestSeqNum": message.value["requestSeqNum"],
            "messageNotUnderstood": message.octets,
        }
        self._out.append((bytes(encode_message(XRS, value)[0]), source))
        self._events.append(("dropped", source, "a request that is not understood; XRS sent"))


# Answers are never answered: two machines must not talk each other's errors in circles.
_ANSWERS = (_GCF, GRJ, RCF, RRJ, UCF, XRS)


def _extension(message: Message) -> str:
    """Return EXT, the first dialledDigits alias."""
    name = "endpointAlias" if message.kind == GRQ else "terminalAlias"
    for kind, value in message.value.get(name, ()):
        if kind == "dialledDigits":
            try:
                ext_digits(value)
            except ValueError:
                break
            return value
    raise RemoteProtocolError("%s: no extension" % message.kind)
