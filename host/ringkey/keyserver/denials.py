"""Who was given no keys lately, and why: for a person who wonders why a phone does not come."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

# Extensions remembered; strangers can name any, so the one that was refused longest ago goes.
MAX_DENIED = 1024
_WORDS = {
    "window-closed": "it got no keys: the enrolment window is closed",
    "window-full": "it got no keys: the enrolment window has let in as many as it was opened for",
    "not-listed": "it got no keys: neither its extension nor its serial number is on the list",
    "source-limit": "it got no keys: too many key files for its address",
    "extension-limit": "it got no keys: too many key files for its extension",
    "revoked": "it got no keys: it asked with a g that was revoked",
}


@dataclass(slots=True)
class _Denied:
    code: str
    source: str | None
    serial: str | None
    count: int
    at: float


class Denials:
    """The last refusal of each extension that has got no keys since.  n: changes with each of them."""

    def __init__(self) -> None:
        self.n = 0
        self._denied: OrderedDict[str, _Denied] = OrderedDict()

    def add(self, ext: str, code: str, *, source: str | None, serial: str | None) -> None:
        """Remember a refusal."""
        old = self._denied.pop(ext, None)
        count = 1 if old is None or old.code != code else old.count + 1
        self._denied[ext] = _Denied(code, source, serial, count, time.time())
        if len(self._denied) > MAX_DENIED:
            self._denied.popitem(last=False)
        self.n += 1

    def forget(self, ext: str) -> None:
        """Forget an extension that has got keys."""
        if self._denied.pop(ext, None) is not None:
            self.n += 1

    def tell(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer over the control socket: {"n", "denied": […]}, None as "denied" where `n` is still the same.

        request: ext (only of this one), n (of the answer before).
        """
        ext = request.get("ext")
        if isinstance(ext, str):
            one = self._denied.get(ext)
            return {"n": self.n, "denied": [] if one is None else [_told(ext, one)]}
        if request.get("n") == self.n:
            return {"n": self.n, "denied": None}
        return {"n": self.n, "denied": [_told(ext, one) for ext, one in self._denied.items()]}


def _told(ext: str, one: _Denied) -> dict[str, Any]:
    return {
        "ext": ext,
        "step": "keys",
        "reason": one.code,
        "words": _WORDS.get(one.code, f"it got no keys: {one.code}"),
        "source": one.source or "",
        "count": one.count,
        "at": round(one.at, 3),
    }
