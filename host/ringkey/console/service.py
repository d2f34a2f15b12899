"""The console as one service: an HTTPS port, and the administration of a site behind it."""

import asyncio
from pathlib import Path

from ringkey import log
from ringkey.administration.accounts.sessions import Times
from ringkey.administration.site import Administration
from ringkey.console import app
from ringkey.keyserver.serving import Context, Listener, server_context
from ringkey.site import certificates, files
from ringkey.site.config import Site
from ringkey.site.console_table import ConsoleConfig

# Seconds without a request; a page that is open has a stream.
IDLE = 75.0
# Octets of a request line: a search of 500 characters, each of 12 octets where a URL escapes it, and room.
MAX_LINE = 16 << 10
# Octets of a header: cookies of whatever else runs on this host come along.
MAX_FIELD = 8 << 10

_log = log.get("ringkey.console")


class ConsoleService:
    """`start()` and `stop()` it; `ports` then has "console"."""

    def __init__(self, config: ConsoleConfig, site: Site) -> None:
        self.ports: dict[str, int] = {}
        self.administration = Administration(site)
        self._config = config
        self._site = site
        self._listener: Listener | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the accounts and listen; raises UserError, and then nothing is left running."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        config = self._config
        context = self._context()
        accounts = self.administration.accounts
        accounts.sessions.times = Times(config.session_idle, config.session_total)
        await self.administration.start()
        self._listener = Listener(
            app.make(self.administration), context, idle=IDLE, line=MAX_LINE, field=MAX_FIELD
        )
        self.ports = {"console": await self._listener.start(config.listen, config.port)}
        self._watch = asyncio.create_task(
            certificates.watch((config.certificate,), self._root(), _log), name="certificates"
        )
        users = accounts.users.list()
        _log.info("console", users=len(users), port=self.ports["console"])
        if not any(user.password for user in users):
            _log.warning("nobody_can_log_in", next_step="ringkey user invite admin --role administrator")

    async def stop(self) -> None:
        """End streams and requests, and let go of everything; safe at any time, and twice."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        if self._listener is not None:
            await self._listener.stop()
            self._listener = None
        await self.administration.stop()
        self.ports = {}

    def status(self) -> dict[str, object]:
        """Return what `ringkey status` shows."""
        return {} if self._listener is None else {"connections": self._listener.connections}

    def reload(self) -> None:
        """Use the certificate that is on disk now for new connections; raises UserError."""
        context = self._context()
        if self._listener is not None:
            self._listener.renew(context)
        certificates.warn((self._config.certificate,), self._root(), _log)

    def _root(self) -> Path:
        return self._config.client_ca or self._site.root_certificate

    def _context(self) -> Context:
        config = self._config
        files.check_secret(config.private_key, "the console's private key")
        client_ca = None if config.client_ca is None else str(config.client_ca)
        return server_context(str(config.certificate), str(config.private_key), client_ca)
