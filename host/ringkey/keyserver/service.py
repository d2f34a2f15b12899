"""The key server as one service: agent, Secure and Advanced Secure File Service."""

from ringkey import log
from ringkey.errors import UserError
from ringkey.keyserver import keyring
from ringkey.keyserver.advanced import AdvancedService
from ringkey.keyserver.agent import Agent, open_agent
from ringkey.keyserver.files import FileService
from ringkey.keyserver.sealing import AskPassphrase
from ringkey.keyserver.serving import Listener, server_context
from ringkey.site import files
from ringkey.site.config import KeyServerConfig, Site

# Seconds without a request.  A phone asks once; a gatekeeper keeps its connection, and asks for
# the status every minute or so.
PHONE_IDLE = 20.0
GATEKEEPER_IDLE = 300.0

_log = log.get("ringkey.keyserver")


class KeyServerService:
    """`start()` and `stop()` it; `ports` then has "files" and "advanced".

    ask: gives the passphrase that the seed is sealed under, if it is by one.
    """

    def __init__(self, config: KeyServerConfig, site: Site, ask: AskPassphrase) -> None:
        self.ports: dict[str, int] = {}
        self._config = config
        self._ask = ask
        self._site = site
        self._agent: Agent | None = None
        self._listeners: list[Listener] = []

    async def start(self) -> None:
        """Read the seed and the counter and listen; raises UserError, and then nothing is left running."""
        config = self._config
        files.check_secret(config.private_key, "the key server's private key")
        certificate, key = str(config.certificate), str(config.private_key)
        phones = server_context(certificate, key)
        gatekeepers = server_context(certificate, key, str(config.client_ca))
        self._agent = agent = open_agent(config, keyring.read(config.seed, config.seed_key, self._ask))
        try:
            self.ports["files"] = await self._listen(
                Listener(FileService(config, self._site, agent).app(), phones, idle=PHONE_IDLE), config.port
            )
            self.ports["advanced"] = await self._listen(
                Listener(AdvancedService(agent).app(), gatekeepers, idle=GATEKEEPER_IDLE),
                config.advanced_port,
            )
        except UserError:
            await self.stop()
            raise
        _log.info(
            "key_server",
            server_id=agent.server_id.hex(":"),
            suite=agent.suite.name,
            cvm=agent.cvm.hex(),
            generation=agent.generation,
            issued=agent.issued,
        )

    async def stop(self) -> None:
        """Let requests under way end, then write the counter; safe at any time, and twice."""
        while self._listeners:
            await self._listeners.pop().stop()
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
            "generation": self._agent.generation,
            "in_force": [value.hex() for value in self._agent.check_values],
            "server_id": self._agent.server_id.hex(":"),
            "issued": self._agent.issued,
        }

    async def _listen(self, listener: Listener, port: int) -> int:
        found = await listener.start(self._config.listen, port)
        self._listeners.append(listener)
        return found
