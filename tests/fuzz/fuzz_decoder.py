"""What must hold for any datagram at the decoder: `one(data)` raises for a datagram where it does not.

Under atheris (drive.py) and, for the kept corpus, under pytest (tests/unit/test_fuzz_corpus.py).
"""

from contextlib import suppress

from ras import message, profile
from ras.errors import LocalProtocolError, RemoteProtocolError
from ras.keys import SUITES

# Octets of an input: over MAX_MESSAGE, so that its limit is met too.
MAX_INPUT = message.MAX_MESSAGE + 64
# Values that one datagram may unfold to, dicts, lists and tuples within each other counted singly.
# Every one of them takes at least some bits of it but for those of zero bits: a list of 64 NULLs.
MAX_VALUES = 8 * message.MAX_MESSAGE + 64 * 64
_KEY = bytes(range(32))


def one(data: bytes) -> None:
    """Decode, read the profile's elements, verify, and encode again."""
    try:
        decoded = message.decode_message(data)
    except RemoteProtocolError:
        return
    assert decoded.octets == data
    assert _values(decoded.value) <= MAX_VALUES
    if decoded.icv is not None:
        offset, length = decoded.icv
        assert offset >= 0
        assert offset + length <= len(data)
    for suite in SUITES.values():
        assert not message.verify(decoded, suite, _KEY[: suite.key]), "verified under a key nobody has"
    _profile(decoded)
    _again(decoded)
    # Who takes only some kinds gets the others without a value.
    other = message.decode_message(data, (message.GCF,))
    assert other.kind == decoded.kind or other.value in ({}, decoded.value)


def _profile(decoded: message.Message) -> None:
    if decoded.kind not in message.KINDS:
        return
    for read in (profile.elements, profile.suite_of):
        with suppress(RemoteProtocolError):
            read(decoded)


def _again(decoded: message.Message) -> None:
    """Encode what was decoded, where it has no value of a later version, and compare."""
    try:
        octets = message.encode_message(decoded.kind, decoded.value)[0]
    except LocalProtocolError:
        return
    second = message.decode_message(bytes(octets))
    assert (second.kind, second.value) == (decoded.kind, decoded.value)


def _values(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(_values(inner) for inner in value.values())
    if isinstance(value, list | tuple):
        return 1 + sum(_values(inner) for inner in value)
    return 1
