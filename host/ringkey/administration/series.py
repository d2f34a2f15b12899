"""Figures over time, kept in memory: a point a second for ten minutes, one a minute for two days.

For plots where people would rather look than read; what a site wants to keep for longer is in the metrics.
"""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

# Points: ten minutes of seconds, two days of minutes; some 1.5 MB for all lines together.
SECONDS = 600
MINUTES = 2 * 24 * 60
# Lines of "generations" at a time: what a key server has in force (keyring.MAX_GENERATIONS).
MAX_LINES = 8
NAMES = ("registered", "outcomes", "latency", "generations")
UNITS = {"registered": "phones", "outcomes": "per second", "latency": "milliseconds", "generations": "phones"}
_LATENCIES = {"GRQ": "GRQ to GCF", "RRQ": "RRQ to RCF", "key": "look-up of a key"}

Values = dict[str, float]
Point = tuple[float, dict[str, Values]]


class Series:
    """The points: at a time, for each of NAMES, a value for each of its lines."""

    def __init__(self) -> None:
        self._seconds: deque[Point] = deque(maxlen=SECONDS)
        self._minutes: deque[Point] = deque(maxlen=MINUTES)
        self._before: dict[str, Any] = {}
        self._minute: list[Point] = []

    def add(self, at: float, figures: Mapping[str, Any], registrations: Mapping[str, Any] | None) -> None:
        """Take in the gatekeeper's figures at a time (seconds since 1970); {} and None where it is away."""
        values: dict[str, Values] = {}
        if registrations is not None:
            values["registered"] = {"registered": len(registrations)}
            counts: dict[str, float] = {}
            for one in registrations.values():
                counts[one["cvm"]] = counts.get(one["cvm"], 0) + 1
            values["generations"] = dict(sorted(counts.items(), key=lambda one: -one[1])[:MAX_LINES])
        if figures:
            values["latency"] = {
                f"{_LATENCIES[kind]}, {name}": 1000 * seconds
                for kind, found in figures["latencies"].items()
                if kind in _LATENCIES
                for name, seconds in found.items()
            }
            if self._before and figures["at"] > self._before["at"]:
                values["outcomes"] = _rates(self._before, figures)
        self._before = dict(figures)
        point = (at, values)
        self._seconds.append(point)
        if self._minute and int(self._minute[0][0] // 60) != int(at // 60):
            self._minutes.append(_mean(self._minute))
            self._minute = []
        self._minute.append(point)

    def lines(self, name: str, seconds: int) -> dict[str, Any]:
        """Return the lines of one of NAMES for the last so many seconds, fit for a plot."""
        since = time.time() - seconds
        fine = seconds <= SECONDS
        points = (
            list(self._seconds)
            if fine
            else [*self._minutes, *([_mean(self._minute)] if self._minute else [])]
        )
        points = [point for point in points if point[0] >= since]
        names = sorted({line for _, values in points for line in values.get(name, {})})
        return {
            "name": name,
            "unit": UNITS[name],
            "step": 1 if fine else 60,
            "lines": [
                {
                    "name": line,
                    "points": [
                        [round(at, 1), _round(values.get(name, {}).get(line))] for at, values in points
                    ],
                }
                for line in names
            ],
        }


def _rates(before: Mapping[str, Any], now: Mapping[str, Any]) -> Values:
    seconds = now["at"] - before["at"]
    found = {"registered": 0.0, "refused": 0.0, "dropped": 0.0}
    old = {tuple(labels): count for *labels, count in before["outcomes"]}
    for message, outcome, reason, count in now["outcomes"]:
        if outcome in found:
            more = count - old.get((message, outcome, reason), 0)
            found[outcome] += max(0, more) / seconds
    return found


def _mean(points: list[Point]) -> Point:
    """Return one point for a minute: of each line the mean of the values that there are."""
    sums: dict[str, dict[str, list[float]]] = {}
    for _, values in points:
        for name, lines in values.items():
            for line, value in lines.items():
                sums.setdefault(name, {}).setdefault(line, []).append(value)
    means = {
        name: {line: sum(found) / len(found) for line, found in lines.items()} for name, lines in sums.items()
    }
    return points[0][0], means


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
