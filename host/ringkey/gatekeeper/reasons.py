"""Why a message was refused or dropped: a stable name for programs, and words for people.

The registrar says it in words that show what was found ("GRQ: element 3 missing"); metrics and programs
that follow the log want one of few names.
"""

from ras import profile
from ras.message import KINDS

MALFORMED = "malformed"
OTHER = "other"

# Error codes of a GRJ or RRJ (protocol.md section 6): name, and what a person should know.
CODES = {
    profile.UNKNOWN_EXTENSION: ("unknown-extension", "the extension is not in the directory, or disabled"),
    profile.OTHER_GATEKEEPER: ("other-gatekeeper", "sent to another gatekeeper"),
    profile.OBSOLETE: ("obsolete", "its keys are obsolete: check value or g is not in force"),
    profile.REVOKED: ("revoked", "its keys are revoked"),
    profile.SUITE_REFUSED: ("suite-refused", "the site does not allow its suite"),
}
# What a dropped message's reason has in it, the first that fits: name, and what a person should know.
_DROPPED = (
    ("throttled source network", "throttled", "ignored: too many failed log-ins of this extension"),
    ("throttled", "throttled", "ignored: too many failed log-ins from its address"),
    ("wrong ICV", "wrong-icv", "wrong PIN, or another device's key"),
    ("replayed", "replayed", "a message that came before"),
    ("not signed", "not-signed", "not signed: a plain H.323 endpoint?"),
    ("no profile token", "no-token", "no token of ringkey: a plain H.323 endpoint?"),
    ("profile tokens", "no-token", "no token of ringkey: a plain H.323 endpoint?"),
    ("without the profile", "no-token", "no token of ringkey: a plain H.323 endpoint?"),
    ("too often lately", "refused-unsigned", "refused, and not told so as often as it asks"),
    ("of a stranger", "unasked", "of a stranger, who gets no answer"),
    ("reflected", "reflected", "this gatekeeper's own message, sent back to it"),
    ("over 1.5 times", "too-short", "too short for an answer of at most 1.5 times its length"),
    ("no extension", "no-extension", "it names no extension"),
    ("another extension's", "foreign-g", "its g was made for another extension"),
    ("Rg is not ours", "stale-rg", "it registers without a fresh GCF of this gatekeeper"),
    ("no check value", "no-check-value", "no key server has been reached since the start"),
    ("too many answers", "plain-limit", "a plain H.323 endpoint: its address has had too many answers"),
    ("look-ups under way", "too-many-look-ups", "too many look-ups under way"),
    ("was not reached", "no-key-server", "no key server answered"),
    ("no key to say so", "refused-unsigned", "refused, without a key to say so"),
    ("no such registration", "no-registration", "its registration has ended"),
    ("is ending", "no-registration", "its registration has ended"),
    ("to no URQ of ours", "unasked", "an answer that nobody asked for"),
    ("nothing for a gatekeeper", "unasked", "nothing for a gatekeeper"),
    ("not understood", "not-understood", "a request that this gatekeeper does not know"),
    ("algorithm", "suite-unknown", "signed with an algorithm that is not known"),
    ("fault of this", "fault", "something went wrong here: the gatekeeper's log has it"),
    ("element", MALFORMED, "malformed: an element is missing or wrong"),
    ("PER:", MALFORMED, "no message of H.225.0 RAS"),
    ("RAS:", MALFORMED, "no message of H.225.0 RAS"),
)


def of_code(code: int) -> str:
    """Return the name of an error code."""
    return CODES[code][0] if code in CODES else OTHER


def of_text(text: str) -> str:
    """Return the name of a dropped message's reason."""
    return next((name for part, name, _ in _DROPPED if part in text), OTHER)


def kind_of_text(text: str) -> str:
    """Return the kind of message that a dropped message's reason names, "" where it names none."""
    kind = text[:3]
    return kind if kind in KINDS and text[3:4] in (":", " ") else ""


def words(name: str) -> str:
    """Return what a person should know about a reason's name."""
    for known, text in CODES.values():
        if known == name:
            return text
    return next((text for _, known, text in _DROPPED if known == name), name)
