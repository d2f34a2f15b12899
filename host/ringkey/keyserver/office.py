"""What an administrator has done: keys revoked, a generation of Km begun or ended.

A running key server does it when asked over its control socket, so that it holds from that
moment on; without one the command line does the same to the same files.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from ras.keys import Suite, ext_digits

from ringkey.errors import UserError
from ringkey.keyserver import keyring, query, register, words
from ringkey.keyserver.keyring import Keyring
from ringkey.keyserver.ledger import Ledger
from ringkey.keyserver.trail import Line
from ringkey.site.config import KeyServerConfig

# What a revocation may name, in the words of the command line.
BY = ("g", "ext", "serial", "generation")
# Characters of a reason: a sentence for whoever reads the record.
MAX_REASON = 500
# Seconds.  Longer than a year is no rotation; the limit keeps a slip of the finger out.
MAX_OVERLAP = 366 * 86400

OpenKeyring = Callable[[], Keyring]
"""Opens the sealed seeds; raises UserError."""
Rotated = Callable[[Keyring], None]
"""Told of a keyring that has just been written."""


class Office:
    """One key server's.  changed: called after the seeds have changed."""

    def __init__(
        self,
        config: KeyServerConfig,
        ledger: Ledger,
        open_keyring: OpenKeyring,
        changed: Rotated = lambda _ring: None,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._open = open_keyring
        self._changed = changed

    def commands(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        """Return what can be asked for: a name, and what does it with a request as a dict."""
        return {
            "revoke": self.revoke,
            "rotate": self.rotate,
            "accept-clock": self.accept_clock,
            "generations": self.generations,
        }

    async def generations(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Return {"generations": [{"number", "cvm": hex, "begun", "until"}, …]}, oldest first.

        begun, until: seconds since 1970; until None for the one that new keys come from.
        """
        return generations(self._open(), self._config.suite)

    async def revoke(self, request: dict[str, Any]) -> dict[str, Any]:
        """Revoke all keys that were issued so far and that (by, value) names.

        request: by (one of BY), value, reason.  Returns {"n": line of the trail, "keys": how many}.
        Raises UserError; nothing was revoked then.
        """
        by, value, reason = request.get("by"), request.get("value"), request.get("reason", "")
        if by not in BY or not isinstance(value, str) or not isinstance(reason, str):
            raise UserError(f"a revocation is by one of {', '.join(BY)}", "ringkey key revoke --help")
        value = _checked(by, value)
        if len(reason) > MAX_REASON:
            raise UserError(f"a reason has at most {MAX_REASON} characters", "ringkey key revoke --help")
        now = int(self._ledger.now())
        ended = self._open().ended(int(value), now) if by == "generation" else None

        def plan(connection: sa.Connection) -> Line:
            keys = register.count(connection, by, value)
            if not keys and by not in ("g", "generation"):
                raise UserError(
                    f"no key of {by} {value} is in use: none was issued here, or all are revoked already",
                    f"ringkey key list --{by} {value}",
                )
            if by == "g" and bytes.fromhex(value) in self._ledger.revoked:
                raise UserError(f"g {value} is revoked already", f"ringkey key show {value}")
            return {"what": "revoked", "by": by, "value": value, "reason": reason, "keys": keys}

        line = await self._ledger.record(plan)
        if ended is not None:
            self._write(ended)
            self._changed(ended)
        return {"n": line["n"], "keys": line["keys"]}

    async def rotate(self, request: dict[str, Any]) -> dict[str, Any]:
        """Begin a new generation of Km.

        request: overlap, seconds that the one before still answers; seed: hex, None to draw one.
        Returns {"generation", "cvm": hex, "until": seconds since 1970, "words": of a seed that was
        drawn, else None}.  Raises UserError; nothing has changed then.
        """
        overlap, given = request.get("overlap"), request.get("seed")
        if not isinstance(overlap, int) or not 0 <= overlap <= MAX_OVERLAP:
            raise UserError("an overlap is from 0 to 366 days", "ringkey seed rotate --help")
        seed = secrets.token_bytes(keyring.SEED) if given is None else bytes.fromhex(given)
        if self._ledger.trouble is not None:
            raise UserError(f"no generation can be begun now: {self._ledger.trouble}", "ringkey status")
        now = int(self._ledger.now())
        ring = self._open().rotated(seed, overlap, now)
        self._write(ring)
        try:
            await self._ledger.record(said([g.number for g in ring.in_force(now)]))
        finally:
            # It is begun, whatever comes of the line; the key server says it again where that failed.
            self._changed(ring)
        return {
            "generation": ring.current.number,
            "cvm": ring.current.check_value(self._config.suite).hex(),
            "until": now + overlap,
            "words": words.to_words(seed) if given is None else None,
        }

    async def accept_clock(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Believe the clock although lines on record are later; returns {"n", "time"}."""
        entry = {"what": "clock-accepted"}
        line = await asyncio.wrap_future(self._ledger.write(entry, anyway=True))
        return {"n": line["n"], "time": line["t"]}

    def _write(self, ring: Keyring) -> None:
        try:
            keyring.write(self._config.seed, ring)
        except OSError as e:
            raise UserError(
                f"cannot write {self._config.seed}: {e.strerror}; the seeds are as they were",
                f"df -h {self._config.seed.parent}",
            ) from None


def generations(ring: Keyring, suite: Suite) -> dict[str, Any]:
    """Return what `Office.generations` does of a keyring; no seed is in it."""
    return {
        "generations": [
            {"number": g.number, "cvm": g.check_value(suite).hex(), "begun": g.begun, "until": g.until}
            for g in ring.generations
        ]
    }


def said(numbers: list[int]) -> Line:
    """Return the entry that says which generations are in force, the current one first."""
    return {"what": "generations", "numbers": numbers}


def _checked(by: str, value: str) -> str:
    try:
        if by == "g":
            found = query.g(query.Values({"g": [value]}))
            return "" if found is None else found.hex()
        if by == "ext":
            ext_digits(value)
        elif by == "serial":
            query.serial(query.Values({"serial": [value]}))
        else:
            return str(int(value))
    except (ValueError, query.Malformed) as e:
        raise UserError(f"{by}: {e}", "ringkey key revoke --help", usage=True) from None
    return value
