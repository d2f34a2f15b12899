"""The API and its tokens: who may, how long a request may be, and how it says no."""

import json
import shutil
import ssl

import pytest
from console_client import GOOD, Browser, accounts_of, console, record
from ringkey.administration import catalogue
from ringkey.administration import record as records
from ringkey.administration.roles import Role
from ringkey.console import openapi


@pytest.fixture(scope="module")
def home(site_template, tmp_path_factory):
    from harness import sites

    path = tmp_path_factory.mktemp("api") / "site"
    shutil.copytree(site_template, path)
    sites.free_ports(path)
    return path


@pytest.fixture(scope="module")
def port(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "MAX_REFUSALS", 1_000_000)
        with console(home) as running:
            yield running.port


@pytest.fixture
def script(home, port):
    """`script(method, name, body, role)` asks with a token of that role."""
    tokens = {}
    with accounts_of(home) as accounts:
        for role in Role:
            tokens[role.title] = accounts.tokens.add(f"for {role.title}", role, "test")[1]
    client = Browser(home, port)

    def ask(method, name, body=None, role="administrator", **headers):
        sent = {"Authorization": f"Bearer {tokens[role]}", **headers}
        if isinstance(body, dict | list):
            body = json.dumps(body)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        return client.ask(method, f"/api/v1/{name}", body, sent, origin=False)

    ask.tokens = tokens
    ask.client = client
    return ask


def problem(answer, status):
    """Return the problem that an answer is."""
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    found = answer.json
    assert found["status"] == status
    assert set(found) <= {"type", "title", "status", "detail", "next_step"}
    return found


def test_a_token_asks_and_does(script, home):
    assert script("GET", "users").json["users"][0]["name"] == "admin"
    made = script("POST", "user.invite", {"name": "henry", "role": "viewer"})
    assert made.status == 200
    assert made.json["url"].startswith("https://127.0.0.1:")
    assert made.headers["Cache-Control"] == "no-store"
    line = record(home)[-1]
    assert (line["what"], line["action"], line["author"], line["way"]) == (
        "done",
        "user.invite",
        "token for administrator",
        "api",
    )


@pytest.mark.parametrize("role", [role.title for role in Role])
def test_a_token_may_what_its_role_may(script, home, role):
    """Every entry of the table, with a token of each role: let through or refused as the table has it."""
    for entry in (*catalogue.queries().values(), *catalogue.actions().values()):
        if Role[role.upper()] < entry.role:
            method = "GET" if entry.name in catalogue.queries() else "POST"
            found = problem(script(method, entry.name, role=role), 403)
            assert entry.role.title in found["detail"]


def test_no_token_and_a_wrong_one(script, home):
    for headers in (
        {},
        {"Authorization": "Bearer rk_wrong"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": ""},
    ):
        answer = script.client.ask("GET", "/api/v1/users", headers=headers)
        problem(answer, 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert record(home)[-1]["reason"] == "no session"


def test_a_token_that_was_removed_or_is_over_opens_nothing(script, home):
    with accounts_of(home) as accounts:
        for token in accounts.tokens.list():
            accounts.tokens.remove(token.id)
    problem(script("GET", "users"), 401)


def test_a_token_opens_no_page_and_a_wrong_one_makes_no_session_count(script, home):
    token = {"Authorization": f"Bearer {script.tokens['administrator']}"}
    assert script.client.ask("GET", "/users", headers=token).status == 303
    script.client.log_in("administrator")
    wrong = {"Authorization": "Bearer rk_wrong", "X-CSRF": script.client.csrf}
    problem(script.client.ask("GET", "/api/v1/users", headers=wrong), 401)


def test_a_session_needs_its_csrf_token_a_token_does_not(script):
    browser = script.client
    browser.log_in("administrator")
    body = json.dumps({"name": "ida", "role": "viewer", "password": GOOD})
    headers = {"Content-Type": "application/json"}
    problem(browser.ask("POST", "/api/v1/user.add", body, headers), 403)
    assert browser.api("POST", "user.add", json.loads(body)).status == 200
    problem(browser.ask("POST", "/api/v1/user.add", body, {**headers, "X-CSRF": browser.csrf}), 409)


def test_values_that_will_not_do(script):
    for body in (
        {"name": "ANN", "role": "viewer"},
        {"name": "ann"},
        {"name": "ann", "role": "king"},
        {"name": 7, "role": "viewer"},
        {"name": None, "role": "viewer"},
        {"name": "ann", "role": "viewer", "more": 1},
        {"name": "ann", "role": "viewer", "self": 1},
        {"name": "ann", "role": "viewer", "author": "root"},
        [],
        "null",
        "{",
        '{"name": NaN}',
        "[" * 5000,
        "\xff",
    ):
        problem(script("POST", "user.role", body), 400)
    problem(script("POST", "token.add", {"name": "x", "role": "viewer", "days": "3"}), 400)
    problem(script("POST", "token.add", {"name": "x", "role": "viewer", "days": 0}), 400)
    assert script("POST", "token.add", {"name": "x", "role": "viewer", "days": 3.0}).status == 200
    problem(script("GET", "extensions?limit=1&limit=2"), 400)
    problem(script("GET", "extensions?unknown=1"), 400)
    problem(script("GET", "extensions?author=root"), 400)
    problem(script("POST", "user.role", "a=b", **{"Content-Type": "text/plain"}), 400)


def test_what_cannot_be_done_says_what_to_do(script):
    found = problem(script("POST", "user.remove", {"name": "nobody"}), 409)
    assert (found["detail"], found["next_step"]) == ("there is no user nobody", "ringkey user list")
    problem(script("POST", "account.password", {"old": GOOD, "new": "another long one"}), 409)


def test_how_long_a_request_may_be(script):
    problem(script("POST", "user.remove", json.dumps({"name": "x" * 100_000})), 413)
    answer = script("POST", "user.remove", iter([b'{"name": "x"}']))
    problem(answer, 411)


def test_other_methods_and_names(script):
    for method, name in (
        ("GET", "user.remove"),
        ("POST", "users"),
        ("DELETE", "users"),
        ("PATCH", "user.add"),
    ):
        answer = script(method, name)
        problem(answer, 405)
        assert answer.headers["Allow"] in ("GET", "POST")
    problem(script("GET", "nothing"), 404)


def test_guesses_at_ones_own_password_must_wait(script):
    browser = script.client
    assert browser.log_in("viewer").status == 303
    for i in range(5):
        body = {"old": f"guess number {i}", "new": "another long one"}
        problem(browser.api("POST", "account.password", body), 409)
    answer = browser.api("POST", "account.password", {"old": GOOD, "new": "another long one"})
    problem(answer, 429)
    assert int(answer.headers["Retry-After"]) >= 1


def test_the_description_has_each_entry_of_the_table(script):
    described = openapi.description()
    assert described["openapi"] == "3.1.0"
    paths = set(described["paths"]) - {"/api/openapi.json"}
    assert paths == {f"/api/v1/{name}" for name in (*catalogue.queries(), *catalogue.actions())}
    for name, entry in catalogue.actions().items():
        operation = described["paths"][f"/api/v1/{name}"]["post"]
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        assert list(body["properties"]) == [one.name for one in entry.parameters]
        assert " ".join(entry.command) in operation["description"]
        assert operation["responses"]["200"]["content"]["application/json"]["schema"] == entry.result
        assert {"400", "401", "403", "409", "413"} <= set(operation["responses"])
    answer = script.client.ask(
        "GET", "/api/openapi.json", headers={"Authorization": f"Bearer {script.tokens['viewer']}"}
    )
    assert answer.json == json.loads(json.dumps(described))


def test_browsers_may_need_a_certificate_of_the_site(site_template, tmp_path):
    from harness import sites

    path = tmp_path / "site"
    shutil.copytree(site_template, path)
    sites.free_ports(path)
    sites.set_values(path, "console", client_ca="ca/root.crt")
    with console(path) as running:
        browser = Browser(path, running.port)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            browser.get("/login")
        gatekeeper = path / "gatekeeper"
        browser.context.load_cert_chain(gatekeeper / "gatekeeper.crt", gatekeeper / "gatekeeper.key")
        assert browser.log_in("viewer").status == 303  # and who shows one has to log in all the same
