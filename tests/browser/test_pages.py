"""Every page: as a picture to look at, with axe-core, by Tab alone, and with markup in what is shown.

Pictures are in build/console: PAGE-SCHEME-WIDTH.png.
"""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from conftest import ROOT

WIDE, NARROW = (1280, 860), (360, 740)
KATHMANDU = timedelta(hours=5, minutes=45)  # from UTC: no machine of ours is there
PICTURES = ROOT / "build" / "console"
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "' onfocus='alert(3)' autofocus='",
    "&lt;b&gt; {{ 7*7 }} </title>",
)
AGENT = 'Mozilla/5.0 <script>alert(4)</script> "><img src=x onerror=alert(5)>'
# A file of such a name is not listed, since no phone can ask for it; a folder can be asked for.
FOLDER = "<img src=x onerror=alert(6)> &lt;b&gt;"
NAMES = (
    "Ann Baker, room 5",
    "Reception",
    "Ward 3 nurse station",
    "Dr. Okonkwo",
    "Pharmacy",
    "Kitchen",
    "Gate",
)
# name: path; those of "outside" are seen before log-in.
PAGES = {
    "overview": "/",
    "phones": "/phones",
    "phones-mixed": "/phones?q=30&order=state",
    "phones-failing": "/phones?state=failing",
    "phone": "/phones/3000",
    "phone-failing": "/phones/3030",
    "extensions": "/extensions",
    "extensions-edit": "/extensions?q=300&edit=3001",
    "import": "/extensions/import",
    "labels": "/labels?q=30",
    "keys": "/keys",
    "files": "/files",
    "files-folder": "/files?path=files",
    "audit": "/audit",
    "users": "/users",
    "settings": "/settings",
    "account": "/account",
    "not-found": "/phones/99",
}
OUTSIDE = {"login": "/login"}
# What somebody sees who may change nothing; and what is open by a press on a page of PAGES.
VIEWED = {"viewer-phone": "/phones/3000", "viewer-extensions": "/extensions?q=300", "nothing": "/phones?q=no"}
OPENED = {
    "phone": "/phones/3000",
    "extensions": "/extensions?q=300&edit=3001",
    "keys": "/keys?q=3021",
    "users": "/users",
    "files": "/files?path=files",
}
ROWS = """ext,pin,label
1101,482913,Ward 3 nurse station
1102,12ab,Pharmacy
1103,602941,"Boiler room, behind the second door on the left"
110x,602941,Boiler room
"""
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
# What Tab is to reach; a radio or a hidden thing aside.
FOCUSABLE = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"


@pytest.fixture(scope="module")
def furnished(world, administrator):
    """A site with phones in every state, two generations, files, users, tokens; some of it hostile."""
    rows = [f'{3000 + i},73519{i:02},"{NAMES[i % len(NAMES)]}"' for i in range(40)]
    rows += [f'{3900 + i},42731{i},"{text.replace(chr(34), chr(34) * 2)}"' for i, text in enumerate(HOSTILE)]
    world.ringkey("extension", "import", "-", typed="\n".join(rows))
    assert world.crowd({str(3000 + i): f"73519{i:02}" for i in range(20)}) == []
    assert world.crowd({f"{3900 + i}": f"42731{i}" for i in range(len(HOSTILE))}) == []
    assert len(world.crowd({str(3030 + i): "000000" for i in range(3)})) == 3
    world.ringkey("extension", "disable", "3039")
    world.ringkey("seed", "rotate", "--overlap", "7d")
    assert world.crowd({str(3020 + i): f"73519{20 + i}" for i in range(8)}) == []
    world.ringkey("key", "revoke", "--ext", "3019", "--reason", HOSTILE[0])
    world.ringkey("token", "add", HOSTILE[1], "--role", "viewer")
    world.ringkey("user", "invite", "night-desk", "--role", "operator")
    folder = world.site / "files"
    (folder / "firmware").mkdir(parents=True, exist_ok=True)
    (folder / "logo.png").write_bytes(bytes(4000))
    return administrator


def shown(visitor, path):
    """Go to a page and wait until it stands still."""
    visitor.page.goto(path)
    if visitor.page.locator("#link").count():
        visitor.live()
    visitor.page.evaluate("document.fonts.ready")
    return visitor.page


@pytest.fixture
def look(visit, furnished):
    """`look(scheme, size)` gives a visitor who is logged in."""

    def make(scheme="light", size=WIDE):
        return visit(scheme=scheme, size=size).log_in(furnished)

    return make


WINDOWS = pytest.mark.parametrize(
    "window",
    [{"scheme": scheme, "size": size} for size in (WIDE, NARROW) for scheme in ("light", "dark")],
    ids=lambda window: f"{window['scheme']}-{window['size'][0]}",
)


class Beholder:
    """Takes pictures in one window, and gathers what is wrong with what is seen there."""

    def __init__(self, window, axe):
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.name, self.axe, self.found = f"{window['scheme']}-{window['size'][0]}", axe, []

    def see(self, page, name):
        """Take a picture; hold what is shown, and what opens, against WCAG and the width of the window."""
        page.screenshot(path=PICTURES / f"{name}-{self.name}.png", full_page=True)
        beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        for _ in range(2):
            assert page.evaluate(beyond) <= 0, f"{name} is wider than the window"
            # What asks first is a part of the page too.
            page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        if self.axe is not None:
            self.found += [f"{name}: {one}" for one in violations(page, self.axe)]

    def end(self):
        """Fail with what was found; say so where nobody looked for it."""
        assert not self.found, "\n".join(self.found)
        if self.axe is None:
            pytest.skip(
                "the pictures are made; no axe-core to look at them: make test-browser installs it, with npm"
            )


@WINDOWS
def test_each_page(visit, look, axe, window):
    """A picture of each; none is wider than the window; axe-core finds nothing against WCAG 2.2 A and AA."""
    eye = Beholder(window, axe)
    before, inside = visit(**window), look(**window)
    for visitor, pages in ((before, OUTSIDE), (inside, PAGES)):
        for name, path in pages.items():
            eye.see(shown(visitor, path), name)
    _forgive_not_found(inside)
    eye.end()


@WINDOWS
def test_what_an_invited_viewer_sees(visit, world, axe, window, furnished):
    """The same of an invitation, of pages without deeds, and of a page that has lost its console."""
    eye = Beholder(window, axe)
    guest = visit(**window)
    link = world.invitation(f"guest-{eye.name}", "viewer")
    guest.page.goto(link)
    eye.see(guest.page, "invitation")
    guest.page.get_by_label("Password", exact=True).fill("correct horse battery staple")
    guest.page.get_by_label("Once more").fill("incorrect horse battery staple")
    guest.page.get_by_role("button", name="Set the password").click()
    guest.page.get_by_role("alert").wait_for()
    eye.see(guest.page, "invitation-refused")
    guest.trouble = [line for line in guest.trouble if "400" not in line]  # the browser says it too
    guest.enter(link)
    for name, path in VIEWED.items():
        eye.see(shown(guest, path), name)
    guest.page.route("**/live", lambda route: route.abort())
    guest.page.goto("/")
    guest.page.locator("#lost").wait_for()
    eye.see(guest.page, "lost")
    guest.trouble = [line for line in guest.trouble if "ERR_" not in line]
    eye.end()


@WINDOWS
def test_each_page_in_use(look, world, axe, window):
    """The same of what is there only after something was done: words, secrets, previews, what has opened."""
    eye = Beholder(window, axe)
    visitor = look(**window)
    page = shown(visitor, "/extensions")
    page.get_by_text("Add an extension").click()
    page.get_by_label("Extension", exact=True).fill(f"38{len(eye.name)}{window['size'][0]}")
    page.get_by_role("button", name="Add", exact=True).click()
    visitor.drawn()
    eye.see(page, "extension-added")
    shown(visitor, "/extensions/import")
    page.get_by_label("Or paste the rows").fill(ROWS)
    page.get_by_role("button", name="Show what will change").click()
    page.locator("#bad-rows").wait_for()
    eye.see(page, "import-preview")
    shown(visitor, "/users")
    page.locator("#token-name").fill(f"backup {eye.name}")
    page.get_by_role("button", name="Make a token").click()
    visitor.drawn()
    eye.see(page, "token-made")
    shown(visitor, "/account")
    page.locator("#on-password").fill("correct horse battery staple")
    page.get_by_role("button", name="Set it up").click()
    page.locator("#totp .qr").wait_for()
    eye.see(page, "authenticator")
    for name, path in OPENED.items():
        shown(visitor, path)
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        eye.see(page, f"{name}-open")
    world.ringkey("setting", "set", "keyserver.enrolment.policy", "window")
    world.ringkey("enrol", "open", "--minutes", "15")
    shown(visitor, "/keys?q=3027")
    page.get_by_role("timer").wait_for()
    eye.see(page, "enrolment")
    world.ringkey("enrol", "close")
    world.ringkey("setting", "set", "keyserver.enrolment.policy", "open")
    eye.end()


def violations(page, axe):
    """Return what axe-core finds on a page."""
    page.evaluate(axe)
    result = page.evaluate("tags => axe.run(document, {runOnly: tags})", TAGS)
    assert result["passes"], "axe-core looked at nothing"
    return [
        f"{one['id']}: {node['target']}: {node['failureSummary']}"
        for one in result["violations"]
        for node in one["nodes"]
    ]


def test_tab_reaches_everything(look):
    """On every page, from the first Tab on, each thing that can be used gets the focus, and shows it."""
    visitor = look()
    for name, path in PAGES.items():
        page = shown(visitor, path)
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        wanted = page.evaluate(
            """selector => {
                // Kept here and not on the elements: the page may be changed meanwhile, and keeps them.
                window.stops = [...document.querySelectorAll(selector)]
                    .filter(one => one.checkVisibility({visibilityProperty: true}))
                    .filter(one => !one.disabled && one.tabIndex >= 0);
                return window.stops.map(one => one.outerHTML.slice(0, 90)); }""",
            FOCUSABLE,
        )
        most = len(wanted)
        reached, unseen = set(), []
        page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
        for _ in range(most + 2):
            page.keyboard.press("Tab")
            stop, seen = page.evaluate(
                """() => { const one = document.activeElement, style = getComputedStyle(one);
                    return [window.stops.indexOf(one),
                        style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2]; }"""
            )
            if stop >= 0:
                reached.add(stop)
                if not seen:
                    unseen.append(wanted[stop])
            if len(reached) == most:
                break
        missing = [wanted[i] for i in range(most) if i not in reached]
        assert not missing, f"{name}: Tab does not reach {missing}"
        assert not unseen, f"{name}: the focus does not show on {unseen}"
    _forgive_not_found(visitor)


def test_by_keyboard_alone(visit, world, furnished):
    """Log in, add an extension, search for it, remove it, log out: no mouse."""
    visitor = visit()
    page = visitor.page
    page.goto("/login")
    assert page.evaluate("document.activeElement.name") == "name"
    page.keyboard.type(furnished)
    page.keyboard.press("Tab")
    page.keyboard.type("correct horse battery staple")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Overview", level=1).wait_for()
    _tab_to(page, "nav.main-nav a[href='/extensions']")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Extensions", level=1).wait_for()
    _tab_to(page, "#add summary")
    page.keyboard.press("Space")
    _tab_to(page, "#add-ext")
    page.keyboard.type("3801")
    page.keyboard.press("Enter")
    page.locator("#flashes .secrets").wait_for()
    _tab_to(page, "#q")
    page.keyboard.type("3801")
    page.locator("#x-3801").wait_for()
    _tab_to(page, "#x-3801 td.deed a")
    page.keyboard.press("Enter")
    page.locator("#edit").wait_for()
    _tab_to(page, "#do-remove summary")
    page.keyboard.press("Enter")
    _tab_to(page, "#do-remove button")
    page.keyboard.press("Enter")
    page.locator("#flashes", has_text="removed").wait_for()
    _tab_to(page, "header form[action='/logout'] button")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Log in").wait_for()


def test_markup_is_text(visit, world, furnished):
    """In labels, reasons, names of tokens, user agents, names tried at the door, and what is searched for."""
    for text in HOSTILE:
        stranger = visit()
        stranger.page.goto("/login")
        stranger.page.get_by_label("Name").fill(text[:64])
        stranger.page.get_by_label("Password").fill("wrong")
        stranger.page.get_by_role("button", name="Log in").click()
        stranger.page.get_by_role("alert").wait_for()
        assert stranger.page.get_by_label("Name").input_value() == text[:64]
        stranger.trouble = [line for line in stranger.trouble if "401" not in line and "429" not in line]
        world.ringkey("user", "list")  # the door's count is of this address: no more than its free tries
    visitor = visit(agent=AGENT).log_in(furnished)
    page = visitor.page
    page.on("dialog", lambda dialog: visitor.trouble.append(f"dialog: {dialog.message}"))
    page.add_init_script(
        "addEventListener('securitypolicyviolation', e => console.error('CSP: ' + e.violatedDirective))"
    )
    for path in ("/phones?q=39", "/extensions?q=39", "/extensions?q=39&edit=3900", "/labels?q=39"):
        shown(visitor, path)
        for text in HOSTILE:
            assert page.get_by_text(text, exact=True).first.is_visible(), (path, text)
    for path, text in (
        ("/phones/3900", HOSTILE[0]),
        ("/keys?revoked=yes", HOSTILE[0]),
        ("/users", HOSTILE[1]),
        ("/account", AGENT),
        (f"/files?path=files/{quote(FOLDER)}", FOLDER),
        # What the other tests did came later, and may fill the first page.
        *((f"/audit?q={quote(text)}", text) for text in HOSTILE[:2]),
    ):
        shown(visitor, path)
        assert page.get_by_text(text).first.is_visible(), (path, text)
    for text in HOSTILE:
        page.goto("/phones")
        page.get_by_label("Search").fill(text)
        page.get_by_role("button", name="Search").click()
        page.wait_for_function("text => new URLSearchParams(location.search).get('q') === text", arg=text)
        assert page.get_by_label("Search").input_value() == text
        page.goto(page.url)
        assert page.get_by_label("Search").input_value() == text
    shown(visitor, "/extensions/import")
    rows = "\n".join(
        f'{1104 + i},482913,"{text.replace(chr(34), chr(34) * 2)}"' for i, text in enumerate(HOSTILE)
    )
    page.get_by_label("Or paste the rows").fill(rows)
    page.get_by_role("button", name="Show what will change").click()
    for text in HOSTILE:
        assert page.locator("#good-rows").get_by_text(text, exact=True).is_visible()
    assert page.locator("main img, main script").count() == 0


def test_a_label_says_no_secret(look, world):
    """A sheet has extension, key server and root on it, and no PIN and no key."""
    page = shown(look(), "/labels?q=3000")
    page.emulate_media(media="print")
    assert not page.locator("header.top").is_visible()
    assert not page.locator("nav.main-nav").is_visible()
    assert page.locator("#sheet li").count() == 1
    page.emulate_media(media="screen")
    text = page.content()
    assert "7351900" not in text
    issued = json.loads(world.ringkey("key", "list", "--ext", "3000", "--json"))
    assert issued
    assert issued[0]["g"] not in text


def test_times_are_the_browsers_own(visit, furnished):
    """Also at the foot of a plot, and in what is said where one points at it."""
    visitor = visit(zone="Asia/Kathmandu").log_in(furnished)
    figure = shown(visitor, "/").locator("#plot-outcomes")
    began = figure.locator("time").first
    at = datetime.fromisoformat(began.get_attribute("datetime"))
    assert began.inner_text() == f"{at + KATHMANDU:%H:%M:%S}"
    column = figure.locator("rect.column").first
    at = datetime.fromtimestamp(int(column.get_attribute("data-at")), UTC)
    assert column.locator("title").text_content().startswith(f"{at + KATHMANDU:%H:%M:%S}: registered ")


def _tab_to(page, selector):
    for _ in range(400):
        if page.evaluate("selector => document.activeElement?.matches(selector) ?? false", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not come to {selector}")


def _forgive_not_found(visitor):
    """The browser's own line about the page that is not there."""
    visitor.trouble = [line for line in visitor.trouble if "404" not in line]
