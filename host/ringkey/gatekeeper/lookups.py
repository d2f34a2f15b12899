"""What the registrar asks for: the PIN of an extension (directory) and its Kg (key server).

Both are needed for a Ka.  For an extension that is not known Kg is fetched all the same,
so that the reject can be signed (protocol.md section 4: Kr) and a phone need not wait out
its doubts about it.
"""

import time

from ras import profile
from ras.lookups import Lookup

from ringkey import log
from ringkey.gatekeeper.answers import Found, Outcome, Refused, Unavailable
from ringkey.gatekeeper.at_once import AtOnce
from ringkey.gatekeeper.directory import Directory
from ringkey.gatekeeper.errors import DirectoryError
from ringkey.gatekeeper.keys import KeyClient
from ringkey.gatekeeper.observed import Observed
from ringkey.gatekeeper.pins import Pins
from ringkey.gatekeeper.record import Budget

# What the key server's refusals are to a phone (protocol.md section 6).  Every other one, such as
# not-issued or other-extension, is a g that is of no use any more: fetch a new one.
_CODES = {
    "not-allowed": profile.UNKNOWN_EXTENSION,  # to this gatekeeper; another one may know it
    "revoked": profile.REVOKED,
}


class Lookups:
    """Answers ("lookup", …) events of `ras.registrar`; raises nothing.

    memory: answers what is in memory, and hears what is proven.
    """

    def __init__(
        self, directory: Directory, keys: KeyClient, budget: Budget, observed: Observed | None = None
    ) -> None:
        self._observed = observed or Observed()
        self._pins = Pins(directory, keys.records)
        self.memory = AtOnce(self._pins, self._observed, self._cached, keys.prove)
        self._keys = keys
        self._budget = budget
        self._log = log.get("ringkey.gatekeeper.lookups")

    def close(self) -> None:
        """Forget every PIN."""
        self._pins.close()

    def _cached(self, ext: str, g: bytes, cvm: bytes | None) -> Lookup | None:
        """Return the answer where the key is in memory, and the PIN wherever it is; else None."""
        found = self._keys.cached(g, ext, cvm)
        if found is None:
            return None
        self._observed.key(found, None)
        memory = self.memory
        if memory.turn is not None:
            # Before `_answer`, with which the turn begins for `Pins.ready`, whatever comes of it.
            memory.oldest = self._keys.fresh_since()
        return self._answer(ext, found, memory.turn, fetched=False)

    async def ask(self, ext: str, g: bytes, cvm: bytes | None = None) -> Lookup:
        """Return the answer, with the key from the key server."""
        began = time.perf_counter()
        outcome = await self._keys.device_key(g, ext, cvm)
        self._observed.key(outcome, time.perf_counter() - began)
        return self._answer(ext, outcome, None, fetched=True)

    def _answer(self, ext: str, outcome: Outcome, turn: int | None, *, fetched: bool) -> Lookup:
        try:
            pin = self._pins.get(ext, turn)
        except DirectoryError as error:
            if self._budget.allows():
                self._log.error("directory_failed", ext=ext, reason=error.what, next_step=error.next_step)
            return Lookup(available=False)
        known = pin is not None
        # From memory it happens twice for each registration: not worth a line.
        if (fetched or not isinstance(outcome, Found)) and self._budget.allows():
            self._tell(ext, outcome, known=known)
        if isinstance(outcome, Found):
            return Lookup(0 if known else profile.UNKNOWN_EXTENSION, kg=outcome.kg, pin=pin)
        if not known:
            return Lookup(profile.UNKNOWN_EXTENSION)
        if isinstance(outcome, Unavailable) or outcome.code == "malformed":
            return Lookup(available=False)
        return Lookup(_CODES.get(outcome.code, profile.OBSOLETE))

    def _tell(self, ext: str, outcome: Outcome, *, known: bool) -> None:
        if isinstance(outcome, Found):
            self._log.info(
                "key_fetched", ext=ext, cvm=outcome.cvm.hex(), suite=outcome.suite.name, known=known
            )
        elif isinstance(outcome, Refused):
            self._log.warning("key_refused", ext=ext, code=outcome.code)
        else:
            self._log.warning("key_unavailable", ext=ext, reason=outcome.reason)
