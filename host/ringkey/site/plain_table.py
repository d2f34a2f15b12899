"""`[gatekeeper.plain]` in `ringkey.toml`: which H.323 endpoints without the profile may register."""

import ipaddress
import re
from dataclasses import dataclass

from ras.keys import MAX_EXT

from ringkey.site.scope import Scope
from ringkey.site.table import Table

# Networks that each plain request is held against, one by one: the subnets of a site's old devices.
MAX_NETWORKS = 64
# Extensions and ranges of them, to be read by a person: a site with more has a range for its old devices.
MAX_EXTENSIONS = 256
# No prefixes, as scopes may have: what is open to whoever sends from an address is named in full.
_ENTRY = re.compile(rf"[0-9]{{1,{MAX_EXT}}}(-[0-9]{{1,{MAX_EXT}}})?")


@dataclass(frozen=True, slots=True)
class PlainConfig:
    """`[gatekeeper.plain]`.

    networks: IPv4 networks that plain endpoints may come from; extensions: those that they may have.
    """

    networks: tuple[ipaddress.IPv4Network, ...]
    extensions: Scope


def read_plain(table: Table | None) -> PlainConfig | None:
    """Return `[gatekeeper.plain]`, None where there is none; raises UserError that names the key."""
    if table is None:
        return None
    networks = tuple(_network(table, text) for text in table.texts("networks", (), MAX_NETWORKS))
    if not networks:
        raise table.error("networks", "at least one, such as 192.0.2.0/24")
    extensions = table.texts("extensions", (), MAX_EXTENSIONS)
    if not extensions:
        raise table.error("extensions", "at least one, such as 2001 or 2100-2199")
    for text in extensions:
        if not _ENTRY.fullmatch(text):
            raise table.error("extensions", f'{text!r} is neither "2001" nor "2100-2199"')
    try:
        found = PlainConfig(networks, Scope(extensions))
    except ValueError as e:
        raise table.error("extensions", str(e)) from None
    table.done()
    return found


def _network(table: Table, text: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as e:
        raise table.error("networks", f"{text!r} is no IPv4 network such as 192.0.2.0/24 ({e})") from None
