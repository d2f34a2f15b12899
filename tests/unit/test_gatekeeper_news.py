"""What became of each phone lately, and what has changed (gatekeeper/news.py, office.py)."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from ras import profile
from ras.held import Held
from ras.keys import SUITES
from ras.lookups import Lookup
from ras.message import GRQ, RRQ
from ringkey.errors import UserError
from ringkey.gatekeeper import news as module
from ringkey.gatekeeper import renewals, timeline
from ringkey.gatekeeper.at_once import AtOnce
from ringkey.gatekeeper.news import News
from ringkey.gatekeeper.news_wait import since
from ringkey.gatekeeper.observed import Observed
from ringkey.gatekeeper.office import PIECE, Office
from ringkey.gatekeeper.pins import Pins
from ringkey.gatekeeper.renewals import RENEW, Lookups

HERE = ("192.0.2.5", 1719)
THERE = ("192.0.2.6", 1719)


def held(ext, source=HERE):
    return Held(ext, SUITES["sha256"], source, *([bytes(16)] * 3), bytes(32), bytes(32), b"\x01\x02\x03")


def log_in(news, ext, source=HERE, old=None):
    news.event(("request", source, ext))
    news.event(("lookup", 1, ext, bytes(16), "sha256", GRQ, b"\x01\x02\x03", source, False))
    news.event(("confirmed", source, ext))
    news.event(("lookup", 2, ext, bytes(16), "sha256", RRQ, b"\x01\x02\x03", source, True))
    news.event(("registered", held(ext, source), old))


def ask(news, mark, wait=0.0):
    return asyncio.run(since(news, mark, wait))


def test_a_log_in_is_told_in_order_and_in_words():
    news = News(clock=iter(range(1000, 2000)).__next__)
    log_in(news, "1001")
    news.channel("1001", "channel-open", "PSK-AES128-GCM-SHA256")
    news.event(("ended", held("1001"), "ttlExpired"))
    assert [(line["at"], line["words"], line["mood"]) for line in news.line("1001")] == [
        (1000, "GRQ received from 192.0.2.5:1719", "plain"),
        (1001, "check value compared: the same; suite sha256", "plain"),
        (1002, "GCF sent", "plain"),
        (1003, "RCF sent: registered at 192.0.2.5:1719", "good"),
        (1004, "signalling channel open (PSK-AES128-GCM-SHA256)", "good"),
        (1005, "registration ended: its time was over: the phone was not heard of again", "plain"),
    ]


def test_failures_are_told_in_words_where_the_phone_is_known():
    news = News()
    news.event(("request", HERE, "1001"))
    news.event(("dropped", HERE, "GRQ: wrong ICV"))
    news.event(("refused", HERE, "1001", profile.UNKNOWN_EXTENSION))
    news.event(("dropped", THERE, "GRQ: wrong ICV"))  # nobody's
    words = [line["words"] for line in news.line("1001")]
    assert words[1] == "GRQ not answered: wrong PIN, or another device's key"
    assert words[2] == "refused (192.0.2.5:1719): the extension is not in the directory, or disabled"
    assert len(words) == 3
    assert [line["mood"] for line in news.line("1001")] == ["plain", "bad", "bad"]


def test_another_phone_that_takes_over_is_named():
    news = News()
    log_in(news, "1001")
    log_in(news, "1001", THERE, held("1001"))
    assert news.line("1001")[-1]["words"] == (
        "RCF sent: registered at 192.0.2.6:1719, instead of 192.0.2.5:1719"
    )


def test_a_time_line_is_bounded_and_keeps_the_latest():
    news = News(clock=iter(range(100_000)).__next__)
    for _ in range(100):
        log_in(news, "1001")
    assert len(news.line("1001")) == timeline.MAX_ENTRIES
    assert news.line("1001")[-1]["at"] == 399


def test_strangers_push_out_strangers_and_no_phone(monkeypatch):
    monkeypatch.setattr(module, "MAX_STRANGERS", 10)
    monkeypatch.setattr(module, "MAX_LINES", 3)
    monkeypatch.setattr(module, "MAX_SOURCES", 5)
    news = News()
    log_in(news, "1001")
    for ext in range(5000, 5100):
        news.event(("request", (f"192.0.2.{ext % 100}", 1), str(ext)))
    assert news.line("1001")
    assert not news.line("5000")
    assert news.line("5099")
    for ext in range(2000, 2003):
        log_in(news, str(ext))
    assert not news.line("1001")  # of phones, the one that was quiet for longest
    assert len(news._ext_of) <= 5
    assert len(news._strangers) <= 10


def test_what_has_changed_since():
    news = News()
    begin = news.mark
    log_in(news, "1001")
    log_in(news, "1002")
    log_in(news, "1001")
    mark, exts = ask(news, begin)
    assert exts == ["1001", "1002"]
    assert mark == news.mark
    assert ask(news, mark) == (mark, [])
    news.event(("request", HERE, "1003"))  # a step in between
    assert ask(news, mark) == (mark, [])
    news.event(("ended", held("1002"), "logged out"))
    assert ask(news, mark)[1] == ["1002"]


def test_who_is_too_far_behind_hears_so(monkeypatch):
    monkeypatch.setattr(module, "MAX_CHANGES", 5)
    news = News()
    begin = news.mark
    for ext in range(6):
        log_in(news, str(ext))
    assert ask(news, begin) is None
    assert ask(News(), begin) is None
    for mark in ("", ":", "x:1", f"{begin.split(':')[0]}:-1", f"{begin.split(':')[0]}:{'9' * 30}", "٣"):
        assert ask(news, mark) is None


def test_many_changes_come_in_portions(monkeypatch):
    monkeypatch.setattr(module, "MAX_PHONES", 10)
    news = News()
    mark, seen = news.mark, []
    for ext in range(25):
        log_in(news, str(ext))
    for portion in (10, 10, 5, 0):
        mark, exts = ask(news, mark)
        assert len(exts) == portion
        seen += exts
    assert seen == [str(ext) for ext in range(25)]


def test_who_asked_before_registrations_were_put_back_asks_again():
    async def within():
        news = News()
        log_in(news, "1001")
        waiting = asyncio.create_task(since(news, news.mark, 5))
        await asyncio.sleep(0)
        before = news.mark
        news.begin_anew()
        async with asyncio.timeout(1):
            assert await waiting is None
        assert news.after(before) is None
        assert news.after(news.mark) == (news.mark, [])

    asyncio.run(within())


def test_news_are_waited_for():
    async def within():
        news = News()
        mark = news.mark
        waiting = [asyncio.create_task(since(news, mark, 5)) for _ in range(3)]
        await asyncio.sleep(0)
        log_in(news, "1001")
        async with asyncio.timeout(1):
            answers = await asyncio.gather(*waiting)
        assert [answer[1] for answer in answers] == [["1001"]] * 3
        assert await since(news, news.mark, 0.01) == (news.mark, [])

    asyncio.run(within())


# -- the office


class Parts:
    """A gatekeeper with these registrations."""

    def __init__(self, rows):
        self.rows = {one.ext: one for one in rows}
        self.asked = []

    def registrar(self):
        return SimpleNamespace(held=lambda: list(self.rows.values()), registration=self.rows.get)

    def cipher(self, one):
        return "PSK" if one.ext == "1001" else None

    def figures(self):
        return {"figures": 1}

    def apply_settings(self):
        return ["time_to_live"]

    async def renew(self, ext):
        return ext in self.rows

    async def end(self, ext, reason):
        self.asked.append((ext, reason))
        return ext in self.rows


def office(*exts):
    parts, news, observed = Parts([held(ext) for ext in exts]), News(), Observed()
    return parts, news, observed, Office(parts, news, observed).commands()


def test_all_registrations_with_a_mark():
    _, news, observed, commands = office("1001", "1002")
    observed.event(("request", HERE, "1003"))
    observed.event(("dropped", HERE, "GRQ: wrong ICV"))
    found = json.loads(asyncio.run(commands["registrations"]({"failing": True})))
    assert found["mark"] == news.mark
    assert [(one["ext"], one["source"], one["channel"]) for one in found["registrations"]] == [
        ("1001", "192.0.2.5:1719", "PSK"),
        ("1002", "192.0.2.5:1719", None),
    ]
    assert found["failing"][0]["words"] == "wrong PIN, or another device's key"
    assert set(json.loads(asyncio.run(commands["registrations"]({})))) == {"registrations"}
    _, _, _, commands = office()
    assert json.loads(asyncio.run(commands["registrations"]({}))) == {"registrations": []}


def test_a_gatekeeper_with_many_phones_goes_on_while_it_tells_of_them():
    """Between two pieces whatever else is due has its turn."""
    _, _, _, commands = office(*(str(ext) for ext in range(10 * PIECE)))
    turns = 0

    async def within():
        nonlocal turns
        task = asyncio.create_task(commands["registrations"]({}))
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
        return json.loads(task.result())

    found = asyncio.run(within())
    assert len(found["registrations"]) == 10 * PIECE
    assert turns >= 10


def test_a_registration_that_ends_meanwhile_is_left_out():
    parts, _, _, commands = office(*(str(ext) for ext in range(2 * PIECE)))
    last = parts.rows[str(2 * PIECE - 1)]

    async def within():
        task = asyncio.create_task(commands["registrations"]({}))
        await asyncio.sleep(0)
        last.forget_keys()
        return json.loads(await task)

    assert len(asyncio.run(within())["registrations"]) == 2 * PIECE - 1


def test_events_say_what_a_phone_is_now():
    parts, news, observed, commands = office("1001")
    begin = news.mark
    for event in (("request", HERE, "1002"), ("dropped", HERE, "GRQ: wrong ICV")):
        news.event(event)
        observed.event(event)
    log_in(news, "1001")
    found = asyncio.run(commands["events"]({"mark": begin, "wait": 0}))
    assert found["gap"] is False
    one, two = found["phones"]
    assert (one["ext"], one["registered"], one["failing"]["step"]) == ("1002", None, "GRQ")
    assert (two["ext"], two["registered"]["source"], two["failing"]) == ("1001", "192.0.2.5:1719", None)
    assert asyncio.run(commands["events"]({"mark": "other:1", "wait": 0}))["gap"] is True


def test_one_phone_with_its_time_line():
    _, news, _, commands = office("1001")
    log_in(news, "1001")
    found = commands["phone"]({"ext": "1001"})
    assert found["registered"]["suite"] == "sha256"
    assert [line["what"] for line in found["timeline"]] == ["request", "compared", "confirmed", "registered"]
    assert commands["phone"]({"ext": "9"}) == {
        "ext": "9",
        "registered": None,
        "failing": None,
        "timeline": [],
    }


def test_a_phone_that_is_asked_to_fetch():
    _, _, _, commands = office("1001")
    assert asyncio.run(commands["refresh"]({"ext": "1001"})) == {"asked": True, "within": RENEW}
    assert asyncio.run(commands["refresh"]({"ext": "1002"})) == {"asked": False, "within": None}


class Answers(Lookups):
    """Look-ups whose key server and directory know everything."""

    def __init__(self, known):
        self.memory = AtOnce(Pins(None), Observed(), lambda *_: known, lambda *_: None)


def test_keys_that_shall_be_replaced_are_obsolete_for_a_while(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(renewals.time, "monotonic", lambda: now[0])
    known = Lookup(kg=b"kg", pin="1")
    answers = Answers(known)
    assert answers.memory.look("1001", b"g1") is known
    answers.renew(b"g1")
    found = answers.memory.look("1001", b"g1")
    assert (found.code, found.kg, found.pin) == (profile.OBSOLETE, b"kg", "1")  # so the GRJ can be signed
    assert answers.memory.look("1001", b"g2") is known
    now[0] = RENEW + 1
    assert answers.memory.look("1001", b"g1") is known  # it got no others: better these than none
    for i in range(2 * renewals.MAX_RENEWALS):
        answers.renew(i.to_bytes(16, "big"))
    assert len(answers._until) == renewals.MAX_RENEWALS


def test_who_is_refused_anyway_is_told_why():
    refused = Lookup(profile.REVOKED)
    answers = Answers(refused)
    answers.renew(b"g1")
    assert answers.memory.look("1001", b"g1") is refused


@pytest.mark.parametrize(
    ("command", "request_"),
    [
        ("phone", {}),
        ("phone", {"ext": 1}),
        ("refresh", {"ext": None}),
        ("events", {}),
        ("events", {"mark": 1, "wait": 1}),
        ("events", {"mark": "a", "wait": "long"}),
        ("end", {"ext": "1", "reason": "because"}),
        ("end", {"reason": "undefinedReason"}),
    ],
)
def test_what_is_no_request_is_refused(command, request_):
    _, _, _, commands = office("1001")

    async def within():
        answer = commands[command](request_)
        return await answer if asyncio.iscoroutine(answer) else answer

    with pytest.raises(UserError):
        asyncio.run(within())
