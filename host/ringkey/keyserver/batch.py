"""Many look-ups in one request: `POST /keys/lookup.json` of the Advanced Secure File Service.

    {"keys": [{"g": HEX, "ext": EXT, "cvm": HEX}, ...]}   1 to MAX_BATCH of them; "cvm" may be left out
    {"version": 1, "suite": ..., "keys": [{"g", "ext", "kg", "cvm"} or {"g", "ext", "error", "detail"}, ...]}

in the same order.  One that is refused refuses no other; one that is malformed refuses all, since
whoever sent it has a fault that should be seen.  Each key's own check value is beside it: keys of
several generations may be in one answer.
"""

import json
from collections.abc import Callable
from typing import Any

from ringkey.keyserver import keyfiles, query
from ringkey.keyserver.agent import DeviceKey, Refused

# A gatekeeper that starts again asks for all it holds; 512 take some 10 ms, in which no other
# request is answered, and 90 KB.
MAX_BATCH = 512
# Octets of a request: MAX_BATCH entries of g and EXT with the longest EXT, and room for spaces.
MAX_REQUEST = MAX_BATCH * 144
# Octets and nesting that JSON of this form has; deeper is not parsed at all.
_OPENING = (b"[", b"{")

Wanted = tuple[bytes, str, bytes | None]
"""g, EXT, and the check value that the phone has sent, where it is known."""
LookUp = Callable[[bytes, str, bytes | None], DeviceKey]


def parse(body: bytes) -> list[Wanted]:
    """Return (g, EXT, CVm) of each entry; raises Malformed, which names the entry and shows nothing."""
    if sum(body.count(mark) for mark in _OPENING) > MAX_BATCH + 2:
        raise query.Malformed(f'not {{"keys": [...]}} with up to {MAX_BATCH} entries')
    try:
        found = json.loads(body)
        entries = found["keys"]
    except (ValueError, TypeError, KeyError):
        raise query.Malformed('not JSON of the form {"keys": [{"g": HEX, "ext": EXT}, ...]}') from None
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_BATCH:
        raise query.Malformed(f"keys: a list of 1 to {MAX_BATCH} entries")
    return [_entry(i, entry) for i, entry in enumerate(entries)]


def answer(suite: str, wanted: list[Wanted], look_up: LookUp) -> dict[str, Any]:
    """Return the answer's JSON; look_up raises Refused for what it refuses."""
    keys = []
    for g, ext, cvm in wanted:
        entry = {"g": g.hex(), "ext": ext}
        try:
            key = look_up(g, ext, cvm)
            entry["kg"] = key.kg.hex()
            entry["cvm"] = key.cvm.hex()
        except Refused as e:
            entry["error"] = e.code
            entry["detail"] = e.detail
        keys.append(entry)
    return {"version": keyfiles.JSON_VERSION, "suite": suite, "keys": keys}


def _entry(index: int, entry: object) -> Wanted:
    if isinstance(entry, dict):
        g, ext, cvm = entry.get("g"), entry.get("ext"), entry.get("cvm")
        if isinstance(g, str) and isinstance(ext, str) and isinstance(cvm, str | None):
            try:
                named = None if cvm is None else query.parse_check_value(cvm)
                return query.parse_g(g), query.parse_extension(ext), named
            except query.Malformed as e:
                raise query.Malformed(f"keys[{index}]: {e}") from None
    raise query.Malformed(f'keys[{index}]: {{"g": HEX, "ext": EXT}} is wanted')
