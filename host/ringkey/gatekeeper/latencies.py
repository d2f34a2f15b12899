"""Latencies, counted as they come: a histogram of each kind, which metrics.py shows to whoever asks."""

from bisect import bisect_left
from collections.abc import Iterable

# Seconds.  An answer from memory takes 0.3 ms, with a key server 3 to 10; a phone asks again after 2 s.
BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)


class Latencies:
    """counts: by kind, how many in each of the BUCKETS, and in none of them; sums: by kind, s."""

    def __init__(self, kinds: Iterable[str]) -> None:
        # There from the start, so that a rate has something to start from.
        self.counts: dict[str, list[int]] = {kind: [0] * (len(BUCKETS) + 1) for kind in kinds}
        self.sums: dict[str, float] = dict.fromkeys(self.counts, 0.0)

    def time(self, kind: str, seconds: float) -> None:
        """Count one."""
        self.counts[kind][bisect_left(BUCKETS, seconds)] += 1
        self.sums[kind] += seconds
