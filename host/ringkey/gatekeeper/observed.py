"""What a gatekeeper does, counted as it does it: for metrics (metrics.py) and `ringkey gatekeeper top`.

Labels are of few values, none of them a stranger's choice: kinds of message, names of reasons.
Extensions are named only in `failing`, for a person at the control socket.
"""

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ras.message import GRQ, KINDS, RRQ, UCF, URQ

from ringkey.gatekeeper import reasons
from ringkey.gatekeeper.addresses import Address, place
from ringkey.gatekeeper.answers import Found, Outcome, Refused
from ringkey.gatekeeper.events import GREETED, LOGGED_IN, REPLACED
from ringkey.gatekeeper.generations import Generations

# Requests whose answer is awaited, to time them: the registrar's own look-ups are at most 1,024.
MAX_OPEN = 2048
# Extensions that fail; strangers can name any, so the one that failed longest ago goes.
MAX_FAILING = 256
# Of those, how many are shown: a screen of 24 lines has room for half.
SHOWN = 40
# Latencies kept for the percentiles of `top`: some seconds of a busy gatekeeper.
KEPT = 1024
# What goes by another name than a kind of message: nothing that can be decoded.
NO_KIND = "other"
_XRS = 24  # the number of unknownMessageResponse among RasMessage's alternatives

_CONFIRMED, _REGISTERED = (GRQ, "confirmed", ""), (RRQ, "registered", "")
_REPLACED = (URQ, "ended", REPLACED)

Timed = Callable[[str, float], None]
"""(a kind of request or "key", seconds)."""


@dataclass(slots=True)
class _Failing:
    step: str
    reason: str
    source: str
    count: int
    last: float


class Observed:
    """The counts.  on_time: told of each latency.

    outcomes, received, sent, look_ups: what there is until now; of look_ups keys that were in memory
    are "memory".
    """

    def __init__(self, on_time: Timed | None = None) -> None:
        self._outcomes: Counter[tuple[str, str, str]] = Counter()
        self._look_ups: Counter[str] = Counter()
        # By a datagram's first octet.
        self._came, self._went = [0] * 256, [0] * 256
        # What happens most, of which a plain number is counted in a tenth of the time.
        self._greetings = self._log_ins = self._replaced = self._remembered = 0
        self._on_time = on_time
        self._arrived = time.perf_counter()
        # (message, what tells requests apart) -> when it came
        self._open: OrderedDict[tuple[str, Any], float] = OrderedDict()
        self._ext_of = Generations(MAX_OPEN)  # (host, port) -> EXT of the last GRQ from there
        self._failing: OrderedDict[str, _Failing] = OrderedDict()
        self._latest = {kind: deque[float](maxlen=KEPT) for kind in (GRQ, RRQ, "key")}
        self._told: dict[str, Callable[..., None]] = {
            "request": self._request,
            "lookup": self._lookup,
            "confirmed": self._confirmed,
            "refused": self._refused,
            "registered": self._registered,
            "refreshed": self._refreshed,
            "ended": self._ended,
            "dropped": self._dropped,
            "ignored": self._ignored,
            "plain_confirmed": partial(self._plain, GRQ, "plain-confirmed"),
            "plain_registered": partial(self._plain, RRQ, "plain-registered"),
            "plain_refreshed": partial(self._plain, RRQ, "plain-kept-alive"),
            "plain_refused": self._plain_refused,
            "plain_ended": self._plain_ended,
            GREETED: self._greeted,
            LOGGED_IN: self._logged_in,
        }

    # -- what the RAS port tells

    def came(self, data: bytes) -> None:
        """Count a datagram, before the registrar has it."""
        self._arrived = time.perf_counter()
        self._came[data[0] if data else _NOTHING] += 1

    def went(self, data: bytes) -> None:
        """Count a datagram that goes out."""
        self._went[data[0] if data else _NOTHING] += 1

    def event(self, event: tuple[Any, ...]) -> None:
        """Count an event of `ras.registrar`, or of events.py."""
        told = self._told.get(event[0])
        if told is not None:
            told(*event[1:])

    def key(self, outcome: Outcome, seconds: float | None) -> None:
        """Count a look-up; seconds: how long a key server took, None where it was in memory."""
        if seconds is not None:
            self._time("key", seconds)
        if isinstance(outcome, Found):
            self._look_ups["memory" if seconds is None else "found"] += 1
        else:
            # Codes of the key server's own, which is trusted to have few.
            self._look_ups[outcome.code if isinstance(outcome, Refused) else "unavailable"] += 1

    def from_memory(self) -> None:
        """Count a look-up that was answered from memory: `key` with a key that was found."""
        self._remembered += 1

    # -- what it comes to

    @property
    def outcomes(self) -> Counter[tuple[str, str, str]]:
        """How often each (message, outcome, reason) was."""
        found = self._outcomes.copy()
        found.update({_CONFIRMED: self._greetings, _REGISTERED: self._log_ins, _REPLACED: self._replaced})
        return +found

    @property
    def received(self) -> Counter[str]:
        """How many datagrams of each kind came."""
        return _by_kind(self._came)

    @property
    def sent(self) -> Counter[str]:
        """How many datagrams of each kind went out."""
        return _by_kind(self._went)

    @property
    def look_ups(self) -> Counter[str]:
        """How many look-ups had each outcome."""
        return +(self._look_ups + Counter(memory=self._remembered))

    def failing(self, most: int | None = SHOWN) -> list[dict[str, Any]]:
        """Return the extensions that failed last and have not registered since, latest first."""
        latest = list(reversed(self._failing.items()))[:most]
        return [_told(ext, one) for ext, one in latest]

    def failing_of(self, ext: str) -> dict[str, Any] | None:
        """Return how one extension failed last, None where it has registered since."""
        one = self._failing.get(ext)
        return None if one is None else _told(ext, one)

    def latencies(self) -> dict[str, dict[str, float]]:
        """Return percentiles of the latest of each kind, in seconds; none where there is none."""
        return percentiles(self._latest)

    def times(self) -> dict[str, list[float]]:
        """Return the latest of each kind, in seconds: what `percentiles` takes."""
        return {kind: [round(one, 6) for one in kept] for kind, kept in self._latest.items()}

    # -- the registrar's events, by name

    def _request(self, source: Address, ext: str) -> None:
        self._begin((GRQ, (source, ext)))
        self._ext_of.put(source, ext)

    def _lookup(
        self, _ticket: int, ext: str, g: bytes, _suite: str, kind: str, _cvm: bytes, *_more: object
    ) -> None:
        if kind == RRQ:
            self._begin((RRQ, (ext, g)))

    def _confirmed(self, source: Address, ext: str) -> None:
        self._outcomes[GRQ, "confirmed", ""] += 1
        self._end((GRQ, (source, ext)))

    def _refused(self, source: Address, ext: str, code: int) -> None:
        kind = GRQ if self._open.pop((GRQ, (source, ext)), None) is not None else RRQ
        name = reasons.of_code(code)
        self._outcomes[kind, "refused", name] += 1
        self._failed(ext, kind, name, source)

    def _registered(self, held: Any, _old: Any) -> None:
        self._outcomes[RRQ, "registered", ""] += 1
        self._end((RRQ, (held.ext, held.g)))
        self._failing.pop(held.ext, None)

    def _refreshed(self, _held: Any) -> None:
        self._outcomes[RRQ, "kept-alive", ""] += 1

    def _ended(self, _held: Any, reason: str) -> None:
        # Reasons are UnregRequestReasons and the registrar's own words.
        self._outcomes[URQ, "ended", reason.replace(" ", "-")] += 1

    def _dropped(self, source: Address, reason: str) -> None:
        name, kind = reasons.of_text(reason), reasons.kind_of_text(reason)
        self._outcomes[kind or NO_KIND, "dropped", name] += 1
        ext = self._ext_of.get(source)
        if ext is not None and kind in ("", GRQ, RRQ, URQ, UCF):
            self._failed(ext, kind or NO_KIND, name, source)

    def _ignored(self, _host: str, _milliseconds: int) -> None:
        self._outcomes[NO_KIND, "ignored", "noise"] += 1

    def _plain(self, kind: str, outcome: str, *_more: object) -> None:
        """Count what became of a plain endpoint's message, apart from phones'."""
        self._outcomes[kind, outcome, ""] += 1

    def _plain_refused(self, _source: Address, _ext: str | None, reason: str) -> None:
        # One of few RegistrationRejectReasons.
        self._outcomes[RRQ, "plain-refused", reason] += 1

    def _plain_ended(self, _endpoint: object, reason: str) -> None:
        self._outcomes[URQ, "plain-ended", reason.replace(" ", "-")] += 1

    def _greeted(self, source: Address, ext: str, *_more: object) -> None:
        self._greetings += 1
        if self._open:
            self._open.pop((GRQ, (source, ext)), None)
        self._ext_of.put(source, ext)
        self._time(GRQ, time.perf_counter() - self._arrived)

    def _logged_in(self, held: Any, old: Any) -> None:
        if old is not None:
            self._replaced += 1
        self._log_ins += 1
        if self._open:
            self._open.pop((RRQ, (held.ext, held.g)), None)
        if self._failing:
            self._failing.pop(held.ext, None)
        self._time(RRQ, time.perf_counter() - self._arrived)

    def _failed(self, ext: str, step: str, reason: str, source: Address) -> None:
        old = self._failing.pop(ext, None)
        count = 1 if old is None or old.reason != reason else old.count + 1
        one = _Failing(step, reason, place(source), count, time.monotonic())
        _put(self._failing, ext, one, MAX_FAILING)

    def _begin(self, request: tuple[str, Any]) -> None:
        _put(self._open, request, self._arrived, MAX_OPEN)

    def _end(self, request: tuple[str, Any]) -> None:
        began = self._open.pop(request, None)
        if began is not None:
            self._time(request[0], time.perf_counter() - began)

    def _time(self, kind: str, seconds: float) -> None:
        self._latest[kind].append(seconds)
        if self._on_time is not None:
            self._on_time(kind, seconds)


def percentiles(times: Mapping[str, Iterable[float]]) -> dict[str, dict[str, float]]:
    """Return p50 and p99 of each kind of time there is any of, in seconds."""
    found = {}
    for kind, kept in times.items():
        order = sorted(kept)
        if order:
            found[kind] = {
                f"p{percent}": round(order[min(len(order) - 1, len(order) * percent // 100)], 6)
                for percent in (50, 99)
            }
    return found


def _told(ext: str, one: _Failing) -> dict[str, Any]:
    return {
        "ext": ext,
        "step": one.step,
        "reason": one.reason,
        "words": reasons.words(one.reason),
        "source": one.source,
        "count": one.count,
        "seconds_ago": round(time.monotonic() - one.last, 1),
    }


def _put(table: OrderedDict[Any, Any], key: object, value: object, most: int) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > most:
        table.popitem(last=False)


def _of_octet(octet: int) -> str:
    number = octet >> 2  # an extension bit, 5 bits of number, 2 that follow
    if number < len(KINDS):
        return KINDS[number]
    return "XRS" if number == _XRS else NO_KIND


def _by_kind(counts: list[int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for octet, count in enumerate(counts):
        if count:
            found[_of_octet(octet)] += count
    return found


# What a datagram without an octet is counted as: of no kind.
_NOTHING = 0xFF
