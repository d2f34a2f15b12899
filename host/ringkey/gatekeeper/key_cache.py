"""Keys in memory, by (g, EXT, CVm): those that a phone has proven outlive those that anybody asked for."""

from collections import OrderedDict

from ringkey.gatekeeper.answers import Found

Key = tuple[bytes, str, bytes | None]  # g, EXT, CVm
Entry = tuple[float, Found]  # when the key server was asked, and what it said


class KeyCache:
    """Beyond its limit, which each `put` says, the one that was not used for longest goes.

    Strangers can have any key fetched that the key server has given them; so those go first that
    nobody has registered with.
    """

    def __init__(self) -> None:
        self._asked: OrderedDict[Key, Entry] = OrderedDict()
        self._proven: OrderedDict[Key, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._asked) + len(self._proven)

    def get(self, key: Key) -> Entry | None:
        """Return the entry, which is in use again, or None."""
        for entries in (self._proven, self._asked):
            if key in entries:
                entries.move_to_end(key)
                return entries[key]
        return None

    def put(self, key: Key, entry: Entry, limit: int) -> None:
        """Keep an entry; proven ones stay so."""
        entries = self._proven if key in self._proven else self._asked
        entries[key] = entry
        entries.move_to_end(key)
        while len(self) > limit:
            (self._asked or self._proven).popitem(last=False)

    def prove(self, key: Key) -> None:
        """A phone has proven that it holds this key, and its PIN."""
        entry = self._asked.pop(key, None)
        if entry is not None:
            self._proven[key] = entry

    def pop(self, key: Key) -> None:
        """Forget an entry, where there is one."""
        self._asked.pop(key, None)
        self._proven.pop(key, None)

    def drop(self, found: set[bytes]) -> None:
        """Forget every entry of these g."""
        for entries in (self._asked, self._proven):
            for key in [key for key in entries if key[0] in found]:
                del entries[key]

    def clear(self) -> None:
        """Forget all of it."""
        self._asked.clear()
        self._proven.clear()
