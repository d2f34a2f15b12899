"""A growing list that others wait on: what every reader thread of the harness feeds."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from harness import patience

T = TypeVar("T")


class Watched(Generic[T]):
    """Entries in the order in which they came; `find` waits for one that is not there yet."""

    def __init__(self) -> None:
        self._entries: list[T] = []
        self._changed = threading.Condition()
        self._ended = False

    def __iter__(self) -> Iterator[T]:
        with self._changed:
            return iter(list(self._entries))

    def __getitem__(self, index: int) -> T:
        with self._changed:
            return self._entries[index]

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: T) -> None:
        """Append an entry and wake whoever waits."""
        with self._changed:
            self._entries.append(entry)
            self._changed.notify_all()

    def end(self) -> None:
        """Say that no more entries will come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def find(self, wanted: Callable[[T], bool], start: int, timeout: float) -> "tuple[int, T] | None":
        """Return (index, entry) of the first one from `start` on that is wanted.

        None after `timeout` seconds, or once no more entries will come.
        """
        deadline = time.monotonic() + patience.seconds(timeout)
        with self._changed:
            while True:
                for index in range(start, len(self._entries)):
                    if wanted(self._entries[index]):
                        return index, self._entries[index]
                start = max(start, len(self._entries))
                left = deadline - time.monotonic()
                if left <= 0 or self._ended:
                    return None
                self._changed.wait(left)
