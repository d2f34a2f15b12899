"""Which extensions somebody may ask for: "1001", "2000-2999", "31*", "*"."""

import re
from collections.abc import Iterable

from ras.keys import MAX_EXT

# Entries for one gatekeeper; a numbering plan with more is better written with prefixes.
MAX_ENTRIES = 1000
_ENTRY = re.compile(
    rf"(?P<prefix>[0-9]{{0,{MAX_EXT}}})\*|(?P<low>[0-9]{{1,{MAX_EXT}}})(?:-(?P<high>[0-9]{{1,{MAX_EXT}}}))?"
)


class Scope:
    """A set of extensions; `ext in scope`.

    entries: an extension, "LOW-HIGH" (both with the same number of digits, both included, and only
    extensions with that many digits: 0100 is not 100), or "PREFIX*".  Raises ValueError that names
    the entry.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self.entries = tuple(entries)
        if len(self.entries) > MAX_ENTRIES:
            raise ValueError(f"more than {MAX_ENTRIES} entries")
        prefixes = []
        single = set()
        # By number of digits; texts of one length compare as their numbers do.
        self._ranges: dict[int, list[tuple[str, str]]] = {}
        for entry in self.entries:
            found = _ENTRY.fullmatch(entry)
            if found is None:
                raise ValueError(f'{entry!r} is none of "1001", "2000-2999", "31*" and "*"')
            low, high = found["low"], found["high"]
            if low is None:
                prefixes.append(found["prefix"])
            elif high is None:
                single.add(low)
            elif len(low) != len(high) or low > high:
                raise ValueError(f"{entry!r}: two numbers with as many digits, the smaller one first")
            else:
                self._ranges.setdefault(len(low), []).append((low, high))
        self._prefixes = tuple(prefixes)
        self._single = frozenset(single)

    def __repr__(self) -> str:
        return f"Scope({', '.join(self.entries)})"

    def __contains__(self, ext: str) -> bool:
        return (
            ext.startswith(self._prefixes)
            or ext in self._single
            or any(low <= ext <= high for low, high in self._ranges.get(len(ext), ()))
        )


ALL = Scope(("*",))
