"""Settings of the unix board: a JSON file, named on the command line.

    micropython firmware/main.py --settings FILE [--state DIR]

    {"key_servers": ["localhost:8443"], "gatekeepers": ["127.0.0.1:1719"],
     "root": "root.der", "state": "state", "events": false, "psk": ""}

Paths are relative to the file.  `--state` goes before "state".  "psk": "own" is for tests of
the project's TLS-PSK client on an interpreter that has its own.
"""

import json
import sys
from builtins import open as _open_file

from phone.board import BoardError, addresses

_USAGE = "usage: micropython firmware/main.py --settings FILE [--state DIR]"


def open(params: dict) -> dict:  # noqa: A001  (every driver's entry is called open)
    """Return the settings (phone/board.py), and "state", the directory of the store; raises BoardError."""
    options = _options(sys.argv[1:])
    path = options.get("settings")
    if not path:
        raise BoardError(_USAGE)
    try:
        with _open_file(path) as file:
            found = json.load(file)
    except OSError:
        raise BoardError("cannot read the settings " + path)
    except ValueError:
        raise BoardError(path + " is not JSON")
    if not isinstance(found, dict):
        raise BoardError(path + " holds no JSON object")
    base = path[: path.rfind("/") + 1]
    settings = {
        "key_servers": addresses(found, "key_servers", path),
        "gatekeepers": addresses(found, "gatekeepers", path),
        "events": bool(found.get("events")),
        "psk": found.get("psk") or "",
        "state": options.get("state") or _beside(base, found.get("state") or "state"),
    }
    spread = found.get("renew_spread")
    if spread is not None:
        if not isinstance(spread, int) or spread < 0:
            raise BoardError(path + ': "renew_spread" is a number of milliseconds')
        settings["renew_spread"] = spread
    root = found.get("root")
    if root:
        root = _beside(base, root)
        try:
            with _open_file(root, "rb") as file:
                settings["root"] = file.read()
        except OSError:
            raise BoardError("cannot read the root certificate " + root)
    return settings


def _options(words: "list[str]") -> "dict[str, str]":
    options = {}
    i = 0
    while i < len(words):
        name = words[i]
        if name not in ("--settings", "--state") or i + 1 == len(words):
            raise BoardError(_USAGE)
        options[name[2:]] = words[i + 1]
        i += 2
    return options


def _beside(base: str, path: str) -> str:
    return path if path[:1] == "/" else base + path
