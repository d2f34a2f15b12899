"""Real Chromium against a real console, real servers and real phones (make test-browser).

Where Chromium, Playwright or axe-core is missing, the tests that need it are skipped, with the reason.
"""

import json
import shutil
from pathlib import Path

import pytest
from harness import patience, sites
from harness.bench import Bench, make_template
from harness.server import Server
from harness.timeline import Timeline
from loadgen import keys as keysets
from loadgen.engine import REGISTER, Engine

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
PASSWORD = "correct horse battery staple"
# Without a sandbox (CI runs as root) and without looking for anything outside this machine.
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


# A browser, three servers and phones share a machine here: what is waited for comes later than elsewhere.
PATIENCE = 4


@pytest.fixture(scope="session", autouse=True)
def patient():
    """Wait longer than elsewhere, here only."""
    before, patience.factor = patience.factor, PATIENCE
    yield
    patience.factor = before


@pytest.fixture(scope="session")
def chromium():
    """A Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install '.[browser]'")
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))),
        None,
    )
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe():
    """The text of axe-core, None where npm has not brought it."""
    return AXE.read_text() if AXE.exists() else None


class World:
    """A site with its servers, its console, and phones."""

    def __init__(self, folder, template, environment):
        self.environment = environment
        self.bench = Bench(template, folder / "bench", environment=environment)
        # Simulated phones keep nothing alive: their registrations shall last as long as the tests.
        sites.set_values(self.bench.path, "gatekeeper", time_to_live=3600)
        self.bench.begin(Timeline(), "browser")
        self.site = self.bench.path
        self.console = Server(
            self.site,
            "console",
            ("console", "serve"),
            switch=self.bench.switch,
            evidence=lambda: self.bench.evidence,
            moved=lambda _ports: None,
            environment=environment,
        )
        self.console.start()
        self._phones = []
        self._engines = []
        self._users = {}

    @property
    def url(self):
        return f"https://localhost:{self.console.ports['console']}"

    def ringkey(self, *words, typed=""):
        """Run a command of this site."""
        return sites.ringkey(*words, site=self.site, typed=typed, environment=self.environment)

    def invitation(self, name, role):
        """Make somebody; return the link to the password."""
        made = json.loads(self.ringkey("user", "invite", name, "--role", role, "--json"))
        return self.url + made["path"]

    def phone(self, name):
        """Return a phone on MicroPython, switched on."""
        phone = self.bench.unix_phone(name)
        phone.power_on()
        self._phones.append(phone)
        return phone

    def crowd(self, pins):
        """Let simulated phones register; pins: {EXT: PIN}.  Returns those that were refused."""
        keys = keysets.fetch(self.bench.keyserver.ports["files"], self.site / "ca" / "root.crt", pins)
        engine = Engine(("127.0.0.1", self.bench.gatekeeper.ports["ras"]), keys)
        self._engines.append(engine)
        for one in engine.endpoints:
            engine.start(one, REGISTER)
        while engine.in_flight:
            engine.turn(0.05)
        return [one for one in engine.endpoints if not one.registered]

    def close(self):
        for phone in self._phones:
            phone.power_cut()
        for engine in self._engines:
            engine.close()
        self.console.stop()
        self.bench.close()


@pytest.fixture(scope="session")
def template(tmp_path_factory, environment):
    path = tmp_path_factory.mktemp("template") / "site"
    make_template(path, environment=environment)
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory, template, environment):
    """A site of this module's own, with servers and console."""
    made = World(tmp_path_factory.mktemp("world"), template, environment)
    yield made
    made.close()


class Visitor:
    """A person with a browser; `trouble`: what the browser complained of."""

    def __init__(
        self,
        chromium,
        world,
        *,
        size=(1280, 860),
        scheme="light",
        javascript=True,
        agent=None,
        pixels=1,
        zone=None,
    ):
        self.trouble = []
        self.origin = world.url
        self.context = chromium.new_context(
            base_url=self.origin,
            ignore_https_errors=True,  # the site's own root, which no browser knows
            viewport={"width": size[0], "height": size[1]},
            device_scale_factor=pixels,  # of the screen, or the printer, to one of CSS
            color_scheme=scheme,
            java_script_enabled=javascript,
            reduced_motion="reduce",
            user_agent=agent,
            timezone_id=zone,
        )
        self.context.set_default_timeout(PATIENCE * 20_000)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.trouble.append(f"error: {error}"))
        self.page.on("console", self._said)
        self.page.on("request", self._asked)

    def _said(self, message):
        if message.type == "error" or "Content Security Policy" in message.text:
            self.trouble.append(f"{message.type}: {message.text}")

    def _asked(self, request):
        if not request.url.startswith((self.origin, "data:", "blob:")):
            self.trouble.append(f"asked another host: {request.url}")

    def enter(self, link):
        """Follow an invitation, and be logged in."""
        page = self.page
        page.goto(link)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_label("Once more").fill(PASSWORD)
        page.get_by_role("button", name="Set the password").click()
        page.get_by_role("heading", name="Overview", level=1).wait_for()
        return self

    def log_in(self, name):
        """Log in with the password that `enter` has set."""
        page = self.page
        page.goto("/login")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Overview", level=1).wait_for()
        return self

    def drawn(self):
        """Return the secret that the page shows this once."""
        shown = self.page.locator("#flashes .secrets code").first.inner_text()
        assert shown
        return shown

    def deed(self, summary, button):
        """Open what asks first, and press the button in it."""
        details = self.page.locator(
            "details.confirm", has=self.page.locator("summary", has_text=summary)
        ).first
        details.locator("summary").first.click()
        details.get_by_role("button", name=button).click()

    def live(self):
        """Wait until the page hears of changes."""
        self.page.locator("#link.live").wait_for()
        return self


@pytest.fixture
def visit(chromium, world):
    """`visit(size=…, scheme=…)` gives a visitor; in the end no browser may have complained."""
    visitors = []

    def make(**more):
        visitors.append(Visitor(chromium, world, **more))
        return visitors[-1]

    yield make
    trouble = [line for visitor in visitors for line in visitor.trouble]
    for visitor in visitors:
        visitor.context.close()
    assert not trouble, "\n".join(trouble)


@pytest.fixture(scope="module")
def administrator(chromium, world):
    """The name of an administrator who has a password."""
    link = world.invitation("chief", "administrator")
    visitor = Visitor(chromium, world)
    visitor.enter(link)
    visitor.context.close()
    assert not visitor.trouble, visitor.trouble
    return "chief"
