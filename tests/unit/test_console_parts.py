"""Parts of the console without a port: what is told, what is kept for a page, which routes there may be."""

import asyncio
import json
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from aiohttp import web
from ringkey.administration.accounts.errors import AccountsUnavailableError, TooManyError
from ringkey.administration.record import Unrecorded
from ringkey.administration.roles import Forbidden, Role
from ringkey.administration.site import Unknown
from ringkey.console import guard, routes, sse, views
from ringkey.console.routes import PUBLIC, Route
from ringkey.console.sse import RELOAD, Hub, messages
from ringkey.errors import UserError


class Live:
    """What an administration tells, told here."""

    def __init__(self):
        self.changes = asyncio.Queue()

    @asynccontextmanager
    async def subscribe(self):
        changes = self.changes

        class Changes:
            def __aiter__(self):
                return self

            async def __anext__(self):
                return await changes.get()

        yield Changes()


def told(message):
    event, data = message.decode().strip().split("\n")
    return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def phone(ext):
    return {"kind": "phone", "ext": ext}


def test_what_happens_at_once_is_one_message():
    found = messages(
        [
            phone("1001"),
            phone("1002"),
            phone("1001"),
            {"kind": "lost", "server": "gatekeeper"},
            {"kind": "overview"},
            {"kind": "changed", "action": "extension.add", "ext": "1003"},
        ]
    )
    assert [told(message) for message in found] == [
        ("lost", {"server": "gatekeeper"}),
        ("change", {"phones": ["1001", "1002", "1003"], "overview": True, "changed": True}),
    ]


def test_too_many_phones_are_many_and_a_reload_is_enough():
    (found,) = messages(phone(str(i)) for i in range(sse.MAX_NAMED + 1))
    assert told(found)[1]["phones"] == "many"
    assert messages([phone("1"), {"kind": "reload"}]) == [RELOAD]
    assert messages([]) == []


def test_no_text_of_a_change_ends_its_message():
    (found,) = messages([phone("1\n\nevent: bye\n")])
    assert found.count(b"\n\n") == 1
    assert found.count(b"\n") == 3


def test_a_reader_that_is_behind_is_told_to_load_again_and_holds_nobody_up():
    hub = Hub(Live())
    slow, quick = hub.open(b"a"), hub.open(b"b")
    for i in range(10 * sse.MAX_WAITING):
        hub.tell([phone(str(i))])
        assert told(quick.get_nowait())[1]["phones"] == [str(i)]
    assert slow.qsize() <= sse.MAX_WAITING
    assert slow.get_nowait() == RELOAD


def test_streams_have_an_end_by_session_and_in_all(monkeypatch):
    monkeypatch.setattr(sse, "MAX_STREAMS", 3)
    monkeypatch.setattr(sse, "MAX_OF_SESSION", 2)
    hub = Hub(Live())
    first = hub.open(b"a")
    assert first is not None
    second = hub.open(b"a")
    assert hub.open(b"a") is not None  # in whose place the oldest one ends
    assert first.get_nowait() is None
    assert second.empty()
    assert hub.open(b"b") is not None
    assert hub.open(b"c") is None
    hub.close(second)
    assert hub.open(b"c") is not None


def test_the_hub_gathers_and_then_is_at_rest(monkeypatch):
    monkeypatch.setattr(sse, "GATHER", 0.05)
    monkeypatch.setattr(sse, "_AT_ONCE", 0.01)

    async def run():
        live = Live()
        hub = Hub(live)
        await hub.start()
        queue = hub.open(b"a")
        for i in range(50):
            live.changes.put_nowait(phone(str(i)))
        first = await queue.get()
        live.changes.put_nowait(phone("last"))
        second = await queue.get()
        await hub.stop()
        assert hub.open(b"a") is None
        return told(first), told(second), await queue.get()

    first, second, end = asyncio.run(run())
    assert first[1]["phones"] == [str(i) for i in range(50)]
    assert second[1]["phones"] == ["last"]
    assert end is None


async def _answer(_request):
    return web.Response()


def test_a_route_that_does_not_say_who_may_is_refused_at_the_start():
    app = web.Application()
    routes.add(app, (Route("GET", "/a", PUBLIC, _answer), Route("POST", "/a/{b}", Role.VIEWER, _answer)))
    routes.check(app)
    app.router.add_get("/forgotten", _answer)
    with pytest.raises(RuntimeError, match=r"(GET|HEAD) /forgotten says not who may use it"):
        routes.check(app)


def test_a_route_cannot_be_made_without_a_role():
    with pytest.raises(TypeError, match="role"):
        Route(method="GET", path="/a", handler=_answer)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/", "/"),
        ("/phones?state=failing", "/phones?state=failing"),
        ("//evil", "/"),
        ("/\\evil", "/"),
        ("https://evil", "/"),
        ("", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("/ä", "/"),
        ("/" + "a" * 600, "/"),
    ],
)
def test_a_log_in_leads_to_paths_of_this_console_only(path, found):
    assert guard.local(path) == found


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Forbidden("x"), 403),
        (Unknown("x"), 404),
        (TooManyError("x", 3), 429),
        (AccountsUnavailableError("x"), 503),
        (Unrecorded("x"), 503),
        (UserError("x"), 409),
    ],
)
def test_each_error_has_its_status(error, status):
    assert guard.status_of(error) == status


def test_what_is_said_once_is_said_once_and_not_for_ever(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(views, "time", SimpleNamespace(monotonic=lambda: now, time=lambda: now))
    flashes = views.Flashes()
    for i in range(views.MAX_FLASHES + 5):
        flashes.add(b"a", {"text": str(i)})
    flashes.add(b"b", {"text": "for b"})
    assert [one["text"] for one in flashes.take(b"a")] == [str(i) for i in range(5, views.MAX_FLASHES + 5)]
    assert flashes.take(b"a") == []
    now += views.FLASH_LIFE + 1
    assert flashes.take(b"b") == []


def test_templates_escape_and_know_what_they_show():
    environment = views.environment()
    assert environment.from_string("{{ text }}").render(text="<b>&\"'") == "&lt;b&gt;&amp;&#34;&#39;"
    with pytest.raises(Exception, match="is undefined"):
        environment.from_string("{{ forgotten }}").render()


def test_a_static_files_path_changes_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(views, "STATIC", tmp_path)
    (tmp_path / "a.css").write_text("a")
    (tmp_path / "b.css").write_text("b")
    first, second = views.static("a.css"), views.static("b.css")
    assert first.startswith("/static/a.css?v=")
    assert first.partition("=")[2] != second.partition("=")[2]
