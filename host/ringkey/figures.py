"""A service's figures for Prometheus: a registry, and figures that are read when asked.

No label holds what somebody else can choose.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ringkey.errors import UserError


class Metrics:
    """All figures of one service: `add` what is read when asked, `text()`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

    def add(self, figures: "Figures") -> None:
        """Show what `figures` says whenever the metrics are asked for."""
        self.registry.register(figures)

    def text(self) -> bytes:
        """Return all of it, as Prometheus reads it."""
        return generate_latest(self.registry)


Value = Callable[[], float | Mapping[str, float]]


class Figures(Collector):
    """Figures that are functions: without a label, or with one and a mapping."""

    def __init__(self) -> None:
        self._gauges: list[tuple[str, str, str, Value]] = []
        self._counters: list[tuple[str, str, str, Value]] = []

    def gauge(self, name: str, text: str, value: Value, label: str = "") -> None:
        """Add what goes up and down."""
        self._gauges.append((name, text, label, value))

    def counter(self, name: str, text: str, value: Value, label: str = "") -> None:
        """Add what only grows."""
        self._counters.append((name, text, label, value))

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is need not be asked for at registration."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every figure as it is now."""
        for kind, figures in ((GaugeMetricFamily, self._gauges), (CounterMetricFamily, self._counters)):
            for name, text, label, value in figures:
                # One figure that cannot be had (a certificate that is unreadable) hides no other.
                with contextlib.suppress(UserError, OSError):
                    yield _filled(kind(name, text, labels=[label] if label else []), label, value())


def _filled(family: Any, label: str, found: float | Mapping[str, float]) -> Metric:
    if isinstance(found, Mapping):
        for key, number in found.items():
            family.add_metric([key] if label else [], number)
    else:
        family.add_metric([], found)
    metric: Metric = family
    return metric


def as_mapping(counted: Counter[str]) -> Value:
    """Return the function that shows a Counter as it is when asked."""
    return lambda: dict(counted)
