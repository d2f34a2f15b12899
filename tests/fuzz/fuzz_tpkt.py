"""What must hold for any octets on a signalling channel: TPKT frames and the Q.931 messages in them.

An input is one octet that seeds how the stream is cut into pieces, then the stream.
"""

from ras import q931, tpkt
from ras.errors import RemoteProtocolError
from support import Random

# Octets of an input: several frames of the limit below, whole and cut off.
MAX_INPUT = 2048
# Octets of a payload: small, so that inputs reach it; the gatekeeper's is a matter of one number.
LIMIT = 300


def one(data: bytes) -> None:
    """Cut frames out of the stream, whole and in pieces, and answer what is in them."""
    stream = data[1:]
    whole, failed = _deframe([stream])
    pieces, failed_too = _deframe(_cut(stream, data[0] if data else 0))
    assert failed == failed_too, "it depends on how the stream was cut"
    # Octets that came together with a bad frame may take good ones before it down with them.
    assert pieces[: len(whole)] == whole
    for payload in pieces:
        assert len(payload) <= LIMIT
        _message(payload)
    if not failed:
        rest = stream
        for payload in whole:
            size = tpkt.HEADER + len(payload)
            again = tpkt.encode(payload)
            assert (rest[0], rest[2:size]) == (again[0], again[2:])  # the reserved octet may be anything
            rest = rest[size:]
        assert len(rest) < tpkt.HEADER + LIMIT


def _deframe(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    deframer = tpkt.Deframer(LIMIT)
    payloads: list[bytes] = []
    for piece in pieces:
        try:
            payloads += deframer.receive(piece)
        except RemoteProtocolError:
            _stays_bad(deframer)
            return payloads, True
        assert len(deframer._in) < tpkt.HEADER + LIMIT, "more is kept than one frame"
    return payloads, False


def _stays_bad(deframer: tpkt.Deframer) -> None:
    try:
        got = deframer.receive(tpkt.encode(b"good"))
    except RemoteProtocolError:
        assert len(deframer._in) <= tpkt.HEADER + LIMIT
        return
    raise AssertionError(f"frames after a bad one: {got}")


def _cut(stream: bytes, seed: int) -> list[bytes]:
    random = Random(seed + 1)
    pieces = []
    while stream:
        size = 1 + random.below(1 + random.below(2 * LIMIT))
        pieces.append(stream[:size])
        stream = stream[size:]
    return pieces


def _message(payload: bytes) -> None:
    try:
        decoded = q931.decode(payload)
    except RemoteProtocolError:
        try:
            q931.answer(payload)
        except RemoteProtocolError:
            return
        raise AssertionError("answered what cannot be decoded") from None
    assert q931.encode(decoded) == payload
    answer = q931.answer(payload)
    assert (answer is not None) == (decoded.kind == q931.STATUS_ENQUIRY)
    if answer is not None:
        status = q931.decode(answer)
        assert (status.kind, status.reference) == (q931.STATUS, decoded.reference)
        assert (status.octets, status.answered) == (decoded.octets, not decoded.answered)
        assert q931.answer(answer) is None, "two ends would answer each other for ever"
