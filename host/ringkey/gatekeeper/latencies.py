"""Latencies, counted as they come: a histogram of each kind, which metrics.py shows to whoever asks."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

# Seconds.  An answer from memory takes 0.3 ms, with a key server 3 to 10; a phone asks again after 2 s.
BUCKETS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
# Latencies that wait to be sorted into buckets, which is quicker for many at a time: 8 KB.
_MANY: Final = 256


class Latencies:
    """kinds: those there are."""

    def __init__(self, kinds: Iterable[str]) -> None:
        self._waiting: dict[str, list[float]] = {kind: [] for kind in kinds}
        # There from the start, so that a rate has something to start from.
        self._counts: dict[str, list[int]] = {kind: [0] * (len(BUCKETS) + 1) for kind in self._waiting}
        self._sums: dict[str, float] = dict.fromkeys(self._waiting, 0.0)

    def time(self, kind: str, seconds: float) -> None:
        """Count one."""
        waiting = self._waiting[kind]
        waiting.append(seconds)
        if len(waiting) >= _MANY:
            self._sort(kind)

    def counts(self, kind: str) -> list[int]:
        """Return how many there were in each of the BUCKETS, and behind the last."""
        self._sort(kind)
        return self._counts[kind].copy()

    def sum(self, kind: str) -> float:
        """Return all of them together, s."""
        self._sort(kind)
        return self._sums[kind]

    def _sort(self, kind: str) -> None:
        waiting, self._waiting[kind] = self._waiting[kind], []
        counts, find, buckets = self._counts[kind], bisect_left, BUCKETS
        for seconds in waiting:
            counts[find(buckets, seconds)] += 1
        # One after the other, as they came: a sum of floats depends on it.
        self._sums[kind] = sum(waiting, self._sums[kind])
