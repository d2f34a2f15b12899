"""The key generating agent (the seed, figure 2A, and section 2 of protocol.md).

It holds Km of each generation in force, gives out each g once with the Kg that belongs to it, and
gives gatekeepers the Kg of a g that was given out.
"""

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ras import generator
from ras.keys import Suite, check_value, device_key, master_key

from ringkey.keyserver.counter import Counter
from ringkey.keyserver.keyring import Generation, Keyring
from ringkey.site.config import KeyServerConfig


class Refused(Exception):
    """A request that the agent does not answer; its text holds no secret.

    code: "not-allowed", "not-issued", "other-extension", "revoked" (docs/architecture.md); detail: a text
    for whoever asked.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """g, its Kg, and the check value of the Km it comes from, octets."""

    g: bytes
    kg: bytes = field(repr=False)
    cvm: bytes


@dataclass(frozen=True, slots=True)
class MasterKey:
    """Km of one generation.  number: the generation's; cvm: 3 octets; until: seconds since 1970, or None."""

    number: int
    km: bytes = field(repr=False)
    cvm: bytes
    until: float | None = None


class Agent:
    """One key server's agent: suite (Suite), cvm (3 octets) and server_id (6 octets) are public.

    masters: the generations, current one last, as `derive` makes them; peers: ids of key servers
    with the same seed; allow_phone_g: whether phones may choose g; clock: seconds since 1970.
    """

    def __init__(
        self,
        suite: Suite,
        masters: tuple[MasterKey, ...],
        server_id: bytes,
        counter: Counter,
        *,
        peers: tuple[bytes, ...] = (),
        allow_phone_g: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.suite = suite
        self.server_id = server_id
        self._masters = masters
        self._counter = counter
        self._peers = peers
        self._allow_phone_g = allow_phone_g
        self.clock = clock

    def __repr__(self) -> str:
        return f"Agent({self.server_id.hex(':')}, cvm={self.cvm.hex()})"

    @property
    def servers(self) -> tuple[bytes, ...]:
        """The server ids that a g may have here: its own, its peers', and none where phones may choose."""
        own = (generator.NO_SERVER,) if self._allow_phone_g else ()
        return (self.server_id, *self._peers, *own)

    @property
    def generation(self) -> int:
        """The number of the generation that new keys come from."""
        return self._masters[-1].number

    @property
    def generations(self) -> list[int]:
        """The numbers of the generations in force now, the current one first."""
        return [m.number for m in self._in_force()]

    @property
    def cvm(self) -> bytes:
        """The check value of the Km that new keys come from."""
        return self._masters[-1].cvm

    @property
    def check_values(self) -> tuple[bytes, ...]:
        """The check values of every Km in force now, that of new keys first."""
        return tuple(m.cvm for m in self._in_force())

    @property
    def next_end(self) -> float | None:
        """When the next generation goes out of force, seconds since 1970, or None."""
        return min((m.until for m in self._in_force() if m.until is not None), default=None)

    def replace_masters(self, masters: tuple[MasterKey, ...]) -> None:
        """Take other generations: a new one has begun, or one has ended."""
        self._masters = masters

    @property
    def issued(self) -> int:
        """How many keys this key server has issued, at most (see Counter.issued)."""
        return self._counter.issued

    def issue(self, ext: str | None) -> DeviceKey:
        """Return a new g for `ext`, and its Kg.

        Raises ValueError where `ext` is no extension, OSError where the counter cannot be
        written; nothing was issued then.
        """
        device = generator.device_field(ext)  # before a value of the counter is spent
        master = self._masters[-1]
        value = self._counter.take(master.number)
        g = self.server_id + device + value.to_bytes(generator.COUNTER, "big")
        return self._key(master, g)

    def accept(self, g: bytes, ext: str | None) -> DeviceKey:
        """Return the Kg of a g that a phone chose (section 2: server id zero, where the site allows it).

        Raises Refused.
        """
        server_id, device, _ = generator.unpack(g)
        if not self._allow_phone_g:
            raise Refused("not-allowed", "this site lets no phone choose its g (allow_phone_g)")
        if not hmac.compare_digest(server_id, generator.NO_SERVER):
            raise Refused("not-allowed", "a g that a phone chooses has server id zero")
        _fits(device, ext)
        return self._key(self._masters[-1], g)

    def look_up(self, g: bytes, ext: str, cvm: bytes | None = None) -> DeviceKey:
        """Return the Kg of (g, EXT) for a gatekeeper.

        cvm: the check value of the Km that the phone says its key comes from; None for the one
        that this key server issued g for, or else the current one.  Raises Refused, or
        ValueError for what is no g or no EXT.
        """
        server_id, device, value = generator.unpack(g)
        number = None
        if server_id == self.server_id:
            number = self._counter.generation_of(value)
            if number is None:
                raise Refused("not-issued", "this key server never issued that g")
        elif server_id == generator.NO_SERVER:
            if not self._allow_phone_g:
                raise Refused("not-allowed", "this site lets no phone choose its g (allow_phone_g)")
        elif server_id not in self._peers:
            raise Refused("not-allowed", f"no key server {server_id.hex(':')} here (server_id, peers)")
        _fits(device, ext)
        return self._key(self._master(number, cvm), g)

    def _in_force(self) -> list[MasterKey]:
        now = self.clock()
        return [m for m in reversed(self._masters) if m.until is None or now < m.until]

    def _master(self, number: int | None, cvm: bytes | None) -> MasterKey:
        for master in self._in_force():
            named = cvm is None or hmac.compare_digest(master.cvm, cvm)
            if named and number in (None, master.number):
                return master
        # "not-issued": another key server may be a generation ahead.
        raise Refused("not-issued", "no generation in force here has issued that g")

    def _key(self, master: MasterKey, g: bytes) -> DeviceKey:
        return DeviceKey(g, device_key(self.suite, master.km, g), master.cvm)

    def close(self) -> None:
        """Write the counter's exact value and let go of it."""
        self._counter.close()


def derive(suite: Suite, generations: tuple[Generation, ...]) -> tuple[MasterKey, ...]:
    """Return Km and CVm of each generation of a keyring, in its order."""
    found = []
    for one in generations:
        km = master_key(suite, one.seed)
        found.append(MasterKey(one.number, km, check_value(suite, km), one.until))
    return tuple(found)


def open_agent(config: KeyServerConfig, keyring: Keyring) -> Agent:
    """Return the agent of a site, its counter opened; raises UserError."""
    return Agent(
        config.suite,
        derive(config.suite, keyring.generations),
        config.server_id,
        Counter(config.counter, config.server_id),
        peers=config.peers,
        allow_phone_g=config.allow_phone_g,
    )


def _fits(device: bytes, ext: str | None) -> None:
    wanted = generator.device_field(ext)
    if device not in (generator.NO_DEVICE, wanted):
        raise Refused("other-extension", "that g belongs to another extension")
