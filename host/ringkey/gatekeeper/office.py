"""What an administrator asks of a running gatekeeper, over its control socket.

None of it may hold up the phones: what grows with their number is put together in pieces, between which
datagrams are taken.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from ras.held import Held
from ras.registrar import Registrar

from ringkey.errors import UserError
from ringkey.gatekeeper.addresses import place
from ringkey.gatekeeper.news import News
from ringkey.gatekeeper.news_wait import MAX_WAIT, since
from ringkey.gatekeeper.observed import Observed
from ringkey.gatekeeper.renewals import RENEW
from ringkey.site.control import Answer

# Registrations put into an answer at a time: about a millisecond.
PIECE = 128
# Of H.225.0's UnregRequestReason, those that an administrator may want to give.
REASONS = ("reregistrationRequired", "securityDenial", "undefinedReason")

Row = dict[str, Any]


class Parts(Protocol):
    """What of a gatekeeper the office needs; each may be missing while it starts and stops."""

    def registrar(self) -> Registrar | None:
        """Who holds the registrations."""

    def cipher(self, held: Held) -> str | None:
        """Return the cipher suite of a registration's signalling channel, or None."""

    def figures(self) -> dict[str, Any]:
        """Return the counts."""

    async def end(self, ext: str, reason: str) -> bool:
        """End a registration; tell whether there was one, once a restart would not undo it."""

    async def renew(self, ext: str) -> bool:
        """Have the phone of an extension fetch new keys; tell whether there is one."""

    def apply_settings(self) -> list[str]:
        """Take what may change at any time from the configuration as it is on disk now; return the names."""


class Office:
    """One gatekeeper's."""

    def __init__(self, parts: Parts, news: News, observed: Observed) -> None:
        self._parts = parts
        self._news = news
        self._observed = observed

    def commands(self) -> dict[str, Callable[[dict[str, Any]], Answer | Awaitable[Answer]]]:
        """Return what can be asked for: a name, and what does it with a request as a dict."""
        return {
            "registrations": self.registrations,
            "events": self.events,
            "phone": self.phone,
            "refresh": self.refresh,
            "end": self.end,
            "plain": self.plain,
            "figures": lambda _request: self._parts.figures(),
            "settings": lambda _request: {"applied": self._parts.apply_settings()},
        }

    async def registrations(self, request: dict[str, Any]) -> bytes:
        """Return all registrations: {"registrations": [...]}.

        request: failing (a flag): "mark" and "failing" are before that; what has changed after the mark,
        `events` tells.
        """
        head = b""
        if request.get("failing"):
            failing = [self._failing(one) for one in self._observed.failing(None)]
            head = json.dumps({"mark": self._news.mark, "failing": failing})[1:-1].encode() + b", "
        pieces = [b"{", head, b'"registrations": [']
        held, first = self._held(), True
        for begin in range(0, len(held), PIECE):
            now = _now()
            rows = [self._row(one, now) for one in held[begin : begin + PIECE] if one.ka]
            if rows:
                pieces.append((b"" if first else b", ") + json.dumps(rows)[1:-1].encode())
                first = False
            await asyncio.sleep(0)
        return b"".join((*pieces, b"]}"))

    async def events(self, request: dict[str, Any]) -> Row:
        """Return what has changed: {"mark", "gap", "phones": [{"ext", "registered", "failing"}, …]}.

        request: mark (of the answer before), wait (seconds, where nothing is new).
        gap: what has changed is not known any more; ask for all registrations.
        """
        mark, wait = request.get("mark"), request.get("wait", 0)
        if not isinstance(mark, str) or not isinstance(wait, int | float):
            raise UserError("mark and wait are wanted")
        found = await since(self._news, mark, min(max(0.0, float(wait)), MAX_WAIT))
        if found is None:
            return {"mark": self._news.mark, "gap": True, "phones": []}
        mark, exts = found
        return {"mark": mark, "gap": False, "phones": [self._phone(ext) for ext in exts]}

    def phone(self, request: dict[str, Any]) -> Row:
        """Return one phone, as `events` has it, with its time line."""
        ext = _ext(request)
        return {**self._phone(ext), "timeline": self._news.line(ext)}

    async def refresh(self, request: dict[str, Any]) -> Row:
        """Have a phone fetch new keys: {"asked", "within": seconds}, asked: False where there is none."""
        asked = await self._parts.renew(_ext(request))
        return {"asked": asked, "within": RENEW if asked else None}

    async def end(self, request: dict[str, Any]) -> Row:
        """End the registration of an extension, with a URQ to the phone: {"ended"}."""
        reason = request.get("reason", "undefinedReason")
        if not isinstance(request.get("ext"), str) or reason not in REASONS:
            raise UserError(f"ext and one of the reasons {', '.join(REASONS)} are wanted")
        return {"ended": await self._parts.end(_ext(request), reason)}

    def plain(self, _request: dict[str, Any]) -> Row:
        """Return the plain endpoints: {"plain": [{"ext", "source", "software", "since", "expires_in"}, …]}.

        At most `ras.plain.MAX_PLAIN` of them, two milliseconds.
        """
        registrar, now = self._parts.registrar(), _now()
        table = None if registrar is None else registrar.plain
        return {
            "plain": [
                {
                    "ext": one.ext,
                    "source": place(one.source),
                    "software": one.software or None,
                    "since": int(time.time()) - (now - one.since) // 1000,
                    "expires_in": (one.expires - now) // 1000,
                }
                for one in (() if table is None else table.all())
            ]
        }

    def _held(self) -> list[Held]:
        registrar = self._parts.registrar()
        return [] if registrar is None else registrar.held()

    def _phone(self, ext: str) -> Row:
        registrar = self._parts.registrar()
        held = None if registrar is None else registrar.registration(ext)
        failing = self._observed.failing_of(ext)
        return {
            "ext": ext,
            "registered": None if held is None else self._row(held, _now()),
            "failing": None if failing is None else self._failing(failing),
        }

    def _row(self, held: Held, now: int) -> Row:
        seconds = (now - held.since) // 1000
        return {
            "ext": held.ext,
            "source": place(held.source),
            "suite": held.suite.name,
            "cvm": held.cvm.hex(),
            "g": held.g.hex(),
            "seconds": seconds,
            "since": int(time.time()) - seconds,
            "expires_in": (held.expires - now) // 1000,
            "channel": self._parts.cipher(held),
            "software": held.software or None,
        }

    def _failing(self, one: Row) -> Row:
        return {**one, "at": int(time.time() - one["seconds_ago"])}


def _ext(request: dict[str, Any]) -> str:
    ext = request.get("ext")
    if not isinstance(ext, str):
        raise UserError("ext is wanted")
    return ext


def _now() -> int:
    return time.monotonic_ns() // 1_000_000
