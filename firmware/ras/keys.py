"""The keys of docs/protocol.md section 2, in both suites.

All of them are plain `bytes`; whoever holds one in an object gives that object a
`__repr__` that does not show it.  EXT and PIN are ASCII digits, given as `str`.
"""

from ras.compat import const
from ras.mac import digest, hmac_digest

MIN_SEED = const(16)  # octets; protocol.md section 2
NONCE = const(16)  # octets of g, Re, Rg and SID
CVM = const(3)  # octets of the check value of Km

_AUTH = b"ringkey-auth"  # Ca
_SESSION = b"ringkey-session"  # Cb
_REJECT = b"ringkey-reject"  # Cr
_FILE = b"ringkey-file"  # Cf

# BASE.2.1 and BASE.2.2 of protocol.md section 4 are told apart by this last arc.
_ARC_SHA1 = const(1)
_ARC_SHA256 = const(2)


class Suite:
    """One column of the table of keys: a hash, and how much of it is kept.

    name: "sha1" or "sha256"; master, key, icv: octets of Km, of Kg, Ka, Ks, Kr and Kf,
    and of an ICV; arc: last arc of the suite's algorithmOID.
    """

    def __init__(self, name: str, master: int, key: int, icv: int, arc: int) -> None:
        self.name = name
        self.master = master
        self.key = key
        self.icv = icv
        self.arc = arc

    def __repr__(self) -> str:
        return "Suite(" + self.name + ")"


SHA1 = Suite("sha1", 20, 16, 12, _ARC_SHA1)  # the seed's own equations
SHA256 = Suite("sha256", 32, 32, 16, _ARC_SHA256)  # the default
SUITES = {"sha1": SHA1, "sha256": SHA256}


def suite_named(name: str) -> Suite:
    """Return the suite `name`; raises ValueError with the names there are."""
    try:
        return SUITES[name]
    except KeyError:
        raise ValueError("no suite %r: there are sha256 and sha1" % (name,))


def digits(text: str, what: str, longest: int) -> bytes:
    """Return EXT or PIN as the octets that go into a derivation.

    Raises ValueError, naming `what` but never the value, unless `text` is 1 to
    `longest` ASCII digits.
    """
    if not 1 <= len(text) <= longest:
        raise ValueError("%s: 1 to %d digits" % (what, longest))
    for c in text:
        if not "0" <= c <= "9":
            raise ValueError("%s: digits 0 to 9 only" % what)
    return text.encode()


# A dialledDigits alias holds 128; no numbering plan, and no phone's display, goes
# beyond E.164's 15 digits plus a prefix.
MAX_EXT = const(20)
# 4 to 8 digits are usual (the seed, background); the limit only bounds memory.
MAX_PIN = const(16)


def ext_digits(ext: str) -> bytes:
    """Return EXT as octets; raises ValueError unless 1 to MAX_EXT digits."""
    return digits(ext, "extension", MAX_EXT)


def pin_digits(pin: str) -> bytes:
    """Return PIN as octets; raises ValueError unless 1 to MAX_PIN digits."""
    return digits(pin, "PIN", MAX_PIN)


def master_key(suite: Suite, seed: bytes) -> bytes:
    """Return Km of a seed of at least MIN_SEED octets, else raise ValueError."""
    if len(seed) < MIN_SEED:
        raise ValueError("a seed has at least %d octets" % MIN_SEED)
    return digest(suite.name, seed)


def check_value(suite: Suite, km: bytes) -> bytes:
    """Return CVm, 3 octets: the last ones of SHA-1(Km) or SHA-256(Km)."""
    return digest(suite.name, km)[-CVM:]


def device_key(suite: Suite, km: bytes, g: bytes) -> bytes:
    """Return Kg, the device master key of the 16 octets `g`."""
    _length("g", g, NONCE)
    return hmac_digest(suite.name, km, g)[: suite.key]


def authentication_key(suite: Suite, kg: bytes, pin: str) -> bytes:
    """Return Ka, which proves Kg and the PIN together."""
    return hmac_digest(suite.name, kg, _AUTH, pin_digits(pin))[: suite.key]


def session_key(suite: Suite, kg: bytes, pin: str, re: bytes, rg: bytes) -> bytes:
    """Return Ks, the pre-shared key of the signalling channel of one registration."""
    _length("Re", re, NONCE)
    _length("Rg", rg, NONCE)
    return hmac_digest(suite.name, kg, _SESSION, pin_digits(pin), re, rg)[: suite.key]


def reject_key(suite: Suite, kg: bytes) -> bytes:
    """Return Kr, which signs answers of a gatekeeper that cannot know the PIN."""
    return hmac_digest(suite.name, kg, _REJECT)[: suite.key]


def file_key(suite: Suite, kg: bytes, name: str) -> bytes:
    """Return Kf, the key of the file `name` for the device that holds Kg."""
    return hmac_digest(suite.name, kg, _FILE, name.encode())[: suite.key]


def integrity_check_value(suite: Suite, key: bytes, message: "bytes | bytearray") -> bytes:
    """Return the ICV of a whole encoded message whose icv bits are zero."""
    return hmac_digest(suite.name, key, message)[: suite.icv]


def _length(what: str, value: bytes, wanted: int) -> None:
    if len(value) != wanted:
        raise ValueError("%s has %d octets, not %d" % (what, wanted, len(value)))
