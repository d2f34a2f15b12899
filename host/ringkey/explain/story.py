"""What happened in a capture, message by message, and what went wrong first (protocol.md sections 4 to 6).

The story knows what was on the wire, and from a Keyring what the operator knows.  It judges as the
gatekeeper would, in the same order: form, CVm, g, key, ICV; what it cannot know it says it does not know.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ras import profile
from ras.errors import RemoteProtocolError
from ras.generator import fits, unpack
from ras.keys import Suite, authentication_key, ext_digits, reject_key
from ras.message import GCF, GRJ, GRQ, RCF, RRJ, RRQ, UCF, URQ, Message, decode_message, verify
from ras.registrar import RETRANSMISSION

from ringkey.explain import words
from ringkey.explain.datagrams import Address, Datagram
from ringkey.explain.keyring import Keyring

_REFUSALS = (GRJ, RRJ)
_ANSWERS = (GCF, GRJ, RCF, RRJ, UCF)
# Seconds after which a request that came again was not answered in time (protocol.md section 6).
_FIRST_WAIT = 1.9


@dataclass(slots=True)
class Line:
    """One message: text in words; icv: what of its integrity check value is known; wrong: None if nothing."""

    datagram: Datagram
    text: str
    icv: str = ""
    wrong: str | None = None
    notes: list[str] = field(default_factory=list)
    message: Message | None = None


@dataclass(slots=True)
class _Exchange:
    """A log-in, and the registration it became."""

    ext: str
    g: bytes
    cvm: bytes
    phone: Address
    rg: bytes = b""
    heard: int = 0
    refused: bool = False
    sent: dict[bytes, float] = field(default_factory=dict)  # octets of requests not answered yet


class Story:
    """Takes datagrams in order of their time."""

    def __init__(self, ring: Keyring) -> None:
        self._ring = ring
        self._by_re: dict[bytes, _Exchange] = {}
        self._by_rg: dict[bytes, _Exchange] = {}
        self._seen: dict[bytes, tuple[float, Address]] = {}
        self.first: Line | None = None
        self.unchecked = 0

    def tell(self, datagrams: Iterable[Datagram]) -> Iterator[Line]:
        """Yield a Line for each; `first` is then the first that has something wrong."""
        for datagram in datagrams:
            line = self._line(datagram)
            if line.wrong is not None and self.first is None:
                self.first = line
            yield line

    def unanswered(self) -> list[str]:
        """Return who has asked and got no answer, once all was told."""
        waiting = {id(one): one for one in self._by_re.values() if one.sent}
        return [f"phone {one.ext} at {words.place(one.phone)} got no answer" for one in waiting.values()]

    def _line(self, datagram: Datagram) -> Line:
        if datagram.missing:
            wrong = f"the capture lacks {datagram.missing} of its octets (tcpdump -s 0 takes them all)"
            return Line(datagram, "a message that was cut off by the capture", wrong=wrong)
        try:
            message = decode_message(datagram.data)
        except RemoteProtocolError as error:
            return Line(datagram, "octets that are no RAS message", wrong=f"it cannot be decoded: {error}")
        exchange = self._exchange(message, datagram)
        ext = words.extension(message) or (exchange.ext if exchange else None)
        line = Line(datagram, words.line(message, ext), message=message)
        if message.kind not in profile._WANTED:
            return line
        try:
            found = profile.elements(message)
            suite = profile.suite_of(message)
        except RemoteProtocolError as error:
            line.wrong = _form(error, ext, message)
            return line
        line.wrong = self._judge(line, message, found, suite, exchange)
        return line

    # -- which exchange

    def _exchange(self, message: Message, datagram: Datagram) -> _Exchange | None:
        found = words.elements(message)
        re, rg = found.get(profile.RE, b""), found.get(profile.RG, b"")
        ext = words.extension(message)
        known = self._by_rg.get(rg) or self._by_re.get(re)
        if message.kind in (GRQ, RRQ) and not message.value.get("keepAlive") and ext and profile.G in found:
            if known is None or (known.g, known.ext) != (found[profile.G], ext):
                known = _Exchange(ext, found[profile.G], found[profile.CVM_ID], datagram.source)
            self._by_re[re] = known
        if known is not None and message.kind == GCF:
            known.rg = rg
            self._by_rg[rg] = known
        if known is not None and rg and message.kind == RRQ:
            self._by_rg.setdefault(rg, known)
        if known is not None and message.kind in (RRQ, URQ) and re:
            self._by_re.setdefault(re, known)
        return known

    # -- what is wrong with it

    def _judge(
        self,
        line: Line,
        message: Message,
        found: dict[int, bytes],
        suite: Suite | None,
        exchange: _Exchange | None,
    ) -> str | None:
        again = self._again(line, message, exchange)
        if again is not None and again[0]:
            return again[1]
        ext, kind = words.extension(message), message.kind
        if suite is None and kind not in _REFUSALS:
            line.icv = "not signed"
            return f"{_who(exchange, ext)} sent a {kind} that is not signed: it gets no answer"
        wrong = self._keys(ext, found) if ext is not None and profile.G in found else None
        icv = self._icv(line, message, suite, exchange)
        return wrong or icv or self._order(line, message, found, exchange) or (again and again[1])

    def _order(
        self, line: Line, message: Message, found: dict[int, bytes], exchange: _Exchange | None
    ) -> str | None:
        """Hold the message against what came before it."""
        kind, again = message.kind, message.value.get("keepAlive", message.kind == URQ)
        if kind in _REFUSALS:
            return self._refusal(found, exchange)
        if exchange is None or kind not in (RRQ, URQ):
            return None
        if exchange.rg and found[profile.RG] != exchange.rg:
            return f"{_who(exchange, None)}: this {kind}'s Rg is not the last GCF's: it gets no answer"
        return self._counter(line, found, exchange) if again else None

    def _keys(self, ext: str, found: dict[int, bytes]) -> str | None:
        """Hold CVm and g against what is in force, in the gatekeeper's order."""
        ring, g, cvm = self._ring, found[profile.G], found[profile.CVM_ID]
        try:
            ext_digits(ext)
        except ValueError:
            return f"{ext!r} is no extension: it gets no answer"
        if ring.check_values is not None and cvm not in ring.check_values:
            theirs = " or ".join(value.hex() for value in ring.check_values)
            return f"phone {ext} sent CVm {cvm.hex()}, the gatekeeper's is {theirs}: obsolete keys, GRJ 3"
        if not fits(g, ext):
            return f"phone {ext} sent a g that was made for another extension: it gets no answer"
        if ring.servers and unpack(g)[0] not in ring.servers:
            server = unpack(g)[0].hex(":")
            return f"phone {ext} has keys of key server {server}, which is none of this site: obsolete, GRJ 3"
        return ring.wrong.get((ext, g))

    def _icv(
        self, line: Line, message: Message, suite: Suite | None, exchange: _Exchange | None
    ) -> str | None:
        if suite is None:
            line.icv = "not signed"
            if message.kind in _REFUSALS:
                line.notes.append("a phone believes this only when no GCF comes within 2 s")
            return None
        keys = [] if exchange is None else self._ring.of(exchange.ext, exchange.g)
        keys = [one for one in keys if len(one.kg) == suite.key]
        if not keys or (message.kind != GRJ and all(one.pin is None for one in keys)):
            self.unchecked += 1
            line.icv = "not checked: there is no key for it"
            return None
        for one in keys:
            if one.pin is not None and verify(message, suite, authentication_key(suite, one.kg, one.pin)):
                line.icv = f"right ({suite.name}, Ka)"
                return None
            if verify(message, suite, reject_key(suite, one.kg)):
                line.icv = f"right ({suite.name}, Kr: no PIN is proven)"
                return (
                    None if message.kind in (GRJ, GRQ) else f"this {message.kind} is signed with Kr, not Ka"
                )
        line.icv = "WRONG"
        if message.kind in (GRQ, RRQ, URQ, UCF):
            return (
                f"the ICV of {_who(exchange, None)}'s {message.kind} is wrong (another PIN, another key, or "
                "changed on the way): it gets no answer"
            )
        return f"the ICV of this {message.kind} is wrong: the phone takes no notice of it"

    def _again(self, line: Line, message: Message, exchange: _Exchange | None) -> tuple[bool, str] | None:
        """Tell of octets that came before: (whether that settles it, what is wrong)."""
        datagram = line.datagram
        if exchange is not None and message.kind in _ANSWERS:
            exchange.sent.clear()
        before = self._seen.get(datagram.data)
        if before is None:
            self._seen[datagram.data] = (datagram.time, datagram.source)
            if exchange is not None and message.kind not in _ANSWERS and datagram.source == exchange.phone:
                exchange.sent[datagram.data] = datagram.time
            return None
        seconds, source = datagram.time - before[0], before[1]
        if source != datagram.source:
            return (
                True,
                f"the same octets came from {words.place(source)} before: a replay, it gets no answer",
            )
        if seconds * 1000 >= RETRANSMISSION:
            return True, f"the same octets came {seconds:.0f} s before: a replay, it gets no answer"
        line.notes.append(f"the same octets as {seconds:.1f} s before: sent again")
        if exchange is not None and datagram.data in exchange.sent and seconds >= _FIRST_WAIT:
            return False, f"{_who(exchange, None)} got no answer to its {message.kind} in {seconds:.1f} s"
        return None

    def _counter(self, line: Line, found: dict[int, bytes], exchange: _Exchange) -> str | None:
        if line.datagram.source != exchange.phone or line.notes:
            return None
        counter = int.from_bytes(found[profile.RE][:8], "big")
        if counter <= exchange.heard:
            return f"the counter of Re is {counter}, after {exchange.heard}: a replay, it gets no answer"
        exchange.heard = counter
        return None

    def _refusal(self, found: dict[int, bytes], exchange: _Exchange | None) -> str:
        code = found[profile.ERROR][0]
        what = words.ERRORS.get(code, "a reason that is not known")
        sent = ""
        if code == profile.OBSOLETE and exchange is not None:
            sent = f" (it sent CVm {exchange.cvm.hex()}, g of key server {unpack(exchange.g)[0].hex(':')})"
        return f"{_who(exchange, None)} was refused: error {code}, {what}{sent}"


def _who(exchange: _Exchange | None, ext: str | None) -> str:
    name = ext or (exchange.ext if exchange else None)
    return f"phone {name}" if name else "a phone"


def _form(error: RemoteProtocolError, ext: str | None, message: Message) -> str:
    if "0 profile tokens" in str(error) and message.kind in _ANSWERS:
        return f"a {message.kind} without ringkey's token: to a plain H.323 endpoint, no phone believes it"
    if "0 profile tokens" in str(error):
        who = f"endpoint {ext}" if ext else "an endpoint"
        return f"{who} sent a {message.kind} without ringkey's token: a plain H.323 endpoint"
    return f"malformed: {error}"
