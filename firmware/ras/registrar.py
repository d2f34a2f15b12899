"""The gatekeeper's side of RAS: verifies, registers, keeps alive, unregisters.

Without I/O.  Times are milliseconds.  What it can not know it asks for with an event,
("lookup", ticket, ext, g, suite name, kind, cvm, source, phone), and gets by `provide`; phone: it
has proven its PIN with this g, so it goes before strangers.  Its other events tell what happened,
for logs and for the signalling channel (plain.py has those of plain endpoints):

    ("request", source, ext) ("confirmed", source, ext)      GRQ came, GCF went
    ("refused", source, ext, code)                           GRJ or RRJ went
    ("registered", Held, Held or None)                       and what it replaces
    ("refreshed", Held) ("ended", Held, reason)
    ("dropped", source, reason)                              no answer went
    ("ignored", host, ms)                  what comes from there is not even decoded for so long

Source: the seed, figure 4, steps 60 to 67; protocol.md sections 4 and 5.
"""

from ras import answers, profile, refusals
from ras.attempts import Attempts
from ras.codec import Codec
from ras.compat import compare_digest, const
from ras.errors import RemoteProtocolError
from ras.generator import fits, unpack
from ras.held import Held, new_sid, software
from ras.keys import Suite, authentication_key, reject_key, session_key
from ras.lookups import Asked, Lookup, Pending
from ras.message import GCF as _GCF
from ras.message import GRJ, GRQ, MAX_MESSAGE, RCF, RRJ, RRQ, UCF, URQ, XRS, Message
from ras.plain import Plain
from ras.policy import Settings
from ras.registrations import Registrations
from ras.replay import Nonces, Recent
from ras.server_nonce import ServerNonces

RETRANSMISSION = const(10000)  # ms in which the same octets get the same answer again
# Answers to phones kept for that: at 1,000 requests a second they would be 10,000; the oldest goes.
MAX_ANSWERS = const(10000)
# Answers to strangers, who have none of the phones' room: silences and refusals.
MAX_REFUSALS = const(2048)
# Nonces of verified GRQs and RRQs, one for both of an exchange.  They can only come from who holds a Ka; at a
# log-in a minute from each of 1,000 phones this is over half an hour, and a GRQ that is replayed
# after that wins a GCF it can do nothing with.  An RRQ is no good after its Rg's 32 s.
MAX_NONCES = const(32768)
_SAMPLE = const(256)  # datagrams ignored
_SAMPLED = const(10000)  # ms


class Registrar:
    """The machine.  random: `random(n) -> bytes` that nobody can predict; codec: a Codec, or one like it.

    at_once: `at_once(ext, g, cvm)` returns the Lookup where it is at hand, else None; such a look-up
    is told of with a ticket of 0, and nothing waits for it.
    """

    def __init__(self, settings: Settings, random, codec: "Codec | None" = None) -> None:
        self.settings = settings
        self.at_once = _nothing_at_hand
        self._codec = codec if codec is not None else Codec()
        self._remembered = self._codec.remembered
        self._random = random
        self.server_nonces = ServerNonces(random(32))
        self.news: "list | None" = None  # a list of (kind, Re, key), where somebody keeps them (kept.py)
        self._answers = Recent(MAX_ANSWERS, RETRANSMISSION)
        self._refusals = Recent(MAX_REFUSALS, RETRANSMISSION)
        self._nonces = Nonces(MAX_NONCES, (GRQ, RRQ))
        self.attempts = Attempts(settings.throttle)
        self.ignored = 0  # datagrams that were not decoded
        self._pending = Pending()
        self._cvms: "tuple | None" = None
        self._servers: tuple = ()
        self._out: list = []
        self._events: list = []
        self._registrations = Registrations(
            settings, random, self._out, self._events, self._codec, self.attempts
        )
        self.plain: "Plain | None" = self._registrations.plain

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
        held = self.with_sid(identity)
        return held.ks if held is not None else None

    def with_sid(self, identity: str) -> "Held | None":
        """Return the registration of a signalling channel's identity, or None."""
        return self._registrations.with_sid(identity)

    def held(self) -> "list[Held]":
        """Return the registrations there are."""
        return self._registrations.all()

    def count(self) -> int:
        """Return how many registrations there are, those that are being ended from this side too."""
        return len(self._registrations)

    def registered(self) -> int:
        """Return how many there are without those."""
        return self._registrations.registered()

    def registration(self, ext: str) -> "Held | None":
        """Return the registration of an extension, or None."""
        return self._registrations.of(ext)

    def sizes(self) -> "dict[str, int]":
        """Return how many entries each table has, by its name."""
        return {
            "registrations": len(self._registrations),
            "plain": len(self.plain) if self.plain is not None else 0,
            "answers": len(self._answers),
            "refusals": len(self._refusals),
            "nonces": len(self._nonces),
            "look_ups": len(self._pending),
            "throttle": sum([len(table) for table in self.attempts.tables().values()]),
        }

    def end_registration(self, ext: str, reason: str, now: int) -> bool:
        """End a registration from this side: URQ with an UnregRequestReason; tell whether there was one."""
        held = self._registrations.of(ext)
        if held is None:
            return False
        self._registrations.release(held, reason, now)
        return True

    def remember(self, held: Held, now: int) -> None:
        """Take a registration that is back after a restart for what it is: a phone, no stranger."""
        held.source = held.proven = self.settings.noise.proven(held.source, now)
        self.attempts.succeeded(held.source, held.ext, held.g, now)

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
        if self.settings.noise.ignores(source, now):
            self.ignored += 1
            # One in so many is the source of a great part of them: let the kernel drop it.
            if self.ignored % _SAMPLE == 0 and not self.settings.noise.phones_at(source[0], now):
                self._events.append(("ignored", source[0], _SAMPLED))
            return
        if len(data) > MAX_MESSAGE:
            self._drop(source, data, "over %d octets" % MAX_MESSAGE, now)
            return
        key = self._remembered(source, data)
        answer = self._answers.get(key, now)
        if answer is not None:
            self._out.append((answer, source))
            return
        refused = self._refusals.get(key, now)
        if refused is not None:
            self._refuse_again(refused, data, source, now)
            return
        self._take(data, source, now, key)

    def _take(self, data: bytes, source: "tuple[str, int]", now: int, key) -> None:
        """Take one that did not come before; key: what its answer is remembered by."""
        try:
            message = self._codec.decode(data)
            kind = message.kind
            plain = kind in (GRQ, RRQ, URQ) and self._codec.is_plain(message)
            if plain and self.plain is not None and self.plain.receive(message, source, now):
                pass  # one that the site allows has had its answer
            elif plain and kind != URQ:
                # An H.323 endpoint without the profile is told that it is not let in.
                answer, why = refusals.plain_reject(message), "%s without the profile; rejected" % kind
                self._send_unsigned(answer, why, message, source, now)
            elif kind == GRQ or (kind == RRQ and not self._codec.brief(message).get("keepAlive")):
                self._log_in(message, source, now, key)
            elif kind in (RRQ, URQ):
                self._answer(key, source, self._registrations.receive(message, source, now), now)
                if self.news is not None:
                    self.news.append((kind, None, key))
            elif kind == UCF:
                self._registrations.released(message)
            elif "requestSeqNum" in message.value and message.kind not in _ANSWERS:
                answer, why = refusals.not_understood(message), "a request that is not understood; XRS sent"
                self._send_unsigned(answer, why, message, source, now)
            else:
                raise RemoteProtocolError("%s is nothing for a gatekeeper" % message.kind)
        except RemoteProtocolError as error:
            self._drop(source, data, str(error), now)

    def failed(self, data: bytes, source: "tuple[str, int]", now: int) -> None:
        """Hear that taking a datagram has raised something that it must not: it counts as noise."""
        self._drop(source, data, "a fault of this gatekeeper's own", now)

    def _drop(self, source: "tuple[str, int]", data: bytes, reason: str, now: int) -> None:
        """Answer with silence what no phone in order sends."""
        self._events.append(("dropped", source, reason))
        ban = self.settings.noise.made(source, len(data), now)
        if ban:
            self._events.append(("ignored", source[0], ban))

    # -- GRQ and RRQ

    def _log_in(self, message: Message, source: "tuple[str, int]", now: int, key) -> None:
        codec, kind = self._codec, message.kind
        found = codec.elements(message)
        suite = codec.suite_of(message)
        if suite is None:
            raise RemoteProtocolError("%s: not signed" % kind)
        ext = codec.extension(message)
        g = found[profile.G]
        asked = Asked(message, source, key, ext, found, suite)
        self._admit(asked, now)
        if len(self._pending) and self._pending.holds(key):
            return  # a retransmission overtook the look-up
        if kind == GRQ:
            self._events.append(("request", source, ext))
        elif not self.server_nonces.is_ours(found[profile.RG], source, ext, g, found[profile.RE], now):
            raise RemoteProtocolError("RRQ: Rg is not ours, or too old")
        if self._nonces.has(kind, found[profile.RE]):
            raise RemoteProtocolError("%s: replayed Re" % kind)
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
        held = self._registrations.of(ext)
        # The Rg of an RRQ was given to who proved its key with a GRQ.
        asked.phone = (
            kind == RRQ or (held is not None and held.g == g) or self.attempts.proven(source, ext, g, now)
        )
        # A phone's g has been looked at before.
        if not asked.phone and not fits(g, ext):
            self._failed(asked, False, now)
            raise RemoteProtocolError("%s: g is another extension's" % kind)
        if self._servers and unpack(g)[0] not in self._servers:
            self._refuse(asked, profile.OBSOLETE, Lookup(), now)
            return
        self._look_up(asked, now)

    def _admit(self, asked: Asked, now: int) -> None:
        """Raise RemoteProtocolError where a log-in is to be ignored."""
        reason = self.attempts.refused(asked.source, asked.ext, asked.found[profile.G], now)
        if reason is not None:
            raise RemoteProtocolError(reason)

    def _look_up(self, asked: Asked, now: int) -> None:
        source, ext, g = asked.source, asked.ext, asked.found[profile.G]
        kind, cvm = asked.message.kind, asked.found[profile.CVM_ID]
        found = self.at_once(ext, g, cvm)
        ticket = 0 if found is not None else self._pending.add(asked)
        if ticket is None:
            self._events.append(("dropped", source, "too many look-ups under way"))
            return
        self._events.append(("lookup", ticket, ext, g, asked.suite.name, kind, cvm, source, asked.phone))
        if found is not None:
            self._looked_up(asked, found, now)

    def provide(self, ticket: int, lookup: Lookup, now: int) -> None:
        """Take the answer to a ("lookup", ticket, …)."""
        asked = self._pending.take(ticket)
        if asked is None:
            return
        try:
            if lookup.available:
                # Once more: others of this source may have failed while this one waited.
                self._admit(asked, now)
            self._looked_up(asked, lookup, now)
        except RemoteProtocolError as error:
            self._drop(asked.source, asked.message.octets, str(error), now)

    def _looked_up(self, asked: Asked, lookup: Lookup, now: int) -> None:
        message, found, suite = asked.message, asked.found, asked.suite
        if not lookup.available:
            self._events.append(("dropped", asked.source, "the key server was not reached"))
            return
        if lookup.kg is not None and len(lookup.kg) != suite.key:
            self._refuse(asked, profile.SUITE_REFUSED, Lookup(), now)  # the site has the other suite
            return
        if lookup.code and lookup.pin is None:
            if lookup.code != profile.OTHER_GATEKEEPER:
                # Or else extensions, and g that were never issued, could be tried at leisure.
                self._count_failure(asked, False, now)
            self._refuse(asked, lookup.code, lookup, now)
            return
        ka = lookup.ka
        if ka is None and lookup.kg is not None:
            ka = lookup.ka = authentication_key(suite, lookup.kg, lookup.pin)
        pin_proven = ka is not None and self._codec.verify(message, suite, ka)
        if ka is not None and not pin_proven and not self._from_kg(message, suite, lookup.kg):
            self._failed(asked, True, now)
            raise RemoteProtocolError("%s: wrong ICV" % message.kind)
        if lookup.code:
            self._refuse(asked, lookup.code, lookup, now, ka)
            return
        # Asks the kernel, which may have no answer: before anything has changed.
        ras, signalling = self.settings.addresses(asked.source[0])
        self._codec.verified(message)
        self._nonces.add(message.kind, found[profile.RE])
        if self.news is not None:
            self.news.append((message.kind, found[profile.RE], asked.key))
        if pin_proven:
            asked.source = self.settings.noise.proven(asked.source, now)
            self.attempts.succeeded(asked.source, asked.ext, found[profile.G], now)
        if message.kind == GRQ and self._registrations.are_full_for(asked.ext):
            elsewhere = Lookup(kg=lookup.kg, others=self.settings.others)
            self._refuse(asked, profile.OTHER_GATEKEEPER, elsewhere, now)
        elif message.kind == GRQ:
            self._confirm(asked, ka, ras, now)
        else:
            self._register(asked, ka, lookup, signalling, now)

    def _from_kg(self, message: Message, suite: Suite, kg: bytes) -> bool:
        allowed = self.settings.icv_from_kg and message.kind == GRQ
        return allowed and self._codec.verify(message, suite, reject_key(suite, kg))

    def _confirm(self, asked: Asked, ka: bytes, ras: "tuple[str, int]", now: int) -> None:
        number = self._codec.brief(asked.message)["requestSeqNum"]
        g, re = asked.found[profile.G], asked.found[profile.RE]
        elements = {profile.RE: re, profile.RG: self.server_nonces.make(asked.source, asked.ext, g, re, now)}
        octets = answers.within(
            asked.message,
            self.settings.others,
            lambda others: self._codec.gatekeeper_confirm(number, ras, others, elements, asked.suite, ka),
        )
        self._answer(asked.key, asked.source, octets, now)
        self._events.append(("confirmed", asked.source, asked.ext))

    def _register(self, asked: Asked, ka: bytes, lookup: Lookup, signalling, now: int) -> None:
        found, value = asked.found, self._codec.brief(asked.message)
        if self._registrations.are_full_for(asked.ext):  # since its GRQ
            self._refuse(asked, profile.OTHER_GATEKEEPER, Lookup(), now, ka)
            return
        old = self._registrations.of(asked.ext)
        # The object that tables have, not another one.
        ext = asked.ext if old is None else old.ext
        g, re, rg, sid = found[profile.G], found[profile.RE], found[profile.RG], new_sid(self._random)
        ks = session_key(asked.suite, lookup.kg, lookup.pin, re, rg)
        held = Held(ext, asked.suite, asked.source, sid, g, rg, ka, ks, found[profile.CVM_ID])
        vendor = asked.message.value["endpointVendor"]
        held.software = software(vendor.get("productId", b""), vendor.get("versionId", b""))
        life = self._registrations.life(value)
        elements = {profile.RE: re, profile.RG: rg, profile.SID: sid}
        self._registrations.ask_to_fetch(held, elements)
        octets = answers.within(
            asked.message,
            self.settings.others,
            lambda others: self._codec.registration_confirm(
                value["requestSeqNum"], held.identifier, signalling, life, others, elements, held.suite, ka
            ),
        )
        if old is not None:
            self._registrations.replace(old, held, now)
        self._registrations.add(held, life, now)
        self._answer(asked.key, asked.source, octets, now)
        self._events.append(("registered", held, old))

    # -- refusals and failures

    def _refuse(self, asked: Asked, code: int, lookup: Lookup, now: int, ka=None) -> None:
        """Say no: a GRJ under Kr or under nothing, an RRJ under Ka; else silence."""
        message = asked.message
        if message.kind == RRQ and ka is None:
            # RRJ is signed with Ka or not at all (section 4).
            raise RemoteProtocolError("RRQ: refused, and no key to say so")
        if message.kind == GRQ:
            answer = refusals.gatekeeper_reject(message, asked.found, asked.suite, code, lookup)
        else:
            answer = refusals.registration_reject(message, asked.found, asked.suite, code, ka)
        signed = lookup.kg is not None or ka is not None
        if not signed and not self.settings.noise.unsigned(asked.source, now):
            raise RemoteProtocolError("%s: refused, and too often lately to say so" % message.kind)
        self._refusals.put(asked.key, (answer, signed), now)
        self._out.append((answer, asked.source))
        self._events.append(("refused", asked.source, asked.ext, code))

    def _refuse_again(self, refused: "tuple[bytes, bool]", data: bytes, source, now: int) -> None:
        """Give the same answer to the same request: no octets where that was silence."""
        answer, signed = refused
        if not answer:
            return
        if not signed and not self.settings.noise.unsigned(source, now):
            self._drop(source, data, "refused before, and too often lately to say so", now)
            return
        self._out.append((answer, source))

    def _send_unsigned(self, answer: bytes, why: str, message: Message, source, now: int) -> None:
        if 2 * len(answer) > 3 * len(message.octets) or not self.settings.noise.unsigned(source, now):
            raise RemoteProtocolError("%s of a stranger; no answer" % message.kind)
        self._out.append((answer, source))
        self._events.append(("dropped", source, why))

    def _count_failure(self, asked: Asked, compared: bool, now: int) -> None:
        self.attempts.failed(asked.source, asked.ext, asked.found[profile.G], compared, now)

    def _failed(self, asked: Asked, compared: bool, now: int) -> None:
        """Count a failure whose answer is silence."""
        self._count_failure(asked, compared, now)
        # Its retransmissions are the same failure, not further ones.
        self._refusals.put(asked.key, (b"", True), now)

    def _answer(self, key, source: "tuple[str, int]", octets: bytes, now: int) -> None:
        """Send what only a phone gets, and keep it for the retransmission."""
        self._answers.put(key, octets, now)
        self._out.append((octets, source))


def _nothing_at_hand(__ext: str, __g: bytes, __cvm: bytes) -> "Lookup | None":
    return None


# Answers are never answered: two machines must not talk each other's errors in circles.
_ANSWERS = (_GCF, GRJ, RCF, RRJ, UCF, XRS)
