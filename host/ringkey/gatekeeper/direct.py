"""The direct way for a log-in that is in order: from its octets to the answer in one function.

Most of what a gatekeeper does is to say yes, twice for each registration, to messages of a known shape whose
key is in memory.  That is done here without what the registrar hands from one step to the next.  Whether a
log-in is in order is found out before anything is changed; one that is not, for whatever reason, is the
registrar's, from the beginning.  So this can say yes where the registrar does, and nothing else; a test
holds both to the same answers, the same state and the same events (tests/unit/test_direct.py).

It tells one event for all that happened, in place of three or four (events.py).
"""

from collections.abc import Callable
from hmac import compare_digest
from typing import Any, Final

from ras import profile
from ras.generator import SERVER_ID, fits
from ras.held import IDENTIFIER, Held, new_sid, software
from ras.keys import Suite, authentication_key, session_key
from ras.lookups import Lookup
from ras.mac import hmac_digest
from ras.message import GCF, GRQ, RCF, RRQ
from ras.policy import Settings
from ras.registrar import Registrar

from ringkey.gatekeeper.codec import HostCodec, Template
from ringkey.gatekeeper.events import GREETED, LOGGED_IN
from ringkey.gatekeeper.shape_walk import LogIn
from ringkey.gatekeeper.shapes import Shape

# The elements of each answer, in the order in which their values are given.
_GCF: Final = (profile.RE, profile.RG)
_RCF: Final = (profile.RE, profile.RG, profile.SID)
_RENEW: Final = (*_RCF, profile.REFRESH)


class Direct(Registrar):
    """As its base, and faster.

    A source is Any: compiled, a tuple of a known form is taken apart, and put together anew for who keeps it.
    """

    def __init__(self, settings: Settings, random: Callable[[int], bytes], codec: HostCodec) -> None:
        super().__init__(settings, random, codec)
        self._host_codec = codec

    def _take(self, data: bytes, source: Any, now: int, key: bytes) -> None:
        read = self._host_codec.log_in(data)
        if read is None or not self._direct(data, source, now, key, *read):
            super()._take(data, source, now, key)

    def _direct(  # noqa: PLR0911, PLR0917 - each way out is one of the registrar's
        self, data: bytes, source: Any, now: int, key: bytes, shape: Shape, log_in: LogIn
    ) -> bool:
        """Answer a log-in that is in order; else return False, and nothing has changed."""
        ext, g, cvm, re, rg = log_in[:5]
        kind, suite, attempts, held = shape.kind, shape.suite, self.attempts, self._registrations
        old = held.of(ext)
        own = attempts.own_beside(old, source, ext, g, now)
        if suite is None or shape.icv is None or attempts.refused_as(own, source, ext, g, now) is not None:
            return False
        if len(self._pending) and self._pending.holds(key):
            return False
        is_rrq = kind == RRQ
        if is_rrq and not self.server_nonces.is_ours(rg, source, ext, g, re, now):
            return False
        in_force = False
        cvms: tuple[bytes, ...] = self._cvms or ()
        for one in cvms:  # all of them, in constant time (section 2)
            in_force |= compare_digest(cvm, one)
        if (
            not in_force
            or self._nonces.has(kind, re)
            or suite.name not in self.settings.suites
            or (self._servers and g[:SERVER_ID] not in self._servers)
        ):
            return False
        phone = is_rrq or own is not None or (old is not None and old.g == g)
        if not phone and not fits(g, ext):
            return False
        # From here on the key has been looked up, which is counted: the registrar is not to do so again.
        found = self.at_once(ext, g, cvm)
        if (
            found is None
            or found.code
            or not found.available
            or found.kg is None
            or found.pin is None
            or len(found.kg) != suite.key
            or (old is None and held.are_full_for(ext))
        ):
            self._go_on(data, source, now, key, found)
            return True
        ka: bytes | None = found.ka
        if ka is None:
            ka = authentication_key(suite, found.kg, found.pin)
            found.ka = ka
        begin, length = shape.icv
        end = begin + length
        blank = data[:begin] + bytes(length) + data[end:]
        if not compare_digest(hmac_digest(suite.name, ka, blank)[:length], data[begin:end]):
            self._go_on(data, source, now, key, found)
            return True
        if is_rrq:
            done = self._register_at_once(len(data), source, now, key, log_in, suite, found, ka, old, own)
        else:
            done = self._greet(len(data), source, now, key, log_in, suite, ka, phone, own)
        if not done:
            self._go_on(data, source, now, key, found)
        return True

    def _go_on(self, data: bytes, source: Any, now: int, key: bytes, found: Lookup | None) -> None:
        """Let the registrar have a log-in whose key has been looked up."""
        at_once = self.at_once
        self.at_once = lambda *_: found
        try:
            super()._take(data, source, now, key)
        finally:
            self.at_once = at_once

    def _greet(  # noqa: PLR0917 - what was found out so far
        self,
        octets: int,
        source: Any,
        now: int,
        key: bytes,
        log_in: LogIn,
        suite: Suite,
        ka: bytes,
        phone: bool,
        own: Any,
    ) -> bool:
        """Answer a GRQ with a GCF; return False where its answer is none that was made before."""
        ext, g, cvm, re, _, number = log_in[:6]
        settings = self.settings
        place = settings.addresses(source[0])[0]
        template = self._template(octets, (GCF, place), (suite.name, 0, _GCF))
        if template is None:
            return False
        source = self._proven(GRQ, re, key, source, ext, g, own, now)
        rg = self.server_nonces.make(source, ext, g, re, now)
        answer = template.fill_in(number, "", (re, rg), ka)
        self._answers.put(key, answer, now)
        self._out.append((answer, source))
        self._events.append((GREETED, source, ext, g, suite.name, cvm, phone))
        return True

    def _register_at_once(  # noqa: PLR0917 - what was found out so far
        self,
        octets: int,
        source: Any,
        now: int,
        key: bytes,
        log_in: LogIn,
        suite: Suite,
        found: Lookup,
        ka: bytes,
        old: Held | None,
        own: Any,
    ) -> bool:
        """Answer an RRQ with an RCF; return False where its answer is none that was made before."""
        ext, g, cvm, re, rg, number, life, product, version = log_in
        settings, registrations = self.settings, self._registrations
        if old is not None and old.g != g and old.source != source:
            return False  # another phone's, which is told
        most = settings.time_to_live
        life = min(life or most, most)
        place = settings.addresses(source[0])[1]
        renew = cvm in registrations.outdated
        names = _RENEW if renew else _RCF
        template = self._template(octets, (RCF, place, life), (suite.name, 2 * IDENTIFIER, names))
        if template is None:
            return False
        source = self._proven(RRQ, re, key, source, ext, g, own, now)
        if old is not None:
            ext = old.ext  # the object that tables have: not another one
        sid = new_sid(self._random)
        ks = session_key(suite, found.kg, found.pin, re, rg)
        held = Held(ext, suite, source, sid, g, rg, ka, ks, cvm)
        held.software = software(product, version)
        elements: tuple[bytes, ...] = (re, rg, sid, b"\x01") if renew else (re, rg, sid)
        answer = template.fill_in(number, held.identifier, elements, ka)
        if old is None:
            registrations.add(held, life, now)
        else:
            registrations.renew(old, held, life, now)
        self._answers.put(key, answer, now)
        self._out.append((answer, source))
        self._events.append((LOGGED_IN, held, old))
        return True

    def _template(self, octets: int, what: tuple[Any, ...], rest: tuple[Any, ...]) -> Template | None:
        """Return what the answer to a request of so many octets is made of, if there is any.

        With as many of the alternates as have room (`ras.answers.within`).
        """
        others = self.settings.others
        while True:
            template = self._host_codec.template((*what, others, *rest))
            if template is None or 2 * template.length <= 3 * octets:
                return template
            if not others:
                return None
            others = others[:-1]

    def _proven(  # noqa: PLR0917 - as above
        self, kind: str, re: bytes, key: bytes, source: Any, ext: str, g: bytes, own: Any, now: int
    ) -> Any:
        """Note that a request has proved the PIN; return its source as others remember it."""
        self._nonces.add(kind, re)
        if self.news is not None:
            self.news.append((kind, re, key))
        known = self.settings.noise.proven(source, now)
        self.attempts.succeeded_as(own, known, ext, g, now)
        return known
