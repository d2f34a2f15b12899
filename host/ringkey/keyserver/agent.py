"""The key generating agent (the seed, figure 2A, and section 2 of protocol.md).

It holds Km, gives out each g once with the Kg that belongs to it, and gives gatekeepers the Kg
of a g that was given out.
"""

import hmac
from dataclasses import dataclass, field

from ras import generator
from ras.keys import MIN_SEED, Suite, check_value, device_key, master_key

from ringkey.errors import UserError
from ringkey.keyserver.counter import Counter
from ringkey.site import files
from ringkey.site.config import KeyServerConfig


class Refused(Exception):
    """A request that the agent does not answer; its text holds no secret.

    code: "not-allowed", "not-issued", "other-extension" (docs/architecture.md); detail: a text
    for whoever asked.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """g and its Kg, octets."""

    g: bytes
    kg: bytes = field(repr=False)


class Agent:
    """One key server's agent: suite (Suite), cvm (3 octets) and server_id (6 octets) are public.

    peers: ids of key servers with the same seed; allow_phone_g: whether phones may choose g.
    """

    def __init__(
        self,
        suite: Suite,
        seed: bytes,
        server_id: bytes,
        counter: Counter,
        *,
        peers: tuple[bytes, ...] = (),
        allow_phone_g: bool = False,
    ) -> None:
        self.suite = suite
        self.server_id = server_id
        self._km = master_key(suite, seed)
        self.cvm = check_value(suite, self._km)
        self._counter = counter
        self._peers = peers
        self._allow_phone_g = allow_phone_g

    @property
    def servers(self) -> tuple[bytes, ...]:
        """The server ids that a g may have here: its own, its peers', and none where phones may choose."""
        own = (generator.NO_SERVER,) if self._allow_phone_g else ()
        return (self.server_id, *self._peers, *own)

    def __repr__(self) -> str:
        return f"Agent({self.server_id.hex(':')}, cvm={self.cvm.hex()})"

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
        value = self._counter.take()
        g = self.server_id + device + value.to_bytes(generator.COUNTER, "big")
        return DeviceKey(g, device_key(self.suite, self._km, g))

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
        return DeviceKey(g, device_key(self.suite, self._km, g))

    def look_up(self, g: bytes, ext: str) -> DeviceKey:
        """Return the Kg of (g, EXT) for a gatekeeper.

        Raises Refused, or ValueError for what is no g or no EXT.
        """
        server_id, device, value = generator.unpack(g)
        if server_id == self.server_id:
            if not self._counter.was_issued(value):
                raise Refused("not-issued", "this key server never issued that g")
        elif server_id == generator.NO_SERVER:
            if not self._allow_phone_g:
                raise Refused("not-allowed", "this site lets no phone choose its g (allow_phone_g)")
        elif server_id not in self._peers:
            raise Refused("not-allowed", f"no key server {server_id.hex(':')} here (server_id, peers)")
        _fits(device, ext)
        return DeviceKey(g, device_key(self.suite, self._km, g))

    def close(self) -> None:
        """Write the counter's exact value and let go of it."""
        self._counter.close()


def open_agent(config: KeyServerConfig) -> Agent:
    """Return the agent of a site, its seed and counter read; raises UserError."""
    seed = read_seed(config)
    counter = Counter(config.counter, config.server_id)
    return Agent(
        config.suite,
        seed,
        config.server_id,
        counter,
        peers=config.peers,
        allow_phone_g=config.allow_phone_g,
    )


def read_seed(config: KeyServerConfig) -> bytes:
    """Return the seed, kept as one line of hex; raises UserError, which does not show it."""
    data = files.read_secret(config.seed, "the seed")
    try:
        seed = bytes.fromhex(data.decode())
    except ValueError:
        seed = b""
    if len(seed) < MIN_SEED:
        raise UserError(
            f"the seed {config.seed} is not a line of hex of {MIN_SEED} octets or more; "
            "bring it back from a back-up",
            f"ls -la {config.seed.parent}",
        )
    return seed


def _fits(device: bytes, ext: str | None) -> None:
    wanted = generator.device_field(ext)
    if device not in (generator.NO_DEVICE, wanted):
        raise Refused("other-extension", "that g belongs to another extension")
