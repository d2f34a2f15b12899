"""The phone as a whole: prompt, key distribution, registration, commit, channel.

Decides and does not act: each decision is an effect (docs/architecture.md, "The phone's
pieces") that an adapter carries out and reports back.  Times are milliseconds.

    ("prompt", reason)    ask for EXT and PIN; reason: a word of phone/words.py, or None
    ("fetch", ext)        fetch a key file
    ("renew", ext)        likewise, beside a registration that goes on: nothing is shown
    ("register", record, gatekeepers)
    ("commit", record) ("erase",)
    ("open", registration) ("close",)    the signalling channel
    ("unregister",)
    ("show", step)        how far things are: a word of phone/words.py

Source: the seed, figures 3 and 4; protocol.md section 6.
"""

from ras.compat import const
from ras.keys import authentication_key
from ras.profile import OBSOLETE, OTHER_GATEKEEPER, REVOKED, SUITE_REFUSED, UNKNOWN_EXTENSION
from ras.record import Record
from ras.tables import LOGIN, Machine

# ms.  How long a phone shows the prompt after a failure before it tries its stored keys
# again by itself: a building whose power comes back must not need somebody at each phone.
# It doubles, so that a phone with a stale PIN does not run into the throttle.
RETRY_FIRST = const(60000)
RETRY_LONGEST = const(900000)
# ms between attempts to open the signalling channel; doubles.
REOPEN_FIRST = const(1000)
REOPEN_LONGEST = const(30000)
# After so many attempts the gatekeeper has surely forgotten SID and Ks: register anew.
REOPEN_TRIES = const(4)

# ms over which the phones of a site spread when they are asked to fetch new keys: 10,000 of
# them come three a second, which a key server on a Raspberry Pi has room for.
RENEW_SPREAD = const(3600000)

_REFUSALS = {
    UNKNOWN_EXTENSION: "unknown-extension",
    OTHER_GATEKEEPER: "other-gatekeeper",
    OBSOLETE: "keys-obsolete",
    REVOKED: "key-revoked",
    SUITE_REFUSED: "suite-refused",
}
# Reasons of a URQ after which a phone may register again by itself; after any other (the
# extension is used elsewhere, an administrator's word) its user has to.
_COME_BACK = ("reregistrationRequired", "ttlExpired", "maintenance", "no-answer", "rejected")


class Login:
    """The machine.  random: `random(n) -> bytes`, for jitter only; spread: ms, RENEW_SPREAD."""

    def __init__(self, random, spread: int = RENEW_SPREAD) -> None:
        self._random = random
        self._spread = spread
        self._renew_at = None  # when new keys are to be fetched beside the registration
        self._quietly = False  # a renewal is under way, and the display stays as it is
        self._machine = Machine("login", LOGIN, "off")
        self._effects = []
        self._timer = None
        self._record = None  # what is in the store
        self._trial = None  # what is being tried, in RAM only until RCF has verified
        self._ext = self._pin = None
        self._fetched_again = False
        self._confirmed = False
        self._retry = RETRY_FIRST
        self._registration = None
        self._others = ()  # gatekeepers that the last one has named as its alternates
        self._opened = 0

    @property
    def state(self) -> str:
        """The state's name in tables.LOGIN."""
        return self._machine.state

    def next_effect(self) -> "tuple | None":
        """Return the next effect, or None."""
        return self._effects.pop(0) if self._effects else None

    def get_timer(self) -> "int | None":
        """Return when `handle_timer` wants to be called, or None."""
        return self._timer

    def handle_timer(self, now: int) -> None:
        """Do what is due at `now`; may be called early."""
        if self._timer is None or now < self._timer:
            return
        self._timer = None
        if self._machine.state == "waiting":
            self._machine.feed("retry")
            self._try_stored()
        elif self._machine.state == "opening":
            self._open()
        elif self._machine.state == "online":
            self._renew()

    # -- the user

    def boot(self, record: "Record | None", now: int, reason: "str | None" = None) -> None:
        """Start with what the store held; reason: why it held nothing, if that is to be shown."""
        self._record = record
        if record is None:
            self._machine.feed("empty")
            self._effects.append(("prompt", reason))
        else:
            self._machine.feed("stored")
            self._try_stored()

    def entered(self, ext: str, pin: str, now: int) -> None:
        """Take EXT and PIN from the prompt."""
        if not self._machine.allows("entered"):
            return
        self._machine.feed("entered")
        self._timer = None
        self._ext, self._pin = ext, pin
        self._fetched_again = False
        self._fetch()

    def touched(self, now: int) -> None:
        """Put off what would take the prompt away from a user who is at it."""
        if self._machine.state == "waiting" or (self._machine.state == "online" and self._timer is not None):
            self._timer = max(self._timer or 0, now + RETRY_FIRST)

    def log_out(self, now: int) -> None:
        """Log the user out and forget the keys."""
        if not self._machine.allows("log-out"):
            return
        self._timer = None
        self._drop_channel()  # first: what it lets go of has the room that all the rest wants
        self._others = ()
        if self._record is not None:
            self._effects.append(("erase",))
        self._record = self._trial = None
        self._ext = self._pin = None
        if self._machine.feed("log-out") == "leaving":
            self._effects.append(("show", "logging-out"))
            self._effects.append(("unregister",))
        else:
            self._effects.append(("prompt", None))

    # -- key distribution

    def keys(self, keyfile: object, now: int) -> None:
        """Take the key file (keyfile.KeyFile) that was fetched."""
        if self._machine.state == "renewing":
            self._renewed(keyfile, now)
            return
        if self._machine.state != "fetching":
            return
        if not _fits(keyfile, self._ext):  # a key of another extension could never register
            self._give_up("bad-key-file", now)
            return
        self._machine.feed("keys")
        self._try(keyfile)

    def no_keys(self, reason: str, now: int) -> None:
        """Take it that no key server gave keys; what keys there are stay."""
        if self._machine.state == "fetching":
            self._give_up(reason, now)
        elif self._machine.state == "renewing":
            self._stay(now)

    def fetch_soon(self, now: int) -> None:
        """Take it that the gatekeeper asks for new keys: at a moment of this phone's own."""
        if self._renew_at is None:
            self._plan_renewal(now, 0)

    # -- registration

    def registered(self, registration: object, now: int) -> None:
        """Take the registration (endpoint.Registration) that RCF has granted."""
        if not self._machine.allows("registered"):
            return
        self._registration = registration
        self._retry = RETRY_FIRST
        self._opened = 0
        self._renew_at = None
        if registration.fetch_soon:
            self._plan_renewal(now, 0)
        if self._machine.feed("registered") == "committing":
            self._effects.append(("commit", self._trial))
        else:
            self._open()

    def refused(self, code: int, now: int) -> None:
        """Take the error code with which the last gatekeeper has refused."""
        if self._machine.state == "proving":
            self._go_back()
            return
        if self._machine.state not in ("stored", "fresh"):
            return
        reason = _REFUSALS.get(code, "refused")
        if code in (OBSOLETE, REVOKED, SUITE_REFUSED) and not self._fetched_again:
            self._fetch_again(reason)
        else:
            self._give_up(reason, now)

    def confirmed(self) -> None:
        """Take it that a GCF has verified: EXT and PIN are right, whatever comes after it."""
        self._confirmed = True

    def no_answer(self, now: int) -> None:
        """Take it that no gatekeeper answered."""
        if self._machine.state == "proving":
            self._go_back()
        elif self._machine.state == "stored" and not self._fetched_again:
            self._fetch_again("no-answer")
        elif self._machine.state in ("stored", "fresh"):
            # With fresh keys, silence is what a wrong PIN gets: unless a gatekeeper has answered to it.
            silent = self._machine.state == "fresh" and not self._confirmed
            self._give_up("log-in-failed" if silent else "no-answer", now)

    def ended(self, reason: str, now: int) -> None:
        """Take the end of the registration, by the gatekeeper or for want of answers."""
        if not self._machine.allows("again"):
            return
        self._drop_channel()
        self._timer = None
        if reason in _COME_BACK and self._record is not None:
            self._machine.feed("again")
            self._try_stored()
        else:
            self._machine.feed("give-up")
            self._effects.append(("prompt", "logged-out"))

    def network_back(self, now: int) -> None:
        """Take it that the network was away: what was under way starts over, at once.

        The own address may be another one, and nobody knows what was lost on the way; a
        gatekeeper takes a new registration over the old one.
        """
        state = self._machine.state
        if state in ("opening", "online", "renewing"):
            self._drop_channel()
            self._timer = None
            self._machine.feed("again")
            self._try_stored()
        elif state == "stored":
            self._try_stored()
        elif state == "proving":
            self._drop_channel()
            self._go_back()
        elif state == "fresh":
            self._register(self._trial)
        elif state == "fetching":
            self._fetch()
        elif state == "waiting":
            self._timer = now

    def left(self, now: int) -> None:
        """Take it that the endpoint has logged out."""
        if self._machine.state == "leaving":
            self._machine.feed("left")
            self._effects.append(("prompt", None))

    # -- store

    def committed(self, now: int) -> None:
        """Take it that the store holds the record."""
        if self._machine.state == "committing":
            self._machine.feed("committed")
            self._record, self._trial = self._trial, None
            self._open()

    def not_committed(self, now: int) -> None:
        """Take it that the store could not write: this registration is good until power goes."""
        if self._machine.state == "committing":
            self._effects.append(("show", "store-failed"))
            self.committed(now)

    # -- signalling channel

    def channel_open(self, cipher: str, now: int) -> None:
        """Take it that the channel is open."""
        if self._machine.allows("open"):
            self._machine.feed("open")
            self._opened = 0
            self._timer = self._renew_at
            self._quietly = False
            self._effects.append(("show", "registered"))

    def channel_failed(self, now: int) -> None:
        """Take it that the channel could not be opened, or did not stay open."""
        if self._machine.state in ("online", "renewing"):
            if self._machine.state == "renewing":
                self._plan_renewal(now, 0)  # what is being fetched now comes to nothing
            self._machine.feed("closed")
        elif self._machine.allows("failed"):
            self._machine.feed("failed")
        else:
            return
        self._opened += 1
        self._quietly = False
        if self._opened >= REOPEN_TRIES and self._record is not None:
            self._machine.feed("again")
            self._drop_channel()
            self._try_stored()
            return
        self._effects.append(("show", "channel-failed"))
        wait = min(REOPEN_FIRST << self._opened, REOPEN_LONGEST)
        self._timer = now + wait + self._jitter(wait)

    # -- keys of the next generation

    def _plan_renewal(self, now: int, least: int) -> None:
        self._renew_at = now + least + self._jitter(self._spread)
        if self._machine.state == "online":
            self._timer = self._renew_at

    def _renew(self) -> None:
        self._renew_at = None
        self._machine.feed("renew")
        self._ext, self._pin = self._record.ext, self._record.pin
        self._effects.append(("renew", self._ext))

    def _renewed(self, keyfile: object, now: int) -> None:
        """Register with the new keys; the stored ones stay until that has been granted."""
        if keyfile.cvm == self._record.cvm or not _fits(keyfile, self._ext):
            self._stay(now)  # this key server is not as far as the gatekeeper
            return
        self._machine.feed("keys")
        self._quietly = True
        self._try(keyfile)

    def _stay(self, now: int) -> None:
        self._machine.feed("stay")
        self._plan_renewal(now, self._spread // 2)

    def _go_back(self) -> None:
        """Register with the stored keys again: the new ones were not taken."""
        self._machine.feed("back")
        self._try_stored()

    # -- what they share

    def _try(self, keyfile: object) -> None:
        self._trial = Record(
            self._ext,
            self._pin,
            keyfile.suite,
            keyfile.g,
            keyfile.kg,
            keyfile.cvm,
            authentication_key(keyfile.suite, keyfile.kg, self._pin),
            keyfile.gatekeepers,
        )
        self._register(self._trial)

    def _fetch(self) -> None:
        self._effects.append(("show", "fetching"))
        self._effects.append(("fetch", self._ext))

    def _fetch_again(self, reason: str) -> None:
        self._machine.feed("fetch")
        self._fetched_again = True
        record = self._trial or self._record
        self._ext, self._pin = record.ext, record.pin
        self._effects.append(("show", reason))
        self._fetch()

    def _try_stored(self) -> None:
        self._trial = None
        self._fetched_again = False
        self._quietly = False
        self._register(self._record)

    def _register(self, record: Record) -> None:
        self._confirmed = False
        if not self._quietly:
            self._effects.append(("show", "registering"))
        gatekeepers = record.gatekeepers
        gatekeepers = gatekeepers + tuple([a for a in self._others if a not in gatekeepers])
        self._effects.append(("register", record, gatekeepers))

    def _open(self) -> None:
        if not self._quietly:
            self._effects.append(("show", "opening"))
        self._effects.append(("open", self._registration))

    def _drop_channel(self) -> None:
        """Let go of the registration, too: it holds Ks, and by its class a whole module (docs/memory.md)."""
        if self._registration is not None:
            self._effects.append(("close",))
            self._others = self._registration.others
            self._registration = None

    def _give_up(self, reason: str, now: int) -> None:
        """Show the prompt; with a record in the store, come back to that after a while."""
        self._trial = None
        if self._record is None:
            self._machine.feed("give-up")
        else:
            self._machine.feed("wait")
            self._timer = now + self._retry + self._jitter(self._retry // 2)
            self._retry = min(2 * self._retry, RETRY_LONGEST)
        self._effects.append(("prompt", reason))

    def _jitter(self, most: int) -> int:
        return int.from_bytes(self._random(2), "big") * most >> 16


def _fits(keyfile: object, ext: str) -> bool:
    from ras.generator import fits  # in a phone's heap only while keys are fetched

    return fits(keyfile.g, ext)
