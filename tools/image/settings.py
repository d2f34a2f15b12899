"""`SITE/phone/settings.toml`: what a site's phones are told besides the root certificate."""

import ipaddress
import json
import os
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ras.address import join_address
from ras.errors import RemoteProtocolError
from ras.hostport import split_address
from ras.record import MAX_GATEKEEPERS
from ringkey.errors import UserError
from ringkey.site import config, files
from ringkey.site.table import Table

FILE = "settings.toml"
# What IEEE 802.11 (SSID) and WPA2 (passphrase, or a key in hex) allow, octets.
_MAX_SSID = 32
_PASSPHRASE = range(8, 64)
_KEY_DIGITS = 64
_MAX_HOSTNAME = 32  # MicroPython's network.hostname()
# Octets of one entry: the buffer that the phone reads it into.
_MAX_ENTRY = 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """wifi_password is a secret, and so is everything that contains it.

    ssid, time_server, hostname: None where a phone shall do with its own; password: None for an
    open network; key_servers, gatekeepers: texts "host:port".
    """

    ssid: str | None
    password: str | None
    key_servers: tuple[str, ...]
    gatekeepers: tuple[str, ...]
    time_server: str | None
    hostname: str | None
    events: bool

    def entries(self) -> dict[str, str]:
        """Return them as the phone's NVS has them: name (at most 15 characters) -> text.

        What is not set has no entry.  firmware/drivers and docs/image.md know these names.
        """
        found = {
            "wifi_ssid": self.ssid,
            "wifi_pass": self.password,
            "key_servers": ",".join(self.key_servers),
            "gatekeepers": ",".join(self.gatekeepers),
            "time_server": self.time_server,
            "hostname": self.hostname,
            "events": "1" if self.events else "0",
        }
        return {name: text for name, text in found.items() if text}


def load(site: Path, *, wifi: bool) -> Settings:
    """Return the settings of a site's phones; wifi: they have nothing but Wi-Fi.

    Writes a template where there are none.  Raises UserError: there were none, somebody else may
    read them (they hold the Wi-Fi's password), or they are wrong.
    """
    path = site / "phone" / FILE
    edit = f"{os.environ.get('EDITOR', 'nano')} {shlex.quote(str(path))}"
    if not path.exists():
        _write_template(site, path)
        raise UserError(f"{path} is new: write into it which Wi-Fi and key server the phones use", edit)
    try:
        content = tomllib.loads(files.read_secret(path, "the phones' settings").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UserError(f"{path}: {e}", edit) from None
    top = Table(path, "", content)
    net = top.table("wifi") or Table(path, "wifi", {})
    servers = top.table("servers") or Table(path, "servers", {})
    phone = top.table("phone") or Table(path, "phone", {})
    settings = Settings(
        ssid=_ssid(net),
        password=_password(net),
        key_servers=_addresses(servers, "key_servers", config.MAX_KEY_SERVERS, 8443),
        gatekeepers=_addresses(servers, "gatekeepers", MAX_GATEKEEPERS, 1719),
        time_server=_address(servers, "time_server", servers.text("time_server"), 123)
        if "time_server" in servers
        else None,
        hostname=_hostname(phone),
        events=phone.flag("events", False),
    )
    for table in (top, net, servers, phone):
        table.done()
    if wifi and settings.ssid is None:
        raise net.error("ssid", "missing, and the board has no other network than Wi-Fi")
    return settings


def _ssid(table: Table) -> str | None:
    if "ssid" not in table:
        return None
    text = table.text("ssid")
    if len(text.encode()) > _MAX_SSID:
        raise table.error("ssid", f"more than {_MAX_SSID} octets")
    return text


def _password(table: Table) -> str | None:
    if "password" not in table:
        return None
    text = table.text("password")
    # The text of an error never has the password in it.
    key = len(text) == _KEY_DIGITS and re.fullmatch(r"[0-9a-fA-F]+", text)
    if not key and not (len(text) in _PASSPHRASE and text.isascii() and text.isprintable()):
        raise table.error(
            "password", "not 8 to 63 printable ASCII characters; leave it out for an open network"
        )
    return text


def _addresses(table: Table, key: str, most: int, port: int) -> tuple[str, ...]:
    found = tuple(_address(table, key, text, port) for text in table.texts(key, (), most))
    if len(",".join(found)) > _MAX_ENTRY:
        raise table.error(key, f"more than {_MAX_ENTRY} characters together")
    return found


def _address(table: Table, key: str, text: str, port: int) -> str:
    """Return "host:port" of "host" or "host:port"."""
    if "," in text:  # which parts them in the entry
        raise table.error(key, f"{text!r}: one address each")
    try:
        return join_address(*split_address(text, port))
    except RemoteProtocolError as e:
        raise table.error(key, f"{text!r}: {e}") from None


def _hostname(table: Table) -> str | None:
    if "hostname" not in table:
        return None
    text = table.text("hostname", longest=_MAX_HOSTNAME)
    if not re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?", text):
        raise table.error("hostname", "letters, digits and hyphens only")
    return text


def _write_template(site: Path, path: Path) -> None:
    if not path.parent.is_dir():
        raise UserError(f"there is no site in {site} (no folder phone)", f"ringkey init {site}")
    files.write(path, _TEMPLATE.format(key_server=json.dumps(_key_server(site))).encode())


def _key_server(site: Path) -> str:
    """Return how phones reach the site's key server, as far as its configuration tells."""
    try:
        server = config.load(config.Site(site)).need_keyserver()
    except UserError:
        return "keys.example.org:8443"
    names = [name for name in server.names if not _is_local(name)]
    # An address first: a name would have to be one that the phones' resolver knows.
    names.sort(key=lambda name: not _is_address(name))
    return join_address(names[0] if names else "keys.example.org", server.port or 8443)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_local(name: str) -> bool:
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


_TEMPLATE = """\
# What this site's phones are told.  `make image` puts it into the phones' NVS; `make flash` writes
# that only to a board whose NVS is blank, or with ERASE=1.
# The Wi-Fi's password is a secret: this file is for its owner alone (mode 0600).

[wifi]
# ssid = "the name of your Wi-Fi"
# password = "its password"         # leave it out for an open network

[servers]
key_servers = [{key_server}]  # tried in turn; each must be a name in the key server's certificate
# gatekeepers = ["192.0.2.10:1719"]  # for a key file that names none; else by multicast
# time_server = "pool.ntp.org"       # SNTP; else the time comes with the keys

[phone]
# hostname = "ringkey"               # what the phone calls itself to DHCP
# events = true                      # for development: what happens goes to the console, without
                                     # secrets, and Ctrl-C there leads to MicroPython's prompt
"""
