"""The phone's side of RAS: finds a gatekeeper, registers, keeps alive, unregisters.

Without I/O.  Times are milliseconds.  What it was asked to do ends in an event from
`next_event`:

    ("asking", address)       GRQ goes to this gatekeeper
    ("confirmed", address)    its GCF has verified
    ("registered", Registration)
    ("refreshed",)            a keepAlive was confirmed
    ("fetch-soon",)           and the gatekeeper asks for new keys with it, for the first time
    ("refused", code)         an error code of profile.py; no other gatekeeper is left to ask
    ("no-answer",)            from any gatekeeper
    ("ended", reason)         of a registration: an UnregRequestReason, "no-answer" or "rejected"
    ("left",)                 logged out

Source: the seed, figure 4, steps 60 to 67; protocol.md sections 4 and 6.
"""

from ras import build, profile
from ras.address import alternates, from_transport
from ras.aper import UNKNOWN
from ras.compat import const
from ras.errors import RemoteProtocolError
from ras.keys import NONCE, reject_key, session_key
from ras.message import GCF, GRJ, GRQ, RCF, RRJ, RRQ, UCF, URQ, Message, decode_message, verify
from ras.record import Record
from ras.tables import ENDPOINT, Machine

MULTICAST = ("224.0.1.41", 1718)  # where a GRQ goes when no gatekeeper is known

TRIES = const(3)
FIRST_WAIT = const(2000)  # ms; doubles with each try (protocol.md section 6)
DOUBT = const(2000)  # ms to wait for a GCF before an unsigned GRJ is believed
# Gatekeepers asked in one round, alternates and redirections included: two gatekeepers
# that point at each other must not keep a phone busy.
MAX_ROUND = const(8)
# s; asked for in RRQ, the gatekeeper has the last word.
TIME_TO_LIVE = const(300)
_SHORTEST_REFRESH = const(5000)  # ms between keepAlives, however short a life RCF grants
# What a gatekeeper may send an endpoint; of anything else not even the tables are loaded.
_TAKEN = (GCF, GRJ, RCF, RRJ, UCF, URQ)
_LONGEST_LIFE = const(86400)  # s; a longer one would outlast the phone's own patience


class Registration:
    """What RCF has granted.

    identifier: endpointIdentifier; sid, ks: identity and key of the signalling channel;
    signalling: its (host, port); time_to_live: s; others: alternate gatekeepers;
    fetch_soon: the gatekeeper asks for new keys (element 7).
    """

    def __init__(
        self,
        identifier: str,
        sid: bytes,
        ks: bytes,
        signalling: "tuple[str, int]",
        time_to_live: int,
        others: "tuple[tuple[str, int], ...]",
        fetch_soon: bool,
    ) -> None:
        self.identifier = identifier
        self.sid = sid
        self.ks = ks
        self.signalling = signalling
        self.time_to_live = time_to_live
        self.others = others
        self.fetch_soon = fetch_soon

    def __repr__(self) -> str:
        return "Registration(%s, %d s)" % (self.identifier, self.time_to_live)


class Endpoint:
    """One endpoint.  random: `random(n) -> bytes`, nobody can predict them; address: the
    numeric (host, port) where this end hears RAS, also given as its call signalling
    address (calls come in on the channel that it opens itself); version: of its software,
    which its RRQ tells.
    """

    def __init__(self, random, address: "tuple[str, int]", version: str = "") -> None:
        self.address = address
        self._version = version
        self._random = random
        self._machine = Machine("endpoint", ENDPOINT, "idle")
        self._out = []
        self._events = []
        self._timer = None
        self._number = int.from_bytes(random(2), "big")
        self._record = None
        self._round = []
        self._asked = 0
        self._doubted = None
        self._registration = None
        self._answered = None
        self._refusal = None
        self._server = None
        self._re = self._rg = self._kr = b""
        self._sent = self._heard = 0  # counters of Re within the registration
        self._request_number = self._tries = 0
        self._where = None
        self._clear_request()

    @property
    def state(self) -> str:
        """The state's name in tables.ENDPOINT."""
        return self._machine.state

    # -- what the phone asks for

    def register(self, record: Record, gatekeepers: "tuple[tuple[str, int], ...]", now: int) -> None:
        """Register with the first of the gatekeepers that lets us; none given: by multicast."""
        if self._machine.state != "idle":
            self._stop()
        self._machine.feed("ask")
        self._record = record
        self._kr = reject_key(record.suite, record.kg)
        self._round = list(gatekeepers[:MAX_ROUND]) or [MULTICAST]
        self._asked = 0
        self._refusal = None
        self._discover(now)

    def log_out(self, now: int) -> None:
        """End the registration, or the attempt at one; ends in ("left",)."""
        if not self._machine.allows("leave"):
            if self._machine.state != "idle":
                self._stop()
            self._events.append(("left",))
            return
        self._machine.feed("leave")
        value = build.unregistration_request(
            self._next_number(), self._registration.identifier, self.address, None
        )
        self._request(URQ, value, {profile.RE: self._counted(), profile.RG: self._rg}, self._server, now)

    # -- the face of all machines

    def datagrams_to_send(self) -> "list[tuple[bytes, tuple[str, int]]]":
        """Return and forget what is to go out: [(octets, (host, port))]."""
        out = self._out
        self._out = []
        return out

    def next_event(self) -> "tuple | None":
        """Return the next event, or None."""
        return self._events.pop(0) if self._events else None

    def get_timer(self) -> "int | None":
        """Return when `handle_timer` wants to be called, or None."""
        return self._timer

    def handle_timer(self, now: int) -> None:
        """Do what is due at `now`; may be called early."""
        if self._timer is None or now < self._timer:
            return
        state = self._machine.state
        if state == "registered":
            self._refresh(now)
        elif state == "doubting":
            self._machine.feed("believe")
            self._rejected(self._doubted, now)
        elif self._tries < TRIES:
            self._transmit(now)
        elif state in {"discovering", "registering"}:
            self._next_gatekeeper(now)
        elif state == "leaving":
            self._machine.feed("expire")
            self._finish(("left",))
        else:
            self._machine.feed("expire")
            self._finish(("ended", "no-answer"))

    def receive_datagram(self, data: bytes, source: "tuple[str, int]", now: int) -> None:
        """Take one datagram; whatever is not a genuine answer to us is dropped without a trace."""
        try:
            message = decode_message(data, _TAKEN)
            if message.kind == URQ:
                self._released(message, source)
            elif message.kind != UNKNOWN and self._request_kind is not None:
                self._answer(message, source, now)
        except RemoteProtocolError:
            pass  # silence: it may be noise, or somebody who wants to learn what we dislike

    # -- answers

    def _answer(self, message: Message, source: "tuple[str, int]", now: int) -> None:
        found = profile.elements(message)
        suite = profile.suite_of(message)
        if message.value["requestSeqNum"] != self._request_number or found[profile.RE] != self._re:
            return
        kind = message.kind
        asked = self._request_kind
        if kind == GRJ:
            if asked == GRQ:
                self._gatekeeper_reject(message, found, suite, source, now)
            return
        if suite is not self._record.suite or not verify(message, suite, self._record.ka):
            return
        if kind == GCF:
            if asked == GRQ:
                self._gatekeeper_confirm(message, found, source, now)
            return
        if found[profile.RG] != self._rg:
            return
        if kind == RCF and asked == RRQ:
            self._registration_confirm(message, found, now)
        elif kind == RRJ and asked == RRQ:
            self._registration_reject(found[profile.ERROR][0], now)
        elif kind == UCF and asked == URQ:
            self._machine.feed("confirm")
            self._finish(("left",))

    def _gatekeeper_confirm(self, message: Message, found: dict, source: "tuple[str, int]", now: int) -> None:
        self._machine.feed("confirm")
        value = message.value
        self._server = from_transport(value["rasAddress"]) or source
        self._rg = found[profile.RG]
        self._events.append(("confirmed", self._server))
        # Gatekeepers that the GCF names come after those that we were told to prefer.
        self._add_to_round(alternates(value.get("alternateGatekeeper", ()), MAX_ROUND))
        record = self._record
        request = build.registration_request(
            self._next_number(), record.ext, self.address, self.address, TIME_TO_LIVE, self._version
        )
        elements = {
            profile.G: record.g,
            profile.CVM_ID: record.cvm,
            profile.RE: self._re,
            profile.RG: self._rg,
        }
        self._request(RRQ, request, elements, self._server, now)

    def _gatekeeper_reject(self, message, found, suite, source, now) -> None:  # noqa: ANN001
        answer = (found[profile.ERROR][0], self._redirection(message))
        if suite is None:
            where = self._round[self._asked]
            if where is not MULTICAST and where != source and self._numeric(where):
                return  # not even from where we asked
            if self._machine.allows("doubt"):
                self._machine.feed("doubt")
                self._doubted = answer
                self._timer = now + DOUBT
        elif suite is self._record.suite and verify(message, suite, self._kr):
            self._machine.feed("reject")
            self._rejected(answer, now)

    def _registration_confirm(self, message: Message, found: dict, now: int) -> None:
        value = message.value
        if self._machine.state == "refreshing":
            if value["endpointIdentifier"] != self._registration.identifier:
                return
            self._machine.feed("confirm")
            self._registration.time_to_live = self._life(value)
            self._clear_request()
            self._events.append(("refreshed",))
            asked = found.get(profile.REFRESH) == b"\x01"
            if asked and not self._registration.fetch_soon:
                self._events.append(("fetch-soon",))
            self._registration.fetch_soon = asked
            self._schedule_refresh(now)
            return
        signalling = None
        for address in value["callSignalAddress"]:
            signalling = from_transport(address)
            if signalling is not None:
                break
        if signalling is None or profile.SID not in found:
            raise RemoteProtocolError("RCF: no signalling address or no SID")
        self._machine.feed("confirm")
        record = self._record
        self._registration = Registration(
            value["endpointIdentifier"],
            found[profile.SID],
            session_key(record.suite, record.kg, record.pin, self._re, self._rg),
            signalling,
            self._life(value),
            alternates(value.get("alternateGatekeeper", ()), MAX_ROUND),
            found.get(profile.REFRESH) == b"\x01",
        )
        self._sent = self._heard = 0
        self._clear_request()
        self._events.append(("registered", self._registration))
        self._schedule_refresh(now)

    def _registration_reject(self, code: int, now: int) -> None:
        if self._machine.state == "refreshing":
            self._machine.feed("reject")
            self._finish(("ended", "rejected"))
        else:
            self._machine.feed("reject")
            self._rejected((code, ()), now)

    def _released(self, message: Message, source: "tuple[str, int]") -> None:
        """Take a URQ of the gatekeeper: our registration is over."""
        if self._answered is not None and self._answered[0] == message.octets:
            self._out.append((self._answered[1], source))
            return
        if not self._machine.allows("released") or message.octets == self._octets:  # our own, reflected
            return
        found = profile.elements(message)
        suite = self._record.suite
        counter = int.from_bytes(found[profile.RE][:8], "big")
        if (
            message.value.get("endpointIdentifier") != self._registration.identifier
            or found[profile.RG] != self._rg
            or counter <= self._heard
            or profile.suite_of(message) is not suite
            or not verify(message, suite, self._record.ka)
        ):
            return
        left = self._machine.state == "leaving"
        self._machine.feed("released")
        answer = profile.seal(
            UCF,
            build.unregistration_confirm(message.value["requestSeqNum"]),
            {profile.RE: found[profile.RE], profile.RG: self._rg},
            suite,
            self._record.ka,
        )
        self._answered = (bytes(message.octets), answer)
        self._out.append((answer, source))
        reason = message.value.get("reason", ("undefinedReason", 0))[0]
        self._finish(("left",) if left else ("ended", reason))

    # -- the round of gatekeepers

    def _discover(self, now: int) -> None:
        record = self._record
        where = self._round[self._asked]
        self._re = self._random(NONCE)
        value = build.gatekeeper_request(self._next_number(), record.ext, self.address)
        elements = {profile.G: record.g, profile.CVM_ID: record.cvm, profile.RE: self._re}
        self._events.append(("asking", where))
        self._request(GRQ, value, elements, where, now)

    def _next_gatekeeper(self, now: int) -> None:
        self._asked += 1
        if self._asked < len(self._round):
            self._machine.feed("next" if self._machine.state != "idle" else "ask")
            self._discover(now)
            return
        if self._machine.state != "idle":
            self._machine.feed("expire")
        self._finish(("no-answer",) if self._refusal is None else ("refused", self._refusal))

    def _rejected(self, answer: "tuple[int, tuple[tuple[str, int], ...]]", now: int) -> None:
        """Go where a GRJ or RRJ that is believed sends us; the machine is idle."""
        code, others = answer
        if code in (profile.OBSOLETE, profile.REVOKED, profile.SUITE_REFUSED):
            self._finish(("refused", code))
            return
        self._refusal = code
        if code == profile.OTHER_GATEKEEPER:
            self._add_to_round(others)
        self._next_gatekeeper(now)

    def _add_to_round(self, addresses: "tuple[tuple[str, int], ...]") -> None:
        for address in addresses:
            if address not in self._round and len(self._round) < MAX_ROUND:
                self._round.append(address)

    def _redirection(self, message: Message) -> "tuple[tuple[str, int], ...]":
        info = message.value.get("altGKInfo")
        return alternates(info["alternateGatekeeper"], MAX_ROUND) if info else ()

    @staticmethod
    def _numeric(address: "tuple[str, int]") -> bool:
        # A name was resolved outside; what it became is not known here.
        return address[0].replace(".", "").isdigit() or ":" in address[0]

    # -- keeping alive

    def _refresh(self, now: int) -> None:
        self._machine.feed("refresh")
        registration = self._registration
        value = build.keep_alive(
            self._next_number(),
            registration.identifier,
            self.address,
            self.address,
            registration.time_to_live,
        )
        self._re = self._counted()
        self._request(RRQ, value, {profile.RE: self._re, profile.RG: self._rg}, self._server, now)

    def _schedule_refresh(self, now: int) -> None:
        # Half the life leaves time for three tries and a new discovery before it is over;
        # an eighth of jitter keeps phones apart that a power cut has started together.
        half = self._registration.time_to_live * 500
        self._timer = now + max(_SHORTEST_REFRESH, half - self._jitter(half // 8))

    @staticmethod
    def _life(value: dict) -> int:
        return min(value.get("timeToLive", TIME_TO_LIVE), _LONGEST_LIFE)

    def _counted(self) -> bytes:
        """Return a Re of a running registration: a counter that only grows, and 8 random octets."""
        self._sent += 1
        self._re = self._sent.to_bytes(8, "big") + self._random(8)
        return self._re

    # -- requests

    def _request(self, kind: str, value: dict, elements: dict, where: "tuple[str, int]", now: int) -> None:
        record = self._record
        self._request_kind = kind
        self._request_number = value["requestSeqNum"]
        self._octets = profile.seal(kind, value, elements, record.suite, record.ka)
        self._where = where
        self._tries = 0
        self._transmit(now)

    def _transmit(self, now: int) -> None:
        wait = FIRST_WAIT << self._tries
        self._tries += 1
        self._timer = now + wait + self._jitter(wait // 4)
        self._out.append((self._octets, self._where))

    def _jitter(self, most: int) -> int:
        return int.from_bytes(self._random(2), "big") * most >> 16

    def _next_number(self) -> int:
        self._number = self._number % 65535 + 1  # 1 to 65535
        return self._number

    def _clear_request(self) -> None:
        self._request_kind = None
        self._octets = None
        self._timer = None

    def _finish(self, event: tuple) -> None:
        self._clear_request()
        self._registration = None
        self._events.append(event)

    def _stop(self) -> None:
        self._machine.feed("stop")
        self._clear_request()
        self._registration = None
