"""What a site sets of its gatekeeper's RAS."""

from ras.noise import Noise
from ras.registrations import MAX_HELD
from ras.throttle import Throttle


class Settings:
    """What a site sets.

    addresses: `addresses(source host) -> (RAS address, signalling address)`, the numeric
    (host, port) by which that source reaches this gatekeeper; suites: names allowed;
    time_to_live: s; others: alternate gatekeepers; throttle: a Throttle; icv_from_kg: take
    a GRQ that is signed with Kr, too, which proves Kg but not the PIN (section 4, at its
    end: the RRQ still has to prove it); noise: a Noise; most: registrations held at a time; plain: None, or
    whose `allows(ext, host) -> bool` says which H.323 endpoints without the profile may register (plain.py);
    ext is None where they have not named it yet.
    """

    def __init__(
        self,
        addresses,
        suites=("sha256",),
        time_to_live=300,
        others=(),
        throttle=None,
        icv_from_kg=False,
        noise=None,
        most=MAX_HELD,
        plain=None,
    ) -> None:
        self.addresses = addresses
        self.suites = suites
        self.time_to_live = time_to_live
        self.others = tuple(others)
        self.throttle = throttle if throttle is not None else Throttle()
        self.icv_from_kg = icv_from_kg
        self.noise = noise if noise is not None else Noise()
        self.most = most
        self.plain = plain
