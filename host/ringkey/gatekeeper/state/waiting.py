"""Answers that wait until what they say is on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ringkey.gatekeeper.addresses import Address
    from ringkey.gatekeeper.state.noticed import Noticed


class Waiting:
    """What waits for one batch: datagrams to send once it is written, or after `hold` seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, hold: float) -> None:
        self._held: list[tuple[Outbox, tuple[bytes, Address]]] = []
        self._timer = loop.call_later(hold, self.release)
        self.over = False

    def add(self, outbox: Outbox, one: tuple[bytes, Address]) -> None:
        """Have a datagram sent then; now, where the wait is over."""
        if self.over:
            outbox.release(one)
        else:
            self._held.append((outbox, one))

    def release(self) -> None:
        """Have all of them sent; once, however often it is asked for."""
        self._timer.cancel()
        self.over = True
        held, self._held = self._held, []
        last: Outbox | None = None
        for outbox, one in held:
            if last is not None and outbox is not last:
                last.flush()
            last = outbox
            outbox.release(one)
        if last is not None:
            last.flush()


class Outbox:
    """Sends what a registrar wants sent: at once, or when the changes before it are kept.

    send: takes a datagram; flush: has those go out that it has taken, and is called for those that waited.
    """

    def __init__(
        self, noticed: Noticed, send: Callable[[bytes, Address], None], flush: Callable[[], None]
    ) -> None:
        self._noticed = noticed
        self._send = send
        self.flush = flush
        self._held: dict[tuple[bytes, Address], Waiting] = {}

    def put(self, datagrams: list[tuple[bytes, Address]]) -> None:
        """Take what came of one piece of work of the registrar, nothing included."""
        waiting = self._noticed.changed()
        for one in datagrams:
            # A request that came twice gets the answer twice, and neither before its time.
            wait = waiting if waiting is not None else self._held.get(one)
            if wait is None:
                self._send(*one)
            else:
                self._held[one] = wait
                wait.add(self, one)

    def release(self, one: tuple[bytes, Address]) -> None:
        """Send one that has waited."""
        self._held.pop(one, None)
        self._send(*one)
