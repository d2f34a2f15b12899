"""Who gets a key file: everybody, whoever comes while a window is open, or who is on a list.

Both the window and the list are files that the command line writes and the running service reads
again when they have changed; the service writes how many phones a window has let in.  Both write
under one lock, whole or not at all, before a key is issued: a crash can cost a window a place and
never gives one away.
"""

import fcntl
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ringkey import log
from ringkey.errors import UserError
from ringkey.keyserver.enrolment_list import MAX_LIST, Listed, load_list
from ringkey.keyserver.limits import Limit, network
from ringkey.site import files
from ringkey.site.keyserver_tables import EnrolmentConfig

WINDOW = "enrolment.json"
LIST = "enrolment.csv"
LOCK = "enrolment.lock"
VERSION = 1
# Phones that one window lets in at most: each is remembered until it closes, so that one that
# asks again does not take a second place.
MAX_PHONES = 10_000
# Minutes that a window may be open: a rotation's overlap, and no window that is forgotten for years.
MAX_MINUTES = 90 * 24 * 60
# Seconds that a phone that was turned away shall wait: until somebody may have opened the window.
CLOSED_AGAIN = 300
# How much more all networks together may take of one extension than each: many phones behind
# many addresses cannot keep asking for keys of one, and one address cannot lock it for the others.
EVERYWHERE = 10

_log = log.get("ringkey.keyserver.enrolment")


@dataclass(frozen=True, slots=True)
class Denied:
    """No key file: HTTP status, a code for the log, a text for the phone; again: seconds, or None."""

    status: int
    code: str
    detail: str
    again: int | None = None


@dataclass(slots=True)
class Window:
    """since, until: seconds from 1970; phones: how many may come, None for any; let_in: who has."""

    since: float = 0.0
    until: float = 0.0
    phones: int | None = None
    let_in: list[str] = field(default_factory=list)

    def open_at(self, now: float) -> bool:
        """Tell whether it is open; a clock that was set back does not open it again."""
        return self.since <= now < self.until

    @property
    def left(self) -> int | None:
        """How many phones may still come, None for any number."""
        return None if self.phones is None else max(0, self.phones - len(self.let_in))


class Enrolment:
    """The policy of one site; one object in the service, others in commands."""

    def __init__(self, config: EnrolmentConfig) -> None:
        self._config = config
        self._of_source = Limit(config.per_source, 60.0)
        self._of_extension = Limit(config.per_extension, 3600.0)
        self._of_extension_everywhere = Limit(EVERYWHERE * config.per_extension, 3600.0)
        self._listed = Listed()
        self._listed_version: tuple[int, ...] | None = None

    def apply(self, config: EnrolmentConfig) -> None:
        """Go by another configuration from now on; where window and list are kept stays."""
        self._config = replace(config, directory=self._config.directory)
        self._of_source.set(config.per_source)
        self._of_extension.set(config.per_extension)
        self._of_extension_everywhere.set(EVERYWHERE * config.per_extension)

    @property
    def policy(self) -> str:
        """The policy's name."""
        return self._config.policy

    def admit(
        self, source: str, ext: str | None, serial: str | None, wall: float | None = None
    ) -> Denied | None:
        """Return why `source` gets no key file for `ext` now, or None; then one is counted.

        wall: seconds from 1970.  Raises UserError, OSError where the policy's files cannot be read or
        written: nobody gets anything then.
        """
        wall = time.time() if wall is None else wall
        denied = self._too_many(source, ext) or self._policy_says(ext, serial, wall)
        if denied is not None:
            _log.warning("enrolment_denied", source=source, ext=ext, serial=serial, reason=denied.code)
        return denied

    def _too_many(self, source: str, ext: str | None) -> Denied | None:
        now = time.monotonic()
        place = network(source)
        limits: list[tuple[Limit, object, str, str]] = [
            (self._of_source, place, "source-limit", "key files for this address")
        ]
        if ext is not None:
            limits += [
                (self._of_extension, (place, ext), "extension-limit", "key files for this extension"),
                (self._of_extension_everywhere, ext, "extension-limit", "key files for this extension"),
            ]
        for limit, key, code, what in limits:
            wait = limit.wait(key, now)
            if wait > 0:
                return Denied(429, code, f"too many {what}", math.ceil(wait))
        for limit, key, _, _ in limits:
            limit.take(key, now)
        return None

    def _policy_says(self, ext: str | None, serial: str | None, wall: float) -> Denied | None:
        if self._config.policy == "listed":
            if self.listed().has(ext, serial):
                return None
            return Denied(403, "not-listed", "this site gives keys to listed extensions and phones only")
        if self._config.policy == "window":
            # One that changes either takes another place: else one phone could have every extension's.
            return self._through_the_window(f"{ext or ''} {serial or ''}", wall)
        return None

    def _through_the_window(self, phone: str, wall: float) -> Denied | None:
        closed = Denied(403, "window-closed", "this site takes no new phones at the moment", CLOSED_AGAIN)
        if not self.window().open_at(wall):
            return closed
        with self._locked():
            window = self.window()
            if not window.open_at(wall):
                return closed
            if phone in window.let_in:
                return None
            if window.left == 0 or len(window.let_in) >= MAX_PHONES:
                return Denied(403, "window-full", "this site has taken as many phones as it wanted")
            window.let_in.append(phone)
            self._write(window)
        return None

    def check(self) -> str | None:
        """Raise UserError where the policy's files are damaged; whoever asks wants None."""
        if self._config.policy == "window":
            self.window()
        elif self._config.policy == "listed":
            self.listed()
        return None

    # What commands do

    def window(self) -> Window:
        """Return the window as it is on disk; raises UserError where its file is damaged."""
        path = self._config.directory / WINDOW
        if not path.exists():
            return Window()
        text = files.read_secret(path, "the enrolment window")
        try:
            found: dict[str, Any] = json.loads(text)
            if found["version"] != VERSION:
                raise ValueError
            since, until = float(found["since"]), float(found["until"])
            window = Window(since, until, found["phones"], [str(one) for one in found["let_in"]])
            if not (window.phones is None or isinstance(window.phones, int)):
                raise ValueError
        except (ValueError, TypeError, KeyError):
            raise UserError(f"{path} is damaged", "ringkey enrol close") from None
        return window

    def open_window(self, minutes: int, phones: int | None, wall: float | None = None) -> Window:
        """Open a new window; raises UserError, OSError."""
        wall = time.time() if wall is None else wall
        window = Window(wall, wall + 60 * minutes, phones)
        with self._locked():
            self._write(window)
        return window

    def close_window(self) -> None:
        """Close the window at once, whatever is in its file; raises UserError, OSError."""
        with self._locked():
            self._write(Window())

    def listed(self) -> Listed:
        """Return the list, read again where it has changed; raises UserError."""
        path = self._config.directory / LIST
        try:
            about = path.stat()
            version: tuple[int, ...] | None = (about.st_mtime_ns, about.st_size, about.st_ino)
        except FileNotFoundError:
            version = None
        except OSError as e:
            raise UserError(f"{path}: {e.strerror}", f"ls -la {path.parent}") from None
        if version != self._listed_version:
            self._listed = Listed() if version is None else load_list(path)
            self._listed_version = version
        return self._listed

    def write_list(self, listed: Listed) -> None:
        """Put `listed` in the place of the list; raises UserError, OSError."""
        if len(listed) > MAX_LIST:
            raise UserError(f"more than {MAX_LIST} entries")
        with self._locked():
            files.write(self._config.directory / LIST, listed.text().encode())

    def status(self, wall: float | None = None) -> dict[str, Any]:
        """Return policy and state, for `ringkey enrol status` and `ringkey status`."""
        wall = time.time() if wall is None else wall
        window = self.window()
        return {
            "policy": self._config.policy,
            "window": {
                "open": window.open_at(wall),
                "seconds_left": max(0, round(window.until - wall)),
                "phones_left": window.left,
                "let_in": len(window.let_in),
            },
            "listed": len(self.listed()),
            "per_source": self._config.per_source,
            "per_extension": self._config.per_extension,
        }

    def _write(self, window: Window) -> None:
        content = {
            "version": VERSION,
            "since": window.since,
            "until": window.until,
            "phones": window.phones,
            "let_in": window.let_in,
        }
        files.write(self._config.directory / WINDOW, json.dumps(content).encode() + b"\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path: Path = self._config.directory / LOCK
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.SECRET)
        except OSError as e:
            raise UserError(f"{path}: {e.strerror}", f"ls -ld {path.parent}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
