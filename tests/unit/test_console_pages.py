"""Pages as they are rendered: what came from outside is text, no page is heavy, plots and codes are right.

The administration here answers with anything its schemas allow (administration/table.py), so that every field
that a page may show is filled with what a test wants there.
"""

import asyncio
import io
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from ringkey.administration import catalogue
from ringkey.administration.roles import Author, Role
from ringkey.console import views
from ringkey.console.pages import (
    audit,
    common,
    extensions,
    files,
    filters,
    importing,
    keys,
    labels,
    overview,
    phone,
    phones,
    plot,
    settings,
    users,
)
from ringkey.console.visits import ADMINISTRATION, VISIT, Visit

PLAIN = "x"
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onfocus='alert(1)' autofocus='",
    "</title></textarea><b>&amp;",
    "\u202e\u2066reversed\u200f",
)
# What each page is asked for: its handler, its query, and what its path names.
PAGES = {
    "/": (overview.show, {}, {}),
    "/phones": (phones.show, {"q": "TEXT"}, {}),
    "/phones/1": (phone.show, {}, {"ext": "TEXT"}),
    "/extensions": (extensions.show, {"q": "TEXT", "edit": "TEXT", "ext": "TEXT", "label": "TEXT"}, {}),
    "/labels": (labels.show, {"q": "TEXT"}, {}),
    "/keys": (keys.show, {"q": "TEXT"}, {}),
    "/files": (files.show, {"path": "files/TEXT"}, {}),
    "/audit": (audit.show, {"q": "TEXT"}, {}),
    "/users": (users.show, {}, {}),
    "/settings": (settings.show, {}, {}),
}
# Lines of a plot, key servers of a site, choices of a setting: never as many as a page has rows.
_FEW = 3
ENVIRONMENT = views.environment()  # reading the templates takes longer than filling them
# Octets of a page (issue 7).
HEAVY = 200_000


def made(schema, text, items, name=""):
    """Return a value that a schema allows: every text is `text`, or what that gives for its name."""
    if "anyOf" in schema:
        return made(schema["anyOf"][0], text, items, name)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        found = {key: made(one, text, items, key) for key, one in schema.get("properties", {}).items()}
        if isinstance(schema.get("additionalProperties"), dict):
            found["1"] = made(schema["additionalProperties"], text, items)
        return found
    if kind == "array":
        return [made(schema["items"], text, items, name) for _ in range(items)]
    text = text(name) if callable(text) else text
    return {"string": text, "integer": 7, "number": 1.5e9, "boolean": True}.get(kind, text)


class Answers:
    """Answers queries with what their schemas allow."""

    def __init__(self, text, items=2):
        self.text, self.items = text, items

    async def ask(self, _author, name, /, **values):
        entry = catalogue.queries()[name]
        unknown = set(values) - {one.name for one in entry.parameters}
        assert not unknown, f"{name} has no {unknown}"
        found = made(entry.result, self.text, self.items)
        if name in ("series", "rotation"):
            del found["lines"][_FEW:]
            for i, line in enumerate(found["lines"]):
                line["points"] = [[1.5e9 + at, 10.0 * i + at % 7] for at in range(600)]
        if name == "series":
            found["name"] = values["name"]
        if name == "labels":
            del found["key_servers"][_FEW:]
        for setting in found.get("settings", ()):
            del setting["choices"][_FEW:]
        return found


def request(path, text, items=2, query=None, match=None):
    app = web.Application()
    app[ADMINISTRATION] = Answers(text, items)
    app[views.ENVIRONMENT] = ENVIRONMENT
    app[views.FLASHES] = views.Flashes()
    word = PLAIN if callable(text) else text
    app[views.SITE] = word
    # A slash in a path would be one more folder on the way to it.
    words = {name: word.replace("/", "|") if name == "path" else word for name in query or {}}
    query = urlencode({name: value.replace("TEXT", words[name]) for name, value in (query or {}).items()})
    match = {name: value.replace("TEXT", word) for name, value in (match or {}).items()}
    found = make_mocked_request("GET", f"{path}?{query}" if query else path, app=app, match_info=match)
    author = Author(word, Role.ADMINISTRATOR, "console", "192.0.2.1")
    found[VISIT] = Visit(author, True, None, "token")
    return found


def page(path, text, items=2):
    handler, query, match = PAGES[path]
    answer = asyncio.run(handler(request(path, text, items, query, match)))
    assert answer.status == 200, answer.text
    return answer.text


class Shape(HTMLParser):
    """Elements and the names of their attributes, in order; and all text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.said, self.values, self.ids = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, tuple(name for name, _ in attributes)))
        self.values += [value or "" for _, value in attributes]
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_data(self, data):
        self.said.append(data)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("text", HOSTILE)
def test_what_came_from_outside_is_text(path, text):
    """A page with markup in every text has the same elements and attributes as one without."""
    plain, hostile = Shape(page(path, PLAIN)), Shape(page(path, text))
    assert hostile.tags == plain.tags
    shown = "".join(hostile.said) + "".join(hostile.values)
    assert text in shown or filters.sentence(text) in shown, "it is shown, as it is"


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    ("template", "values"),
    [
        ("login.html", {"error": "TEXT", "next_": "TEXT", "name": "TEXT"}),
        ("invite.html", {"error": "TEXT", "name": "TEXT", "role": "viewer"}),
        ("error.html", {"title": "TEXT", "what": "TEXT", "next_step": "TEXT"}),
        (
            "account.html",
            {
                "account": {
                    "name": "TEXT",
                    "role": "viewer",
                    "totp": False,
                    "changed": 1.5e9,
                    "sessions": [
                        {
                            "id": "1",
                            "since": 1.5e9,
                            "seen": 1.5e9,
                            "source": "TEXT",
                            "agent": "TEXT",
                            "this": False,
                        }
                    ],
                },
                "setup": {"totp": False, "secret": "TEXT", "uri": "otpauth://totp/x"},
                "error": "TEXT",
            },
        ),
        (
            "import.html",
            {
                "preview": {
                    "rows": 2,
                    "added": 1,
                    "changed": 0,
                    "same": 0,
                    "bad_count": 1,
                    "bad": [{"line": 1, "what": "TEXT"}],
                    "bad_note": "TEXT",
                    "changes": [{"line": 2, "ext": "TEXT", "label": "TEXT", "what": "TEXT"}],
                    "more": True,
                    "ready": True,
                    "button": "TEXT",
                },
                "pending": "TEXT",
            },
        ),
    ],
)
def test_templates_of_the_doors_too(template, values, text):
    def filled(value, word):
        if isinstance(value, dict):
            return {name: filled(one, word) for name, one in value.items()}
        if isinstance(value, list):
            return [filled(one, word) for one in value]
        return word if value == "TEXT" else value

    def tags(word):
        return Shape(views.render(request("/login", word), template, **filled(values, word)).text).tags

    assert tags(text) == tags(PLAIN)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_heavier_than_200_kB(path):
    """With as many rows as a page has, each as long as can be: labels and words of 80 characters, g of 32."""

    def longest(name):
        return "7" * {"ext": 16, "cvm": 6, "root": 64, "g": 32, "name": 32, "key_servers": 50}.get(name, 80)

    rows = {"/labels": labels._LABELS, "/settings": 25, "/": 10}.get(path, common.ROWS)
    octets = len(page(path, longest, rows).encode())
    assert octets <= HEAVY, octets


def test_no_inline_script_or_style_anywhere():
    """The Content-Security-Policy would refuse it."""
    for path in PAGES:
        for tag, attributes in Shape(page(path, PLAIN)).tags:
            assert "style" not in attributes, (path, tag)
            assert not [name for name in attributes if name.startswith("on")], (path, tag)
            assert tag != "style", path
            assert tag != "script" or "src" in attributes, path


def test_each_page_has_landmarks_and_names():
    for path in PAGES:
        shape = Shape(page(path, PLAIN))
        tags = [tag for tag, _ in shape.tags]
        for tag in ("header", "nav", "main", "h1", "title"):
            assert tag in tags, (path, tag)
        assert tags.count("h1") == 1, path
        ids = Shape(page(path, "7", 1)).ids
        twice = {one for one in ids if ids.count(one) > 1}
        assert not twice, f"{path}: there twice: {twice}"


def test_a_viewer_is_offered_nothing_that_changes():
    for path in set(PAGES) - {"/users", "/labels"}:
        handler, query, match = PAGES[path]
        asked = request(path, PLAIN, 2, query, match)
        asked[VISIT] = Visit(Author("v", Role.VIEWER, "console", "192.0.2.1"), True, None, "token")
        text = asyncio.run(handler(asked)).text
        forms = [part.partition(">")[0] for part in text.split("<form")[1:]]
        assert [form for form in forms if 'method="post"' in form] == [' method="post" action="/logout"'], (
            path
        )


# -- plots


def test_a_plot_keeps_peaks_and_gaps():
    points = [(float(i), 1.0) for i in range(1000)]
    points[333] = (333.0, 50.0)
    points[600:640] = [(float(i), None) for i in range(600, 640)]
    found = plot.plot("p", "Title", "/s", [("a", points)], "nothing")
    assert found.lines[0].path.count("M") == 2, "a gap is a gap"
    assert "333" in found.lines[0].path or " 0.0" in found.lines[0].path or found.grid[0][1] == "50/s"
    assert found.grid[0] == (0.0, "50/s")
    assert "highest 50/s" in found.said
    assert len(found.columns) <= 60
    assert found.lines[0].latest == "1/s"


def test_a_plot_of_nothing_says_so():
    found = plot.plot("p", "Title", "", [("a", []), ("b", [(1.0, None)])], "nothing yet")
    assert found.empty == "nothing yet"
    assert [line.name for line in found.lines] == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "top"), [(0, 4), (1, 1), (0.7, 0.8), (23, 24), (101, 120), (5000, 5000), (9.9, 10)]
)
def test_a_plots_top_is_round_and_not_below(value, top):
    assert plot._ceiling(value) == pytest.approx(top)


# -- filters


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7200, "2 h"),
        (86400 * 3, "3 days"),
        (86400 * 800, "2 years"),
    ],
)
def test_a_span_in_words(seconds, words):
    assert filters.span(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0:00"), (65, "1:05"), (3665, "1:01:05"), (90061, "1 d 1:01:01")]
)
def test_a_countdown(seconds, text):
    assert filters.clock(seconds) == text


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Safari/537.36",
            "Chrome on Android",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1",
            "Safari on an iPhone",
        ),
        ("<script>", "Unknown browser"),
        (None, "Unknown browser"),
    ],
)
def test_a_browser_in_words(agent, words):
    assert filters.browser(agent) == words


def test_a_step_in_words():
    assert [filters.step(name) for name in ("GRQ", "RRQ", "keys")] == [
        "Discovery (GRQ)",
        "Registration (RRQ)",
        "Keys",
    ]


def test_the_foot_of_a_plot():
    """In UTC, with the moment beside it from which console.js makes the browser's own time."""
    for dated, words in ((False, "02:40:00 UTC"), (True, "14 Jul 02:40 UTC")):
        text = str(filters.tick(1.5e9, dated))
        assert f">{words}</time>" in text
        assert 'datetime="2017-07-14T02:40:00Z"' in text
    assert "data-tick-dated" in str(filters.tick(1.5e9, True))


def test_sizes_and_groups():
    assert [filters.size(n) for n in (None, 999, 1500, 20_000_000, 5e12)] == [
        "–",
        "999 B",
        "1.5 kB",
        "20 MB",
        "5.0 TB",
    ]
    assert filters.grouped("aabbccdd00") == "aabb ccdd 00"
    assert filters.count(12345.0) == "12,345"


# -- labels


def test_a_label_says_settings_and_nothing_else():
    text = labels.settings("1001", ["https://keys.example:1300", "https://[2001:db8::1]:1300"], "ab" * 32)
    assert text == (
        "ringkey:1001?server=https://keys.example:1300&server=https://[2001:db8::1]:1300&root=" + "ab" * 32
    )


def test_a_code_is_what_was_said(tmp_path):
    """The same modules as a code that segno writes for the same text."""
    import segno

    expected = io.BytesIO()
    code = segno.make("ringkey:1001?root=ab", error="m", micro=False)
    code.save(
        expected, kind="svg", xmldecl=False, svgns=True, omitsize=True, border=2, light="#fff", nl=False
    )
    found = str(filters.qr("ringkey:1001?root=ab"))
    assert found == expected.getvalue().decode()
    assert "style" not in found
    assert "<script" not in found


# -- import


def test_a_file_waits_for_its_own_session_and_once(monkeypatch):
    pending = importing.Pending()
    key = pending.put(b"one", {"csv": "1,2"})
    assert pending.take(b"two", key) is None
    assert pending.take(b"one", key) == {"csv": "1,2"}
    assert pending.take(b"one", key) is None
    first = pending.put(b"one", {"csv": "a"})
    second = pending.put(b"one", {"csv": "b"})
    assert pending.take(b"one", first) is None, "a session has one file at a time"
    assert pending.take(b"one", second) == {"csv": "b"}
    late = pending.put(b"one", {"csv": "c"})
    monkeypatch.setattr(importing, "WAITS", -1.0)
    over = pending.put(b"two", {"csv": "d"})
    assert pending.take(b"two", over) is None
    assert pending.take(b"one", late) == {"csv": "c"}
    for i in range(2 * importing.MAX_PENDING):
        monkeypatch.setattr(importing, "WAITS", 60.0)
        pending.put(str(i).encode(), {"csv": ""})
    assert len(pending._waiting) <= importing.MAX_PENDING
    assert "1,2" not in repr(importing._Waiting(b"", 0.0, {"csv": "1,2"}))


def test_a_place_to_go_back_to_is_a_place_of_the_list():
    assert extensions._here("q=Ann+%26+Ben&from=50&next=//evil") == {"q": "Ann & Ben", "from": "50"}
    assert common.link("/extensions", {"q": "Ann & Ben", "from": ""}) == "/extensions?q=Ann+%26+Ben"


@pytest.mark.parametrize(
    ("text", "begin"), [("50", 50), ("-1", 0), ("x", 0), ("9" * 30, 0), ("99999999", 10_000_000)]
)
def test_an_offset_out_of_a_url(text, begin):
    assert common.offset(make_mocked_request("GET", f"/phones?from={text}")) == begin
