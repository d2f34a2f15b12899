"""The gatekeeper's key look-up against an HTTPS server with mutual TLS that misbehaves on demand."""

import asyncio
import json
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from ras.keys import SHA256, check_value, device_key, master_key
from ringkey.errors import UserError
from ringkey.gatekeeper import keys
from ringkey.gatekeeper.answers import MAX_ANSWER, Found, Refused, Status, Unavailable
from ringkey.gatekeeper.client_tls import client_tls
from ringkey.gatekeeper.keys import KeyClient
from ringkey.site import ca, files

KM = master_key(SHA256, bytes(range(16)))
CVM = check_value(SHA256, KM)
G = bytes(range(16))
KG = device_key(SHA256, KM, G)


class Pki:
    """A root, a server's and a gatekeeper's certificate, as files."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = ca.new_root("test")
        self.put("root", self.root)
        self.put("server", ca.server(self.root, ("localhost", "127.0.0.1")))
        self.put("gatekeeper", ca.gatekeeper(self.root, "main"))

    def put(self, name: str, pair: ca.Pair) -> None:
        files.write(self.base / f"{name}.crt", pair.certificate_pem(), files.PUBLIC)
        files.write(self.base / f"{name}.key", pair.key_pem())

    def client(self, name: str = "gatekeeper", root: str = "root") -> ssl.SSLContext:
        return client_tls(self.base / f"{root}.crt", self.base / f"{name}.crt", self.base / f"{name}.key")

    def server(self, name: str = "server") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.base / "root.crt")
        context.load_cert_chain(self.base / f"{name}.crt", self.base / f"{name}.key")
        return context


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(keys, "ANSWER_TIMEOUT", 0.5)
    monkeypatch.setattr(keys, "RETRY_FIRST", 0.05)
    monkeypatch.setattr(keys, "QUIET", 0.05)


class Server:
    """A key server in a few lines: answers right unless told otherwise in `key` or `status`."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.asked: list[str] = []
        self.connections: set[object] = set()
        self.streams: list[web.Request] = []
        self.tells = asyncio.Event()  # whether a stream begins
        self.tells.set()
        self.key: Callable[[web.Request], Awaitable[web.StreamResponse]] = self.right_key
        # As a key server that knows of no such request.
        self.together: Callable[[web.Request], Awaitable[web.StreamResponse]] = fixed(
            lambda: web.Response(status=404)
        )
        self.cvm = [CVM.hex()]

    async def start(self) -> "Server":
        app = web.Application()
        app.router.add_get("/keys/kkg.json", self._key)
        app.router.add_post("/keys/lookup.json", self._together)
        app.router.add_get("/status.json", self._status)
        app.router.add_get("/changes.jsonl", self._changes)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    async def _key(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.query["ext"])
        self.connections.add(request.transport)
        return await self.key(request)

    async def _together(self, request: web.Request) -> web.StreamResponse:
        self.connections.add(request.transport)
        return await self.together(request)

    async def _status(self, request: web.Request) -> web.StreamResponse:
        self.connections.add(request.transport)
        return web.json_response({"version": 1, "suite": "sha256", "cvm": self.cvm})

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        """Hold a stream open on which nothing happens."""
        await self.tells.wait()
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"version": 1, "stream": "x", "n": 0}\n')
        self.streams.append(request)
        await asyncio.sleep(3600)
        return response

    def break_off(self) -> None:
        """Cut all streams, and let none begin."""
        self.tells.clear()
        for request in self.streams:
            assert request.transport is not None
            request.transport.abort()
        self.streams.clear()

    async def right_key(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(answer(bytes.fromhex(request.query["g"])))


def answer(g: bytes = G, **changes: object) -> dict[str, object]:
    kg = device_key(SHA256, KM, g)
    right = {"version": 1, "suite": "sha256", "g": g.hex(), "kg": kg.hex(), "cvm": CVM.hex()}
    return {**right, **changes}


def fixed(
    response: Callable[[], web.StreamResponse],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(_: web.Request) -> web.StreamResponse:
        return response()

    return handler


def refusal(status: int, code: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    return fixed(lambda: web.json_response({"error": code, "detail": "x"}, status=status))


def run(pki, test, servers: int = 1, tls: ssl.SSLContext | None = None, server: str = "server") -> None:
    """Run `test(client, *servers)` with everything started, and stop it all after."""

    async def main() -> None:
        started = [await Server(pki.server(server)).start() for _ in range(servers)]
        client = KeyClient(tuple(s.url for s in started), tls or pki.client())
        await client.start()
        try:
            await asyncio.wait_for(test(client, *started), 20)
        finally:
            await client.stop()
            for one in started:
                await one.stop()

    asyncio.run(main())


async def ready(client: KeyClient) -> None:
    await asyncio.wait_for(client.ready.wait(), 10)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.01)


def test_status_and_key(pki):
    async def test(client, server):
        await ready(client)
        assert client.last_status == Status(SHA256, (CVM,))
        assert await client.device_key(G, "1001") == Found(KG, SHA256, CVM)
        assert await client.status() == Status(SHA256, (CVM,))
        assert server.asked == ["1001"]
        assert len(server.connections) == 1, "the connection was not kept alive"

    run(pki, test)


def test_the_key_is_in_no_repr(pki):
    assert KG.hex() not in repr(Found(KG, SHA256, CVM))
    assert repr(KG) not in repr(Found(KG, SHA256, CVM))


def test_a_known_key_is_not_asked_again_and_survives_the_key_server(pki, monkeypatch):
    async def test(client, server):
        await ready(client)
        assert client.cached(G, "1001") is None
        await client.device_key(G, "1001")
        assert await client.device_key(G, "1001") == client.cached(G, "1001") == Found(KG, SHA256, CVM)
        assert server.asked == ["1001"]
        await until(lambda: client.following)
        monkeypatch.setattr(keys, "FRESH", 0.0)
        monkeypatch.setattr(keys, "FOLLOWED", 0.0)
        assert await client.device_key(G, "1001") == Found(KG, SHA256, CVM)
        assert server.asked == ["1001", "1001"], "an old entry is asked for again"
        await server.stop()
        assert await client.device_key(G, "1001") == Found(KG, SHA256, CVM)
        other = await client.device_key(bytes(16), "1001")
        assert isinstance(other, Unavailable)
        await until(lambda: not client.ready.is_set())
        assert client.cached(G, "1001") == Found(KG, SHA256, CVM), "found without asking while it is down"
        await server.start()
        await ready(client)
        assert isinstance(await client.device_key(bytes(16), "1001"), Found)

    run(pki, test)


def test_a_key_is_good_for_as_long_as_all_streams_of_changes_are_open(pki, monkeypatch):
    monkeypatch.setattr(keys, "FRESH", 0.0)

    async def test(client, first, second):
        def asked():
            return len(first.asked) + len(second.asked)

        await ready(client)
        await until(lambda: client.following == 2)
        for count in (1, 1, 1):
            assert await client.device_key(G, "1001") == Found(KG, SHA256, CVM)
            assert asked() == count
        for one in (first, second):
            before = asked()
            one.break_off()
            await until(lambda: client.following == 1)
            for more in (1, 2):
                assert await client.device_key(G, "1001") == Found(KG, SHA256, CVM)
                assert asked() == before + more, "nobody would say that it was revoked"
            one.tells.set()
            await until(lambda: client.following == 2)
            for more in (3, 3):
                assert await client.device_key(G, "1001") == Found(KG, SHA256, CVM)
                assert asked() == before + more, "once more, since nobody has said what it has missed"

    run(pki, test, servers=2)


def test_a_revoked_key_leaves_the_cache(pki, monkeypatch):
    monkeypatch.setattr(keys, "FRESH", 0.0)
    monkeypatch.setattr(keys, "FOLLOWED", 0.0)

    async def test(client, server):
        await ready(client)
        await client.device_key(G, "1001")
        server.key = refusal(410, "revoked")
        assert await client.device_key(G, "1001") == Refused("revoked")
        await server.stop()
        assert isinstance(await client.device_key(G, "1001"), Unavailable)

    run(pki, test)


def test_the_cache_forgets_the_one_not_used_for_longest(pki, monkeypatch):
    monkeypatch.setattr(keys, "MAX_KEYS", 3)

    async def test(client, server):
        await ready(client)
        for ext in ("1", "2", "3"):
            await client.device_key(G, ext)
        client.cached(G, "1")
        await client.device_key(G, "4")
        assert [ext for ext in "1234" if client.cached(G, ext)] == ["1", "3", "4"]

    run(pki, test)


def test_questions_at_one_time_are_one_question(pki):
    async def test(client, server):
        await ready(client)
        release = asyncio.Event()

        async def slow(request):
            await release.wait()
            return await server.right_key(request)

        server.key = slow
        tasks = [asyncio.create_task(client.device_key(G, "1001")) for _ in range(20)]
        await until(lambda: server.asked == ["1001"])
        tasks[0].cancel()  # one that goes away does not take the answer from the others
        await asyncio.sleep(0)
        release.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == [Found(KG, SHA256, CVM)] * 19
        assert server.asked == ["1001"]

    run(pki, test)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "malformed"),
        (403, "not-allowed"),
        (404, "not-issued"),
        (409, "other-extension"),
        (410, "revoked"),
    ],
)
def test_refusals_have_their_code(pki, status, code):
    async def test(client, server):
        await ready(client)
        server.key = refusal(status, code)
        assert await client.device_key(G, "1001") == Refused(code)
        assert client.ready.is_set(), "a key server that refuses is there"

    run(pki, test)


def never_ends() -> web.StreamResponse:
    return web.Response(body=b" " * (MAX_ANSWER + 1), content_type="application/json")


@pytest.mark.parametrize(
    "response",
    [
        lambda: web.json_response(answer(g=bytes(16))),
        lambda: web.json_response(answer(version=2)),
        lambda: web.json_response(answer(suite="md5")),
        lambda: web.json_response(answer(suite=["sha256"])),
        lambda: web.json_response(answer(suite="sha1")),  # and so a Kg of the wrong length
        lambda: web.json_response(answer(kg=KG.hex()[2:])),
        lambda: web.json_response(answer(kg="g" * 64)),
        lambda: web.json_response(answer(kg=None)),
        lambda: web.json_response(answer(cvm="000000")),
        lambda: web.json_response([1, 2, 3]),
        lambda: web.Response(text="<html>"),
        lambda: web.Response(text="[" * 10_000),
        lambda: web.Response(body=b"\xff\xfe\x00"),
        lambda: web.Response(status=302, headers={"Location": "/keys/kkg.json?g=00&ext=1"}),
        lambda: web.Response(status=500, text="broken"),
        lambda: web.json_response({"error": "too-many"}, status=429),
        lambda: web.json_response({"error": "../<script>"}, status=403),
        lambda: web.Response(status=404, text="no such page"),
        never_ends,
    ],
)
def test_an_answer_that_is_wrong_is_no_answer(pki, response):
    async def test(client, server):
        await ready(client)
        server.key = fixed(response)
        outcome = await client.device_key(G, "1001")
        assert isinstance(outcome, Unavailable)
        assert KG.hex() not in outcome.reason
        assert client.cached(G, "1001") is None

    run(pki, test)


def test_a_new_check_value_is_learnt_when_a_key_has_it(pki):
    async def test(client, server):
        server.cvm = ["0a0b0c"]
        await until(lambda: client.last_status is not None)
        server.cvm = [CVM.hex(), "0a0b0c"]
        assert await client.device_key(G, "1001") == Found(KG, SHA256, CVM)
        assert client.last_status == Status(SHA256, (CVM, bytes.fromhex("0a0b0c")))

    async def main():
        server = await Server(pki.server()).start()
        server.cvm = ["0a0b0c"]
        client = KeyClient((server.url,), pki.client())
        await client.start()
        await test(client, server)
        await client.stop()
        await server.stop()

    asyncio.run(main())


def test_fail_over_and_stay(pki):
    async def test(client, first, second):
        await ready(client)
        await client.device_key(G, "1")
        assert (first.asked, second.asked) == (["1"], [])
        await first.stop()
        assert isinstance(await client.device_key(G, "2"), Found)
        await first.start()
        assert isinstance(await client.device_key(G, "3"), Found)
        assert (first.asked, second.asked) == (["1"], ["2", "3"])
        await second.stop()
        assert isinstance(await client.device_key(G, "4"), Found)
        assert first.asked == ["1", "4"]

    run(pki, test, servers=2)


def test_a_silent_server_is_left_for_the_next(pki):
    async def test(client, first, second):
        await ready(client)
        hang = asyncio.Event()

        async def silent(_):
            await hang.wait()
            return web.Response()

        first.key = silent
        assert isinstance(await client.device_key(G, "1"), Found)
        assert second.asked == ["1"]
        hang.set()

    run(pki, test, servers=2)


def test_what_one_has_not_issued_another_may_have(pki):
    async def test(client, first, second):
        await ready(client)
        first.key = refusal(404, "not-issued")
        assert isinstance(await client.device_key(G, "1"), Found)
        second.key = refusal(404, "not-issued")
        assert await client.device_key(bytes(16), "1") == Refused("not-issued")

    run(pki, test, servers=2)


def test_it_waits_for_a_key_server_that_starts_later(pki):
    told: list[Status | None] = []

    async def main():
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        client = KeyClient((f"https://localhost:{port}",), pki.client(), on_status=told.append)
        await client.start()
        outcome = await client.device_key(G, "1001")
        assert isinstance(outcome, Unavailable)
        assert not client.ready.is_set()
        server = Server(pki.server())
        server.port = port
        await server.start()
        await ready(client)
        assert isinstance(await client.device_key(G, "1001"), Found)
        await client.stop()
        await server.stop()

    asyncio.run(main())
    assert told == [Status(SHA256, (CVM,))]


def test_a_name_that_cannot_be_resolved_now_is_an_outage(pki):
    def resolve(url):
        raise UserError("the key server does not run", "ringkey keyserver serve")

    async def main():
        client = KeyClient(("https://localhost:0",), pki.client(), resolve=resolve)
        await client.start()
        outcome = await client.status()
        await client.stop()
        return outcome

    outcome = asyncio.run(main())
    assert isinstance(outcome, Unavailable)
    assert "ringkey keyserver serve" in outcome.reason


# Certificates


def refused_by_tls(pki, text, **how):
    async def test(client, server):
        outcome = await client.status()
        assert isinstance(outcome, Unavailable)
        assert text in outcome.reason, outcome
        assert server.asked == []

    run(pki, test, **how)


def test_a_server_of_another_root_is_not_believed(pki, tmp_path):
    other = Pki(tmp_path)
    tls = client_tls(other.base / "root.crt", pki.base / "gatekeeper.crt", pki.base / "gatekeeper.key")
    refused_by_tls(pki, "certificate", tls=tls)


def test_a_server_of_another_name_is_not_believed(pki):
    pki.put("elsewhere", ca.server(pki.root, ("elsewhere.example",)))
    refused_by_tls(pki, "mismatch", server="elsewhere")


def test_a_gatekeeper_of_another_root_gets_nothing(pki, tmp_path):
    other = Pki(tmp_path)
    tls = client_tls(pki.base / "root.crt", other.base / "gatekeeper.crt", other.base / "gatekeeper.key")
    refused_by_tls(pki, "", tls=tls)


def test_files_that_do_not_fit_are_named(pki, tmp_path):
    with pytest.raises(UserError, match="not the gatekeeper's"):
        client_tls(pki.base / "root.crt", pki.base / "gatekeeper.crt", pki.base / "server.key")
    (tmp_path / "bad.crt").write_text("nonsense")
    with pytest.raises(UserError, match=r"no certificate in PEM"):
        client_tls(tmp_path / "bad.crt", pki.base / "gatekeeper.crt", pki.base / "gatekeeper.key")
    with pytest.raises(UserError, match=r"missing.crt"):
        client_tls(tmp_path / "missing.crt", pki.base / "gatekeeper.crt", pki.base / "gatekeeper.key")
    (tmp_path / "open.key").write_bytes((pki.base / "gatekeeper.key").read_bytes())
    (tmp_path / "open.key").chmod(0o644)
    with pytest.raises(UserError, match=r"chmod 600"):
        client_tls(pki.base / "root.crt", pki.base / "gatekeeper.crt", tmp_path / "open.key")


def test_no_secret_in_what_is_logged(pki, capfd):
    async def test(client, server):
        await ready(client)
        await client.device_key(G, "1001")
        server.key = fixed(lambda: web.json_response(answer(g=bytes(16))))
        await client.device_key(G, "1002")
        await server.stop()
        await client.device_key(G, "1003")
        await until(lambda: not client.ready.is_set())

    run(pki, test)
    out = "".join(capfd.readouterr())
    assert "key_server_ready" in out
    assert CVM.hex() in out
    for secret in (KG, KM, device_key(SHA256, KM, bytes(16))):
        assert secret.hex() not in out
        assert json.dumps(secret.decode("latin1"))[1:-1] not in out
