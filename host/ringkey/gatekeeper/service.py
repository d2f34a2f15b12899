"""The gatekeeper as one service: RAS port, directory, key look-up, signalling channels."""

import asyncio
import errno
import socket
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from ras.held import Held
from ras.policy import Settings
from ras.registrar import Registrar
from ras.throttle import Throttle

from ringkey import log, waiting
from ringkey.admin import Admin
from ringkey.errors import UserError
from ringkey.gatekeeper import descriptors, many, metrics
from ringkey.gatekeeper.addresses import Address, Addresses
from ringkey.gatekeeper.answers import Found, Status
from ringkey.gatekeeper.client_tls import client_tls
from ringkey.gatekeeper.codec import HostCodec
from ringkey.gatekeeper.direct import Direct
from ringkey.gatekeeper.directory import Directory
from ringkey.gatekeeper.huge_pages import HugePages
from ringkey.gatekeeper.key_cache import Key
from ringkey.gatekeeper.keys import KeyClient
from ringkey.gatekeeper.metrics import Metrics
from ringkey.gatekeeper.news import News
from ringkey.gatekeeper.observed import Observed
from ringkey.gatekeeper.office import Office
from ringkey.gatekeeper.pinkey import load_pin_key
from ringkey.gatekeeper.plain import Policy
from ringkey.gatekeeper.randomness import Randomness
from ringkey.gatekeeper.ras_port import RasPort
from ringkey.gatekeeper.record import Record
from ringkey.gatekeeper.renewals import Lookups
from ringkey.gatekeeper.signalling import Signalling
from ringkey.gatekeeper.state.keeper import State
from ringkey.gatekeeper.state.restore import Keys
from ringkey.gatekeeper.state.usable import usable
from ringkey.gatekeeper.witnesses import Witnesses
from ringkey.gatekeeper.workers import layout
from ringkey.site import certificates
from ringkey.site.config import GatekeeperConfig, Site, load, resolve_url
from ringkey.site.control import Command, ControlServer
from ringkey.site.keyserver_tables import AdminConfig

# Seconds that a start waits for the first word of a key server: a phone that asks before it is
# left to its next try.
FIRST_STATUS = 2.0
# Seconds that a read may wait for the directory: all phones wait with it.
PATIENCE = 1.0
# What of [gatekeeper] holds at once when it is changed in ringkey.toml, for whoever comes from then on.
LIVE_SETTINGS = ("time_to_live", "max_registrations", "icv_from_kg", "log_lines")


class GatekeeperService:
    """`start()` and `stop()` it; `ports` then has "ras" (UDP) and "signalling" (TCP)."""

    def __init__(self, config: GatekeeperConfig, site: Site) -> None:
        self.ports: dict[str, int] = {}
        self._config = config
        self._site = site
        self._log = log.get("ringkey.gatekeeper")
        self._record = Record(config.log_lines)
        self._directory: Directory | None = None
        self._state: State | None = None
        self._lookups: Lookups | None = None
        self._settings: Settings | None = None
        self._registrar: Registrar | None = None
        self._keys: KeyClient | None = None
        self._ras: RasPort | None = None
        self._signalling: Signalling | None = None
        self._control: ControlServer | None = None
        self._watch: asyncio.Task[None] | None = None
        self._collapsing: asyncio.Task[None] | None = None
        self._admin: Admin | None = None
        self._metrics = Metrics()
        self._observed = Observed(self._metrics.time)
        self._news = News()
        self._witnesses = Witnesses(self._record, self._observed, self._news, self._ended)
        self._began = time.monotonic()

    async def start(self) -> None:
        """Open everything; raises UserError, and then nothing is left running.

        A key server that does not answer is waited for in the background.
        """
        sys.setswitchinterval(many.SWITCH)
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close everything; safe at any time, and twice."""
        for task in (self._watch, self._collapsing):
            if task is not None:
                task.cancel()
        self._watch = self._collapsing = None
        if self._state is not None and self.ports:
            await self._state.settled()  # answers that wait for it go out
        parts = (self._admin, self._control, self._ras, self._signalling, self._keys)
        self._admin = self._control = self._ras = self._signalling = self._keys = None
        for part in parts:
            if part is not None:
                await part.stop()
        if self._state is not None:
            await self._state.stop()
            self._state = self._witnesses.noticed = None
        if self._lookups is not None:
            self._lookups.close()
            self._lookups = self._witnesses.memory = None
        if self._directory is not None:
            self._directory.close()
            self._directory = None
        self.ports = {}

    def status(self) -> dict[str, Any]:
        """Return what `ringkey status` shows; no secret is in it."""
        if self._registrar is None or self._directory is None or self._keys is None:
            return {}
        extensions: int | str
        try:
            extensions = self._directory.count()
        except UserError as error:
            extensions = error.what
        return {
            "registrations": self._registrar.registered(),
            "plain": 0 if self._registrar.plain is None else len(self._registrar.plain),
            "channels": 0 if self._signalling is None else len(self._signalling),
            "extensions": extensions,
            "key_server": "ready" if self._keys.ready.is_set() else "does not answer",
            "cvm": [value.hex() for value in self._witnesses.check_values],
            "lookups": self._keys.lookups,
            "changes": f"{self._keys.following} of {len(self._config.key_servers)} key servers followed",
            "datagrams": 0 if self._ras is None else self._ras.received,
            "state": "closed" if self._state is None else self._state.trouble or "kept",
            "ignored": self._registrar.ignored,
            "sources_ignored": 0 if self._ras is None else self._ras.sources_ignored,
        }

    def reload(self) -> None:
        """Show the certificate that is on disk now to key servers; open connections stay.

        Raises UserError where it cannot be used, and then nothing has changed.
        """
        tls = self._tls()
        if self._keys is not None:
            self._keys.renew(tls)
        certificates.warn((self._config.certificate,), self._config.key_server_ca, self._log)

    def _tls(self) -> ssl.SSLContext:
        config = self._config
        with suppress(OSError):
            certificates.finish(config.certificate, config.private_key)
        return client_tls(config.key_server_ca, config.certificate, config.private_key)

    async def _start(self) -> None:
        config = self._config
        await self._open_control(Office(self, self._news, self._observed).commands())
        tls = self._tls()
        self._directory = Directory.open(config.directory, config.pin_key, PATIENCE)
        self._directory.keep_few_pages()
        self._state = State(config.state, load_pin_key(config.pin_key, config.directory))
        await self._state.start()
        self._witnesses.noticed = self._state.noticed
        self._keys = KeyClient(
            config.key_servers,
            tls,
            resolve=lambda url: resolve_url(url, self._site),
            on_status=self._new_status,
            on_revoked=self._end_revoked,
            on_key=self._key_changed,
            on_statuses=self._state.keep_statuses,
            keys=config.max_registrations,
        )
        # The registrar wants the RAS port's number, which is only known once that is open.
        throttle = config.throttle
        settings = Settings(
            lambda _source: (("", 0), ("", 0)),
            suites=config.suites,
            time_to_live=config.time_to_live,
            others=await self._alternates(),
            throttle=Throttle(
                throttle.failures, 1000 * throttle.window, 1000 * throttle.ignore, 1000 * throttle.ignore_max
            ),
            icv_from_kg=config.icv_from_kg,
            most=config.max_registrations,
            plain=None
            if config.plain is None
            else Policy(config.plain, self._directory, self._record.budget),
        )
        self._settings = settings
        self._registrar = self._make_registrar(settings)
        self._put_back(self._state, self._registrar, self._directory, self._keys)
        # From here on the channels of registrations that are there again may be opened.
        self._signalling = await self._listen()
        self._witnesses.channels = self._signalling.there
        self._lookups = Lookups(self._directory, self._keys, self._record.budget, self._observed)
        self._witnesses.memory = self._lookups.memory
        self._ras = self._make_port(self._registrar, self._lookups)
        await self._keys.start()
        await waiting.happens(self._keys.tried, FIRST_STATUS)
        await self._ras.start(config.listen, config.port)
        ras, signalling = self._ras.address[1], self._signalling.port
        settings.addresses = Addresses(
            config.listen,
            config.advertise,
            config.advertise_port or ras,
            config.advertise_signalling_port or signalling,
        )
        self.ports = {"ras": ras, "signalling": signalling}
        self._end_outdated(self._keys)
        if config.multicast:
            await self._ras.join_multicast(config.listen)
        if config.admin is not None:
            await self._open_admin(config.admin, self._keys, self._directory)
        self._watch = asyncio.create_task(
            certificates.watch((config.certificate,), config.key_server_ca, self._log), name="certificates"
        )
        self._collapsing = asyncio.create_task(
            HugePages().keep(lambda: 0 if self._ras is None else self._ras.received), name="huge pages"
        )
        self._log.info("gatekeeper", extensions=self._directory.count(), suites=list(config.suites))

    # What a worker has in another way (workers/worker.py)

    async def _open_control(self, commands: Mapping[str, Command]) -> None:
        """Take commands; first of all, since it finds out whether another gatekeeper of this site runs."""
        control = ControlServer(self._site.run, "gatekeeper", commands)
        await control.start()
        self._control = control
        # There may have been more of them, each with a file of its own.
        await asyncio.get_running_loop().run_in_executor(None, layout.settle, self._config, 1)

    def _on_disk(self) -> GatekeeperConfig:
        return load(self._site).need_gatekeeper()

    def _make_registrar(self, settings: Settings) -> Registrar:
        return Direct(settings, Randomness(), HostCodec())

    def _make_port(self, registrar: Registrar, lookups: Lookups) -> RasPort:
        return RasPort(registrar, lookups, self._witnesses.tell, self._state, self._observed)

    async def _open_admin(self, admin: AdminConfig, keys: KeyClient, directory: Directory) -> None:
        self._metrics.registry.register(metrics.Outcomes(self._observed))
        figures = metrics.read_when_asked(self._config, self._observed, keys, self._sizes)
        metrics.count_dropped(figures, lambda: {} if self._ras is None else self._ras.dropped())
        self._metrics.add(figures)
        self._admin = Admin(admin, self._metrics, metrics.checks(self._config, keys, directory))
        # Not "admin": a key server in the same process has that.
        self.ports["gatekeeper_admin"] = await self._admin.start()

    def _sizes(self) -> dict[str, float]:
        sizes: dict[str, float] = {} if self._registrar is None else dict(self._registrar.sizes())
        sizes["channels"] = 0 if self._signalling is None else len(self._signalling)
        return sizes

    async def _listen(self) -> Signalling:
        config = self._config
        budget, most = self._record.budget, descriptors.channels()
        signalling = Signalling(self._psk, self._ext_of, self._news.channel, budget, most)
        try:
            await signalling.start(config.listen, config.signalling_port)
        except OSError as error:
            port = config.signalling_port
            taken = error.errno == errno.EADDRINUSE
            raise UserError(
                f"cannot open TCP port {port} of {config.listen} for signalling: {error.strerror}",
                f"ss -ltnp 'sport = :{port}'" if taken else "ip address",
            ) from None
        return signalling

    def _put_back(self, state: State, registrar: Registrar, directory: Directory, keys: KeyClient) -> None:
        """Go on with what the run before has left."""
        left = state.keys()
        keys.put_back(left.found, left.statuses)
        state.put_back(
            registrar, lambda held: usable(held, directory, left.found), lambda: Keys(*keys.kept())
        )
        for held in registrar.held():
            keys.prove(held.g, held.ext, held.cvm)
        # Who asked for all registrations while there were none shall ask again.
        self._news.begin_anew()
        self._new_status(keys.last_status)

    def _end_outdated(self, keys: KeyClient) -> None:
        """End what key servers have ended before phones could be told so."""
        self._new_status(keys.last_status)
        self._end_revoked(keys.revoked)

    async def _alternates(self) -> tuple[Address, ...]:
        """Return the alternates with numeric addresses, which is what messages carry."""
        found = []
        for host, port in self._config.alternates:
            try:
                loop = asyncio.get_running_loop()
                info = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_DGRAM)
                found.append((str(info[0][4][0]), port))
            except OSError as error:
                self._log.warning("alternate_unknown", host=host, reason=error.strerror or str(error))
        return tuple(found)

    # What the parts tell

    def _new_status(self, status: Status | None) -> None:
        """Take the check values in force; they stay those while the key server is away."""
        if status is not None and self._registrar is not None:
            self._witnesses.check_values = status.check_values
            self._registrar.set_site(status.check_values, status.servers, status.current)
            # A generation that is out of force: its phones fetch new keys at their next GRQ.
            self._end_all(lambda held: held.cvm not in status.check_values, "reregistrationRequired")

    def _end_revoked(self, found: set[bytes]) -> None:
        """End the registrations with keys that were revoked: their users log in again, if they may."""
        self._end_all(lambda held: held.g in found, "securityDenial")

    def _end_all(self, ends: Callable[[Held], bool], reason: str) -> None:
        if self._registrar is None or self._ras is None or not self.ports:
            return  # see _end_outdated
        for held in [held for held in self._registrar.held() if ends(held)]:
            self._ras.end_registration(held.ext, reason)

    def _psk(self, identity: str) -> bytes | None:
        return None if self._registrar is None else self._registrar.psk(identity)

    def _ext_of(self, identity: str) -> str | None:
        """Return the extension that a signalling channel is of, None once its registration has ended."""
        held = None if self._registrar is None else self._registrar.with_sid(identity)
        return None if held is None else held.ext

    def _key_changed(self, key: Key, found: Found | None) -> None:
        if self._state is not None:
            self._state.keep_key(key, found)

    def _ended(self, held: Held, reason: str) -> None:
        if self._signalling is not None:
            self._signalling.close(held.sid, f"registration ended: {reason}")

    # What the office asks for (office.py)

    def registrar(self) -> Registrar | None:
        """Return who holds the registrations, None until it does."""
        return self._registrar

    def cipher(self, held: Held) -> str | None:
        """Return the cipher suite of a registration's signalling channel, None where it has none."""
        return None if self._signalling is None else self._signalling.cipher(held.sid)

    def figures(self) -> dict[str, Any]:
        """Return counts since the start; who asks twice has rates (cli/top.py)."""
        observed, keys = self._observed, self._keys
        return {
            "at": time.monotonic(),
            "up": time.monotonic() - self._began,
            "outcomes": [[*labels, count] for labels, count in observed.outcomes.items()],
            "received": sum(observed.received.values()),
            "sent": sum(observed.sent.values()),
            "tables": self._sizes(),
            "look_ups": dict(observed.look_ups),
            "key_requests": 0 if keys is None else keys.batches.requests,
            "latencies": observed.latencies(),
            "failing": observed.failing(),
            "key_server": {
                "ready": keys is not None and keys.ready.is_set(),
                "followed": 0 if keys is None else keys.following,
                "servers": len(self._config.key_servers),
                "cvm": [value.hex() for value in self._witnesses.check_values],
            },
        }

    async def renew(self, ext: str) -> bool:
        """Have the phone of an extension fetch new keys; tell whether there is one."""
        held = None if self._registrar is None else self._registrar.registration(ext)
        if held is None or self._lookups is None:
            return False
        self._lookups.renew(held.g)
        # After which it comes back by itself.
        return await self.end(ext, "reregistrationRequired")

    def apply_settings(self) -> list[str]:
        """Take what may change at any time from `ringkey.toml` as it is now; raises UserError."""
        config = self._on_disk()
        if self._settings is None:
            return []
        self._settings.time_to_live = config.time_to_live
        self._settings.most = config.max_registrations
        self._settings.icv_from_kg = config.icv_from_kg
        self._record.limit(config.log_lines)
        self._log.info("settings_taken", names=list(LIVE_SETTINGS))
        return list(LIVE_SETTINGS)

    async def end(self, ext: str, reason: str) -> bool:
        """End a registration; tell whether there was one, once a restart does not undo it."""
        ended = self._ras is not None and self._ras.end_registration(ext, reason)
        if ended and self._state is not None:
            await self._state.settled()
        return ended
