"""Opens the board: reads board.json and builds each part with the driver that it names.

A new board is a new folder and no code.  Its board.json lies on sys.path:

    {"board": "unix",
     "settings": {"module": "settings"},
     "console":  {"module": "console"},
     "displays": [{"module": "console"}, {"module": "drivers.ssd1306", "params": {"scl": 22}}],
     "keys":     [{"module": "console"}],
     "store":    {"module": "filestore"},
     "network":  {"module": "unixnet"},
     "time":     {"module": "drivers.sntp"},
     "watchdog": {"module": "drivers.watchdog"}}

Each module has `open(params)`, params being a dict of its own, and returns a part:

| part | face |
|---|---|
| settings | the dict below; opened first, with `params["settings"]` absent |
| console | `write(text)`: one line for a program, see phone/events.py |
| displays | `show(lines)`: two str of at most 16 characters; OSError: it does not answer |
| keys | `async key()`: the next of "0" to "9", "#", "*", "L"; None: there will be no more |
| store | slots, see phone/store.py |
| network | `is_up()`; `async up(tell)`: returns when it is, tell(word) says why not yet (phone/screen.py); \
            `address_towards(host)`: own IPv4 address, as text; \
            optional `async lost()`: returns when it is up no longer; without it that never happens |
| time | optional; `async utc()`: seconds from 1970 as an unproven source has it, or None |
| watchdog | optional; see `Unwatched` below |

Every other part finds the settings in `params["settings"]`, and may have `close()`.  A
module named twice is asked twice and may return one object.  A part that cannot work
raises BoardError with words for a person.

Settings: key_servers, gatekeepers: lists of (host, port); root: bytes, DER; events: bool;
built: when the image was made, in seconds from 1970, or 0; renew_spread: ms over which phones
spread that are asked to fetch new keys (ras/login.py); more as the board's own drivers need.
"""

import json
import sys

from ras.errors import RemoteProtocolError
from ras.keyfile import split_address
from ras.login import RENEW_SPREAD

# What "host" without a port means: protocol.md sections 3 and 4, RFC 4330.
_PORTS = {"key_servers": 8443, "gatekeepers": 1719, "time_server": 123}

DEFAULTS = {
    "key_servers": [],
    "gatekeepers": [],
    "root": b"",
    "events": False,
    "built": 0,
    "renew_spread": RENEW_SPREAD,
}


class BoardError(Exception):
    """A part cannot be opened; the text is for a person and says what to do."""


class Unwatched:
    """The watchdog of a board that has none, which is the face of all of them.

    period: ms within which it wants to be fed, or None; cause: why the board started
    ("power-on", "watchdog", "reset", "soft-reset", "deep-sleep"), or None; last: what was
    noted last before that, or "".
    """

    period = None
    cause = None
    last = ""

    def feed(self) -> None:
        """Tell it that the main loop still turns."""

    def note(self, what: str) -> None:
        """Keep `what` is being done, a word, over a reset."""


class Board:
    """The parts, opened.

    name, settings, console, displays, keys, store, network, time (may be None), watchdog.

    silent: names of the displays that did not answer.
    """

    def __init__(self, description: dict) -> None:
        self.name = description.get("board", "?")
        self.silent = []
        self._opened = []
        self.settings = dict(DEFAULTS)
        try:
            self._open_all(description)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give back what was opened, last first (a terminal gets its mode back)."""
        while self._opened:
            part = self._opened.pop()
            if hasattr(part, "close"):
                part.close()

    def _open_all(self, description: dict) -> None:
        self.settings.update(self._part(description, "settings", None))
        settings = self.settings
        self.console = self._part(description, "console", settings)
        self.store = self._part(description, "store", settings)
        self.network = self._part(description, "network", settings)
        time = description.get("time")
        self.time = self._open(time, settings) if time else None
        self.keys = [self._open(part, settings) for part in description.get("keys", ())]
        self.displays = []
        for part in description.get("displays", ()):
            try:
                self.displays.append(self._open(part, settings))
            except OSError:
                # A display that does not answer is no reason not to start.
                self.silent.append(part["module"])
        # The last, so that nothing but the main loop lies between it and its first feeding.
        watchdog = description.get("watchdog")
        self.watchdog = self._open(watchdog, settings) if watchdog else Unwatched()

    def _part(self, description: dict, name: str, settings: "dict | None") -> object:
        part = description.get(name)
        if part is None:
            raise BoardError("board.json names no " + name)
        return self._open(part, settings)

    def _open(self, part: dict, settings: "dict | None") -> object:
        name = part["module"]
        try:
            module = __import__(name)
        except ImportError:
            raise BoardError("board.json names %s, which is not there" % name)
        for piece in name.split(".")[1:]:
            module = getattr(module, piece)
        params = dict(part.get("params", ()))
        if settings is not None:
            params["settings"] = settings
        opened = module.open(params)
        self._opened.append(opened)
        return opened


def open_board() -> Board:
    """Return the Board that the first board.json on sys.path describes; raises BoardError."""
    for directory in sys.path:
        path = (directory + "/" if directory else "") + "board.json"
        try:
            file = open(path)
        except OSError:
            continue
        with file:
            try:
                description = json.load(file)
            except ValueError:
                raise BoardError("%s is not JSON" % path)
        return Board(description)
    raise BoardError("no board.json: put the board's folder on MICROPYPATH")


def addresses(found: dict, name: str, where: str) -> "list[tuple[str, int]]":
    """Return the addresses that settings give as `name`: a list of texts "host:port" or "host".

    For a board's settings driver; raises BoardError, which says `where` they are from.
    """
    parsed = []
    try:
        for text in found.get(name) or ():
            parsed.append(split_address(text, _PORTS[name]))
    except (RemoteProtocolError, AttributeError, TypeError):
        raise BoardError('%s: "%s" is a list of "host:port"' % (where, name))
    return parsed
