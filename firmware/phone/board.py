"""Opens the board: reads board.json and builds each part with the driver that it names.

In the heap only until the board is open (firmware/main.py).

A new board is a new folder and no code.  Its board.json lies on sys.path:

    {"board": "unix",
     "settings": {"module": "settings"},
     "console":  {"module": "console"},
     "displays": [{"module": "console"}, {"module": "drivers.ssd1306", "params": {"scl": 22}}],
     "keys":     [{"module": "console"}],
     "store":    {"module": "filestore"},
     "network":  {"module": "unixnet"},
     "room":     {"module": "drivers.tls_room"},
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
| network | `is_up()`; `async up(tell)`: returns when it is, tell(word) says why not yet (phone/words.py); \
            `address_towards(host)`: own IPv4 address, as text; \
            optional `async lost()`: returns when it is up no longer; without it that never happens |
| time | optional; `async utc()`: seconds from 1970 as an unproven source has it, or None; \
         opened anew each time it is asked |
| room | optional; see `Roomy` in phone/parts.py |
| watchdog | optional; see `Unwatched` in phone/parts.py |

Every other part finds the settings in `params["settings"]`, and may have `close()`.  A
module named twice is asked twice and may return one object.  A part that cannot work
raises BoardError with words for a person.

Settings: key_servers, gatekeepers: lists of (host, port); root: bytes, DER; events: bool;
built: when the image was made, in seconds from 1970, or 0; renew_spread: ms over which phones
spread that are asked to fetch new keys (ras/login.py); psk: "own" to use tlspsk even where
MicroPython has TLS-PSK itself, else ""; more as the board's own drivers need.
"""

import json
import sys

from phone.parts import Board
from phone.unload import unload
from ras.errors import RemoteProtocolError
from ras.hostport import split_address
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
    "psk": "",
}


class BoardError(Exception):
    """A part cannot be opened; the text is for a person and says what to do."""


def _open_all(description: dict) -> Board:
    board = Board(description.get("board", "?"))
    try:
        part = _part(description, "settings")
        settings = dict(DEFAULTS)
        settings.update(_open(board, part))
        board.settings = settings
        unload(part["module"])  # it has said what it knows
        board.console = _open(board, _part(description, "console"))
        board.store = _open(board, _part(description, "store"))
        board.network = _open(board, _part(description, "network"))
        if description.get("room"):
            # Behind the network, which has to have its own; before the phone is loaded.
            board.room = _open(board, description["room"])
            unload(description["room"]["module"])  # what is held is another module's
        board.time = description.get("time")
        if board.time:
            open_part(board, board.time)  # to see that it can be: it is opened again when it is asked
            unload(board.time["module"])
        board.keys = [_open(board, part) for part in description.get("keys", ())]
        for part in description.get("displays", ()):
            before = list(sys.modules)
            try:
                board.displays.append(_open(board, part))
            except OSError:
                # A display that does not answer is no reason not to start.
                board.silent.append(part["module"])
                unload(" ".join([name for name in sys.modules if name not in before]))
        if description.get("watchdog"):
            board.watchdog = _open(board, description["watchdog"])
    except BaseException:
        board.close()
        raise
    return board


def _part(description: dict, name: str) -> dict:
    part = description.get(name)
    if part is None:
        raise BoardError("board.json names no " + name)
    return part


def _open(board: Board, part: dict) -> object:
    opened = open_part(board, part)
    if hasattr(opened, "close"):
        board.closers.append(opened.close)
    return opened


def open_part(board: Board, part: dict) -> object:
    """Return what a part's driver opens; raises BoardError."""
    name = part["module"]
    try:
        module = __import__(name)
    except ImportError:
        raise BoardError("board.json names %s, which is not there" % name)
    for piece in name.split(".")[1:]:
        module = getattr(module, piece)
    params = dict(part.get("params", ()))
    if board.settings is not None:
        params["settings"] = board.settings
    return module.open(params)


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
        return _open_all(description)
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
