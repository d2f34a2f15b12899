"""Why the phone has started: told on the console, and shown if something had gone wrong."""

import asyncio

from ras.compat import const

# ms that the display says why the phone was restarted, if it was not by the power.
SHOWN = const(2000)

_FAULT = "fault "  # begins the note of a fault


def note_end(watchdog: object, fault: object) -> None:
    """Note what the next start is to tell: nothing if this one ended as it was asked to."""
    watchdog.note("" if fault is None else _FAULT + fault.step)


async def tell_start(board: object, version: str, store: str, screen: object, events: object) -> None:
    """Tell of the start; store: its state.  A restart by the watchdog or a fault is shown as well."""
    watchdog = board.watchdog
    events.tell(
        "boot",
        board=board.name,
        version=version,
        store=store,
        reset=watchdog.cause,
        doing=watchdog.last or None,
        silent=board.silent or None,
    )
    if watchdog.last.startswith(_FAULT):
        screen.reason("was-faulty", watchdog.last[len(_FAULT) :])
    elif watchdog.cause == "watchdog":
        screen.reason("was-hung", watchdog.last)
    else:
        return
    await asyncio.sleep_ms(SHOWN)
