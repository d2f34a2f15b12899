"""Waiting for an event: it comes, it does not, and who waits is cancelled."""

import asyncio

import pytest
from ringkey import waiting


def test_what_happens_is_told():
    async def main():
        event = asyncio.Event()
        asyncio.get_running_loop().call_soon(event.set)
        assert await waiting.happens(event, 10) is True
        assert await waiting.happens(event, 10) is True

    asyncio.run(main())


def test_what_does_not_happen_is_told():
    async def main():
        assert await waiting.happens(asyncio.Event(), 0.01) is False

    asyncio.run(main())


@pytest.mark.parametrize("event_first", [True, False])
def test_who_is_cancelled_as_it_happens_ends(event_first):
    async def main():
        event = asyncio.Event()
        task = asyncio.create_task(waiting.happens(event, 10))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for step in (event.set, task.cancel) if event_first else (task.cancel, event.set):
            step()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
