"""A console in this process, on a real port with real TLS, and something like a browser to knock with."""

import asyncio
import http.client
import json
import re
import ssl
import threading
from contextlib import contextmanager
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from accounts_set_up import GOOD, QUICK
from ringkey.administration.accounts import attempts
from ringkey.administration.accounts.sessions import csrf_of
from ringkey.administration.accounts.store import Accounts
from ringkey.administration.roles import Role
from ringkey.console.service import ConsoleService
from ringkey.console.visits import COOKIE
from ringkey.site.config import Site, load


class Running:
    """A console that runs: its port, and the clock of its failed log-ins, which stands until it is told."""

    def __init__(self):
        self.port = 0
        self.now = 0.0

    def forgive(self):
        """Let so much time pass that failed log-ins are forgotten."""
        self.now += attempts.FORGET + 1


@contextmanager
def console(path):
    """Run the console of the site at `path`, made by `ringkey init`; gives a Running.

    It runs in a thread of its own; the users viewer, operator and administrator have the password GOOD.
    """
    running = Running()
    with accounts_of(path) as accounts:
        for role in Role:
            accounts.users.add(role.title, role, accounts.passwords.hash(GOOD))
    site = Site(path)
    found = {}
    up, stop = threading.Event(), None

    async def run():
        nonlocal stop
        stop = asyncio.Event()
        found["loop"] = asyncio.get_running_loop()
        service = ConsoleService(load(site).need_console(), site)
        try:
            service.administration.accounts.passwords.hasher = QUICK
            service.administration.accounts.attempts = attempts.Attempts(lambda: running.now)
            await service.start()
            running.port = service.ports["console"]
            up.set()
            await stop.wait()
        finally:
            up.set()
            await service.stop()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="console")
    thread.start()
    up.wait()
    try:
        yield running
    finally:
        found["loop"].call_soon_threadsafe(stop.set)
        thread.join()


@contextmanager
def accounts_of(path):
    """Open a site's accounts, as another process would."""
    opened = Accounts(path / "admin" / "accounts.db", hasher=QUICK)
    try:
        yield opened
    finally:
        opened.close()


def record(path):
    """Return the lines of the administration's record."""
    file = path / "admin" / "audit.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


class Answer:
    """status, headers (a message), body (octets)."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def text(self):
        """The body as text."""
        return self.body.decode()

    @property
    def json(self):
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def csrf(self):
        """The CSRF token of the page's forms."""
        return re.search(r'name="csrf" value="([^"]+)"', self.text)[1]

    @property
    def cookies(self):
        """The cookies that are set, by name."""
        found = SimpleCookie()
        for header in self.headers.get_all("Set-Cookie") or []:
            found.load(header)
        return found


class Browser:
    """Keeps cookies, names its origin with a form, follows nothing by itself."""

    def __init__(self, site, port):
        self.host = f"127.0.0.1:{port}"
        self.origin = f"https://{self.host}"
        self.cookies = {}
        self.context = ssl.create_default_context(cafile=site / "ca" / "root.crt")

    @property
    def csrf(self):
        """The CSRF token of the session."""
        return csrf_of(self.cookies[COOKIE])

    def ask(self, method, path, body=None, headers=None, *, origin=True):
        """Send one request and return its Answer.  body: a dict is a form; origin: name one with a change."""
        sent = dict(headers or {})
        if isinstance(body, dict):
            body = urlencode(body)
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        if origin and method not in ("GET", "HEAD"):
            sent.setdefault("Origin", self.origin)
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection = http.client.HTTPSConnection(self.host, context=self.context, timeout=30)
        try:
            connection.request(method, path, body, sent)
            answer = Answer(connection.getresponse())
        finally:
            connection.close()
        for name, morsel in answer.cookies.items():
            if morsel.value:
                self.cookies[name] = morsel.value
            else:
                self.cookies.pop(name, None)
        return answer

    def get(self, path, **headers):
        """Get a page."""
        return self.ask("GET", path, headers=headers)

    def log_in(self, name, password=GOOD, **fields):
        """Log in by the form."""
        form = {"csrf": self.get("/login").csrf, "name": name, "password": password, **fields}
        return self.ask("POST", "/login", form)

    def api(self, method, name, body=None, headers=None):
        """Ask the API as a page's script would."""
        sent = {"X-CSRF": self.csrf, **(headers or {})}
        if body is not None:
            body = json.dumps(body)
            sent["Content-Type"] = "application/json"
        return self.ask(method, f"/api/v1/{name}", body, sent)

    def stream(self, path):
        """Open a stream; returns (connection, response)."""
        connection = http.client.HTTPSConnection(self.host, context=self.context, timeout=30)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection.request("GET", path, headers={"Cookie": cookies})
        return connection, connection.getresponse()


def events(response):
    """Yield (event, data) of a stream until it ends."""
    event, data = "", ""
    while line := response.readline():
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if not name:
            if event:
                yield event, json.loads(data)
            event, data = "", ""
        elif name == "event":
            event = value
        elif name == "data":
            data = value
