"""Look-ups, with keys that a phone is to have replaced although they are good.

Element 7 of RCF (protocol.md section 4) is for a generation that is being replaced: a phone that is told so
takes no keys of the generation that it has, and takes up to an hour.  To have one phone fetch new keys now,
its registration is ended, and its next GRQ with the old keys is refused as obsolete, signed: it fetches new
ones by itself, and is back within seconds.  Only for a while: who gets no new keys may go on with the old.
"""

import time
from collections import OrderedDict

from ras import profile
from ras.lookups import Lookup

from ringkey.gatekeeper import lookups

# Seconds for which keys that shall be replaced are refused: a phone asks within a few, and is not to stay
# away where no key server gives it others.
RENEW = 60
# Keys at a time that shall be replaced; an administrator names each.
MAX_RENEWALS = 1024


class Lookups(lookups.Lookups):
    """As its base; `renew` makes it answer that a key is obsolete."""

    _until: OrderedDict[bytes, float] | None = None  # g -> when it is good again

    def renew(self, g: bytes) -> None:
        """Have the phone with the key named `g` fetch another one when it registers next."""
        if self._until is None:
            self._until = OrderedDict()
        until = self._until
        until[g] = time.monotonic() + RENEW
        if len(until) > MAX_RENEWALS:
            until.popitem(last=False)
        self.memory.judge = self._judged

    async def ask(self, ext: str, g: bytes, cvm: bytes | None = None) -> Lookup:
        """Return the answer, with the key from the key server."""
        found = await super().ask(ext, g, cvm)
        return found if not self._until else self._judged(g, found)

    def _judged(self, g: bytes, found: Lookup) -> Lookup:
        until = self._until
        if until is None or g not in until or found.code or found.pin is None:
            return found
        if until[g] < time.monotonic():
            del until[g]
            return found
        return Lookup(profile.OBSOLETE, kg=found.kg, pin=found.pin)
