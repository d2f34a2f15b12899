"""Real servers with real phones, administered: who is there, why not, and what can be done about it."""

import asyncio
import contextlib
import json
import time

import pytest
from harness.unixphone import UnixPhone, write_settings
from ras_phone import PIN, Phone, fetch_keys, record_of
from ringkey.administration.roles import Author, Role
from ringkey.administration.site import Administration
from ringkey.site.config import Site

OPERATOR = Author("olga", Role.OPERATOR, "console", "192.0.2.9")
ADMIN = Author("ann", Role.ADMINISTRATOR, "console", "192.0.2.9")
LIFE = 12  # s: a keepAlive every few seconds


@pytest.fixture
def servers(site, run_service, ringkey):
    """A key server and a gatekeeper, with extensions 1001 to 1004."""
    run_service.secrets.add(PIN)
    file = site / "import.csv"
    file.write_text("".join(f"{ext},{PIN},room {ext}\n" for ext in range(1001, 1005)))
    ringkey("--site", site, "extension", "import", file)
    file.unlink()
    keyserver = run_service(site, "keyserver", "serve")
    gatekeeper = run_service(site, "gatekeeper", "serve")
    gatekeeper.wait_for("key_server_ready")
    return keyserver, gatekeeper


@contextlib.asynccontextmanager
async def administration(site, live=True):
    made = Administration(Site(site))
    try:
        if live:
            await made.start()
        yield made
    finally:
        await made.stop()


async def heard(changes, wanted, seconds=60):
    """Return the first change that `wanted(change)` likes."""
    async with asyncio.timeout(seconds):
        async for change in changes:
            if wanted(change):
                return change
    raise AssertionError("the changes have ended")


async def until(ask, seconds=60):
    """Return what `await ask()` gives as soon as it is not false."""
    async with asyncio.timeout(seconds):
        while not (found := await ask()):  # noqa: ASYNC110 - what is asked tells nobody
            await asyncio.sleep(0.1)
        return found


def words(phone):
    return [line["words"] for line in phone["timeline"]]


@pytest.mark.timeout(300)
def test_a_real_phone_from_its_wrong_pin_to_its_end(servers, tmp_path):  # noqa: PLR0915 - one phone's day
    """A phone on MicroPython: wrong PIN, registered, new keys on demand, logged out, revoked."""
    keyserver, gatekeeper = servers
    settings = write_settings(
        tmp_path / "phone",
        keyserver.site / "phone" / "root.der",
        [f"127.0.0.1:{keyserver.ports['files']}"],
        renew_spread=500,
    )
    phone = UnixPhone(settings)

    async def log_in(pin):
        # A wrong PIN meets silence: three tries take up to 17.5 s, and 4 s the words for it.
        await asyncio.to_thread(phone.expect_display, "^Extension:", 60)
        phone.press("1001#")
        await asyncio.to_thread(phone.expect_display, "^PIN:")
        phone.press(pin + "#")

    async def within():
        async with administration(keyserver.site) as site, site.live.subscribe() as changes:

            def of_1001(change):
                return change["kind"] == "phone" and change["ext"] == "1001"

            async def shown(**wanted):
                found = await site.ask(OPERATOR, "phone", ext="1001")
                return found if all(found[name] == value for name, value in wanted.items()) else None

            await site.do(ADMIN, "setting.set", name="gatekeeper.time_to_live", value=str(LIFE))
            assert (await shown())["state"] == "absent"
            phone.power_on()
            await log_in("0000")
            await heard(changes, of_1001)
            found = await until(lambda: shown(state="failing"))
            assert found["failure"]["words"] == "wrong PIN, or another device's key"
            assert found["failure"]["step"] == "GRQ"
            assert any(text.startswith("keys fetched from 127.0.0.1: generation 1") for text in words(found))
            assert "GRQ not answered: wrong PIN, or another device's key" in words(found)
            overview = await site.ask(OPERATOR, "overview")
            assert overview["phones"]["failing"] == 1
            assert overview["reasons"][0] == {
                "step": "GRQ",
                "words": "wrong PIN, or another device's key",
                "phones": 1,
            }
            await log_in(PIN)
            found = await until(lambda: shown(state="registered"))
            assert found["failure"] is None
            assert found["generation"] == 1
            assert any(text.startswith("RCF sent: registered at 127.0.0.1:") for text in words(found))
            found = await until(lambda: _with_channel(shown))
            assert any(text.startswith("signalling channel open") for text in words(found))
            # The live mirror is what the pages are made from.
            assert site.live.following
            (row,) = (await site.ask(OPERATOR, "phones", state="registered"))["phones"]
            assert (row["ext"], row["label"], row["channel"]) == ("1001", "room 1001", found["channel"])

            done = await site.do(OPERATOR, "phone.refresh", ext="1001")
            assert done["ext"] == "1001"
            again = await until(lambda: _with_other_g(shown, found["g"]), 60)
            assert again["state"] == "registered"
            assert any("its keys are obsolete" in text for text in words(again))

            await site.do(OPERATOR, "phone.logout", ext="1001")
            await heard(changes, of_1001)
            ended = await until(lambda: shown(state="absent"))
            assert any(text.startswith("registration ended: ended here") for text in words(ended))
            await log_in(PIN)
            await until(lambda: shown(state="registered"))
            await site.do(OPERATOR, "key.revoke", by="ext", value="1001", reason="lost")
            gone = await until(lambda: shown(state="absent"))
            assert any("revoked since" in text for text in words(gone))
            audit = await site.ask(ADMIN, "audit", log="admin", limit=10, search="1001")
            assert [(one["action"], one["author"], one["outcome"]) for one in audit["lines"][:3]] == [
                ("key.revoke", "olga", "done"),
                ("phone.logout", "olga", "done"),
                ("phone.refresh", "olga", "done"),
            ]

    try:
        asyncio.run(within())
    finally:
        phone.power_cut()


async def _with_channel(shown):
    found = await shown(state="registered")
    return found if found and found["channel"] else None


async def _with_other_g(shown, g):
    found = await shown(state="registered")
    return found if found and found["g"] not in (None, g) else None


def test_the_console_hears_of_everything_as_it_happens(servers, run_service, ringkey):
    keyserver, gatekeeper = servers
    phones = [
        Phone(
            record_of(fetch_keys(keyserver.site, keyserver.ports["files"], ext), ext),
            ("127.0.0.1", gatekeeper.ports["ras"]),
        )
        for ext in ("1001", "1002")
    ]
    run_service.secrets.update(
        secret for one in phones for secret in (one.record.kg.hex(), one.record.ka.hex())
    )

    async def within():
        async with administration(keyserver.site) as site, site.live.subscribe() as changes:
            await until(_true(lambda: site.live.following))
            for phone in phones:
                assert await asyncio.to_thread(phone.register) is not None
                await heard(changes, lambda change, phone=phone: change.get("ext") == phone.record.ext)
            assert set(site.live.registrations) == {"1001", "1002"}
            await heard(changes, lambda change: change["kind"] == "overview")
            # What the command line changes is heard of, too.
            await asyncio.to_thread(ringkey, "--site", keyserver.site, "extension", "disable", "1002")
            await heard(changes, lambda change: change["kind"] == "changed")
            await until(_true(lambda: set(site.live.registrations) == {"1001"}))
            found = await site.ask(OPERATOR, "phones")
            assert found["counts"] == {"registered": 1, "failing": 0, "absent": 2, "disabled": 1}
            series = await site.ask(OPERATOR, "series", name="registered", seconds=60)
            assert max(value for _, value in series["lines"][0]["points"]) == 2
            outcomes = await site.ask(OPERATOR, "series", name="outcomes", seconds=60)
            total = {
                line["name"]: sum(value or 0 for _, value in line["points"]) for line in outcomes["lines"]
            }
            assert total["registered"] > 0
            # A gatekeeper that is away is said to be, and followed again when it is back.
            await asyncio.to_thread(gatekeeper.stop)
            await heard(changes, lambda change: change == {"kind": "lost", "server": "gatekeeper"})
            assert site.live.registrations == {}
            problems = (await site.ask(OPERATOR, "overview"))["servers"][1]["problems"]
            assert problems[0]["next"] == "ringkey gatekeeper serve"
            back = run_service(keyserver.site, "gatekeeper", "serve", ready=False)
            await asyncio.to_thread(back.wait_for, "ready")
            await heard(changes, lambda change: change == {"kind": "back", "server": "gatekeeper"})
            await until(_true(lambda: set(site.live.registrations) == {"1001"}))

    try:
        asyncio.run(within())
    finally:
        for phone in phones:
            phone.socket.close()


def _true(condition):
    async def ask():
        return condition()

    return ask


def test_settings_hold_at_once_where_they_say_so(servers, ringkey):
    keyserver, gatekeeper = servers
    site = keyserver.site

    async def within():
        async with administration(site, live=False) as admin:
            life = await admin.do(ADMIN, "setting.set", name="gatekeeper.time_to_live", value="77")
            window = await admin.do(ADMIN, "setting.set", name="keyserver.enrolment.policy", value="window")
            cast = await admin.do(ADMIN, "setting.set", name="gatekeeper.multicast", value="false")
            return life, window, cast

    life, window, cast = asyncio.run(within())
    assert (life["applied"], life["restart"], window["applied"]) == (True, False, True)
    assert (cast["applied"], cast["restart"]) == (False, True)
    with pytest.raises(AssertionError, match="takes no new phones"):
        fetch_keys(site, keyserver.ports["files"], "1003")
    refused = json.loads(ringkey("--site", site, "phone", "show", "1003", "--json").stdout)
    assert refused["state"] == "failing"
    assert refused["failure"]["words"] == "it got no keys: the enrolment window is closed"
    ringkey("--site", site, "enrol", "open", "--minutes", "5")
    phone = Phone(
        record_of(fetch_keys(site, keyserver.ports["files"], "1003"), "1003"),
        ("127.0.0.1", gatekeeper.ports["ras"]),
    )
    try:
        assert phone.register() is not None
        shown = json.loads(ringkey("--site", site, "phone", "show", "1003", "--json").stdout)
        # The time to live and the registrar's grace of 10 s.
        assert 30 < shown["expires"] - time.time() <= 88
    finally:
        phone.socket.close()


def test_commands_say_what_the_console_says(servers, ringkey):
    keyserver, gatekeeper = servers
    site = keyserver.site
    phone = Phone(
        record_of(fetch_keys(site, keyserver.ports["files"], "1001"), "1001"),
        ("127.0.0.1", gatekeeper.ports["ras"]),
    )
    try:
        assert phone.register() is not None
        listed = ringkey("--site", site, "phone", "list").stdout
        assert "4 of 4 shown; in all 0 failing, 3 absent, 1 registered, 0 disabled" in listed
        assert "RCF sent: registered at" in ringkey("--site", site, "phone", "show", "1001").stdout
        assert "\x1b" not in listed  # no terminal, no colours
        status = json.loads(ringkey("--site", site, "status", "--json").stdout)
        assert status["overview"]["check_values"]["agree"] is True
        assert [one["ready"] for one in status["overview"]["servers"]] == [True, True]
        assert "phones      1 registered" in ringkey("--site", site, "status").stdout
        assert "100%" in ringkey("--site", site, "seed", "progress").stdout
        assert "ended" in ringkey("--site", site, "phone", "logout", "1001").stdout
        again = ringkey("--site", site, "phone", "logout", "1001", check=False)
        assert again.returncode == 1
        assert "no phone is registered as 1001" in again.stderr
        audit = json.loads(ringkey("--site", site, "audit", "list", "--log", "admin", "--json").stdout)
        assert [(one["action"], one["outcome"]) for one in audit["lines"][:2]] == [
            ("phone.logout", "failed"),
            ("phone.logout", "done"),
        ]
        assert "whole: " in ringkey("--site", site, "audit", "verify").stdout
        file = site / "one.bin"
        file.write_bytes(b"firmware")
        ringkey("--site", site, "file", "put", "files/firmware/one.bin", file)
        assert "one.bin" in ringkey("--site", site, "file", "list", "files/firmware").stdout
        assert ringkey("--site", site, "file", "put", "files/../x", file, check=False).returncode == 1
        complete = ringkey("--site", site, "completion", "bash").stdout
        assert "_RINGKEY_COMPLETE=bash_complete" in complete
    finally:
        phone.socket.close()
