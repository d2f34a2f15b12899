"""Figures for Prometheus: requests as they are answered, the rest counted where it happens, read when asked.

No label holds what somebody else can choose: a route is one of the application's own, never a path.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ringkey.errors import UserError

# Seconds.  A key file takes 1 to 5 ms, a write to an SD card 5 to 50, firmware minutes.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
# Of a request that no route takes.
NOWHERE = "none"

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Metrics:
    """All figures of one key server: `watch` applications, `add` what is read when asked, `text()`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = PrometheusCounter(
            "ringkey_requests",
            "Requests answered.",
            ["service", "route", "method", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "ringkey_request_seconds",
            "Seconds until a request was answered in full.",
            ["service", "route"],
            buckets=BUCKETS,
            registry=self.registry,
        )

    def watch(self, app: web.Application, service: str) -> web.Application:
        """Count the requests of an application that has not started; returns it."""

        @web.middleware
        async def counted(request: web.Request, handler: _Handler) -> web.StreamResponse:
            start = time.perf_counter()
            status = 500
            try:
                response = await handler(request)
                status = response.status
                return response
            except web.HTTPException as e:
                status = e.status
                raise
            finally:
                resource = request.match_info.route.resource
                route = NOWHERE if resource is None else resource.canonical
                method = request.method if resource is not None else NOWHERE
                which = (route, method, status)
                found = known.get(which)
                if found is None:
                    found = known[which] = (
                        self._requests.labels(service, route, method, str(status)),
                        self._seconds.labels(service, route),
                    )
                found[0].inc()
                found[1].observe(time.perf_counter() - start)

        # As many as there are routes, methods of theirs and status codes.
        known: dict[tuple[str, str, int], tuple[PrometheusCounter, Histogram]] = {}
        app.middlewares.insert(0, counted)
        return app

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
