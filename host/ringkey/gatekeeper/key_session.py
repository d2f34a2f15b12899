"""The HTTP session of the gatekeeper's key look-up: kept-alive connections under mutual TLS."""

import asyncio
import ssl

import aiohttp

from ringkey import tls_buffer

# Seconds.  A phone asks again after 2; an answer after that comes too late to be of use.
CONNECT_TIMEOUT = 1.0
# Seconds that a connection is kept for the next question: longer than two of the status are apart.
KEPT = 120.0

tls_buffer.keep_small()


def new_session(tls: ssl.SSLContext, connections: int, timeout: float) -> aiohttp.ClientSession:
    """Return a session; connections: at a time, to all key servers; timeout: s for an answer."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls, limit=connections, keepalive_timeout=KEPT),
        timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # limits shall bound what is kept, not what is sent
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
    )


async def close_later(session: aiohttp.ClientSession, wait: float) -> None:
    """Close a session after `wait` seconds, when what it still asks is over; or at once, if cancelled."""
    try:
        await asyncio.sleep(wait)
    finally:
        await session.close()
