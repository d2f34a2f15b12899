"""From the first log-in to the log-out: an administrator's day with a real browser, servers and phones."""

import re

import pytest

# Until a phone that gets no answer gives up: three tries take 14 to 17.5 s (protocol.md section 6).
SILENCE = 40.0  # the harness adds its own patience
# ms until what a phone has done is on the page: one or two seconds, and all that a busy machine may add.
SOON = 60_000
# ms until phones that fetch new keys at leisure have them (harness/bench.py RENEWAL).
RENEWED = 180_000

GOOD = """ext,pin,label
1101,482913,Ward 3 nurse station
1102,591037,Pharmacy
1103,602941,Boiler room
"""
BAD = """ext,pin,label
1101,482913,Ward 3 nurse station
1102,12ab,Pharmacy
110x,602941,Boiler room
1101,602941,Ward 3 again
"""


@pytest.fixture(scope="module")
def expect():
    return pytest.importorskip("playwright.sync_api").expect


def test_a_day(visit, world, expect):  # noqa: PLR0915 - one day, in its order
    boss = visit()
    page = boss.page

    # First log-in, by the link that `ringkey user invite` prints; it works once.
    link = world.invitation("boss", "administrator")
    boss.enter(link).live()
    expect(page.locator("#verdict")).to_be_visible()
    expect(page.locator("#check-values")).to_contain_text("Agree")

    # An extension with a PIN that is drawn and shown once.
    page.get_by_role("link", name="Extensions", exact=True).click()
    page.get_by_text("Add an extension").click()
    page.get_by_label("Extension", exact=True).fill("1001")
    page.get_by_label("Label").first.fill("Ann, room 5")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#flashes")).to_contain_text("Extension 1001 is added")
    pin = boss.drawn()
    assert re.fullmatch("[0-9]{6}", pin)
    page.reload()
    expect(page.locator("#flashes .secrets")).to_have_count(0)

    # Its phone registers and is there without a reload and without a flicker.
    page.get_by_role("link", name="Phones", exact=True).click()
    page.get_by_label("Search").fill("1001")
    row = page.locator("#p-1001")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(row).to_contain_text("Not registered")
    boss.live()
    page.evaluate("document.getElementById('p-1001').dataset.same = 'yes'; window.stays = true")
    search = page.get_by_label("Search")
    search.focus()
    phone = world.phone("ann")
    phone.wait_boot()
    phone.log_in("1001", pin)
    phone.expect_display("^Registered\n1001")
    expect(row.locator(".pill")).to_have_text("Registered", timeout=SOON)
    assert page.evaluate("window.stays") is True, "the page was loaded anew"
    expect(search).to_be_focused()
    expect(search).to_have_value("1001")

    # Another phone is given a wrong PIN: the page says why it fails, and what to do.
    user = world.bench.user()
    other = world.phone("ben")
    other.wait_boot()
    page.goto(f"/phones/{user.ext}")
    boss.live()
    other.log_in(user.ext, user.wrong_pin)
    expect(page.locator("#why")).to_contain_text("Wrong PIN", timeout=SOON)
    expect(page.locator("#why")).to_contain_text("GRQ")
    expect(page.locator("#why")).to_contain_text("set a new PIN")
    expect(page.locator("#time-line")).to_contain_text("Not answered")
    page.goto("/")
    expect(page.locator(f"#fail-{user.ext}")).to_contain_text("Wrong PIN")
    other.expect_display("^Log-in failed", SILENCE)
    other.expect_display("^Extension:", 60)
    other.log_in(user.ext, user.pin)
    other.expect_display(f"^Registered\n{user.ext}")
    expect(page.locator(f"#fail-{user.ext}")).to_have_count(0, timeout=SOON)

    # Rotation to its end: the phones move by themselves, and the page with them.
    page.get_by_role("link", name="Keys", exact=True).click()
    boss.live()
    boss.deed("Begin a new generation", "Begin generation 2")
    expect(page.locator("#flashes")).to_contain_text("Generation 2 has begun")
    assert len(boss.drawn().split()) == 24
    expect(page.locator("#rotation")).to_contain_text("All phones have moved", timeout=RENEWED)
    expect(page.locator("#rotation")).to_contain_text("All 2 registered phones")
    expect(page.locator("#plot-rotation svg path.line").first).to_be_attached(timeout=SOON)

    # A phone was stolen: its keys are revoked, and it goes while the page is looked at.
    page.goto("/phones/1001")
    boss.live()
    expect(page.locator("#state")).to_contain_text("Registered")
    page.locator("#do-revoke summary").click()
    page.get_by_label("Reason").fill("stolen from room 5")
    page.get_by_role("button", name="Revoke the keys of 1001").click()
    expect(page.locator("#flashes")).to_contain_text("revoked")
    expect(page.locator("#time-line")).to_contain_text("Registration ended", timeout=SOON)
    page.goto("/keys?revoked=yes")
    expect(page.locator("#keys")).to_contain_text("stolen from room 5")

    # A list with three bad rows changes nothing and names each; the mended one is imported.
    page.goto("/extensions")
    page.get_by_role("link", name="Import").click()
    page.get_by_label("CSV file").set_input_files(
        {"name": "new.csv", "mimeType": "text/csv", "buffer": BAD.encode()}
    )
    page.get_by_role("button", name="Show what will change").click()
    bad = page.locator("#bad-rows tbody tr")
    expect(bad).to_have_count(3)
    assert [bad.nth(i).locator("td").first.inner_text() for i in range(3)] == ["3", "4", "5"]
    expect(page.get_by_role("button", name=re.compile("^Import"))).to_have_count(0)
    page.get_by_label("Or paste the rows").fill(GOOD)
    page.get_by_role("button", name="Show what will change").click()
    expect(page.locator("#good-rows tbody tr")).to_have_count(3)
    page.get_by_role("button", name="Import 3 extensions").click()
    expect(page.locator("#flashes")).to_contain_text("3 added")
    page.get_by_label("Search").fill("Boiler")
    expect(page.locator("#x-1103")).to_be_visible()
    expect(page.locator("#extensions tbody tr")).to_have_count(1)

    # All of it is on record, with its author; no PIN is.
    page.get_by_role("link", name="Audit trail").click()
    page.get_by_label("Search").fill("boss")
    table = page.locator("#audit")
    for action in ("extension.add", "seed.rotate", "key.revoke", "extension.import"):
        expect(table).to_contain_text(action)
    assert pin not in page.content()

    # Log-out ends the session for good.
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.goto("/phones")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.goto(link)
    expect(page.get_by_role("heading", level=1)).to_have_text("Not Found")
    boss.trouble = [line for line in boss.trouble if "404" not in line]  # that one was meant


def test_without_javascript(visit, world, administrator, expect):
    """Forms and redirects are enough."""
    plain = visit(javascript=False).log_in(administrator)
    page = plain.page
    page.get_by_role("link", name="Extensions", exact=True).click()
    page.get_by_text("Add an extension").click()
    page.get_by_label("Extension", exact=True).fill("1201")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#flashes")).to_contain_text("Extension 1201 is added")
    page.get_by_label("Search").fill("1201")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#extensions tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Change 1201").click()
    page.locator("#do-remove summary").click()
    page.get_by_role("button", name="Remove 1201").click()
    expect(page.locator("#flashes")).to_contain_text("removed")
    page.goto("/phones?q=1201")
    expect(page.locator("tbody")).to_contain_text("No phone fits")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_lost_console_is_said(visit, world, administrator, expect):
    visitor = visit().log_in(administrator)
    page = visitor.page
    visitor.live()
    world.console.stop()
    expect(page.locator("#lost")).to_contain_text("does not answer", timeout=SOON)
    expect(page.locator("#link")).to_have_text("Not connected")
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    visitor.trouble = [line for line in visitor.trouble if "ERR_" not in line]  # the browser says it too


def test_a_lost_gatekeeper_is_said(visit, world, administrator, expect):
    if not world.console.running:
        world.console.start()  # on another port: the visitor is a new one
    visitor = visit().log_in(administrator)
    visitor.live()
    world.bench.gatekeeper.stop()
    expect(visitor.page.locator("#server-gatekeeper")).to_contain_text("Not running", timeout=SOON)
    expect(visitor.page.locator("#verdict")).to_contain_text("Needs you: gatekeeper")
    world.bench.gatekeeper.start()
    expect(visitor.page.locator("#server-gatekeeper .pill")).to_have_text("Running", timeout=SOON)
