"""A service's health and metrics on a port of their own: plain HTTP, for this machine.

/healthz   200 while the event loop turns
/readyz    200 where a phone that came now would be served, else 503; what is wrong, as JSON
/metrics   for Prometheus
"""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from ringkey.errors import UserError, cannot_listen
from ringkey.figures import Metrics
from ringkey.site.keyserver_tables import AdminConfig

# Octets of a request's body: none has one.
MAX_BODY = 1024
# Seconds without a request: Prometheus asks every 15 or 30.
IDLE = 75.0

Check = Callable[[], str | None]
"""Says what is wrong, None where nothing is; may raise UserError or OSError for the same."""


def run(check: Check) -> str | None:
    """Return what a check says, and what it raises likewise."""
    try:
        return check()
    except UserError as e:
        return e.what
    except OSError as e:
        return e.strerror or type(e).__name__


class Admin:
    """The admin port; checks: name to Check, run when /readyz is asked for.

    fresh: awaited before checks are run, and before metrics are told.
    """

    def __init__(
        self,
        config: AdminConfig,
        metrics: Metrics,
        checks: Mapping[str, Check],
        fresh: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._checks = checks
        self._fresh = fresh
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen; returns the port.  Raises UserError."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._show)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=IDLE)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._config.listen, self._config.port).start()
        except OSError as e:
            await self.stop()
            raise cannot_listen(self._config.listen, self._config.port, e) from None
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; safe twice."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def problems(self) -> dict[str, str]:
        """Return what is wrong by the check's name, nothing where a phone would be served."""
        found = {name: run(check) for name, check in self._checks.items()}
        return {name: wrong for name, wrong in found.items() if wrong is not None}

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        if self._fresh is not None:
            await self._fresh()
        problems = self.problems()
        status = 503 if problems else 200
        return web.json_response({"ready": not problems, "problems": problems}, status=status)

    async def _show(self, _request: web.Request) -> web.Response:
        if self._fresh is not None:
            await self._fresh()
        return web.Response(body=self._metrics.text(), content_type="text/plain", charset="utf-8")
