"""What workers count together: by source address, since a source may ask for extensions of all of them.

Failures are told at once, the rest in sums (docs/gatekeeper-workers.md says what holds then).
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from ras.noise import Noise
from ras.policy import Settings
from ras.throttle import Throttle

# Seconds between two tellings of sums.
EVERY = 0.05
# Sources in one line of news: what 50 ms of a flood may bring the other workers to do.
MAX_SOURCES = 512
# Octets for which noise counts once more (noise.py).
_WEIGHT = 256
Tell = Callable[..., None]


class SharedThrottle(Throttle):
    """The throttle by source: `tell(host, weight)` of each failure that this worker has counted.

    Its keys that are no addresses, (network, EXT), are this worker's alone.
    """

    def __init__(self, like: Throttle, tell: Callable[[str, int], None]) -> None:
        super().__init__(like.limit, like.window, like.first, like.longest)
        self._tell = tell

    def failed(self, key: Any, now: int, weight: int = 1) -> int:
        """Count a failure, and tell the others."""
        if isinstance(key, str):
            self._tell(key, weight)
        return int(super().failed(key, now, weight))

    def told(self, host: str, now: int, weight: int) -> None:
        """Count a failure that another worker has told of."""
        super().failed(host, now, weight)

    def hosts(self) -> Iterator[tuple[str, tuple[int, int, int]]]:
        """Yield (address, entry) of all that the others count as well."""
        for key, entry in self.entries().items():
            if isinstance(key, str):
                yield key, entry

    def catch_up(self, host: str, entry: tuple[int, int, int]) -> None:
        """Take what another worker knows of an address, where that is more."""
        own = self.entry(host)
        if own is None or own < entry:
            self.put_back(host, entry)


class SharedNoise(Noise):
    """The noise of all workers: keeps sums of what this one has counted, until they are told.

    changed: called when there is something to tell.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self._changed = changed
        self._noise: dict[tuple[str, int], int] = {}
        self._answers: dict[str, int] = {}
        self._new_phones: dict[tuple[str, int], None] = {}

    def made(self, source: tuple[str, int], octets: int, now: int) -> int:
        """Count noise, and keep it to be told."""
        self._add(self._noise, source, 1 + octets // _WEIGHT)
        return int(super().made(source, octets, now))

    def unsigned(self, source: tuple[str, int], now: int) -> bool:
        """Count an unsigned answer, and keep it to be told."""
        allowed = bool(super().unsigned(source, now))
        if allowed:
            self._add(self._answers, source[0], 1)
        return allowed

    def proven(self, source: Any, now: int) -> Any:
        """Remember a phone; tell of those that are new.  Return the source as it is remembered."""
        if not self._phones.get(source, now):
            self._new_phones[source] = None
            self._changed()
        return super().proven(source, now)

    def sums(self) -> dict[str, list[Any]]:
        """Return and forget what is to be told, as `told` takes it."""
        # Of phones none may be left out: an address with one is not to be ignored.
        phones = list(self._new_phones)[:MAX_SOURCES]
        found: dict[str, list[Any]] = {
            "noise": [[*source, weight] for source, weight in self._noise.items()],
            "answers": [[host, count] for host, count in self._answers.items()],
            "phones": [list(source) for source in phones],
        }
        self._noise, self._answers = {}, {}
        for source in phones:
            del self._new_phones[source]
        if self._new_phones:
            self._changed()
        return {name: entries for name, entries in found.items() if entries}

    def all_phones(self) -> Iterator[list[Any]]:
        """Yield all (host, port) that have proven a PIN."""
        for key in self._phones.keys():  # noqa: SIM118 - a Recent, no dict
            if isinstance(key, tuple):
                yield list(key)

    def told(self, sums: dict[str, list[Any]], now: int) -> Iterator[tuple[str, int]]:
        """Count what another worker has told of; yield (host, ms) of what the kernel is to drop now."""
        for host, port in sums.get("phones", ()):
            super().proven((host, port), now)
        for host, count in sums.get("answers", ()):
            self._unsigned.failed(host, now, count)
        for host, port, weight in sums.get("noise", ()):
            ban = super().made((host, port), _WEIGHT * (weight - 1), now)
            if ban:
                yield host, ban

    def _add(self, sums: dict[Any, int], key: Any, count: int) -> None:
        if key in sums:
            sums[key] += count
        elif len(sums) < MAX_SOURCES:
            sums[key] = count
            self._changed()


class Shared:
    """One worker's part in it.

    say: sends a line of news to the others; deaf: has the kernel drop an address; held: how many
    registrations there are here.
    """

    def __init__(self, say: Tell, deaf: Callable[[str, float], None], held: Callable[[], int]) -> None:
        self._say = say
        self._deaf = deaf
        self._held = held
        self._told_held = 0
        self._others: dict[int, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._noise = SharedNoise(self.changed)
        self._throttle: SharedThrottle | None = None
        self._settings: Settings | None = None
        self._most = 0

    def take(self, settings: Settings) -> None:
        """Put the shared counters in place of a registrar's own, before there is one."""
        self._throttle = SharedThrottle(
            settings.throttle, lambda host, weight: self._say(failed=host, weight=weight)
        )
        self._settings, self._most = settings, settings.most
        settings.throttle, settings.noise = self._throttle, self._noise

    def limit(self, most: int) -> None:
        """Let all workers together hold so many registrations."""
        self._most = most
        if self._settings is not None:
            self._settings.most = max(0, most - sum(self._others.values()))

    def close(self) -> None:
        """Tell nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def changed(self) -> None:
        """See to it that the sums are told soon."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._tell_sums)

    def everything(self) -> None:
        """Tell all there is: another worker has begun anew."""
        phones = list(self._noise.all_phones())
        for at in range(0, len(phones), MAX_SOURCES):
            self._say(sums={"phones": phones[at : at + MAX_SOURCES]})
        if self._throttle is not None:
            hosts = list(self._throttle.hosts())
            for at in range(0, len(hosts), MAX_SOURCES):
                self._say(hosts=hosts[at : at + MAX_SOURCES])
        self._say(held=self._held())

    def told(self, line: dict[str, Any], now: int) -> None:
        """Take a line of another worker; what is no news is passed over."""
        if self._throttle is None or self._settings is None:
            return
        if "failed" in line:
            self._throttle.told(line["failed"], now, line["weight"])
        for host, ban in self._noise.told(line.get("sums", {}), now):
            self._deaf(host, ban / 1000)
        for host, entry in line.get("hosts", ()):
            self._throttle.catch_up(host, tuple(entry))
        if "held" in line:
            self._others[line["from"]] = line["held"]
            self.limit(self._most)

    def _tell_sums(self) -> None:
        self._timer = None
        sums, held = self._noise.sums(), self._held()
        line: dict[str, Any] = {"sums": sums} if sums else {}
        if held != self._told_held:
            line["held"] = self._told_held = held
        if line:
            self._say(**line)
