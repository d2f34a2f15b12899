"""Device keys that were fetched once: in memory, and told to whoever keeps them on disk.

Those that a phone has proven outlive those that anybody asked for: strangers can have any key fetched
that the key server has given them.  The key that a phone has proven last is in its record
(phone_records.py), which is a third as large.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Iterator

from ringkey.gatekeeper.answers import Found
from ringkey.gatekeeper.phone_records import PhoneRecords

Key = tuple[bytes, str, bytes | None]  # g, EXT, CVm
KeyListener = Callable[[Key, Found | None], None]
_Entries = OrderedDict[Key, tuple[float, Found]]  # when it was asked for (monotonic, s), and the answer


class KeyCache:
    """Up to `limit` keys; beyond it the one that `get` gave longest ago goes, unproven ones first, and what
    is in a phone's record last.

    on_key: told of each key that is new, and with None of each that has gone; records: of phones.
    """

    def __init__(
        self, limit: int, on_key: KeyListener | None = None, records: PhoneRecords | None = None
    ) -> None:
        self._limit = limit
        self._on_key = on_key
        self._records = PhoneRecords() if records is None else records
        self._asked: _Entries = OrderedDict()
        # What was proven once, and is not what the phone of that extension has proven last.
        self._proven: _Entries = OrderedDict()

    def __len__(self) -> int:
        return len(self._asked) + len(self._proven) + len(self._records)

    def get(self, key: Key, since: float = -math.inf) -> Found | None:
        """Return a key; since: only where it was asked for since then (s, monotonic)."""
        g, ext, cvm = key
        entry: tuple[float, Found] | None = None
        if self._records.has(ext, g, cvm):
            there = self._records.get(ext)
            if there is not None:
                entry = (there[2], there[1])
        else:
            for entries in (self._proven, self._asked):
                entry = entries.get(key)
                if entry is not None:
                    entries.move_to_end(key)
                    break
        if entry is None or entry[0] < since:
            return None
        return entry[1]

    def put(self, key: Key, found: Found) -> None:
        """Remember a key that was asked for now; a proven one stays so.

        Where its name has a CVm, that is the one of `found`.
        """
        g, ext, cvm = key
        old = self.get(key)
        now = time.monotonic()
        if self._records.has(ext, g, cvm):
            self._records.put(ext, g, found, now)
        else:
            entries = self._proven if key in self._proven else self._asked
            entries[key] = (now, found)
            entries.move_to_end(key)
        if self._on_key is not None and old != found:
            self._on_key(key, found)
        if len(self) > self._limit:
            self._drop_one()

    def prove(self, key: Key) -> None:
        """Hear that a phone has proven that it holds this key, and its PIN."""
        if not self._asked and not self._proven:
            return
        entry = self._asked.pop(key, None) or self._proven.pop(key, None)
        if entry is None:
            return
        g, ext, cvm = key
        asked, found = entry
        if cvm is None or cvm != found.cvm:  # nobody has said of which generation it is
            self._proven[key] = entry
            return
        before = self._records.get(ext)
        if before is not None:
            then_g, then, then_asked = before
            self._proven[then_g, ext, then.cvm] = (then_asked, then)
        self._records.put(ext, g, found, asked)

    def forget(self, keys: Iterable[Key]) -> None:
        """Forget keys, those that are not there included."""
        for key in keys:
            g, ext, cvm = key
            if self._records.has(ext, g, cvm):
                gone = self._records.take(ext)
            else:
                gone = bool(self._asked.pop(key, None) or self._proven.pop(key, None))
            if gone and self._on_key is not None:
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
            self._asked[key] = (-math.inf, one)

    def all(self) -> dict[Key, Found]:
        """Return all of them."""
        return dict(self._all())

    def clear(self) -> None:
        """Let all of them go from memory; nobody is told."""
        self._asked.clear()
        self._proven.clear()
        self._records.clear()

    def _all(self) -> Iterator[tuple[Key, Found]]:
        for entries in (self._asked, self._proven):
            for key, (_, found) in entries.items():
                yield key, found
        for ext in self._records:
            there = self._records.get(ext)
            if there is not None:
                g, found, _ = there
                yield (g, ext, found.cvm), found

    def _drop_one(self) -> None:
        # Of records there are more than that only where a run before had room for more.
        for key, _ in self._all():
            self.forget([key])
            return
