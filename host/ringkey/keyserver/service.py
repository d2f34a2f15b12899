"""The key server as one service: agent, Secure and Advanced Secure File Service."""

import asyncio
import ssl

from ringkey import log
from ringkey.errors import UserError
from ringkey.keyserver import observed
from ringkey.keyserver.admin import Admin
from ringkey.keyserver.advanced import AdvancedService
from ringkey.keyserver.agent import Agent, open_agent
from ringkey.keyserver.files import FileService
from ringkey.keyserver.metrics import Metrics
from ringkey.keyserver.serving import Listener, server_context
from ringkey.keyserver.uploads import open_uploads
from ringkey.site import certificates, files
from ringkey.site.config import KeyServerConfig, Site

# Seconds without a request.  A phone asks once; a gatekeeper keeps its connection, and asks for
# the status every minute or so.
PHONE_IDLE = 20.0
GATEKEEPER_IDLE = 300.0

_log = log.get("ringkey.keyserver")


class KeyServerService:
    """`start()` and `stop()` it; `ports` then has "files" and "advanced", and "admin" where it is wanted."""

    def __init__(self, config: KeyServerConfig, site: Site) -> None:
        self.ports: dict[str, int] = {}
        self._config = config
        self._site = site
        self._agent: Agent | None = None
        self._listeners: dict[str, Listener] = {}
        self._watch: asyncio.Task[None] | None = None
        self._admin: Admin | None = None

    async def start(self) -> None:
        """Read the seed and the counter and listen; raises UserError, and then nothing is left running."""
        config = self._config
        phones, gatekeepers = self._contexts()
        self._agent = agent = open_agent(config)
        try:
            files_service = FileService(config, self._site, agent)
            advanced = AdvancedService(agent, config.scopes, open_uploads(config.uploads))
            metrics = Metrics()
            self.ports["files"] = await self._listen(
                "files",
                Listener(metrics.watch(files_service.app(), "files"), phones, idle=PHONE_IDLE),
                config.port,
            )
            self.ports["advanced"] = await self._listen(
                "advanced",
                Listener(metrics.watch(advanced.app(), "advanced"), gatekeepers, idle=GATEKEEPER_IDLE),
                config.advanced_port,
            )
            if config.admin is not None:
                metrics.add(observed.figures(config, agent, files_service, advanced, self._listeners))
                self._admin = Admin(config.admin, metrics, observed.checks(config, files_service))
                self.ports["admin"] = await self._admin.start()
        except UserError:
            await self.stop()
            raise
        self._watch = asyncio.create_task(
            certificates.watch((config.certificate,), config.client_ca, _log), name="certificates"
        )
        _log.info(
            "key_server",
            server_id=agent.server_id.hex(":"),
            suite=agent.suite.name,
            cvm=agent.cvm.hex(),
            issued=agent.issued,
        )

    async def stop(self) -> None:
        """Let requests under way end, then write the counter; safe at any time, and twice."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._admin is not None:
            await self._admin.stop()
            self._admin = None
        while self._listeners:
            await self._listeners.popitem()[1].stop()
        if self._agent is not None:
            self._agent.close()
            self._agent = None
        self.ports = {}

    def status(self) -> dict[str, object]:
        """Return what `ringkey status` shows: suite, cvm (hex), server_id, issued."""
        if self._agent is None:
            return {}
        return {
            "suite": self._agent.suite.name,
            "cvm": self._agent.cvm.hex(),
            "server_id": self._agent.server_id.hex(":"),
            "issued": self._agent.issued,
        }

    def reload(self) -> None:
        """Use the certificates that are on disk now for new connections.

        Raises UserError where they cannot be used, and then nothing has changed.
        """
        phones, gatekeepers = self._contexts()
        for name, context in (("files", phones), ("advanced", gatekeepers)):
            if name in self._listeners:
                self._listeners[name].renew(context)
        certificates.warn((self._config.certificate,), self._config.client_ca, _log)

    def _contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """Return the TLS contexts for phones and for gatekeepers; raises UserError."""
        config = self._config
        try:
            if certificates.finish(config.certificate, config.private_key):
                _log.warning("renewal_completed", because="the last one was cut off")
        except OSError as e:
            _log.error("renewal_cut_off", reason=e.strerror, next_step="ringkey cert renew")
        files.check_secret(config.private_key, "the key server's private key")
        certificate, key = str(config.certificate), str(config.private_key)
        return server_context(certificate, key), server_context(certificate, key, str(config.client_ca))

    async def _listen(self, name: str, listener: Listener, port: int) -> int:
        found = await listener.start(self._config.listen, port)
        self._listeners[name] = listener
        return found
