"""Where keys are given out: the agent makes them, the ledger has them on record first.

Both file services ask here, so that there is one place that decides what goes out and what is
written about it.  No secret is in any entry.
"""

from ringkey import log
from ringkey.errors import UserError
from ringkey.keyserver.agent import Agent, DeviceKey, Refused
from ringkey.keyserver.books import Unrecorded
from ringkey.keyserver.denials import Denials
from ringkey.keyserver.ledger import Ledger
from ringkey.site.keyserver_tables import Scopes

_log = log.get("ringkey.keyserver.desk")


class Desk:
    """One key server's.  scopes: which gatekeeper may ask for which extensions."""

    def __init__(self, agent: Agent, ledger: Ledger, scopes: Scopes) -> None:
        self.agent = agent
        self.ledger = ledger
        self.denials = Denials()
        self._scopes = scopes

    async def issue(
        self,
        ext: str | None,
        *,
        source: str | None,
        serial: str | None = None,
        chosen: bytes | None = None,
    ) -> DeviceKey:
        """Return a new key for `ext`, or that of the g that the phone has chosen; it is on record.

        Raises Refused, Unrecorded where it cannot be put on record, OSError where the counter
        cannot be written.  Then nothing was issued.
        """
        if self.ledger.clock_trouble is not None:
            # Before a value of the counter is spent, and a range of it begun.
            raise Unrecorded(self.ledger.clock_trouble, "ringkey audit accept-clock")
        try:
            if chosen is not None and chosen in self.ledger.revoked:
                raise Refused("revoked", "that g was revoked: ask without one")
            key = self.agent.issue(ext) if chosen is None else self.agent.accept(chosen, ext)
        except Refused as error:
            self.deny(ext, error.code, source=source, serial=serial)
            raise
        await self.ledger.record(
            {
                "what": "issued",
                "source": source,
                "ext": ext,
                "serial": serial,
                "g": key.g.hex(),
                "generation": self.agent.generation,
            }
        )
        if ext is not None:
            self.denials.forget(ext)
        return key

    def deny(self, ext: str | None, why: str, *, source: str | None, serial: str | None) -> None:
        """Put on record that a phone got no key; why: a code."""
        self.ledger.refusal("refused", source=source, ext=ext, serial=serial, why=why)
        if ext is not None:
            self.denials.add(ext, why, source=source, serial=serial)

    def sealing_key(self, g: bytes, ext: str, cvm: bytes | None, *, source: str | None) -> DeviceKey:
        """Return the key of (g, EXT) that a file for its phone is sealed under; raises Refused.

        cvm: as for Agent.look_up; of a peer's g, only the phone knows the generation.

        Refusals are on record.  What is given is not: anybody may ask, in as many parts as he
        likes, and the key itself does not go out.
        """
        try:
            if g in self.ledger.revoked:
                raise Refused("revoked", "this key was revoked")
            return self.agent.look_up(g, ext, cvm)
        except Refused as error:
            self.ledger.refusal("sealed-refused", source=source, ext=ext, g=g.hex(), why=error.code)
            raise

    def look_up(
        self, g: bytes, ext: str, cvm: bytes | None, *, gatekeeper: str, source: str | None
    ) -> DeviceKey:
        """Return the key of (g, EXT) for a gatekeeper; raises Refused.

        It was put on record when it was issued, so nobody waits for the line about the look-up.
        """
        who = {"gatekeeper": gatekeeper, "source": source, "ext": ext, "g": g.hex()}
        try:
            # Before the agent is asked: what exists outside its extensions is not its to know.
            if not self._scopes.may(gatekeeper, ext):
                raise Refused("not-allowed", f"gatekeeper {gatekeeper} may not ask for extension {ext}")
            if g in self.ledger.revoked:
                raise Refused("revoked", "this key was revoked")
            key = self.agent.look_up(g, ext, cvm)
        except Refused as error:
            self.ledger.refusal("look-up-refused", **who, why=error.code)
            raise
        self.ledger.note("looked-up", **who)
        return key


def reason(error: UserError | OSError) -> str:
    """Return why nothing was issued, for whoever asked: no path, no name of this machine's."""
    if isinstance(error, Unrecorded):
        return "the key server cannot put it on record, and so issues no key"
    return "the key server cannot write its counter, and so issues no key"
