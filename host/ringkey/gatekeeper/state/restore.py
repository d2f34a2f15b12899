"""What the run before has left, put back into a new registrar."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from ras import kept
from ras.held import Held
from ras.registrar import RETRANSMISSION, Registrar

from ringkey.gatekeeper.answers import BadAnswerError, Found, Status
from ringkey.gatekeeper.state import rows, ticks
from ringkey.gatekeeper.state.store import Loaded

RG = "rg"
STATUSES = "statuses"
Usable = Callable[[list[Held]], list[Held]]


@dataclass(slots=True)
class Keys:
    """The keys' part of it: device keys by what they were asked for with, statuses by key server."""

    found: dict[rows.Key, Found] = field(default_factory=dict, repr=False)
    statuses: dict[str, Status] = field(default_factory=dict)


@dataclass(slots=True)
class Left:
    """What the run before has left, in numbers, for the log.

    expired: ended while nobody looked; refused: whose extension or PIN has been changed since; broken:
    what could not be read.
    """

    registrations: int = 0
    expired: int = 0
    refused: int = 0
    keys: int = 0
    broken: int = 0

    def counts(self) -> dict[str, int]:
        """Return the numbers by name."""
        return asdict(self)


def keys(loaded: Loaded) -> Keys:
    """Return the keys and statuses; what cannot be read is not there."""
    found = Keys()
    for name, octets in loaded.keys.items():
        try:
            found.found[rows.key_of(name)] = rows.unpack_found(octets)
        except ValueError:
            loaded.broken += 1
    try:
        found.statuses = rows.unpack_statuses(loaded.notes.get(STATUSES, b"{}"))
    except (ValueError, AttributeError, BadAnswerError):
        loaded.broken += 1
    return found


def restore(loaded: Loaded, now: ticks.Moment, registrar: Registrar, usable: Usable) -> tuple[Left, set[str]]:
    """Put it back; return the numbers, and the names of rows of registrations that are to go.

    now: the moment, with the ticks of this run; usable: returns those registrations that may go on.
    """
    shift = now.ticks - now.mono
    left = Left(keys=len(loaded.keys))
    held, gone = _living(loaded, now, left)
    good = usable(held)
    gone |= {one.ext for one in held} - {one.ext for one in good}
    left.registrations, left.refused = len(good), len(held) - len(good)
    answered = [
        (key, answer, when - shift)
        for key, answer, when in map(rows.unpack_reply, loaded.answers)
        if now.ticks - when < RETRANSMISSION
    ]
    failed = [
        (rows.unpack_failed(key), (failures, last - shift, until - shift))
        for key, (failures, last, until) in loaded.failures.items()
    ]
    kept.put_back(registrar, good, loaded.nonces, answered, failed)
    if loaded.moment is not None and ticks.same_boot(loaded.moment, now):
        # Rg is made of the core's time, which has gone on: phones between GCF and RRQ go on too.
        # In another start of the machine that time comes again, and an old Rg must not.
        rgs = registrar.server_nonces
        rgs.key = loaded.notes.get(RG, rgs.key)
    left.broken = loaded.broken
    return left, gone


def _living(loaded: Loaded, now: ticks.Moment, left: Left) -> tuple[list[Held], set[str]]:
    """Return the registrations whose life is not over, and the names of the others' rows."""
    found: list[Held] = []
    gone: set[str] = set()
    for name, octets in loaded.registrations.items():
        try:
            one = kept.unpack(octets, now.ticks - now.mono)
        except ValueError:
            loaded.broken += 1
            continue
        if one.expires <= now.mono:
            left.expired += 1
            gone.add(name)
            continue
        found.append(one)
        if name != one.ext:
            gone.add(name)  # of a version before 0002: it is written anew under its extension
    return found, gone
