"""Settings of a board: NVS namespace `ringkey-cfg`, the root certificate, and when the image was made.

    {"module": "drivers.nvs_settings", "params": {"root": "root.der", "build": "build.json"}}

Each setting is a blob of UTF-8 text; what is not there has its default:

| key | is |
|---|---|
| wifi_ssid, wifi_pass | the network's name, and its password (none: an open network) |
| key_servers | "host" or "host:port", separated by commas, tried in turn; `ringkey.local` |
| gatekeepers | the same, for a key file that names none; none: by multicast |
| time_server | "host" or "host:port" of an SNTP server; none: no time but the key server's |
| hostname | what the board is called in DHCP; MicroPython's own default |
| psk | "own": the project's TLS-PSK client even where MicroPython has one (for tests) |
| events | "1": console events, and the REPL behind Ctrl-C; anything else: production |

`root.der` is the site's root certificate.  `build.json` has "time", seconds from 1970, the
floor of a clock that knows no better: the site's authority is older than any image of it.
"""

import json
from builtins import open as _open_file

from drivers.password import Password
from phone.board import BoardError, addresses
from ras.compat import const, wipe

NAMESPACE = "ringkey-cfg"
_LONGEST = const(1024)  # octets of one setting
_NOT_FOUND = -0x1102  # ESP_ERR_NVS_NOT_FOUND, as MicroPython raises it

# Where there is no DHCP option to be had (no MicroPython up to 1.29 gives any of them to a
# program): the name that a key server of a site at home goes by.  ".local" is asked for by
# multicast DNS; the certificate must bear that name as well.
KEY_SERVER = "ringkey.local"


def open(params: dict) -> dict:  # noqa: A001  (every driver's entry is called open)
    """Return the settings (phone/board.py) and those of the board's network; raises BoardError."""
    try:
        from esp32 import NVS
    except ImportError:
        raise BoardError("drivers.nvs_settings: this MicroPython has no esp32.NVS")
    try:
        nvs = NVS(NAMESPACE)
    except OSError:
        raise BoardError("NVS cannot be opened: flash the board with ERASE=1")
    settings = parse(lambda key: read(nvs, key), params.get("key_server", KEY_SERVER))
    settings["root"] = _octets(params.get("root", "root.der"))
    settings["built"] = _built(_octets(params.get("build", "build.json")))
    return settings


def read(nvs: object, key: str) -> "str | None":
    """Return the text of one setting, or None; raises BoardError, which does not show it."""
    buffer = bytearray(_LONGEST)
    try:
        length = nvs.get_blob(key, buffer)
    except OSError as error:
        if error.errno == _NOT_FOUND:
            return None
        raise BoardError("NVS setting %s: over %d octets, or damaged" % (key, _LONGEST))
    try:
        return bytes(memoryview(buffer)[:length]).decode()
    except (UnicodeError, ValueError):
        raise BoardError("NVS setting %s is no UTF-8" % key)
    finally:
        wipe(buffer)  # it may have been a password


def parse(get: object, key_server: str) -> dict:
    """Return the settings that get(key), text or None, gives; raises BoardError."""
    server = _text(get, "time_server")
    found = {
        "key_servers": _list(get("key_servers")) or [key_server],
        "gatekeepers": _list(get("gatekeepers")),
        "time_server": [server] if server else [],
    }
    settings = {}
    for name in found:
        settings[name] = addresses(found, name, "NVS")
    settings["events"] = _text(get, "events").lower() in ("1", "true", "yes", "on")
    settings["psk"] = _text(get, "psk")
    settings["wifi_ssid"] = get("wifi_ssid") or ""  # as it is: a network's name may end in a space
    settings["wifi_pass"] = Password(get("wifi_pass") or "")
    settings["hostname"] = _text(get, "hostname")
    settings["time_server"] = settings["time_server"][0] if server else None
    return settings


def _text(get: object, key: str) -> str:
    return (get(key) or "").strip()


def _list(text: "str | None") -> "list[str]":
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _octets(path: str) -> bytes:
    try:
        with _open_file(path, "rb") as file:
            return file.read()
    except OSError:
        return b""  # without a root the phone says so when it needs one; without a floor it trusts its clock


def _built(octets: bytes) -> int:
    try:
        built = json.loads(octets)["time"]
    except (ValueError, KeyError, TypeError):
        return 0
    return built if isinstance(built, int) and built > 0 else 0
