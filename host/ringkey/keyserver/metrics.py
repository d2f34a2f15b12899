"""Figures of requests for Prometheus, counted as they are answered.

No label holds what somebody else can choose: a route is one of the application's own, never a path.
"""

import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import Counter as PrometheusCounter
from prometheus_client import Histogram

from ringkey import figures

# Seconds.  A key file takes 1 to 5 ms, a write to an SD card 5 to 50, firmware minutes.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
# Of a request that no route takes.
NOWHERE = "none"

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Metrics(figures.Metrics):
    """All figures of one key server: `watch` applications; the rest is read when asked."""

    def __init__(self) -> None:
        super().__init__()
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
