"""Waiting for news (news.py)."""

import asyncio
from contextlib import suppress

from ringkey.gatekeeper.news import News

# Seconds that somebody may wait: less than a control connection lives (site/control.py).
MAX_WAIT = 8.0


async def since(news: News, mark: str, wait: float) -> tuple[str, list[str]] | None:
    """Return `news.after(mark)`; wait: seconds to wait for a change where there is none."""
    if mark == news.mark and wait > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(min(wait, MAX_WAIT)):
                await news.next().wait()
    return news.after(mark)
