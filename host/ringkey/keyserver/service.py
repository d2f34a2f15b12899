"""The key server as one service: agent, record, Secure and Advanced Secure File Service."""

import asyncio
from contextlib import suppress

from ringkey import log, waiting
from ringkey.admin import Admin
from ringkey.keyserver import keyring, observed, office
from ringkey.keyserver.advanced import AdvancedService
from ringkey.keyserver.agent import Agent, derive, open_agent
from ringkey.keyserver.books import Unrecorded
from ringkey.keyserver.changes import Changes
from ringkey.keyserver.desk import Desk
from ringkey.keyserver.enrolment import Enrolment
from ringkey.keyserver.files import FileService
from ringkey.keyserver.keyring import Keyring
from ringkey.keyserver.ledger import Ledger
from ringkey.keyserver.metrics import Metrics
from ringkey.keyserver.office import Office
from ringkey.keyserver.sealing import AskPassphrase, Seal
from ringkey.keyserver.serving import Context, Listener, server_context
from ringkey.keyserver.uploads import open_uploads
from ringkey.site import certificates, files
from ringkey.site.config import KeyServerConfig, Site, load
from ringkey.site.control import ControlServer

# Seconds without a request.  A phone asks once; a gatekeeper keeps its connection, and asks for
# the status every minute or so.
PHONE_IDLE = 20.0
GATEKEEPER_IDLE = 300.0
# Seconds between looks at the generations in force, where nothing says that one ends sooner; and
# how soon gatekeepers hear of one that has ended, or of what could not be put on record before.
_LOOK = 60.0
_SOON = 0.2
# What of [keyserver] holds at once when it is changed in ringkey.toml.
LIVE_SETTINGS = ("enrolment.policy", "enrolment.per_source", "enrolment.per_extension")

_log = log.get("ringkey.keyserver")


class KeyServerService:
    """`start()` and `stop()` it; `ports` then has "files" and "advanced", and "admin" where it is wanted.

    ask: gives the passphrase that the seed is sealed under, if it is by one.
    """

    def __init__(self, config: KeyServerConfig, site: Site, ask: AskPassphrase) -> None:
        self.ports: dict[str, int] = {}
        self._config = config
        self._ask = ask
        self._site = site
        self._agent: Agent | None = None
        self._ledger: Ledger | None = None
        self._changes: Changes | None = None
        self._control: ControlServer | None = None
        self._watching: list[asyncio.Task[None]] = []
        self._rotated = asyncio.Event()
        self._listeners: dict[str, Listener] = {}
        self._admin: Admin | None = None
        self._enrolment: Enrolment | None = None

    async def start(self) -> None:
        """Open seed, counter and record, and listen; raises UserError, and then nothing is left running."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        config = self._config
        phones, gatekeepers = self._contexts()
        ring = keyring.read(config.seed, config.seed_key, self._ask)
        self._agent = agent = open_agent(config, ring)
        self._ledger = ledger = Ledger(config.audit, config.register)
        ledger.start()
        agent.clock = ledger.now
        self._changes = changes = Changes(ledger)
        changes.begin()
        desk = Desk(agent, ledger, config.scopes)
        commands = self._office(ring.seal, agent, ledger).commands()
        commands["denied"] = desk.denials.tell
        commands["settings"] = lambda _request: {"applied": self._apply_settings()}
        self._control = control = ControlServer(self._site.run, "keyserver", commands)
        await control.start()
        ledger.note("started", server_id=agent.server_id.hex(), cvm=agent.cvm.hex())
        self._watching.append(asyncio.create_task(self._watch(agent, ledger), name="generations"))
        files_service = FileService(config, self._site, desk)
        self._enrolment = files_service.enrolment
        advanced = AdvancedService(desk, changes, config.scopes, open_uploads(config.uploads))
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
            self._admin = Admin(config.admin, metrics, observed.checks(config, files_service, ledger))
            self.ports["admin"] = await self._admin.start()
        self._watching.append(
            asyncio.create_task(
                certificates.watch((config.certificate,), config.client_ca, _log), name="certificates"
            )
        )
        _log.info(
            "key_server",
            server_id=agent.server_id.hex(":"),
            suite=agent.suite.name,
            cvm=agent.cvm.hex(),
            generation=agent.generation,
            issued=agent.issued,
            lines=ledger.lines,
        )

    async def stop(self) -> None:
        """Let requests under way end, then write counter and record; safe at any time, and twice."""
        if self._control is not None:
            await self._control.stop()
            self._control = None
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        self._watching.clear()
        if self._admin is not None:
            await self._admin.stop()
            self._admin = None
        while self._listeners:
            await self._listeners.popitem()[1].stop()
        if self._ledger is not None:
            self._ledger.note("stopped")
            await asyncio.to_thread(self._ledger.stop)
            self._ledger = None
        if self._agent is not None:
            self._agent.close()
            self._agent = None
        self.ports = {}

    def status(self) -> dict[str, object]:
        """Return what `ringkey status` shows; no secret is in it."""
        agent, ledger = self._agent, self._ledger
        if agent is None or ledger is None:
            return {}
        found: dict[str, object] = {
            "suite": agent.suite.name,
            "cvm": agent.cvm.hex(),
            "generation": agent.generation,
            "in_force": [value.hex() for value in agent.check_values],
            "server_id": agent.server_id.hex(":"),
            "issued": agent.issued,
            "revoked": len(ledger.revoked),
            "gatekeepers": 0 if self._changes is None else self._changes.streams,
        }
        return found if ledger.trouble is None else {**found, "trouble": ledger.trouble}

    def _office(self, seal: Seal, agent: Agent, ledger: Ledger) -> Office:
        config = self._config

        def rotated(ring: Keyring) -> None:
            agent.replace_masters(derive(config.suite, ring.generations))
            self._rotated.set()

        # The seeds themselves are not kept: the file is opened again, with the key that opened it.
        return Office(config, ledger, lambda: keyring.reopen(config.seed, seal), rotated)

    async def _watch(self, agent: Agent, ledger: Ledger) -> None:
        """Put on record, and so tell gatekeepers, which generations are in force when that changes."""
        while True:
            self._rotated.clear()
            said = agent.generations == ledger.generations
            if not said:
                with suppress(Unrecorded):
                    await ledger.record(office.said(agent.generations))
                    _log.info("generations", in_force=[value.hex() for value in agent.check_values])
                    said = True
            end = agent.next_end
            wait = _LOOK if end is None else min(_LOOK, max(0.0, end - ledger.now()))
            await waiting.happens(self._rotated, wait + _SOON if said else 5 * _SOON)

    def reload(self) -> None:
        """Use the certificates that are on disk now for new connections.

        Raises UserError where they cannot be used, and then nothing has changed.
        """
        phones, gatekeepers = self._contexts()
        for name, context in (("files", phones), ("advanced", gatekeepers)):
            if name in self._listeners:
                self._listeners[name].renew(context)
        certificates.warn((self._config.certificate,), self._config.client_ca, _log)

    def _apply_settings(self) -> list[str]:
        """Take what may change at any time from `ringkey.toml` as it is now; raises UserError."""
        config = load(self._site).need_keyserver()
        if self._enrolment is None:
            return []
        self._enrolment.apply(config.enrolment)
        _log.info("settings_taken", names=list(LIVE_SETTINGS))
        return list(LIVE_SETTINGS)

    def _contexts(self) -> tuple[Context, Context]:
        """Return the TLS contexts for phones and for gatekeepers; raises UserError."""
        config = self._config
        try:
            if certificates.finish(config.certificate, config.private_key):
                _log.warning("renewal_completed", because="the last one was cut off")
        except OSError as e:
            _log.error("renewal_cut_off", reason=e.strerror, next_step="ringkey cert renew")
        files.check_secret(config.private_key, "the key server's private key")
        certificate, key = str(config.certificate), str(config.private_key)
        phones = server_context(certificate, key)
        gatekeepers = server_context(certificate, key, str(config.client_ca))
        for context in (phones, gatekeepers):
            context.on_refused = self._tls_refused
        return phones, gatekeepers

    def _tls_refused(self, **why: object) -> None:
        if self._ledger is not None:
            self._ledger.refusal("tls-refused", **why)

    async def _listen(self, name: str, listener: Listener, port: int) -> int:
        found = await listener.start(self._config.listen, port)
        self._listeners[name] = listener
        return found
