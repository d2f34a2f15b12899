"""Many look-ups in one request: `POST /keys/lookup.json` of the Advanced Secure File Service.

    {"keys": [{"g": HEX, "ext": EXT}, ...]}   1 to MAX_BATCH of them
    {"version": 1, "suite": ..., "keys": [{"g", "ext", "kg", "cvm"} or {"g", "ext", "error", "detail"}, ...]}

in the same order.  One that is refused refuses no other; one that is malformed refuses all, since
whoever sent it has a fault that should be seen.
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
MAX_REQUEST = MAX_BATCH * 128
# Octets and nesting that JSON of this form has; deeper is not parsed at all.
_OPENING = (b"[", b"{")

LookUp = Callable[[bytes, str], DeviceKey]


def parse(body: bytes) -> list[tuple[bytes, str]]:
    """Return (g, EXT) of each entry; raises Malformed, which names the entry and shows nothing."""
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


def answer(suite: str, cvm: bytes, wanted: list[tuple[bytes, str]], look_up: LookUp) -> dict[str, Any]:
    """Return the answer's JSON; look_up raises Refused for what it refuses."""
    shown = cvm.hex()
    keys = []
    for g, ext in wanted:
        entry = {"g": g.hex(), "ext": ext}
        try:
            entry["kg"] = look_up(g, ext).kg.hex()
            entry["cvm"] = shown
        except Refused as e:
            entry["error"] = e.code
            entry["detail"] = e.detail
        keys.append(entry)
    return {"version": keyfiles.JSON_VERSION, "suite": suite, "keys": keys}


def _entry(index: int, entry: object) -> tuple[bytes, str]:
    if isinstance(entry, dict):
        g, ext = entry.get("g"), entry.get("ext")
        if isinstance(g, str) and isinstance(ext, str):
            try:
                return query.parse_g(g), query.parse_extension(ext)
            except query.Malformed as e:
                raise query.Malformed(f"keys[{index}]: {e}") from None
    raise query.Malformed(f'keys[{index}]: {{"g": HEX, "ext": EXT}} is wanted')
