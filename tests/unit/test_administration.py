"""The administration's table: roles, values, the record; and that every entry has its command."""

import asyncio
import hashlib
import json
import re
import threading
from pathlib import Path

import pytest
from ringkey.administration import audit, catalogue
from ringkey.administration.record import Record, Unrecorded
from ringkey.administration.roles import Author, Forbidden, Role, role_of
from ringkey.administration.settings import SETTINGS
from ringkey.administration.site import Administration, Unknown
from ringkey.administration.table import Action, Parameter, Query
from ringkey.administration.values import ON_RECORD, BadValue, checked, on_record
from ringkey.cli import commands_table
from ringkey.errors import UserError
from ringkey.keyserver import enrolment, office, trail
from ringkey.site import config, edit
from ringkey.site.config import Site

ROOT = Path(__file__).resolve().parents[2]
ADMIN = Author("ann", Role.ADMINISTRATOR, "console", "192.0.2.7")
VIEWER = Author("vic", Role.VIEWER, "api", "192.0.2.8")
TOML = """\
[gatekeeper]
listen = "127.0.0.1"
time_to_live = 300          # seconds
[gatekeeper.throttle]
ignore = 30
ignore_max = 3600
"""


async def nothing(_administration, _author, **_values):
    return {}


def entry(*parameters):
    return Action("thing.do", Role.OPERATOR, "Do a thing", ("thing", "do"), nothing, parameters)


@pytest.fixture
def site(tmp_path):
    (tmp_path / "ringkey.toml").write_text(TOML)
    (tmp_path / "gatekeeper").mkdir()
    return tmp_path


def run(site, work):
    """Return what `work(administration)` gives, and the lines of the record afterwards."""

    async def within():
        administration = Administration(Site(site))
        try:
            return await work(administration)
        finally:
            await administration.stop()

    return asyncio.run(within())


def lines(site):
    path = site / "admin" / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


# -- the table


def test_every_entry_has_a_command():
    assert commands_table.missing() == []
    assert len(catalogue.actions()) >= 19
    assert len(catalogue.queries()) >= 17


def test_an_entry_without_a_command_is_found(monkeypatch):
    made = entry()
    monkeypatch.setattr(catalogue, "actions", lambda: {made.name: made})
    assert commands_table.missing() == ["thing.do: ringkey thing do"]


def test_commands_md_is_what_the_table_makes():
    assert (ROOT / "docs" / "commands.md").read_text() == commands_table.text()


def test_every_action_and_query_has_a_schema_that_names_its_values():
    for one in (*catalogue.actions().values(), *catalogue.queries().values()):
        assert one.result["type"] == "object", one.name
        assert isinstance(one, Action) == (one.name in catalogue.actions())
        for parameter in one.parameters:
            assert parameter.schema()["description"], one.name
            if parameter.kind == "choice":
                assert parameter.choices, one.name


def test_the_limits_are_those_of_the_servers():
    found = {one.name: one for one in catalogue.actions()["enrolment.open"].parameters}
    assert (found["minutes"].most, found["phones"].most) == (enrolment.MAX_MINUTES, enrolment.MAX_PHONES)
    found = {one.name: one for one in catalogue.actions()["seed.rotate"].parameters}
    assert found["overlap"].most == office.MAX_OVERLAP
    found = {one.name: one for one in catalogue.actions()["key.revoke"].parameters}
    assert found["by"].choices == office.BY
    assert found["reason"].longest == office.MAX_REASON


# -- values


@pytest.mark.parametrize(
    ("parameter", "given", "made"),
    [
        (Parameter("a", "text", "A"), "Özil <b>", "Özil <b>"),
        (Parameter("a", "integer", "A", least=1, most=9), "9", 9),
        (Parameter("a", "integer", "A"), 3.0, 3),
        (Parameter("a", "flag", "A"), "on", True),
        (Parameter("a", "flag", "A"), "false", False),
        (Parameter("a", "choice", "A", choices=("x", "y")), "y", "y"),
        (Parameter("a", "content", "A"), "AAE=", b"\x00\x01"),
        (Parameter("a", "text", "A", required=False, default="d"), None, "d"),
        (Parameter("a", "integer", "A", required=False), None, None),
        (Parameter("a", "text", "A", lines=True), "1,\r\n2\t", "1,\r\n2\t"),
    ],
)
def test_good_values(parameter, given, made):
    assert checked(entry(parameter), {} if given is None else {"a": given}) == {"a": made}


@pytest.mark.parametrize(
    ("parameter", "given", "said"),
    [
        (Parameter("a", "text", "the A"), None, "the A is wanted"),
        (Parameter("a", "text", "A"), 7, "a text is wanted"),
        (Parameter("a", "text", "A", most=3), "1234", "up to 3 characters"),
        (Parameter("a", "text", "A", least=2), "1", "2 characters or more"),
        (Parameter("a", "text", "A"), "x" * 501, "up to 500 characters"),
        (Parameter("a", "text", "A"), "two\nlines", "printable"),
        (Parameter("a", "text", "A"), "\x1b[31m", "printable"),
        (Parameter("a", "text", "A"), "\ud800", "printable"),
        (Parameter("a", "secret", "A"), "\ud800", "half a character"),
        (Parameter("a", "text", "A", pattern="[0-9]+"), "12x", "not of the form"),
        (Parameter("a", "integer", "A", least=1, most=9), 10, "1 to 9"),
        (Parameter("a", "integer", "A"), True, "whole number"),
        (Parameter("a", "integer", "A"), "9" * 400, "whole number"),
        (Parameter("a", "integer", "A"), 1.5, "whole number"),
        (Parameter("a", "flag", "A"), "perhaps", "true or false"),
        (Parameter("a", "choice", "A", choices=("x", "y")), "z", "there are x, y"),
        (Parameter("a", "content", "A"), "no base64", "base64"),
        (Parameter("a", "content", "A", most=3), b"1234", "up to 3 octets"),
        (Parameter("a", "content", "A", most=3), "A" * 100, "up to 3 octets"),
    ],
)
def test_bad_values_are_named(parameter, given, said):
    with pytest.raises(BadValue, match=re.escape(said)) as caught:
        checked(entry(parameter), {} if given is None else {"a": given})
    assert caught.value.parameter == "a"
    assert caught.value.next_step == "ringkey thing do --help"


def test_a_value_that_nobody_asked_for_is_refused():
    with pytest.raises(BadValue, match="no parameter 'b'"):
        checked(entry(Parameter("a", "text", "A")), {"a": "1", "b": "2"})


def test_no_secret_goes_on_record():
    parameters = (
        Parameter("a", "secret", "A"),
        Parameter("b", "content", "B"),
        Parameter("c", "text", "C"),
    )
    found = on_record(entry(*parameters), {"a": "4711", "b": b"octets", "c": "y" * 900})
    assert found["b"] == {"octets": 6, "sha256": hashlib.sha256(b"octets").hexdigest()}
    assert "a" not in found
    assert "4711" not in json.dumps(found)
    assert len(found["c"]) == ON_RECORD


# -- roles and the record


def test_a_role_may_what_the_ones_before_it_may():
    assert Role.VIEWER < Role.OPERATOR < Role.ADMINISTRATOR
    assert role_of("operator") is Role.OPERATOR
    with pytest.raises(UserError, match="viewer, operator, administrator"):
        role_of("root")


def test_every_action_is_refused_below_its_role_and_that_is_on_record(site):
    async def work(administration):
        for one in catalogue.actions().values():
            if one.role > Role.VIEWER:
                below = Author("vic", Role(one.role - 1), "api", "192.0.2.8")
                with pytest.raises(Forbidden):
                    await administration.do(below, one.name)
        for one in catalogue.queries().values():
            if one.role > Role.VIEWER:
                with pytest.raises(Forbidden):
                    await administration.ask(VIEWER, one.name)

    run(site, work)
    refused = [line for line in lines(site) if line["what"] == "refused"]
    # Not more than so many a second: the rest is counted in the next one that is written.
    told = sum(1 + line.get("left_out", 0) for line in refused)
    assert told >= 15
    assert {line["author"] for line in refused} == {"vic"}
    assert all(line["reason"] == "role" for line in refused)


def test_a_change_is_on_record_before_and_after(site):
    async def work(administration):
        done = await administration.do(ADMIN, "extension.add", ext="1001", pin="4711", label="Ann")
        with pytest.raises(UserError, match="there already"):
            await administration.do(ADMIN, "extension.add", ext="1001", pin="4711")
        with pytest.raises(BadValue):
            await administration.do(ADMIN, "extension.add", pin="4711")
        with pytest.raises(Unknown):
            await administration.do(ADMIN, "extension.explode")
        return done

    assert run(site, work) == {"ext": "1001", "pin": None}
    found = lines(site)
    assert [line["what"] for line in found] == ["asked", "done", "asked", "failed", "refused", "refused"]
    assert found[1]["of"] == 1
    assert found[1]["values"] == {"ext": "1001", "label": "Ann", "draw": False}
    assert (found[1]["author"], found[1]["way"], found[1]["source"]) == ("ann", "console", "192.0.2.7")
    assert found[3]["reason"] == "extension 1001 is there already"
    assert "4711" not in (site / "admin" / "audit.jsonl").read_text()
    assert trail.verify(site / "admin" / "audit.jsonl").problem is None


def test_what_cannot_be_put_on_record_is_not_done(site):
    async def work(administration):
        (site / "admin").mkdir()
        (site / "admin" / "audit.jsonl").mkdir()
        with pytest.raises(Unrecorded, match="nothing was changed"):
            await administration.do(ADMIN, "extension.add", ext="1001", pin="4711")
        return await administration.ask(ADMIN, "extensions")

    assert run(site, work)["total"] == 0


def test_two_processes_write_one_record(tmp_path):
    """Each opens it for every line: what a command writes, the console goes on from."""
    records = [Record(tmp_path / "admin") for _ in range(4)]

    def write(record):
        async def some():
            for i in range(10):
                await record.write(ADMIN, "done", action=f"thing.{i}")

        asyncio.run(some())

    threads = [threading.Thread(target=write, args=(record,)) for record in records]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = trail.verify(records[0].path)
    assert (report.problem, report.lines) == (None, 40)


def test_a_flood_of_refusals_does_not_fill_the_disk(tmp_path):
    record = Record(tmp_path / "admin")

    async def flood():
        for _ in range(500):
            await record.refused(VIEWER, "request", "no session")

    asyncio.run(flood())
    found = [json.loads(line) for line in record.path.read_text().splitlines()]
    assert len(found) <= 100
    assert all(line["what"] == "refused" for line in found)


def test_a_line_is_never_too_long_for_the_trail(tmp_path):
    record = Record(tmp_path / "admin")
    values = {str(i): "\N{GRINNING FACE}" * 150 for i in range(20)}
    asyncio.run(record.write(ADMIN, "done", action="thing", values=values))
    (line,) = [json.loads(line) for line in record.path.read_text().splitlines()]
    assert line["values"] == "too long for the record"
    assert trail.verify(record.path).problem is None


def test_the_record_is_searched_from_its_end(site, monkeypatch):
    monkeypatch.setattr(audit, "_BLOCK", 100)  # so that lines lie across blocks

    async def work(administration):
        for ext in range(1000, 1012):
            await administration.do(ADMIN, "extension.add", ext=str(ext), pin="1", label=f"room {ext}")
        first = await administration.ask(ADMIN, "audit", limit=5)
        rest = await administration.ask(ADMIN, "audit", limit=50, before=first["before"])
        found = await administration.ask(ADMIN, "audit", search="ROOM 1003")
        return first, rest, found

    first, rest, found = run(site, work)
    # "asked" is left out where what came of it is told.
    assert [line["n"] for line in first["lines"]] == [24, 22, 20, 18, 16]
    assert [line["n"] for line in rest["lines"]] == [14, 12, 10, 8, 6, 4, 2]
    assert rest["before"] is None
    assert [(one["outcome"], one["text"]) for one in found["lines"]] == [
        ("done", "values ext=1003 label=room 1003 draw=False")
    ]


# -- settings


def test_a_setting_changes_one_line_of_the_configuration(site):
    async def work(administration):
        done = await administration.do(ADMIN, "setting.set", name="gatekeeper.time_to_live", value="200")
        more = await administration.do(ADMIN, "setting.set", name="gatekeeper.log_lines", value="7")
        new = await administration.do(ADMIN, "setting.set", name="gatekeeper.throttle.failures", value="3")
        with pytest.raises(UserError, match="smaller than ignore"):
            await administration.do(ADMIN, "setting.set", name="gatekeeper.throttle.ignore", value="3601")
        return done, more, new, await administration.ask(ADMIN, "settings")

    done, more, new, found = run(site, work)
    assert (done["value"], done["before"], done["applied"], done["restart"]) == (200, 300, False, False)
    assert (more["before"], new["before"]) == (100, 10)
    text = (site / "ringkey.toml").read_text()
    assert "time_to_live = 200          # seconds\n" in text
    assert "ignore = 30\n" in text
    values = {one["name"]: one["value"] for one in found["settings"]}
    assert values["gatekeeper.time_to_live"] == 200
    assert values["gatekeeper.throttle.failures"] == 3
    assert "keyserver.enrolment.policy" not in values  # this site has none


@pytest.mark.parametrize("value", ["", "-1", "5", "86401", "true", "1e3", "٣٠٠", "300\n", "9" * 99])
def test_a_setting_out_of_its_limits_changes_nothing(site, value):
    async def work(administration):
        with pytest.raises(UserError):
            await administration.do(ADMIN, "setting.set", name="gatekeeper.time_to_live", value=value)

    run(site, work)
    assert (site / "ringkey.toml").read_text() == TOML


def test_every_setting_is_one_that_the_configuration_takes_at_its_limits(site):
    for one in SETTINGS:
        if one.server != "gatekeeper":
            continue
        for value in (one.least, one.most) if one.kind == "integer" else (True, False):
            table, key = one.place
            if key in ("ignore", "ignore_max"):
                continue  # each is a limit of the other
            text = edit.with_value(TOML, table, key, value)
            assert text is not None, one.name
            config.parse(site / "ringkey.toml", text.encode())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('[a]\nx = "p"  # why\n', '[a]\nx = "q"  # why\n'),
        ("[a]\ny = 1\n[b]\nx = 1\n", '[a]\nx = "q"\ny = 1\n[b]\nx = 1\n'),
        ("[b]\nx = 1", '[b]\nx = 1\n\n[a]\nx = "q"\n'),
        ("[a] # here\n  # x = 1\nx=5", '[a] # here\n  # x = 1\nx = "q"\n'),
        ("[a]\nx = [1,\n2]\n", None),
        ('[a]\ns = """\nx = 1\n"""\n', None),
        ("a = {x = 1}\n", None),
    ],
)
def test_one_value_is_edited_or_none(before, after):
    assert edit.with_value(before, "a", "x", "q") == after


def test_queries_are_not_actions():
    assert not isinstance(Query("q", Role.VIEWER, "Q", ("status",), nothing), Action)
