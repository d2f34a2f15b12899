"""Device keys that were fetched once: in memory, and told to whoever keeps them on disk."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable

from ringkey.gatekeeper.answers import Found

Key = tuple[bytes, str, bytes | None]  # g, EXT, CVm
KeyListener = Callable[[Key, Found | None], None]


class KeyCache:
    """Up to `limit` keys; beyond it the one that was not used for longest goes.

    on_key: told of each key that is new, and with None of each that has gone.
    """

    def __init__(self, limit: int, on_key: KeyListener | None = None) -> None:
        self._limit = limit
        self._on_key = on_key
        self._found: OrderedDict[Key, tuple[float, Found]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: Key, fresh: float | None = None) -> Found | None:
        """Return a key; fresh: only where it was asked for within so many seconds."""
        entry = self._found.get(key)
        if entry is None or (fresh is not None and time.monotonic() - entry[0] > fresh):
            return None
        self._found.move_to_end(key)
        return entry[1]

    def put(self, key: Key, found: Found) -> None:
        """Remember a key that was asked for now."""
        old = self._found.get(key)
        self._found[key] = (time.monotonic(), found)
        self._found.move_to_end(key)
        if self._on_key is not None and (old is None or old[1] != found):
            self._on_key(key, found)
        if len(self._found) > self._limit:
            self.forget([next(iter(self._found))])

    def forget(self, keys: Iterable[Key]) -> None:
        """Forget keys, those that are not there included."""
        for key in keys:
            if self._found.pop(key, None) is not None and self._on_key is not None:
                self._on_key(key, None)

    def forget_g(self, revoked: Container[bytes]) -> None:
        """Forget the keys of some g."""
        self.forget([key for key in self._found if key[0] in revoked])

    def forget_all_but(self, check_values: tuple[bytes, ...]) -> None:
        """Forget the keys of other generations of Km than these."""
        self.forget([key for key, (_, found) in self._found.items() if found.cvm not in check_values])

    def put_back(self, found: dict[Key, Found]) -> None:
        """Take keys that a run before has kept; they are not fresh, and nobody is told."""
        self._found.update((key, (-math.inf, one)) for key, one in found.items())

    def all(self) -> dict[Key, Found]:
        """Return all of them."""
        return {key: found for key, (_, found) in self._found.items()}

    def clear(self) -> None:
        """Let all of them go from memory; nobody is told."""
        self._found.clear()
