"""The registrations that a gatekeeper holds: keepAlive, URQ from either side, the end of life.

Without I/O.  Times are milliseconds.  protocol.md sections 4 and 7.
"""

import heapq

from ras import answers, build, profile
from ras.codec import Codec
from ras.compat import compare_digest, const
from ras.errors import RemoteProtocolError
from ras.held import GRACE, IDENTIFIER, Held, Release, key_of
from ras.message import RRQ, URQ, Message
from ras.plain import Plain

# The default of what a site sets.  Some 1.5 KB each, with all that is remembered of a phone: 30 MB, which a
# Raspberry Pi has.
MAX_HELD = const(20000)
# Timers of registrations that have ended which may lie about, besides as many as there are of others:
# a phone that registers again and again would leave one for each time until its life is over.
_IDLE_TIMERS = const(64)
# ms whose registrations are looked at together, some hundred at a time, to find out when exactly each
# ends: an entry of a list is a tenth of what one of a heap takes.
_SPAN = const(4096)
_TRIES = const(3)
_FIRST_WAIT = const(2000)  # ms for the UCF to a URQ of ours; doubles
_NUMBERS = const(65535)  # that a requestSeqNum may have, from 1 on; each is of one URQ of ours that waits


class Registrations:
    """All of them.  out: list that datagrams (octets, address) are put into; events: list
    for ("refreshed", Held) and ("ended", Held, reason).  outdated: check values of Km that
    are being replaced.  codec, attempts: as the registrar has.  plain: the plain endpoints, None where the
    site has none.
    """

    def __init__(self, settings, random, out: list, events: list, codec: Codec, attempts) -> None:
        self._settings = settings
        self._random = random
        self._out = out
        self._events = events
        self._codec = codec
        self._attempts = attempts
        self.outdated: tuple = ()
        self.plain: "Plain | None" = None
        if settings.plain is not None:
            self.plain = Plain(settings, random, out, events, codec, self)
        self._by_identifier: dict = {}  # Held.key -> Held
        self._by_ext: dict = {}
        attempts.look_at(self._by_ext.get)
        # By SIDs that do not begin with the identifier, as those of a version before this one do not.
        self._by_sid: dict = {}
        self._releases: dict = {}  # requestSeqNum of our URQ -> Release
        self._releasing: dict = {}  # Held.key -> its Release
        self._timers: list = []  # heap of (when, number that tells equals apart, what is due)
        self._due = 0
        self._later: dict = {}  # number of a span of time -> identifiers of registrations that end in it
        self._spans: list = []  # heap of those numbers
        self._begun = -1  # the last one that was looked at
        self._waiting = 0  # identifiers in them, at most
        self._expires = 0  # of the last one that was added: many at a time have one object for it
        self._number = int.from_bytes(random(2), "big")

    def __len__(self) -> int:
        return len(self._by_identifier)

    def all(self) -> "list[Held]":
        """Return the registrations there are."""
        return list(self._by_ext.values())

    def registered(self) -> int:
        """Return how many there are, less those that are being ended from this side."""
        return len(self._by_ext)

    def of(self, ext: str) -> "Held | None":
        """Return the registration of an extension, or None."""
        return self._by_ext.get(ext)

    def are_full_for(self, ext: str) -> bool:
        """Tell whether an extension that is not there can not come to what there is."""
        return ext not in self._by_ext and len(self._by_ext) >= self._settings.most

    def with_sid(self, sid: str) -> "Held | None":
        """Return the registration whose SID this is, in lower-case hex, or None."""
        held: "Held | None" = self._by_identifier.get(key_of(sid[: 2 * IDENTIFIER]))
        if held is not None and held.sid == sid and held.ks:
            return held
        return self._by_sid.get(sid)

    def add(self, held: Held, life: int, now: int) -> None:
        """Hold a registration for `life` seconds."""
        held.since = now
        expires = now + 1000 * life + GRACE
        if expires != self._expires:
            self._expires = expires
        held.expires = self._expires
        if self.plain is not None:
            self.plain.secured(held.ext)
        self.put_back(held)

    def put_back(self, held: Held) -> None:
        """Hold a registration until the time that it has in `expires`."""
        key: "object" = held.key  # one object of it, compiled too
        self._by_identifier[key] = held
        self._by_ext[held.ext] = held
        if not held.sid.startswith(held.identifier):
            self._by_sid[held.sid] = held
        self._attempts.registered(held)
        self._schedule(held.expires, key)

    def replace(self, old: Held, new: Held, now: int) -> None:
        """End `old` since the endpoint of `new` has registered its extension."""
        if old.g == new.g or old.source == new.source:  # the same phone anew: it has no use for a URQ
            self._inherit(old, new)
            self._end(old, "expire", "reregistered")
        else:
            self.release(old, "undefinedReason", now)

    def renew(self, old: Held, new: Held, life: int, now: int) -> None:
        """Hold `new` in place of `old`, the same phone having registered anew; whoever calls tells of it."""
        self._inherit(old, new)
        # Its place in the table of extensions stays: what is taken out and put in has a table made anew
        # now and then.
        self._end(old, "expire", "", stays=True)
        self.add(new, life, now)

    def _inherit(self, old: Held, new: Held) -> None:
        """Let `attempts` have no entry for what `new` is about to say."""
        if old.g == new.g and old.proven[0] == new.proven[0]:
            old.proven = None

    def life(self, value: dict) -> int:
        """Return the seconds to grant to an RRQ: what it asks for, within the site's limit."""
        return min(value.get("timeToLive", self._settings.time_to_live), self._settings.time_to_live)

    # -- time

    def get_timer(self) -> "int | None":
        """Return when `handle_timer` wants to be called, or None."""
        due = self._timers[0][0] if self._timers else None
        if self._spans and (due is None or self._spans[0] * _SPAN < due):
            due = self._spans[0] * _SPAN
        if self.plain is not None:
            plain = self.plain.get_timer()
            if plain is not None and (due is None or plain < due):
                due = plain
        return due

    def handle_timer(self, now: int) -> None:
        """Do what is due at `now`; may be called early."""
        while self._spans and self._spans[0] * _SPAN <= now:
            self._begun = heapq.heappop(self._spans)
            found = self._later.pop(self._begun)
            self._waiting -= len(found)
            for identifier in found:
                held = self._by_identifier.get(identifier)
                if held is not None:
                    self._schedule(held.expires, identifier)
        while self._timers and self._timers[0][0] <= now:
            due = heapq.heappop(self._timers)[2]
            if isinstance(due, Release):
                if due.number in self._releases and self._releases[due.number] is due:
                    self._release_again(due, now)
            elif due in self._by_identifier:
                held = self._by_identifier[due]
                if held.expires > now:
                    self._schedule(held.expires, due)
                elif held.machine.state == "registered":
                    self._end(held, "expire", "ttlExpired")
        if self.plain is not None:
            self.plain.handle_timer(now)

    def _schedule(self, when: int, what: "object") -> None:
        """Let the registration of an identifier, or a release, be looked at then."""
        if (
            self._waiting + len(self._timers)
            > 2 * (len(self._by_identifier) + len(self._releases)) + _IDLE_TIMERS
        ):
            self._tidy()
        span = when // _SPAN
        if span > self._begun and not isinstance(what, Release):
            found = self._later.get(span)
            if found is None:
                found = self._later[span] = []
                heapq.heappush(self._spans, span)
            found.append(what)
            self._waiting += 1
            return
        self._due += 1
        heapq.heappush(self._timers, (when, self._due, what))

    def _tidy(self) -> None:
        """Forget timers of what is no more."""
        self._timers = [timer for timer in self._timers if self._wanted(timer[2])]
        heapq.heapify(self._timers)
        self._waiting = 0
        for span in self._spans:
            found = self._later[span] = [one for one in self._later[span] if one in self._by_identifier]
            self._waiting += len(found)

    def _wanted(self, what: "object") -> bool:
        if isinstance(what, Release):
            return self._releases.get(what.number) is what
        return what in self._by_identifier

    # -- keepAlive, and URQ of the endpoint

    def receive(self, message: Message, source: "tuple[str, int]", now: int) -> bytes:
        """Take an RRQ with keepAlive or a URQ; return the answer's octets.

        Raises RemoteProtocolError where silence is the answer.
        """
        found = self._codec.elements(message)
        brief = self._codec.brief(message)
        identifier = brief.get("endpointIdentifier")
        held: "Held | None" = self._by_identifier.get(key_of(identifier))
        if held is None or held.identifier != identifier or not compare_digest(found[profile.RG], held.rg):
            raise RemoteProtocolError("%s: no such registration" % message.kind)
        codec = self._codec
        if codec.suite_of(message) is not held.suite or not codec.verify(message, held.suite, held.ka):
            raise RemoteProtocolError("%s: wrong ICV" % message.kind)
        counter = int.from_bytes(found[profile.RE][:8], "big")
        if counter <= held.heard:
            raise RemoteProtocolError("%s: replayed Re" % message.kind)
        number = brief["requestSeqNum"]
        release = self._releases.get(number)
        if release is not None and release.octets == message.octets:
            raise RemoteProtocolError("URQ: our own, reflected")
        event = "refresh" if message.kind == RRQ else "leave"
        if not held.machine.allows(event):
            raise RemoteProtocolError("%s: the registration is ending" % message.kind)
        # Asks the kernel, which may have no answer: before anything has changed.
        _, signalling = self._settings.addresses(source[0])
        held.heard = counter
        codec.verified(message)
        elements = {profile.RE: found[profile.RE], profile.RG: held.rg}
        if event == "leave":
            answer = codec.unregistration_confirm(number, elements, held.suite, held.ka)
            self._end(held, "leave", "logged out")
            return answer
        held.machine = held.machine.after("refresh")
        if held.source != source:  # else it stays the object that others have too
            held.source = source
        life = self.life(brief)
        held.expires = now + 1000 * life + GRACE
        self.ask_to_fetch(held, elements)
        self._events.append(("refreshed", held))
        return answers.within(
            message,
            self._settings.others,
            lambda others: codec.registration_confirm(
                number, held.identifier, signalling, life, others, elements, held.suite, held.ka
            ),
        )

    def ask_to_fetch(self, held: Held, elements: dict) -> None:
        """Add to an RCF's elements that new keys are to be fetched soon, where they are."""
        if held.cvm in self.outdated:
            elements[profile.REFRESH] = b"\x01"

    # -- the end of a registration

    def _end(self, held: Held, event: str, reason: str, stays: bool = False) -> None:
        """End a registration.  stays: its extension has another one in a moment."""
        held.machine = held.machine.after(event)
        key: "object" = held.key
        if self._by_identifier.get(key) is held:
            del self._by_identifier[key]
        held.forget_keys()
        self._forget(held, stays)
        release: "Release | None" = self._releasing.pop(key, None) if self._releasing else None
        if release is not None:
            # Whatever ended it, a URQ of the endpoint that crossed ours too: ours waits no longer.
            self._releases.pop(release.number, None)
        elif reason:  # the end of a release was told when it began
            self._events.append(("ended", held, reason))

    def _forget(self, held: Held, stays: bool = False) -> None:
        """Forget SID and Ks (protocol.md section 7).  stays: as `_end` has it."""
        if self._by_sid:
            self._by_sid.pop(held.sid, None)
        held.forget_ks()
        if self._by_ext.get(held.ext) is held:
            if not stays:
                del self._by_ext[held.ext]
            if held.proven is not None:
                self._attempts.left(held)

    def release(self, held: Held, reason: str, now: int) -> None:
        """End a registration from this side: a URQ with an UnregRequestReason goes out.

        None does where as many others wait for their UCF as have a number of their own: the endpoint finds
        out at its next keepAlive, as where it does not hear any.
        """
        _, signalling = self._settings.addresses(held.source[0])
        held.machine = held.machine.after("release")
        self._forget(held)
        self._events.append(("ended", held, reason))
        if len(self._releases) >= _NUMBERS:
            self._end(held, "expire", "")
            return
        held.sent += 1
        self._number = self._number % _NUMBERS + 1
        while self._number in self._releases:
            self._number = self._number % _NUMBERS + 1
        value = build.unregistration_request(self._number, held.identifier, signalling, reason)
        re = held.sent.to_bytes(8, "big") + self._random(8)
        octets = profile.seal(URQ, value, {profile.RE: re, profile.RG: held.rg}, held.suite, held.ka)
        release = self._releasing[held.key] = Release(held, self._number, re, octets)
        self._releases[self._number] = release
        self._release_again(release, now)

    def _release_again(self, release: Release, now: int) -> None:
        if release.tries >= _TRIES:
            self._end(release.held, "expire", "")
            return
        self._schedule(now + (_FIRST_WAIT << release.tries), release)
        release.tries += 1
        self._out.append((release.octets, release.held.source))

    def released(self, message: Message) -> None:
        """Take a UCF; raises RemoteProtocolError where it answers no URQ of ours."""
        release = self._releases.get(self._codec.brief(message)["requestSeqNum"])
        if release is None:
            raise RemoteProtocolError("UCF: to no URQ of ours")
        held: Held = release.held
        found = self._codec.elements(message)
        if (
            not compare_digest(found[profile.RE], release.re)
            or not compare_digest(found[profile.RG], held.rg)
            or self._codec.suite_of(message) is not held.suite
            or not self._codec.verify(message, held.suite, held.ka)
        ):
            raise RemoteProtocolError("UCF: wrong ICV, Re or Rg")
        self._end(held, "confirm", "")
