"""Datagrams through the registrar: one comes in, what happened is told, answers go out.

What the RAS port (ras_port.py) does for each datagram, apart from what it does now and then: without a
coroutine, so that it can be compiled.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from ras.errors import LocalProtocolError
from ras.registrar import Registrar

from ringkey import log
from ringkey.gatekeeper.addresses import Address, place
from ringkey.gatekeeper.at_once import AtOnce
from ringkey.gatekeeper.events import GREETED, LOGGED_IN
from ringkey.gatekeeper.many import Sender
from ringkey.gatekeeper.observed import Observed
from ringkey.gatekeeper.record import Budget
from ringkey.gatekeeper.state.noticed import Noticed
from ringkey.gatekeeper.state.waiting import Outbox

Event = tuple[Any, ...]

# Events after which the kernel is to know where a phone is.
_PROVEN: Final = frozenset({GREETED, LOGGED_IN, "confirmed", "registered", "refreshed"})
# Datagrams of a turn from which on there is a crowd, and ms for which then several turns count as one:
# whether somebody has changed the directory is asked once for each, which takes as long as a third of a
# registration.  Where there is none each turn is one of its own, so what was changed holds at once.
CROWD: Final = 8
AS_ONE: Final = 10
# Lines a second of what went wrong here: who has found a datagram that does it sends it again and again.
FAULTS: Final = 5


class Flow:
    """What is between socket and registrar.

    memory: is told of turns; on_event: of each of the registrar's events; look_up: of those that ask for a
    key; ignore: of each address that the kernel is to drop, and for how many seconds; noticed: tells what
    answers wait for.

    sender: what answers go out by, None while there is nothing; phone_at: is told of addresses of phones,
    None where nobody wants to know; received: how many datagrams there were.
    """

    def __init__(  # noqa: PLR0917 - as many as there are to tell
        self,
        registrar: Registrar,
        memory: AtOnce,
        on_event: Callable[[Event], None],
        look_up: Callable[[Event], None],
        ignore: Callable[[str, float], None],
        observed: Observed,
        noticed: Noticed | None = None,
    ) -> None:
        self._registrar = registrar
        self._memory = memory
        self._on_event = on_event
        self._look_up = look_up
        self._ignore = ignore
        self._observed = observed
        self._outbox: Outbox | None = None if noticed is None else Outbox(noticed, self.send, self.flush)
        self._budget = Budget(FAULTS, "faults")
        self._log: Any = log.get("ringkey.gatekeeper.ras")
        self._turns = 0
        self._now = 0  # of the turn
        self._begun = 0  # when the turn did that this one counts as
        self._count = 0  # of the turn's datagrams
        self.sender: Sender | None = None
        self.phone_at: Any = None
        self.received = 0

    def take(self, data: bytes, source: Any) -> None:
        """Take one datagram."""
        self.received += 1
        self._observed.came(data)
        if self._memory.turn is None:
            # One time for all that is read together.
            self._now = now()
            if self._count < CROWD or self._now >= self._begun + AS_ONE:
                self._turns += 1
                self._begun = self._now
            self._memory.turn = self._turns
            self._count = 0
        self._count += 1
        try:
            self._registrar.receive_datagram(data, source, self._now)
        except Exception as error:
            # A bug of ours, or this machine has no descriptor left: not to be everybody's outage.
            self._failed(error, data, source)
        try:
            self.work()  # for each: an answer waits for what it says, not for what others did (Outbox)
        except Exception as error:
            # A bug of who hears of events: others were read with the same call, and are to be heard.
            self.fault(error, source=place(source))

    def _failed(self, error: Exception, data: bytes, source: Any) -> None:
        """Make one datagram's failure noise of its source, and a line."""
        self.fault(error, source=place(source))
        self._registrar.failed(data, source, self._now)

    def fault(self, error: Exception, **where: str) -> None:
        """Log that the registrar has raised something; what is none of its own errors by its type only."""
        if self._budget.allows():
            # Its text may hold anything.
            reason = str(error) if isinstance(error, LocalProtocolError) else type(error).__name__
            self._log.error("registrar_failed", reason=reason, **where)

    def turn_over(self) -> None:
        """What was there to be read together is done."""
        self._memory.turn = None
        self.flush()

    def begin_anew(self) -> None:
        """Let the next turn be one of its own, also in a crowd: the directory has changed, somebody says."""
        self._count = 0

    def work(self) -> None:
        """Carry out what the registrar wants, until it wants nothing more."""
        registrar = self._registrar
        while (event := registrar.next_event()) is not None:
            self._on_event(event)
            name = event[0]
            if name in _PROVEN:
                if self.phone_at is not None:
                    self._proven(event)
            elif name == "lookup":
                if event[1]:  # else it was answered at once
                    self._look_up(event)
            elif name == "ignored":
                self._ignore(event[1], event[2] / 1000)
        if self.sender is not None:
            out = registrar.datagrams_to_send()
            if self._outbox is not None:
                self._outbox.put(out)
            else:
                for data, address in out:
                    self.send(data, address)
            if self._memory.turn is None:  # else together with others of the turn
                self.sender.flush()

    def send(self, data: bytes, address: Any) -> None:
        """Send a datagram, at the next `flush` at the latest.

        What the network does not take then is lost, as datagrams are.
        """
        if self.sender is not None:
            self.sender.send(data, address)
            self._observed.went(data)

    def flush(self) -> None:
        """Send what waits to go out together."""
        if self.sender is not None:
            self.sender.flush()

    def _proven(self, event: Event) -> None:
        """Tell the address of a phone that has proven its PIN."""
        name, what = event[0], event[1]
        address: Address = what if name in {GREETED, "confirmed"} else what.source
        # A GCF may also be for who has proven a Kg (Settings.icv_from_kg), which is no PIN.
        if name != "confirmed" or self._registrar.settings.noise.phones_at(address[0], now()):
            self.phone_at(address[0])


def now() -> int:
    """Return the core's time, ms."""
    return time.monotonic_ns() // 1_000_000
