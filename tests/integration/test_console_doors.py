"""Every door of the console: who is let in, who is not, and that it is on record who was not."""

import re
import shutil
import sqlite3
import time

import pyotp
import pytest
from console_client import GOOD, Browser, accounts_of, console, events, record
from ringkey.administration import record as records
from ringkey.administration.roles import Role
from ringkey.administration.site import Administration
from ringkey.console import app, sse
from ringkey.console.guard import POLICY
from ringkey.console.routes import ROUTE
from ringkey.console.visits import COOKIE
from ringkey.site.config import Site

ROLES = [role.title for role in Role]
CHANGES = ("POST", "PUT", "PATCH", "DELETE")
FOREIGN = ("https://evil.example", "null", "http://127.0.0.1", "https://127.0.0.1:1")


@pytest.fixture(scope="module")
def home(site_template, tmp_path_factory):
    """A site of which only the console runs; everybody's refusals are on record, however many a second."""
    from harness import sites

    path = tmp_path_factory.mktemp("doors") / "site"
    shutil.copytree(site_template, path)
    sites.free_ports(path)
    return path


@pytest.fixture(scope="module")
def running(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "MAX_REFUSALS", 1_000_000)
        patch.setattr(sse, "HEARTBEAT", 0.2)
        patch.setattr(sse, "LOOK", 0.1)
        with console(home) as running:
            yield running


@pytest.fixture(scope="module")
def port(running):
    return running.port


@pytest.fixture
def browser(home, running):
    running.forgive()
    return Browser(home, running.port)


@pytest.fixture(scope="module")
def people(home, port):
    """A browser for each role, logged in."""
    made = {}
    for role in ROLES:
        made[role] = Browser(home, port)
        assert made[role].log_in(role).status == 303
    return made


@pytest.fixture(scope="module")
def routes(home):
    """(method, path as declared, a path to ask for, least role or None) of every route of the router."""
    made = app.make(Administration(Site(home)))
    found = []
    for route in made.router.routes():
        declared = route.resource.canonical
        role = made[ROUTE][route.method, declared].role
        path = declared.replace("{ext}", "1001").replace("{token}", "x" * 43)
        assert "{" not in path, f"what stands for a part of {declared}?"
        found.append((route.method, declared, path, role if isinstance(role, Role) else None))
    assert len(found) > 60
    return found


class Sweep:
    """Asks for many routes, and compares all that is new on record with what was refused."""

    def __init__(self, site):
        self.site = site
        self.before = len(record(site))
        self.refused = []
        self.wrong = []

    def expect(self, answer, statuses, method, declared, reason):
        self.refused.append((f"{method} {declared}", reason))
        if answer.status not in statuses:
            self.wrong.append(f"{method} {declared}: {answer.status} instead of {statuses}")

    def check(self):
        assert self.refused
        assert self.wrong == []
        new = record(self.site)[self.before :]
        assert {line["what"] for line in new} == {"refused"}  # and so nothing was done
        assert [(line["request"], line["reason"]) for line in new] == self.refused


def test_the_public_doors_are_these(routes):
    public = {(method, declared) for method, declared, _, role in routes if role is None}
    assert {one for one in public if not one[1].startswith("/static/")} == {
        ("GET", "/login"),
        ("POST", "/login"),
        ("GET", "/invite/{token}"),
        ("POST", "/invite/{token}"),
    }
    assert all(method == "GET" for method, declared in public if declared.startswith("/static/"))


def test_every_route_without_a_session(home, port, routes):
    sweep = Sweep(home)
    for method, declared, path, role in routes:
        if role is None:
            continue
        answer = Browser(home, port).ask(method, path)
        sweep.expect(answer, (401,) if path.startswith("/api/") else (303,), method, declared, "no session")
        if answer.status == 303 and not answer.headers["Location"].startswith("/login"):
            sweep.wrong.append(f"{method} {declared}: leads to {answer.headers['Location']}")
    sweep.check()


def test_every_route_with_the_session_of_a_role_that_may_not(home, people, routes):
    sweep = Sweep(home)
    for method, declared, path, role in routes:
        for name in ROLES:
            if role is not None and Role[name.upper()] < role:
                headers = {"X-CSRF": people[name].csrf}
                answer = people[name].ask(method, path, headers=headers)
                sweep.expect(answer, (403,), method, declared, "role")
    sweep.check()
    assert len({request for request, _ in sweep.refused}) > 25


@pytest.mark.parametrize("forged", ["missing", "empty", "another's", "cut"])
def test_every_change_with_a_csrf_token_that_is_not_the_sessions(home, people, routes, forged):
    admin = people["administrator"]
    token = {"missing": None, "empty": "", "another's": people["viewer"].csrf, "cut": admin.csrf[:-1]}[forged]
    sweep = Sweep(home)
    for method, declared, path, _ in routes:
        if method not in CHANGES:
            continue
        if path.startswith("/api/"):
            answer = admin.ask(method, path, headers={} if token is None else {"X-CSRF": token})
        else:
            answer = admin.ask(method, path, {"do": "remove"} if token is None else {"csrf": token})
        sweep.expect(answer, (403,), method, declared, "csrf")
    sweep.check()


@pytest.mark.parametrize("origin", FOREIGN)
def test_every_route_from_a_foreign_origin(home, people, routes, origin):
    admin = people["administrator"]
    sweep = Sweep(home)
    for method, declared, path, _ in routes:
        answer = admin.ask(method, path, headers={"Origin": origin, "X-CSRF": admin.csrf})
        sweep.expect(answer, (403,), method, declared, "origin")
    sweep.check()


def test_every_change_without_an_origin(home, people, routes):
    admin = people["administrator"]
    sweep = Sweep(home)
    for method, declared, path, _ in routes:
        if method in CHANGES:
            for headers in ({}, {"Referer": "https://evil.example/login"}):
                answer = admin.ask(method, path, headers={"X-CSRF": admin.csrf, **headers}, origin=False)
                sweep.expect(answer, (403,), method, declared, "origin")
    sweep.check()


def test_who_may_is_let_in(people, routes):
    """Else all of the above would hold for a console that refuses everybody."""
    admin = people["administrator"]
    for method, declared, path, role in routes:
        if method == "GET" and role is not None and path != "/live":
            answer = admin.get(path)
            assert answer.status not in (401, 403, 405, 500), (declared, answer.status, answer.text[-300:])
    viewer = people["viewer"]
    referer = {"Referer": f"{viewer.origin}/account", "X-CSRF": viewer.csrf}
    answer = viewer.ask("POST", "/account", {"do": "nothing"}, referer, origin=False)
    assert answer.status == 400  # the form asks for nothing: it was read


def test_every_answer_is_hardened(people, browser, routes):
    admin = people["administrator"]
    answers = [admin.get(path) for method, _, path, _ in routes if method == "GET" and path != "/live"]
    answers += [browser.get(path) for path in ("/", "/login", "/api/v1/users", "/nothing", "/invite/x")]
    answers += [browser.ask("PUT", "/login"), browser.ask("POST", "/login"), admin.get("/nothing")]
    assert {answer.status for answer in answers} >= {200, 303, 401, 403, 404, 405}
    for answer in answers:
        headers = answer.headers
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Server"] == "ringkey"
        assert (
            headers["Cache-Control"] == "no-store"
            or "Content-Disposition" in headers
            or (headers["Cache-Control"] in ("no-cache", "public, max-age=31536000, immutable"))
        )
    for answer in answers:
        if "text/html" in (answer.headers["Content-Type"] or ""):
            assert "<style" not in answer.text
            assert " style=" not in answer.text
            assert " onclick=" not in answer.text


# Log-in


def test_the_cookie_is_for_this_host_and_no_script(browser):
    answer = browser.log_in("viewer")
    assert answer.headers["Location"] == "/"
    cookie = answer.cookies[COOKIE]
    assert COOKIE.startswith("__Host-")
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Strict")
    assert (cookie["path"], cookie["domain"], cookie["max-age"], cookie["expires"]) == ("/", "", "", "")
    assert cookie.value not in answer.text


def test_another_log_in_ends_the_session_before_it(home, browser):
    browser.log_in("viewer")
    first = dict(browser.cookies)
    page = browser.get("/account")
    browser.ask("POST", "/login", {"csrf": page.csrf, "name": "viewer", "password": GOOD})
    assert browser.cookies != first
    assert browser.get("/account").status == 200
    browser.cookies = first
    assert browser.get("/account").status == 303


def test_log_out_ends_the_session(browser, home):
    browser.log_in("viewer")
    cookies = dict(browser.cookies)
    answer = browser.ask("POST", "/logout", {"csrf": browser.csrf})
    assert (answer.status, answer.headers["Location"]) == (303, "/login")
    assert COOKIE not in browser.cookies
    browser.cookies = cookies
    assert browser.get("/account").status == 303
    assert [line["action"] for line in record(home)[-3:-1]] == ["log-in", "log-out"]


def test_an_idle_session_and_an_old_one_are_over(browser, home):
    for change in ("seen = seen - 1800", "created = created - 43200"):
        browser.log_in("viewer")
        assert browser.get("/account").status == 200
        with sqlite3.connect(home / "admin" / "accounts.db", timeout=10) as connection:
            connection.execute(f"UPDATE session SET {change} WHERE user = 'viewer'")  # noqa: S608
        connection.close()
        answer = browser.get("/account")
        assert (answer.status, answer.headers["Location"]) == (303, "/login?next=/account")
        assert COOKIE not in browser.cookies


def test_a_wrong_name_and_a_wrong_password_read_the_same(home, port):
    pages = []
    for name, known in (("operator", "operator"), ("nobodyy", "(nobody)")):
        browser = Browser(home, port)
        answer = browser.log_in(name, "a wrong password")
        assert answer.status == 401
        assert COOKIE not in browser.cookies
        pages.append(answer.text.replace(answer.csrf, "").replace(name, "NAME"))
        line = record(home)[-1]
        assert (line["what"], line["action"], line["name"]) == ("refused", "log-in", known)
    assert pages[0] == pages[1]
    assert "a wrong password" not in pages[0]
    text = (home / "admin" / "audit.jsonl").read_text()
    assert "a wrong password" not in text
    assert "nobodyy" not in text  # it may have been a password in the wrong field
    assert Browser(home, port).log_in("operator").status == 303  # which forgets the failures


def test_failed_log_ins_must_wait(home, browser, running):
    statuses = [browser.log_in("guessed", f"guess number {i}").status for i in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    assert browser.log_in("guessed", "guess again").headers["Retry-After"] == "1"
    assert [line["reason"] for line in record(home)[-3:]] == ["throttle"] * 3
    assert browser.log_in("viewer").status == 429  # the right password, of an address that has guessed
    running.now += 1
    assert browser.log_in("guessed", "guess again").status == 401
    assert browser.log_in("viewer").headers["Retry-After"] == "2"
    running.now += 2
    assert browser.log_in("viewer").status == 303


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil",
        "/a\nb",
        "",
        "javascript:x",
        "/" * 3,
    ],
)
def test_a_log_in_leads_to_no_other_host(browser, path):
    assert browser.log_in("viewer", next=path).headers["Location"] == "/"


def test_a_log_in_leads_back(browser):
    answer = browser.get("/extensions?search=12%20a")
    assert answer.headers["Location"] == "/login?next=/extensions%3Fsearch%3D12%2520a"
    page = browser.get(answer.headers["Location"])
    form = {"csrf": page.csrf, "next": "/extensions?search=12%20a", "name": "viewer", "password": GOOD}
    assert browser.ask("POST", "/login", form).headers["Location"] == "/extensions?search=12%20a"


# Invitations and the own account


def test_an_invitation_lets_in_once(home, browser, people):
    made = people["administrator"].api("POST", "user.invite", {"name": "carol", "role": "operator"}).json
    path = made["path"]
    page = browser.get(path)
    assert "carol" in page.text
    form = {"csrf": page.csrf, "password": "another long password", "again": "another long one"}
    answer = browser.ask("POST", path, form)
    assert (answer.status, COOKIE in browser.cookies) == (400, False)
    form["again"] = form["password"]
    answer = browser.ask("POST", path, form)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert browser.api("GET", "account").json["role"] == "operator"
    other = Browser(home, int(browser.host.partition(":")[2]))
    assert other.get(path).status == 404
    assert record(home)[-1]["action"] == "invitation"
    assert path.rpartition("/")[2] not in (home / "admin" / "audit.jsonl").read_text()


def test_a_change_of_role_is_felt_at_once(home, browser, people):
    with accounts_of(home) as accounts:
        accounts.users.add("dave", Role.ADMINISTRATOR, accounts.passwords.hash(GOOD))
    browser.log_in("dave")
    assert browser.get("/users").status == 200
    people["administrator"].api("POST", "user.role", {"name": "dave", "role": "viewer"})
    assert browser.get("/users").status == 303
    browser.log_in("dave")
    assert browser.get("/users").status == 403


def test_a_changed_password_ends_other_sessions_and_keeps_this_one(home, port):
    with accounts_of(home) as accounts:
        accounts.users.add("erin", Role.VIEWER, accounts.passwords.hash(GOOD))
    here, there = Browser(home, port), Browser(home, port)
    for one in (here, there):
        one.log_in("erin")
    form = {
        "csrf": here.csrf,
        "do": "password",
        "old": "not this one",
        "new": "a new long one",
        "again": "a new long one",
    }
    assert here.ask("POST", "/account", form).status == 400
    assert there.get("/account").status == 200
    form["old"] = GOOD
    before = here.cookies[COOKIE]
    answer = here.ask("POST", "/account", form)
    assert (answer.status, answer.headers["Location"]) == (303, "/account")
    assert here.cookies[COOKIE] != before
    assert here.get("/account").status == 200
    assert there.get("/account").status == 303
    assert "a new long one" not in (home / "admin" / "audit.jsonl").read_text()


def test_a_second_factor_from_the_account_page(home, browser):
    with accounts_of(home) as accounts:
        accounts.users.add("frank", Role.VIEWER, accounts.passwords.hash(GOOD))
    browser.log_in("frank")
    answer = browser.ask("POST", "/account", {"csrf": browser.csrf, "do": "totp-begin", "password": GOOD})
    assert answer.status == 200
    secret = secret_of(answer.text)
    totp = pyotp.TOTP(secret)
    # A code holds for a step (30 s) more and a step less, and once: these two also if a step ends meanwhile.
    now = time.time()
    form = {"csrf": browser.csrf, "do": "totp-confirm", "code": totp.at(now)}
    assert browser.ask("POST", "/account", form).status == 303
    browser.cookies.clear()
    assert browser.log_in("frank").status == 401
    assert browser.log_in("frank", code=totp.at(now + 30)).status == 303
    assert secret not in (home / "admin" / "audit.jsonl").read_text()


def secret_of(text):
    """Return the secret that the page shows for who cannot take the QR code."""
    return re.search(r"<code>([A-Z2-7 ]{32,})</code>", text)[1].replace(" ", "")


# What happens, as it happens


def test_the_stream_tells_of_changes_and_ends_with_the_session(home, browser, people):
    browser.log_in("viewer")
    connection, response = browser.stream("/live")
    assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
    assert response.headers["Content-Security-Policy"] == POLICY
    told = events(response)
    assert next(event for event, _ in told if event == "beat")
    people["administrator"].api("POST", "user.add", {"name": "gina", "role": "viewer", "password": GOOD})
    assert next(data for event, data in told if event == "change")["changed"] is True
    browser.ask("POST", "/logout", {"csrf": browser.csrf})
    assert list(told)[-1] == ("bye", {})  # and the stream ends
    connection.close()


def test_of_too_many_streams_of_a_session_the_oldest_ends(browser, monkeypatch):
    monkeypatch.setattr(sse, "MAX_OF_SESSION", 2)
    browser.log_in("viewer")
    (first, oldest), *others = [browser.stream("/live") for _ in range(3)]
    assert list(events(oldest))[-1:] in ([], [("beat", {})])  # it has ended, without a word
    for connection, response in others:
        assert next(event for event, _ in events(response) if event == "beat")
        response.close()
        connection.close()
    first.close()


def test_the_place_of_a_reader_who_has_gone_is_free_at_once(browser, monkeypatch):
    monkeypatch.setattr(sse, "MAX_STREAMS", 1)
    browser.log_in("viewer")
    for _ in range(3):
        status = 503
        while status == 503:  # until the one before is noticed to have gone
            connection, response = browser.stream("/live")
            status = response.status
            response.close()
            connection.close()
        assert status == 200
