"""What phones, network and servers did, in one line of time: for logs and for the report."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

PLAIN, GOOD, BAD = "", "good", "bad"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.  when: time.time(); who: a column of the report; mood: PLAIN, GOOD or BAD."""

    when: float
    who: str
    text: str
    mood: str = PLAIN


class Timeline:
    """Entries of one test, from all the threads that read."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._lock = threading.Lock()

    def add(self, who: str, text: str, mood: str = PLAIN) -> None:
        """Add what has happened now."""
        with self._lock:
            self._entries.append(Entry(time.time(), who, text, mood))

    def entries(self) -> list[Entry]:
        """Return what there is, in order of time."""
        with self._lock:
            return sorted(self._entries, key=lambda e: e.when)

    def plain(self) -> list[dict[str, Any]]:
        """Return it as lists, dicts and texts, as it travels from one process to another."""
        return [asdict(entry) for entry in self.entries()]


class Switch:
    """Hands entries on to the timeline of the test that runs now: servers live through several."""

    def __init__(self) -> None:
        self.to: Timeline | None = None

    def add(self, who: str, text: str, mood: str = PLAIN) -> None:
        """Add to the current timeline, if there is one."""
        if self.to is not None:
            self.to.add(who, text, mood)


Add = Callable[[str, str, str], None]

# Events of the servers' logs that are worth a look when something has failed.
_BAD = {
    *("dropped", "refused", "tls_refused", "key_refused", "key_server_unavailable", "channel_refused"),
    *("counter_not_written", "lookup_failed", "registrar_failed", "stop_failed", "key_client_failed"),
}
_GOOD = {"key_issued", "gcf_sent", "registered", "channel_open", "key_looked_up"}
_QUIET = {"event", "level", "logger", "timestamp"}


def of_server(event: dict[str, Any]) -> tuple[str, str]:
    """Return (text, mood) of an event of a server's log."""
    name = str(event.get("event"))
    rest = " ".join(f"{k}={_short(v)}" for k, v in event.items() if k not in _QUIET and v is not None)
    bad = name in _BAD or event.get("level") in ("error", "critical")
    return f"{name} {rest}".rstrip(), BAD if bad else GOOD if name in _GOOD else PLAIN


def of_phone(event: dict[str, Any]) -> tuple[str, str]:
    """Return (text, mood) of a phone's console event."""
    kind = event["e"]
    if kind == "display":
        return "  ".join(f"[{line:<16}]" for line in event.get("lines", ())), PLAIN
    if kind == "ras":
        return f"{'sends' if event.get('way') == 'out' else 'gets'} {event.get('message')}", PLAIN
    rest = " ".join(f"{k}={_short(v)}" for k, v in event.items() if k != "e")
    bad = kind in ("reason", "fault") or event.get("ok") is False or "failed" in str(event.get("state", ""))
    good = event.get("ok") is True or event.get("state") == "open" or kind in ("registered", "key-file")
    return f"{kind} {rest}".rstrip(), BAD if bad else GOOD if good else PLAIN


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else text[:199] + "…"
