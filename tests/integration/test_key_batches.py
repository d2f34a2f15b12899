"""Look-ups put together: against a key server of a few lines that misbehaves on demand, and a real one."""

import asyncio
import json

import pytest
from aiohttp import web
from keyserver_client import Client
from ras.keys import SHA256, check_value, device_key, master_key
from ringkey.gatekeeper import batches, keys
from ringkey.gatekeeper.answers import Found, Refused, Unavailable
from ringkey.gatekeeper.client_tls import client_tls
from ringkey.gatekeeper.keys import KeyClient
from ringkey.site import ca, files

KM = master_key(SHA256, bytes(range(16)))
CVM = check_value(SHA256, KM)


def g_of(number):
    return number.to_bytes(16, "big")


def found(number):
    return Found(device_key(SHA256, KM, g_of(number)), SHA256, CVM)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    base = tmp_path_factory.mktemp("pki")
    root = ca.new_root("test")
    for name, pair in (
        ("root", root),
        ("server", ca.server(root, ("localhost",))),
        ("gatekeeper", ca.gatekeeper(root, "main")),
    ):
        files.write(base / f"{name}.crt", pair.certificate_pem(), files.PUBLIC)
        files.write(base / f"{name}.key", pair.key_pem())
    return base


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(keys, "ANSWER_TIMEOUT", 0.5)
    monkeypatch.setattr(keys, "QUIET", 0.05)


class Server:
    """A key server; `gate` holds its answers back, `wrong` changes an answer to many, refuse: EXT to code."""

    def __init__(self):
        self.single = []
        self.many = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.wrong = None
        self.refuse = {}
        self.arrived = asyncio.Event()

    async def start(self, base):
        import ssl

        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(base / "root.crt")
        tls.load_cert_chain(base / "server.crt", base / "server.key")
        app = web.Application()
        app.router.add_get("/keys/kkg.json", self._single)
        app.router.add_post("/keys/lookup.json", self._many)
        app.router.add_get("/status.json", self._status)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.url = f"https://localhost:{self.runner.addresses[0][1]}"
        return self

    async def _status(self, _request):
        return web.json_response({"version": 1, "suite": "sha256", "cvm": [CVM.hex()]})

    def _key(self, question):
        entry = {"g": question["g"], "ext": question["ext"]}
        code = self.refuse.get(question["ext"])
        if code is not None:
            return {**entry, "error": code, "detail": "x"}
        return {**entry, "kg": device_key(SHA256, KM, bytes.fromhex(entry["g"])).hex(), "cvm": CVM.hex()}

    async def _single(self, request):
        self.single.append(request.query["ext"])
        self.arrived.set()
        await self.gate.wait()
        entry = self._key(request.query)
        status = {"revoked": 410, "not-issued": 404}.get(entry.get("error"), 200)
        return web.json_response({"version": 1, "suite": "sha256", **entry}, status=status)

    async def _many(self, request):
        questions = json.loads(await request.read())["keys"]
        self.many.append([one["ext"] for one in questions])
        await self.gate.wait()
        answer = {"version": 1, "suite": "sha256", "keys": [self._key(one) for one in questions]}
        if self.wrong is not None:
            answer = self.wrong(answer)
        return answer if isinstance(answer, web.Response) else web.json_response(answer)


def run(base, test, servers=1):
    async def main():
        started = [await Server().start(base) for _ in range(servers)]
        tls = client_tls(base / "root.crt", base / "gatekeeper.crt", base / "gatekeeper.key")
        client = KeyClient(tuple(s.url for s in started), tls)
        await client.start()
        try:
            await asyncio.wait_for(client.ready.wait(), 10)
            await asyncio.wait_for(test(client, *started), 20)
        finally:
            await client.stop()
            for one in started:
                await one.runner.cleanup()

    asyncio.run(main())


async def one_under_way(client, server):
    """Ask for 0, whose answer the server holds back; return that task."""
    server.gate.clear()
    task = asyncio.create_task(client.device_key(g_of(0), "0"))
    await server.arrived.wait()
    return task


async def asked(client, numbers):
    return await asyncio.gather(*(client.device_key(g_of(n), str(n)) for n in numbers))


def test_what_is_asked_together_is_one_request(pki):
    async def test(client, server):
        assert await asked(client, range(1, 6)) == [found(n) for n in range(1, 6)]
        assert (server.single, server.many) == ([], [["1", "2", "3", "4", "5"]])
        assert await asked(client, range(1, 6)) == [found(n) for n in range(1, 6)]
        assert len(server.many) == 1, "they are in memory"
        assert (client.batches.requests, client.batches.keys, client.lookups) == (1, 5, 5)

    run(pki, test)


def test_a_lone_question_is_asked_alone(pki):
    async def test(client, server):
        assert await asked(client, [7]) == [found(7)]
        assert (server.single, server.many) == (["7"], [])

    run(pki, test)


def test_while_requests_are_under_way_the_rest_is_collected(pki, monkeypatch):
    monkeypatch.setattr(batches, "MAX_UNDER_WAY", 1)

    async def test(client, server):
        first = await one_under_way(client, server)
        rest = [asyncio.create_task(client.device_key(g_of(n), str(n))) for n in range(1, 301)]
        same = asyncio.create_task(client.device_key(g_of(5), "5"))
        await asyncio.sleep(5 * batches.LINGER)  # with one request at most, time sends none of them
        assert server.many == []
        server.gate.set()
        assert await first == found(0)
        assert await asyncio.gather(*rest) == [found(n) for n in range(1, 301)]
        assert await same == found(5)
        assert [len(batch) for batch in server.many] == [batches.MAX_BATCH, batches.MAX_BATCH, 44]
        assert [ext for batch in server.many for ext in batch] == [str(n) for n in range(1, 301)]

    run(pki, test)


def test_a_slow_answer_does_not_hold_up_the_rest(pki):
    async def test(client, server):
        first = await one_under_way(client, server)
        rest = asyncio.create_task(asked(client, [1, 2]))
        async with asyncio.timeout(5):
            while not server.many:  # noqa: ASYNC110 - what it waits for has no event
                await asyncio.sleep(0.001)
        assert server.many == [["1", "2"]]
        assert not first.done()
        server.gate.set()
        assert await rest == [found(1), found(2)]

    run(pki, test)


def test_each_question_has_its_own_outcome(pki):
    async def test(client, server):
        server.refuse = {"2": "revoked", "3": "not-issued"}
        assert await asked(client, [1, 2, 3, 4]) == [
            found(1),
            Refused("revoked"),
            Refused("not-issued"),
            found(4),
        ]
        assert client.cached(g_of(1), "1") == found(1)
        assert client.cached(g_of(2), "2") is None

    run(pki, test)


def test_what_one_has_not_issued_is_asked_of_the_next(pki):
    async def test(client, first, second):
        first.refuse = {"2": "not-issued", "3": "revoked", "4": "not-issued"}
        second.refuse = {"4": "not-issued"}
        wanted = [found(1), found(2), Refused("revoked"), Refused("not-issued")]
        assert await asked(client, [1, 2, 3, 4]) == wanted
        assert (first.many, second.many) == ([["1", "2", "3", "4"]], [["2", "4"]])

    run(pki, test, servers=2)


def test_one_that_has_gone_is_left_for_the_next(pki):
    async def test(client, first, second):
        await first.runner.cleanup()
        assert await asked(client, [1, 2]) == [found(1), found(2)]
        await second.runner.cleanup()
        outcomes = await asked(client, [1, 3, 4])
        assert outcomes[0] == found(1), "it is in memory"
        assert all(isinstance(one, Unavailable) for one in outcomes[1:])

    run(pki, test, servers=2)


@pytest.mark.parametrize("status", [400, 404, 405, 413])
def test_a_key_server_without_batches_is_asked_one_by_one(pki, status):
    async def test(client, server):
        server.wrong = lambda _: web.json_response({"error": "no-such-request"}, status=status)
        server.refuse = {"2": "revoked"}
        assert await asked(client, [1, 2, 3]) == [found(1), Refused("revoked"), found(3)]
        assert server.single == ["1", "2", "3"]

    run(pki, test)


def entry(change):
    """Return what changes the first entry of an answer."""

    def wrong(answer):
        change(answer["keys"][0])
        return answer

    return wrong


@pytest.mark.parametrize(
    "wrong",
    [
        lambda answer: {**answer, "keys": answer["keys"][:-1]},
        lambda answer: {**answer, "keys": answer["keys"][::-1]},
        lambda answer: {**answer, "keys": {}},
        lambda answer: {**answer, "version": 2},
        lambda answer: {**answer, "suite": "sha1"},
        lambda answer: {**answer, "suite": None},
        lambda answer: {**answer, "keys": [1, 2]},
        lambda answer: [answer],
        lambda _: web.Response(status=500),
        lambda _: web.Response(status=302, headers={"Location": "/keys/lookup.json"}),
        lambda _: web.Response(text="{"),
        lambda _: web.Response(body=b" " * (batches.MAX_ANSWER + 1)),
        entry(lambda one: one.pop("kg")),
        entry(lambda one: one.update(kg=one["kg"][2:])),
        entry(lambda one: one.update(g=g_of(2).hex())),
        entry(lambda one: one.update(ext="2")),
        entry(lambda one: one.update(cvm="00")),
        entry(lambda one: one.update(error="<script>")),
        entry(lambda one: one.update(error="revoked", g=g_of(9).hex())),
    ],
)
def test_a_wrong_answer_is_none_for_all(pki, wrong):
    async def test(client, server):
        server.wrong = wrong
        outcomes = await asked(client, [1, 2])
        assert all(isinstance(one, Unavailable) for one in outcomes)
        assert not any(found(n).kg.hex() in one.reason for n in (1, 2) for one in outcomes)
        assert client.cached(g_of(1), "1") is None

    run(pki, test)


def test_waiting_is_bounded_and_ends_with_the_client(pki, monkeypatch):
    monkeypatch.setattr(batches, "MAX_WAITING", 3)
    monkeypatch.setattr(batches, "MAX_UNDER_WAY", 1)

    async def test(client, server):
        first = await one_under_way(client, server)
        rest = [asyncio.create_task(client.device_key(g_of(n), str(n))) for n in range(1, 6)]
        assert [isinstance(await one, Unavailable) for one in rest[3:]] == [True, True]
        assert not any(one.done() for one in (first, *rest[:3]))
        await client.stop()
        assert all(isinstance(one, Unavailable) for one in await asyncio.gather(first, *rest[:3]))

    run(pki, test)


def test_a_real_key_server_answers_many(site, run_service):
    service = run_service(site, "keyserver", "serve")
    phones = Client(service)
    files_of = [phones.fetch(str(ext)) for ext in range(100, 110)]

    async def main():
        tls = client_tls(
            site / "ca" / "root.crt",
            site / "gatekeeper" / "gatekeeper.crt",
            site / "gatekeeper" / "gatekeeper.key",
        )
        client = KeyClient((f"https://localhost:{service.ports['advanced']}",), tls)
        await client.start()
        await asyncio.wait_for(client.ready.wait(), 10)
        wanted = [
            (bytes.fromhex(one["G"]), str(ext)) for ext, one in zip(range(100, 110), files_of, strict=True)
        ]
        wanted.append((wanted[0][0], "109"))
        outcomes = await asyncio.gather(*(client.device_key(g, ext) for g, ext in wanted))
        await client.stop()
        assert [one.kg.hex() for one in outcomes[:-1]] == [one["KG"] for one in files_of]
        assert outcomes[-1] == Refused("other-extension")
        assert client.batches.requests == 1

    asyncio.run(main())
    assert len(service.wait_for("keys_looked_up")["keys"]) == 10
