"""Waiting for news (news.py)."""

from ringkey import waiting
from ringkey.gatekeeper.news import News

# Seconds that somebody may wait: less than a control connection lives (site/control.py).
MAX_WAIT = 8.0


async def since(news: News, mark: str, wait: float) -> tuple[str, list[str]] | None:
    """Return `news.after(mark)`; wait: seconds to wait for a change where there is none."""
    if mark == news.mark and wait > 0:
        await waiting.happens(news.next(), min(wait, MAX_WAIT))
    return news.after(mark)
