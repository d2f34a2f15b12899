"""Device keys that were fetched once: in memory, and told to whoever keeps them on disk.

Those that a phone has proven outlive those that anybody asked for: strangers can have any key fetched
that the key server has given them.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from typing import Any

from ras.replay import same

from ringkey.gatekeeper.answers import MAX_CHECK_VALUES, Found

Key = tuple[bytes, str, bytes | None]  # g, EXT, CVm
KeyListener = Callable[[Key, Found | None], None]
# When it was asked for (monotonic, s), the answer, and the key as it is here: whoever keeps its parts has no
# other objects of them.
_Entries = OrderedDict[Key, tuple[float, Found, Any]]


class KeyCache:
    """Up to `limit` keys; beyond it the one that `get` gave longest ago goes, unproven ones first.

    on_key: told of each key that is new, and with None of each that has gone.
    """

    def __init__(self, limit: int, on_key: KeyListener | None = None) -> None:
        self._limit = limit
        self._on_key = on_key
        self._asked: _Entries = OrderedDict()
        self._proven: _Entries = OrderedDict()
        self._cvms: tuple[bytes, ...] = ()  # one object for each that was seen

    def __len__(self) -> int:
        return len(self._asked) + len(self._proven)

    def get(self, key: Key, fresh: float | None = None) -> Found | None:
        """Return a key; fresh: only where it was asked for within so many seconds."""
        for entries in (self._proven, self._asked):
            entry = entries.get(key)
            if entry is not None:
                if fresh is not None and time.monotonic() - entry[0] > fresh:
                    return None
                entries.move_to_end(key)
                return entry[1]
        return None

    def asked(self, key: Key) -> tuple[float, Any]:
        """Return when a key that is there was asked for (s, monotonic), and the Key as it is here."""
        entry = self._proven.get(key) or self._asked.get(key)
        return (-math.inf, key) if entry is None else (entry[0], entry[2])

    def put(self, key: Key, found: Found) -> None:
        """Remember a key that was asked for now; a proven one stays so."""
        entries = self._proven if key in self._proven else self._asked
        old = entries.get(key)
        mine = old[2] if old is not None else self._mine(key)
        entries[mine] = (time.monotonic(), self._with_my_cvm(found), mine)
        entries.move_to_end(key)
        if self._on_key is not None and (old is None or old[1] != found):
            self._on_key(key, found)
        if len(self) > self._limit:
            self.forget([next(iter(self._asked or self._proven))])

    def prove(self, key: Key) -> None:
        """Hear that a phone has proven that it holds this key, and its PIN."""
        if self._asked:
            entry = self._asked.pop(key, None)
            if entry is not None:
                self._proven[key] = entry

    def forget(self, keys: Iterable[Key]) -> None:
        """Forget keys, those that are not there included."""
        for key in keys:
            gone = self._asked.pop(key, None) or self._proven.pop(key, None)
            if gone is not None and self._on_key is not None:
                self._on_key(key, None)

    def forget_g(self, revoked: Container[bytes]) -> None:
        """Forget the keys of some g."""
        self.forget([key for key, _ in self._all() if key[0] in revoked])

    def forget_all_but(self, check_values: tuple[bytes, ...]) -> None:
        """Forget the keys of other generations of Km than these."""
        self.forget([key for key, found in self._all() if found.cvm not in check_values])

    def put_back(self, found: dict[Key, Found]) -> None:
        """Take keys that a run before has kept; they are not fresh, and nobody is told."""
        for key, one in found.items():
            mine = self._mine(key)
            self._asked[mine] = (-math.inf, self._with_my_cvm(one), mine)

    def all(self) -> dict[Key, Found]:
        """Return all of them."""
        return dict(self._all())

    def clear(self) -> None:
        """Let all of them go from memory; nobody is told."""
        self._asked.clear()
        self._proven.clear()

    def _all(self) -> Iterator[tuple[Key, Found]]:
        for entries in (self._asked, self._proven):
            for key, (_, found, _) in entries.items():
                yield key, found

    def _mine(self, key: Key) -> Any:
        """Return a key with the object that others have of its CVm."""
        cvm = key[2]
        if cvm is None:
            return key
        return key[0], key[1], self._my_cvm(cvm)

    def _with_my_cvm(self, found: Found) -> Found:
        cvm = self._my_cvm(found.cvm)
        return found if cvm is found.cvm else replace(found, cvm=cvm)

    def _my_cvm(self, cvm: bytes) -> bytes:
        if cvm not in self._cvms:
            self._cvms = (*self._cvms, cvm)[-MAX_CHECK_VALUES:]
        return same(cvm, self._cvms)
