"""The gatekeeper's key look-up stops: nothing stays open, even where the key server says nothing any more."""

import asyncio
import gc
import signal
import warnings

import pytest
from keyserver_client import Client
from ringkey.gatekeeper.answers import Unavailable
from ringkey.gatekeeper.client_tls import client_tls
from ringkey.gatekeeper.keys import KeyClient

# Seconds; asyncio would wait 30 for a key server to answer the end of TLS.
SOON = 5.0


@pytest.fixture(name="halted")
def _halted(site, run_service):
    """Give a function that halts a real key server, and the arguments of its KeyClient."""
    service = run_service(site, "keyserver", "serve")
    g = bytes.fromhex(Client(service).fetch("100")["G"])
    tls = client_tls(
        site / "ca" / "root.crt",
        site / "gatekeeper" / "gatekeeper.crt",
        site / "gatekeeper" / "gatekeeper.key",
    )
    yield (
        lambda: service.process.send_signal(signal.SIGSTOP),
        ((f"https://localhost:{service.ports['advanced']}",), tls),
        g,
    )
    service.process.send_signal(signal.SIGCONT)


def left_open(main):
    """Run `main()`; return what was never closed, as warnings."""
    gc.collect()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    return [str(one.message) for one in seen if issubclass(one.category, ResourceWarning)]


async def followed(halt, arguments):
    """Return a client that follows its key server's changes, which is then halted."""
    client = KeyClient(*arguments)
    await client.start()
    async with asyncio.timeout(10):
        await client.ready.wait()
        while not client.following:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
    halt()
    return client


async def stopped(client):
    async with asyncio.timeout(SOON):
        await client.stop()


def test_with_a_stream_that_is_followed(halted):
    halt, arguments, _ = halted

    async def main():
        client = await followed(halt, arguments)
        await stopped(client)

    assert left_open(main) == []


def test_with_a_question_under_way(halted):
    halt, arguments, g = halted

    async def main():
        client = await followed(halt, arguments)
        asked = asyncio.create_task(client.device_key(g, "100"))
        async with asyncio.timeout(10):
            while not client.batches.requests:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
        await stopped(client)
        assert isinstance(await asked, Unavailable)

    assert left_open(main) == []


def test_with_a_handshake_under_way(halted):
    halt, arguments, _ = halted

    async def main():
        halt()
        client = KeyClient(*arguments)
        await client.start()
        await asyncio.sleep(0.2)  # the kernel has taken the connections; nobody there speaks TLS
        await stopped(client)

    assert left_open(main) == []


def test_with_an_old_session_not_yet_closed(halted):
    halt, arguments, _ = halted

    async def main():
        client = await followed(halt, arguments)
        client.renew(arguments[1])
        await asyncio.sleep(0.05)  # the stream has let go of the old one
        await stopped(client)

    assert left_open(main) == []


def test_while_a_key_server_says_that_there_is_news(halted):
    halt, arguments, _ = halted

    async def main():
        client = await followed(halt, arguments)
        client._told()  # as the stream's reader does, in the round of the loop in which it is stopped
        await stopped(client)

    assert left_open(main) == []
