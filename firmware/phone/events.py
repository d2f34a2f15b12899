"""Console events: what the phone does, as lines that a program can follow.

A line is the character 0x1e (the record separator of RFC 7464), one object of JSON whose
member "e" names the event, and a line feed.  With the setting `events` off (production)
none is written: the console takes key presses and shows the display, nothing more.

This module is not even loaded then.

What an event may say is the table below; a member that is not in it is dropped, so that
no caller can let a secret out by mistake.  Neither PIN nor any key is in the table.
"""

import json

from ras.address import join_address
from ras.compat import const

MARK = "\x1e"

# Event, then its members; one text for the sake of the heap.
FIELDS = """
boot board version store reset doing silent
display lines
step step ext
reason reason server status
key-file server suite g cvm gatekeepers
clock utc source
network state address
ras message way peer
registered ext gatekeeper ttl
fetch-soon ext
commit ok
erase ok
channel state cipher peer
memory free used system
fault step kind
end reason
"""
# An event longer than this says more than a line can: its strings are cut.
_LONGEST = const(120)  # characters of one string


class Events:
    """Writes events with `write(text)`."""

    on = True

    def __init__(self, write: object) -> None:
        """Take the console's write function."""
        self._write = write

    def tell(self, event: str, **members: object) -> None:
        """Write one event; unknown events and members are dropped.

        A "ras" event's `message` is the datagram: its kind is told, nothing else of it.
        """
        if event == "ras":
            members["message"] = ras_kind(members["message"])
        at = FIELDS.find("\n%s " % event) + 1
        if not at:
            return
        line = {"e": event}
        for name in FIELDS[at : FIELDS.find("\n", at)].split(" ")[1:]:
            value = members.get(name)
            if value is not None:
                line[name] = _plain(value)
        self._write(MARK + json.dumps(line) + "\n")


def ras_kind(data: bytes) -> str:
    """Return the short name of a RAS message by its first octet: to be read, not relied on.

    RasMessage is a CHOICE with an extension bit and 5 bits of number (X.691 section 23).
    """
    from ras.message import KINDS  # loaded with the endpoint, not with the console

    number = data[0] >> 2 if data else 32
    return KINDS[number] if number < len(KINDS) else "?"


def _plain(value: object) -> object:
    """Return `value` as JSON has it: octets in hex, addresses as host:port, long texts cut, no repr."""
    if isinstance(value, (bool, int)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, str):
        return value[:_LONGEST]
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], int):
        return join_address(value[0], value[1])
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    return "?"
