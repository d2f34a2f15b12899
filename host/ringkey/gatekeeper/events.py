"""Events that tell several of the registrar's at once: what a log-in in order comes to (direct.py).

    (GREETED, source, ext, g, suite name, cvm, phone)        GRQ came, GCF went
    (LOGGED_IN, Held, Held or None)                          RRQ came, RCF went; and what it replaces,
                                                             which is of the same phone

Whoever counts or keeps them takes them as they are, for the sake of the time; `apart` says what they mean.
"""

from typing import Any

from ras.message import GRQ, RRQ

GREETED, LOGGED_IN = "greeted", "logged-in"
# Why what is replaced has ended.
REPLACED = "reregistered"


def apart(event: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Return the events that the registrar itself would have told."""
    if event[0] == GREETED:
        _, source, ext, g, suite, cvm, phone = event
        return [
            ("request", source, ext),
            ("lookup", 0, ext, g, suite, GRQ, cvm, source, phone),
            ("confirmed", source, ext),
        ]
    if event[0] == LOGGED_IN:
        _, held, old = event
        return [
            ("lookup", 0, held.ext, held.g, held.suite.name, RRQ, held.cvm, held.source, True),
            *([] if old is None else [("ended", old, REPLACED)]),
            ("registered", held, old),
        ]
    return [event]
