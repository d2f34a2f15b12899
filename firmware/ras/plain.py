"""H.323 endpoints without the profile, where a site lets some of them register beside its phones.

They have no key, so nothing of theirs is signed and none has a signalling channel: who can send from an
endpoint's address can do all that it can.  So they have a table of their own.  No phone is ever in it, and
nothing in it is ever in `Registrations`; it is in memory only, and after a restart RRJ
fullRegistrationRequired makes them register again by themselves.

Without I/O.  Times are milliseconds.  Its events are among the registrar's:

    ("plain_confirmed", source, ext or None)                 GCF went
    ("plain_registered", PlainEndpoint, source or None)      RCF went; and from where it was before
    ("plain_refreshed", PlainEndpoint)                       RCF went, nothing but time has changed
    ("plain_refused", source, ext or None, reason)           RRJ went, with this RegistrationRejectReason
    ("plain_ended", PlainEndpoint, reason)                   one of LEFT, EXPIRED, DENIED, SECURED

Source: H.225.0 sections 7.8 to 7.10; H.323 section 7.2.2 (lightweight RRQ, additive registration).
"""

from ras import answers, build, refusals
from ras.compat import const
from ras.errors import RemoteProtocolError
from ras.held import GRACE, IDENTIFIER, software
from ras.message import GCF, GRQ, RCF, UCF, URQ, Message, encode_message

# Half a kilobyte each.  More than a site still has of such devices; whoever sends from an allowed network
# can fill it, and then takes nothing from the phones.
MAX_PLAIN = const(1024)
# Behind the hex of an endpointIdentifier, which then is none that a phone's registration can have (held.py).
SUFFIX = "-plain"

# Why one has ended; DENIED: the site no longer allows it; SECURED: a phone has registered its extension.
LEFT = "logged out"
EXPIRED = "ttlExpired"
DENIED = "not allowed"
SECURED = "secured"


class PlainEndpoint:
    """A plain endpoint that is registered.

    identifier: its endpointIdentifier; source: its (host, port); since, expires: ms; software: its own words
    for it.
    """

    __slots__ = ("expires", "ext", "identifier", "since", "software", "source")

    def __init__(self, ext: str, identifier: str, source, since: int, software: str) -> None:
        self.ext = ext
        self.identifier = identifier
        self.source = source
        self.since = since
        self.expires = since
        self.software = software

    def __repr__(self) -> str:
        return "PlainEndpoint(%s, %s)" % (self.ext, self.identifier)


class Plain:
    """All of them.  settings: whose `plain` says who may; random, out, events, codec: the
    registrar's; registrations: the phones', of which is only asked whether an extension has one.
    """

    def __init__(self, settings, random, out: list, events: list, codec, registrations) -> None:
        self._settings = settings
        self._codec = codec
        self._random = random
        self._out = out
        self._events = events
        self._registrations = registrations
        self._by_ext: dict = {}
        self._by_identifier: dict = {}
        self._due: "int | None" = None  # none of them expires before that

    def __len__(self) -> int:
        return len(self._by_ext)

    def all(self) -> "list[PlainEndpoint]":
        """Return those there are."""
        return list(self._by_ext.values())

    def of(self, ext: str) -> "PlainEndpoint | None":
        """Return the one of an extension, or None."""
        return self._by_ext.get(ext)

    def secured(self, ext: str) -> None:
        """Hear that a phone has registered an extension: it is nobody else's."""
        held = self._by_ext.get(ext)
        if held is not None:
            self._end(held, SECURED)

    # -- time

    def get_timer(self) -> "int | None":
        """Return when `handle_timer` wants to be called, or None."""
        return self._due

    def handle_timer(self, now: int) -> None:
        """Do what is due at `now`; may be called early."""
        if self._due is None or now < self._due:
            return
        self._due = None
        for held in self.all():
            if held.expires <= now:
                self._end(held, EXPIRED)
            else:
                self._expect(held)

    def _expect(self, held: PlainEndpoint) -> None:
        if self._due is None or held.expires < self._due:
            self._due = held.expires

    # -- messages

    def receive(self, message: Message, source: "tuple[str, int]", now: int) -> bool:
        """Take a GRQ, RRQ or URQ without the profile's token; tell whether it has had its answer.

        If not, it comes from nobody who is known or allowed.  Raises RemoteProtocolError where silence is the
        answer; then nothing has changed.
        """
        self.handle_timer(now)
        if message.kind == GRQ:
            return self._discover(message, source, now)
        if message.kind == URQ:
            return self._leave(message, source, now)
        if message.value.get("keepAlive"):
            return self._refresh(message, source, now)
        return self._register(message, source, now)

    def _discover(self, message: Message, source: "tuple[str, int]", now: int) -> bool:
        ext = self._extension(message)
        if not self._allows(ext, source[0]):
            return False
        number = message.value["requestSeqNum"]
        ras, _ = self._settings.addresses(source[0])
        self._send(
            message,
            source,
            now,
            lambda others: _encoded(GCF, answers.gatekeeper_confirm(number, ras, others)),
        )
        self._events.append(("plain_confirmed", source, ext))
        return True

    def _register(self, message: Message, source: "tuple[str, int]", now: int) -> bool:
        value = message.value
        ext = self._extension(message)
        if ext is None:
            return False
        held = self._by_ext.get(ext)
        its_own = held is not None and held.source[0] == source[0]
        if not self._allows(ext, source[0]):
            if its_own:
                self._end(held, DENIED)
            return False
        if "additiveRegistration" in value:  # one endpoint, one extension; RCF does not offer it
            return self._refuse(message, source, now, "additiveRegistrationNotSupported", ext)
        if held is not None and not its_own:  # nobody takes it over without a key
            return self._refuse(message, source, now, "duplicateAlias", ext, [("dialledDigits", ext)])
        if held is None and len(self._by_ext) >= MAX_PLAIN:
            return self._refuse(message, source, now, "resourceUnavailable", ext)
        vendor = value["endpointVendor"]
        words = software(vendor.get("productId", b""), vendor.get("versionId", b""))
        # It keeps its identifier: a retransmission gets the identical answer.
        identifier = self._random(IDENTIFIER).hex() + SUFFIX if held is None else held.identifier
        # Of several aliases it has one, and is told which.
        told = ext if len(value["terminalAlias"]) > 1 else None
        life = self._confirm(message, source, now, identifier, told)
        if held is not None and held.source == source and held.software == words:
            self._prolong(held, life, now)
            return True
        new = PlainEndpoint(ext, identifier, source, now, words)
        new.expires = now + 1000 * life + GRACE
        self._by_ext[ext] = self._by_identifier[identifier] = new
        self._expect(new)
        self._events.append(("plain_registered", new, None if held is None else held.source))
        return True

    def _refresh(self, message: Message, source: "tuple[str, int]", now: int) -> bool:
        held = self._of_sender(message, source)
        if held is None:
            if not self._allows(None, source[0]):
                return False
            return self._refuse(message, source, now, "fullRegistrationRequired", None)
        if not self._allows(held.ext, source[0]):
            self._end(held, DENIED)
            return False
        life = self._confirm(message, source, now, held.identifier, None)
        held.source = source
        self._prolong(held, life, now)
        return True

    def _leave(self, message: Message, source: "tuple[str, int]", now: int) -> bool:
        held = self._of_sender(message, source)
        if held is None:
            return False
        number = message.value["requestSeqNum"]
        self._send(message, source, now, lambda _: _encoded(UCF, build.unregistration_confirm(number)))
        self._end(held, LEFT)
        return True

    def _of_sender(self, message: Message, source: "tuple[str, int]") -> "PlainEndpoint | None":
        """Return the one that a message names, where its host has sent it."""
        held = self._by_identifier.get(message.value.get("endpointIdentifier"))
        return held if held is not None and held.source[0] == source[0] else None

    def _extension(self, message: Message) -> "str | None":
        try:
            return self._codec.extension(message)
        except RemoteProtocolError:
            return None

    def _allows(self, ext: "str | None", host: str) -> bool:
        """Tell whether the site allows it; an extension that has a phone is never plain."""
        if ext is not None and self._registrations.of(ext) is not None:
            return False
        return bool(self._settings.plain.allows(ext, host))

    # -- answers

    def _confirm(self, message: Message, source, now: int, identifier: str, ext: "str | None") -> int:
        """Send an RCF; return the seconds that it grants.

        Its callSignalAddress is empty: the signalling port speaks TLS-PSK, for which a plain endpoint has no
        key.  ext: its extension, where it is to be told.
        """
        life: int = self._registrations.life(message.value)
        number = message.value["requestSeqNum"]

        def make(others) -> bytes:
            value = answers.registration_confirm(number, identifier, None, life, others)
            if ext is not None:
                value["terminalAlias"] = [("dialledDigits", ext)]
            return _encoded(RCF, value)

        self._send(message, source, now, make)
        return life

    def _refuse(self, message: Message, source, now: int, reason: str, ext, detail=0) -> bool:  # noqa: PLR0917
        """Send an RRJ; detail: what the reason has in it."""
        self._send(message, source, now, lambda _: refusals.plain_reject(message, reason, detail))
        self._events.append(("plain_refused", source, ext, reason))
        return True

    def _send(self, message: Message, source: "tuple[str, int]", now: int, make) -> None:
        """Send `make(alternates)` with those that have room; raises RemoteProtocolError as `receive` does."""
        octets = answers.within(message, self._settings.others, make)
        if not self._settings.noise.unsigned(source, now):
            raise RemoteProtocolError("%s: too many answers to a plain endpoint's address" % message.kind)
        self._out.append((octets, source))

    # -- the table

    def _prolong(self, held: PlainEndpoint, life: int, now: int) -> None:
        held.expires = now + 1000 * life + GRACE
        self._expect(held)
        self._events.append(("plain_refreshed", held))

    def _end(self, held: PlainEndpoint, reason: str) -> None:
        del self._by_ext[held.ext], self._by_identifier[held.identifier]
        self._events.append(("plain_ended", held, reason))


def _encoded(kind: str, value: dict) -> bytes:
    return bytes(encode_message(kind, value)[0])
