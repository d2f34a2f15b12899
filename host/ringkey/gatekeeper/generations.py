"""A table that forgets what nobody has touched for longest, for the room of a plain dict.

An OrderedDict takes 60 octets more for each entry, and a dict that is always full and gives up its first
entry for each new one looks through all the places of those that went before.
"""

from typing import Any


class Generations:
    """A dict of at most `most` entries.  Half as many stay for sure: those that were put last.

    When the younger generation is half of `most`, the older one goes and it takes that one's place.
    """

    def __init__(self, most: int) -> None:
        self._half = max(1, most // 2)
        self._young: dict[Any, Any] = {}
        self._old: dict[Any, Any] = {}

    def __len__(self) -> int:
        """Return how many there are; one that is of both generations counts twice."""
        return len(self._young) + len(self._old)

    def get(self, key: Any) -> Any:
        """Return a value, or None; what was not put again grows old all the same."""
        found = self._young.get(key)
        return self._old.get(key) if found is None else found

    def put(self, key: Any, value: Any) -> None:
        """Set a value, which is not None; it is the youngest now."""
        if len(self._young) >= self._half and key not in self._young:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def pop(self, key: Any) -> Any:
        """Take a value out and return it, or None."""
        old = self._old.pop(key, None)
        found = self._young.pop(key, None)
        return old if found is None else found
