"""A registration as the gatekeeper holds it.

protocol.md sections 4 and 7.
"""

from ras.compat import const
from ras.keys import NONCE, Suite
from ras.tables import REGISTRATION, Machine


class Life:
    """A state of `tables.REGISTRATION`; there is one object for each, which all registrations share."""

    def __init__(self, state: str) -> None:
        self.state = state
        self._after: dict = {}

    def __repr__(self) -> str:
        return "Life(%s)" % self.state

    def allows(self, event: str) -> bool:
        """Tell whether `event` may happen now."""
        return event in self._after

    def after(self, event: str) -> "Life":
        """Return the Life after `event`; raises LocalProtocolError where it can not happen."""
        if event not in self._after:
            Machine("registration", REGISTRATION, self.state).feed(event)
        return self._after[event]


def _lives() -> Life:
    """Return the first Life, from which all others are to be reached."""
    lives: dict = {}
    events = set()
    for line in REGISTRATION.strip().split("\n"):
        for arrow in line.split(" ")[1:]:
            events.add(arrow.split(">")[0])
    waiting = ["registered"]
    while waiting:
        state = waiting.pop()
        life = lives.setdefault(state, Life(state))
        for event in events:
            machine = Machine("registration", REGISTRATION, state)
            if machine.allows(event):
                after = machine.feed(event)
                if after not in lives:
                    waiting.append(after)
                life._after[event] = lives.setdefault(after, Life(after))
    return lives["registered"]


_REGISTERED = _lives()


_NAMES: dict = {}  # what `software` has found before: thousands of phones share one text
_MOST_NAMES = const(64)
_LONGEST_NAME = const(64)  # octets: what fits on a page


def software(product: bytes, version: bytes) -> str:
    """Return what an endpoint says of its software (productId, versionId of endpointVendor), for people."""
    found = _NAMES.get((product, version))
    if found is None:
        if len(_NAMES) >= _MOST_NAMES:
            _NAMES.clear()
        text = b" ".join([one for one in (product, version) if one])[:_LONGEST_NAME]
        found = "".join([chr(octet) if 32 <= octet < 127 else "?" for octet in text])
        _NAMES[product, version] = found
    return found


GRACE = const(10000)  # ms after the promised life before a registration is dropped
# Octets of an endpointIdentifier, two characters each.
IDENTIFIER = const(8)
_AT_SID = const(8)
_AT_G = const(24)
_AT_RG = const(40)
_AT_CVM = const(56)
_AT_KEYS = const(59)
# Octets of an identifier that a table of them goes by, as a number: 32 octets of memory, where its text
# takes 80, and all eight octets 48.  Two phones of one number are two in 2^56.
_IN_KEY = const(7)


class Held:
    """A registration.  g, rg, ka, ks: octets; ka and ks empty once they are forgotten; identifier, sid: in
    lower-case hex; source and signalling of the endpoint; expires: ms; cvm: check value of the Km its
    keys come from, CVM octets; software: its own words for it; machine: its Life; proven: the source that
    has proven the PIN last, None once another registration says that.

    The constructor takes sid as NONCE octets.  identifier: its IDENTIFIER octets; the SID's first ones,
    where it is not given.  Both are random, and both are in the RCF for all to read (protocol.md
    section 4), so that one may be found by the other.
    """

    # There are up to a million of them.
    __slots__ = (
        "_packed",
        "ext",
        "suite",
        "source",
        "expires",
        "since",
        "machine",
        "proven",
        "heard",
        "sent",
        "software",
    )

    def __init__(  # noqa: PLR0917  (it has as many fields as a registration)
        self,
        ext: str,
        suite: Suite,
        source,
        sid: bytes,
        g: bytes,
        rg: bytes,
        ka: bytes,
        ks: bytes,
        cvm: bytes,
        identifier: "bytes | None" = None,
    ) -> None:
        # One object in place of six, which take 400 octets.
        first = sid[:IDENTIFIER] if identifier is None else identifier
        self._packed = b"".join((first, sid, g, rg, cvm, ka, ks))
        self.ext = ext
        self.suite = suite
        self.source = self.proven = source
        self.expires = 0
        self.since = 0
        self.machine: Life = _REGISTERED
        self.heard = self.sent = 0  # counters of Re, from the endpoint and to it
        self.software = ""

    def __repr__(self) -> str:
        return "Held(%s, %s)" % (self.ext, self.identifier)

    @property
    def identifier(self) -> str:
        """The endpointIdentifier."""
        return self._packed[:IDENTIFIER].hex()

    @property
    def sid(self) -> str:
        """The SID."""
        return self._packed[_AT_SID:_AT_G].hex()

    @property
    def g(self) -> bytes:
        """The generator of the phone's key."""
        return self._packed[_AT_G:_AT_RG]

    @property
    def rg(self) -> bytes:
        """The gatekeeper's nonce of the exchange."""
        return self._packed[_AT_RG:_AT_CVM]

    @property
    def cvm(self) -> bytes:
        """The check value of the Km that its keys come from."""
        return self._packed[_AT_CVM:_AT_KEYS]

    @property
    def ka(self) -> bytes:
        """The authentication key; empty once the registration has ended."""
        return self._packed[_AT_KEYS : _AT_KEYS + self.suite.key]

    @property
    def ks(self) -> bytes:
        """The session key; empty once the registration is ending."""
        return self._packed[_AT_KEYS + self.suite.key :]

    @property
    def key(self) -> int:
        """What a table of identifiers goes by."""
        return int.from_bytes(self._packed[:_IN_KEY], "big")

    def forget_ks(self) -> None:
        """Let Ks go."""
        self._packed = self._packed[: _AT_KEYS + self.suite.key]

    def forget_keys(self) -> None:
        """Let Ka and Ks go."""
        self._packed = self._packed[:_AT_KEYS]

    def parts(self) -> "tuple[bytes, bytes, bytes, bytes, bytes, bytes]":
        """Return the octets of identifier, SID, g, Rg, Ka, Ks."""
        packed, end = self._packed, _AT_KEYS + self.suite.key
        return (
            packed[:_AT_SID],
            packed[_AT_SID:_AT_G],
            packed[_AT_G:_AT_RG],
            packed[_AT_RG:_AT_CVM],
            packed[_AT_KEYS:end],
            packed[end:],
        )


class Release:
    """A URQ of ours that waits for its UCF."""

    def __init__(self, held: Held, number: int, re: bytes, octets: bytes) -> None:
        self.held = held
        self.number = number
        self.re = re
        self.octets = octets
        self.tries = 0


def new_sid(random) -> bytes:
    """Return a SID.

    Its first octets are drawn on their own, as the endpointIdentifier that they are too: where several
    workers share a port, it has to be a worker's own.
    """
    return random(IDENTIFIER) + random(NONCE)[IDENTIFIER:]


def octets_of(identifier: "str | None") -> bytes:
    """Return the octets of an endpointIdentifier as it is given out; none of any other text."""
    if identifier is None or len(identifier) != 2 * IDENTIFIER:
        return b""
    try:
        found = bytes.fromhex(identifier)
    except ValueError:
        return b""
    return found if found.hex() == identifier else b""  # blanks and capitals are another text


def key_of(identifier: "str | None") -> "int | None":
    """Return what a table goes by for the text of an identifier; None where nobody has given that out."""
    octets = octets_of(identifier)
    return int.from_bytes(octets[:_IN_KEY], "big") if octets else None
