"""`ringkey init`, `user`, `token` and `console serve` as processes, as an administrator types them."""

import json
import re
import sqlite3
import stat

import pyotp
from console_client import Browser, record
from harness import sites
from ringkey.administration.accounts import totp
from ringkey.site import runtime

GOOD = "correct horse battery"


def typed(site, environment, text, *args):
    return sites.ringkey(*args, site=site, typed=text, environment=environment)


def test_init_prints_a_link_that_lets_the_first_administrator_in(tmp_path, ringkey, run_service):
    site = tmp_path / "site"
    printed = ringkey("init", site, "--ip", "127.0.0.1", "--name", "localhost").stdout
    path = re.search(r"https://127\.0\.0\.1:8447(/invite/[A-Za-z0-9_-]{43})\n", printed)[1]
    assert "user invite admin" in printed
    assert stat.S_IMODE((site / "admin").stat().st_mode) == 0o700
    for file in (site / "admin").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    sites.free_ports(site)
    service = run_service(site, "console", "serve")
    run_service.secrets.update({path.rpartition("/")[2], GOOD})
    browser = Browser(site, runtime.ports(site / "run", "console")["console"])
    page = browser.get(path)
    assert page.status == 200
    assert browser.ask("POST", path, {"csrf": page.csrf, "password": GOOD, "again": GOOD}).status == 303
    run_service.secrets.update({*browser.cookies.values(), browser.csrf})
    answer = browser.get("/")
    assert answer.status == 200
    # A command changes who may log in, and the console that runs knows it at once.
    printed = ringkey("--site", site, "user", "invite", "bob", "--role", "viewer", "--json").stdout
    made = json.loads(printed)
    run_service.secrets.add(made["path"].rpartition("/")[2])
    assert made["url"].startswith(browser.origin)
    assert "bob" in browser.get("/users").text
    assert ringkey("--site", site, "user", "logout", "admin").stdout == "1 session of admin ended\n"
    assert browser.get("/users").status == 303
    assert browser.log_in("admin", GOOD).status == 303
    run_service.secrets.update(browser.cookies.values())
    # SIGHUP takes up the certificate; the session stays.
    service.process.send_signal(1)
    service.wait_for("reloaded")
    assert browser.get("/").status == 200


def test_users(site, environment, ringkey):
    def run(*args, **more):
        return ringkey("--site", site, "user", *args, **more)

    typed(site, environment, f"{GOOD}\n", "user", "add", "ann", "--role", "operator", "--password-stdin")
    users = {one["name"]: one for one in json.loads(run("list", "--json").stdout)["users"]}
    assert (users["ann"]["role"], users["ann"]["password"]) == ("operator", True)
    assert (users["admin"]["password"], users["admin"]["invited"] is None) == (False, False)
    assert "ann" in run("list").stdout
    assert run("role", "ann", "administrator").stdout == "user ann is administrator\n"
    typed(site, environment, "another long one", "user", "password", "ann", "--password-stdin")
    assert run("remove", "admin").stdout == "user admin removed\n"
    refused = run("remove", "ann", check=False)
    assert (refused.returncode, "the only administrator" in refused.stderr) == (1, True)
    assert f"try: ringkey --site {site} user invite --help" in refused.stderr
    assert run("add", "Ann", "--role", "viewer", check=False).returncode == 2  # no terminal to ask at
    lines = record(site)
    assert {line["author"] for line in lines} != {""}
    assert {line["way"] for line in lines} == {"command line"}
    assert [line["action"] for line in lines if line["what"] == "done"] == [
        *("user.invite", "user.add", "user.role", "user.password", "user.remove"),
    ]
    assert GOOD not in (site / "admin" / "audit.jsonl").read_text()


def test_a_second_factor_at_the_command_line(site, environment, ringkey):
    typed(site, environment, GOOD, "user", "add", "ann", "--role", "viewer", "--password-stdin")
    wrong = ringkey("--site", site, "user", "code", "ann", check=False)
    assert wrong.returncode != 0
    # The secret is drawn anew each time, so a code cannot be typed before: this is what a person sees.
    secret = re.search(r"Secret: ([A-Z2-7]{32})", wrong.stdout + wrong.stderr)[1]
    assert len(pyotp.TOTP(secret).now()) == totp.DIGITS
    with sqlite3.connect(site / "admin" / "accounts.db") as connection:
        assert connection.execute("SELECT totp FROM user WHERE name = 'ann'").fetchone() == (None,)
    connection.close()
    assert ringkey("--site", site, "user", "code", "ann", "--remove").stdout == "no code is wanted of ann\n"


def test_tokens(site, ringkey):
    def run(*args, **more):
        return ringkey("--site", site, "token", *args, **more)

    made = json.loads(run("add", "monitoring", "--role", "viewer", "--days", "2", "--json").stdout)
    assert made["token"].startswith("rk_")
    assert made["expires"] - made["created"] == 2 * 86_400
    listed = run("list").stdout
    assert made["id"] in listed
    assert made["token"] not in listed
    assert run("remove", made["id"]).stdout == f"token {made['id']} (monitoring) removed\n"
    assert run("remove", made["id"], check=False).returncode == 1
    assert made["token"] not in (site / "admin" / "audit.jsonl").read_text()
