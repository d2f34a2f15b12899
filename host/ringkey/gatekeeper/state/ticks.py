"""Time that goes on from one run of the gatekeeper to the next, in ms: ticks.

The core's time is the machine's monotonic clock, which begins anew with each start of the machine.
Within one start of the machine ticks follow it, whatever is done to the wall clock; across a restart of
the machine they go on by what the wall clock has gone on, and never back.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # Linux; elsewhere every start counts as the machine's


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on all clocks.  ticks, mono, wall: ms; boot: names the machine's start, "" if unknown."""

    ticks: int
    mono: int
    wall: int
    boot: str

    def encode(self) -> bytes:
        """Return it as octets."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, octets: bytes) -> "Moment":
        """Return the moment of these octets; raises ValueError."""
        found = json.loads(octets)
        try:
            return cls(int(found["ticks"]), int(found["mono"]), int(found["wall"]), str(found["boot"]))
        except (KeyError, TypeError):
            raise ValueError("no moment") from None


def moment(shift: int = 0) -> Moment:
    """Return this moment; shift: ticks less the monotonic clock."""
    mono = time.monotonic_ns() // 1_000_000
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        boot = ""
    return Moment(mono + shift, mono, time.time_ns() // 1_000_000, boot)


def same_boot(last: Moment, now: Moment) -> bool:
    """Tell whether the machine's monotonic clock has run on from `last` to `now`."""
    return last.boot == now.boot != "" and now.mono >= last.mono


def shift_after(last: Moment | None, now: Moment) -> int:
    """Return ticks less the monotonic clock for a run that begins at `now`; last: kept by the one before.

    A clock that was set back while the machine was off makes the pause nothing, not less: what was
    kept lives for as long as it had left, and no longer.
    """
    if last is None:
        return 0
    paused = now.mono - last.mono if same_boot(last, now) else max(0, now.wall - last.wall)
    return last.ticks + paused - now.mono
