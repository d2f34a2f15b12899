"""The poller's listeners and its figures over time (administration/live.py, series.py)."""

import asyncio
import time

from ringkey.administration import live as module
from ringkey.administration import series as series_module
from ringkey.administration.live import Changes, Live
from ringkey.administration.series import MINUTES, SECONDS, Series
from ringkey.site.config import Site
from ringkey.site.control import ControlServer


def figures(at, registered=0, refused=0):
    outcomes = [["RRQ", "registered", "", registered], ["GRQ", "refused", "obsolete", refused]]
    return {"at": at, "outcomes": outcomes, "latencies": {"GRQ": {"p50": 0.002, "p99": 0.01}}}


def test_a_reader_that_is_too_slow_is_told_to_read_anew(monkeypatch):
    monkeypatch.setattr(module, "MAX_BEHIND", 3)

    async def within():
        changes = Changes()
        for ext in range(11):
            changes.put({"kind": "phone", "ext": str(ext)})
        return [await anext(changes), await anext(changes)]

    # What it missed is in what it reads anew, and what came after that it hears of.
    assert asyncio.run(within()) == [{"kind": "reload"}, {"kind": "phone", "ext": "10"}]


def test_rates_are_differences_and_gaps_are_told():
    series = Series()
    now = time.time()
    series.add(now - 3, figures(100.0), {"1": {"cvm": "aa"}, "2": {"cvm": "bb"}})
    series.add(now - 2, figures(102.0, registered=10, refused=4), {"1": {"cvm": "aa"}})
    series.add(now - 1, {}, None)  # the gatekeeper is away
    series.add(now, figures(1.0, registered=2), {})  # and back: its counts begin anew
    rates = {line["name"]: [v for _, v in line["points"]] for line in series.lines("outcomes", 60)["lines"]}
    assert rates["registered"] == [None, 5.0, None, None]
    assert rates["refused"] == [None, 2.0, None, None]
    (held,) = series.lines("registered", 60)["lines"]
    assert [v for _, v in held["points"]] == [2, 1, None, 0]
    generations = series.lines("generations", 60)
    assert [line["name"] for line in generations["lines"]] == ["aa", "bb"]
    latency = {line["name"]: line["points"][0][1] for line in series.lines("latency", 60)["lines"]}
    assert latency == {"GRQ to GCF, p50": 2.0, "GRQ to GCF, p99": 10.0}


def test_seconds_become_minutes_and_memory_stays_bounded(monkeypatch):
    series = Series()
    begin = 1_000_020.0  # the first second of a minute
    for i in range(3 * 3600):
        series.add(begin + i, {}, {str(n): {"cvm": "aa"} for n in range(i // 60 % 2 + 1)})
    monkeypatch.setattr(series_module.time, "time", lambda: begin + 3 * 3600)
    found = series.lines("registered", 3 * 3600)
    (line,) = found["lines"]
    assert found["step"] == 60
    assert len(line["points"]) == 180
    assert [value for _, value in line["points"][:4]] == [1.0, 2.0, 1.0, 2.0]
    assert len(series.lines("registered", SECONDS)["lines"][0]["points"]) == SECONDS
    assert len(series._seconds) == SECONDS
    assert len(series._minutes) <= MINUTES


class Gatekeeper:
    """What the poller asks: it tells what it is told to."""

    def __init__(self):
        self.rows = {"1001": {"ext": "1001", "cvm": "aa"}}
        self.news = asyncio.Queue()
        self.asked = []

    def commands(self):
        return {"registrations": self.registrations, "events": self.events, "figures": lambda _: figures(1.0)}

    def registrations(self, request):
        self.asked.append(request)
        return {"mark": "run:0", "failing": [], "registrations": list(self.rows.values())}

    async def events(self, request):
        self.asked.append(request)
        return await self.news.get()


def test_the_mirror_follows_and_reads_anew_after_a_gap(tmp_path):
    (tmp_path / "run").mkdir()

    async def heard(changes, kind):
        async with asyncio.timeout(20):
            async for change in changes:
                if change["kind"] == kind:
                    return change
        raise AssertionError("the changes have ended")

    async def within():
        gatekeeper = Gatekeeper()
        server = ControlServer(tmp_path / "run", "gatekeeper", gatekeeper.commands())
        await server.start()
        live = Live(Site(tmp_path))
        try:
            async with live.subscribe() as changes:
                await live.start()
                await heard(changes, "reload")
                assert set(live.registrations) == {"1001"}
                row = {"ext": "1002", "registered": {"ext": "1002", "cvm": "aa"}, "failing": None}
                gone = {"ext": "1001", "registered": None, "failing": {"ext": "1001", "at": 5}}
                gatekeeper.news.put_nowait({"mark": "run:2", "gap": False, "phones": [row, gone]})
                assert (await heard(changes, "phone"))["ext"] == "1002"
                assert (await heard(changes, "phone"))["ext"] == "1001"
                assert set(live.registrations) == {"1002"}
                assert set(live.failing) == {"1001"}
                gatekeeper.rows = {"7": {"ext": "7", "cvm": "aa"}}
                gatekeeper.news.put_nowait({"mark": "run:9", "gap": True, "phones": []})
                await heard(changes, "reload")
                assert set(live.registrations) == {"7"}
                # It went on from the mark that it was told last.
                marks = [request["mark"] for request in gatekeeper.asked if request["do"] == "events"]
                assert marks[:2] == ["run:0", "run:2"]
                gatekeeper.news.put_nowait({"mark": "run:10"})  # one of another version
                await heard(changes, "reload")
        finally:
            gatekeeper.news.put_nowait({"mark": "run:9", "gap": True, "phones": []})
            await live.stop()
            await server.stop()

    asyncio.run(within())
