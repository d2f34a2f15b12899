"""The work for a datagram before its ICV is checked is bounded (docs/gatekeeper-silence.md)."""

from bench.packet_work import calls, kinds
from ras.message import MAX_MESSAGE

# Function calls: a count, since times depend on what else a machine does.  12,687 is the worst there is.
MOST = 14_000
# A source that is ignored costs no more than to find that out.
MOST_IGNORED = 40


def test_no_datagram_is_endless_work():
    found = {}
    for name, (bench, data) in kinds().items():
        assert len(data[-1]) <= MAX_MESSAGE
        bench.take(data[0])
        found[name] = calls(lambda bench=bench, data=data: bench.take(data[-1]))
    assert found["of an ignored source"] <= MOST_IGNORED, found
    assert found["the same octets again"] <= MOST_IGNORED, found
    worst = [name for name in found if name.startswith("worst")]
    assert max(found, key=found.get) in worst, found
    assert 5_000 < max(found.values()) <= MOST, found
