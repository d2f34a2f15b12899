"""Waiting for an event, but not for ever."""

import asyncio


async def happens(event: asyncio.Event, seconds: float) -> bool:
    """Wait until `event` is set, for `seconds` at most; tell whether it is.

    asyncio.wait_for() would not do: before Python 3.12 it forgets that it was cancelled if the event
    is set in the same round of the loop, and a task that waits in a loop then never ends.
    """
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
