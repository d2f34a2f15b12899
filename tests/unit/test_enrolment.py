"""Who gets keys: limits, the window, the list, and the commands that change them."""

import json
import threading

import pytest
from ringkey.errors import UserError
from ringkey.keyserver import enrolment as module
from ringkey.keyserver import enrolment_list as lists
from ringkey.keyserver import limits
from ringkey.keyserver.enrolment import Enrolment
from ringkey.keyserver.limits import Limit, network
from ringkey.site.keyserver_tables import EnrolmentConfig

NOW = 1_800_000_000.0


def policy(tmp_path, name="open", source=0, extension=0):
    return Enrolment(EnrolmentConfig(tmp_path, name, source, extension))


def code(denied):
    return None if denied is None else denied.code


# ---- limits


@pytest.mark.parametrize("period", [60.0, 3600.0])
@pytest.mark.parametrize("count", [1, 3, 7, 10])
def test_a_whole_count_is_allowed_at_whatever_time(count, period):
    """Seconds are added up and taken off again; what rounding leaves is no reason to wait."""
    for now in (*(0.1 * i for i in range(2000)), *(NOW + 0.37 * i for i in range(2000))):
        limit = Limit(count, period)
        for _ in range(count):
            assert limit.wait("a", now) == 0
            limit.take("a", now)
        assert limit.wait("a", now) == pytest.approx(period / count, abs=1e-3)


def test_a_limit_allows_its_count_at_once_and_then_evenly():
    limit = Limit(3, 60.0)
    for _ in range(3):
        assert limit.wait("a", 100.0) == 0
        limit.take("a", 100.0)
    assert limit.wait("a", 100.0) == pytest.approx(20)
    assert limit.wait("b", 100.0) == 0
    assert limit.wait("a", 119.9) > 0
    assert limit.wait("a", 120.1) == 0
    limit.take("a", 120.1)
    assert limit.wait("a", 120.1) > 19
    assert all(limit.wait("a", 1000.0) == 0 for _ in range(5))


def test_no_limit_and_a_bounded_memory(monkeypatch):
    nothing = Limit(0, 60.0)
    for _ in range(100):
        nothing.take("a", 0.0)
    assert nothing.wait("a", 0.0) == 0
    assert len(nothing) == 0
    monkeypatch.setattr(limits, "MAX_KEYS", 10)
    limit = Limit(1, 60.0)
    for i in range(100):
        limit.take(i, 0.0)
    assert len(limit) == 10
    assert limit.wait(99, 0.0) > 0
    assert limit.wait(0, 0.0) == 0


@pytest.mark.parametrize(
    ("address", "whose"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
    ],
)
def test_whose_address(address, whose):
    assert network(address) == whose


def test_limits_per_source_and_per_extension(tmp_path):
    ours = policy(tmp_path, source=3, extension=2)
    assert [code(ours.admit("192.0.2.1", "100", None)) for _ in range(3)] == [None, None, "extension-limit"]
    assert [code(ours.admit("192.0.2.1", str(ext), None)) for ext in (101, 102)] == [None, "source-limit"]
    denied = ours.admit("192.0.2.1", "103", None)
    assert (denied.status, denied.again) == (429, 20)
    # One address that asks for an extension again and again does not lock it for its own phone.
    assert ours.admit("192.0.2.2", "100", None) is None
    # Many of them together come to an end as well.
    codes = [code(ours.admit(f"198.51.100.{i}", "100", None)) for i in range(30)]
    assert codes.count(None) == 2 * module.EVERYWHERE - 3
    # A request without an extension has no extension's limit.
    unnamed = policy(tmp_path, extension=1)
    assert [code(unnamed.admit("192.0.2.1", None, None)) for _ in range(3)] == [None] * 3


# ---- the window


def test_a_window_for_a_time(tmp_path):
    ours = policy(tmp_path, "window")
    denied = ours.admit("a", "100", None, NOW)
    assert (denied.status, denied.code, denied.again) == (403, "window-closed", module.CLOSED_AGAIN)
    ours.open_window(30, None, NOW)
    assert ours.admit("a", "100", None, NOW + 1799) is None
    assert code(ours.admit("a", "100", None, NOW + 1800)) == "window-closed"
    # A clock that is set back a year opens nothing.
    assert code(ours.admit("a", "100", None, NOW - 365 * 86400)) == "window-closed"
    ours.open_window(30, None, NOW)
    ours.close_window()
    assert code(ours.admit("a", "100", None, NOW)) == "window-closed"


def test_a_window_for_a_number_of_phones_is_durable(tmp_path):
    policy(tmp_path, "window").open_window(30, 2, NOW)
    assert policy(tmp_path, "window").admit("a", "100", "S1", NOW) is None
    ours = policy(tmp_path, "window")  # another process, after a crash
    assert ours.admit("a", "100", "S1", NOW) is None  # the same phone again
    assert ours.admit("a", "101", "S1", NOW) is None  # a second extension takes a second place
    assert code(ours.admit("a", "102", None, NOW)) == "window-full"
    assert ours.admit("a", "100", "S1", NOW) is None
    assert ours.status(NOW)["window"] == {"open": True, "seconds_left": 1800, "phones_left": 0, "let_in": 2}
    assert (tmp_path / module.WINDOW).stat().st_mode & 0o777 == 0o600


def test_no_place_is_given_twice(tmp_path):
    """Eight processes' worth of requests at once, 20 places."""
    policy(tmp_path, "window").open_window(30, 20, NOW)
    let_in = []

    def ask(start):
        ours = policy(tmp_path, "window")
        let_in.extend(ext for ext in range(start, start + 10) if ours.admit("a", str(ext), None, NOW) is None)

    threads = [threading.Thread(target=ask, args=(100 * i,)) for i in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(let_in) == 20
    assert policy(tmp_path).window().left == 0


def test_a_disk_that_is_full_lets_nobody_in(tmp_path, monkeypatch):
    ours = policy(tmp_path, "window")
    ours.open_window(30, 2, NOW)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.files, "write", full)
        with pytest.raises(OSError, match="No space"):
            ours.admit("a", "100", None, NOW)
    assert ours.window().left == 2
    assert ours.admit("a", "100", None, NOW) is None  # back by itself


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "until": "x"}', "null"])
def test_a_damaged_window_lets_nobody_in_and_can_be_closed(tmp_path, text):
    file = tmp_path / module.WINDOW
    file.write_text(text)
    file.chmod(0o600)
    ours = policy(tmp_path, "window")
    with pytest.raises(UserError, match="damaged") as caught:
        ours.admit("a", "100", None, NOW)
    assert caught.value.next_step == "ringkey enrol close"
    ours.close_window()
    assert code(ours.admit("a", "100", None, NOW)) == "window-closed"


# ---- the list


def listed(text):
    found, problems = lists.parse(text.splitlines(keepends=True))
    assert not problems
    return found


def test_the_list(tmp_path):
    ours = policy(tmp_path, "listed")
    assert code(ours.admit("a", "100", "S1", NOW)) == "not-listed"
    ours.write_list(listed("ext,serial\n100,S1\n101,\n,00:aa:BB\n"))
    for ext, serial, wanted in (
        ("100", "S1", None),
        ("100", "s1", None),
        ("100", "S2", "not-listed"),
        ("100", None, "not-listed"),
        ("101", None, None),
        ("101", "any", None),
        ("555", "00:AA:bb", None),
        (None, "00:AA:bb", None),
        ("555", "00:AA:cc", "not-listed"),
        (None, None, "not-listed"),
    ):
        assert code(ours.admit("a", ext, serial, NOW)) == wanted, (ext, serial)
    policy(tmp_path).write_list(lists.Listed())  # another process
    assert code(ours.admit("a", "101", None, NOW)) == "not-listed"


def test_what_is_wrong_with_a_list_is_named_by_line():
    found, problems = lists.parse(["1a,\n", "100,x y\n", ",\n", "\n", "1,2,3\n", "100\n", '"\n'])
    assert len(found) == 1
    assert [p.split(":")[0] for p in problems] == ["line 1", "line 2", "line 5", "line 7"]
    _, problems = lists.parse("x y\n" for _ in range(lists.ENOUGH + 10))
    assert len(problems) == lists.ENOUGH + 1
    assert "was not read on" in problems[-1]
    both = listed("1,\n2,\n") | listed("3,\n")
    assert (both - listed("1,\n2,\n")).text() == "ext,serial\n3,\n"


def test_a_damaged_list_lets_nobody_in(tmp_path):
    ours = policy(tmp_path, "listed")
    for data in (b"x,\n", b"\xff", b'"'):
        (tmp_path / module.LIST).write_bytes(data)
        with pytest.raises(UserError, match="the list"):
            ours.admit("a", "100", None, NOW)


# ---- as commands, and as a phone sees it


def test_the_commands(site, ringkey, tmp_path):
    def enrol(*args, **kwargs):
        return ringkey("--site", site, "enrol", *args, **kwargs)

    out = enrol("open", "--minutes", 90, "--phones", 20).stdout
    assert "for 20 phones" in out
    assert 'the policy is "open", so this decides nothing' in out
    found = json.loads(enrol("status", "--json").stdout)
    assert found["window"] | {"seconds_left": 0} == {
        "open": True,
        "seconds_left": 0,
        "phones_left": 20,
        "let_in": 0,
    }
    assert "open for 90 minutes and 20 phones more" in enrol("status").stdout
    assert "closed" in enrol("close").stdout
    assert "window   closed" in enrol("status").stdout
    phones = tmp_path / "phones.csv"
    phones.write_text("ext,serial\n100,S1\n101,\n")
    assert "2 entries" in enrol("import", phones).stdout
    phones.write_text("102,\nx,\n")
    bad = enrol("import", phones, check=False)
    assert bad.returncode == 1
    assert "nothing was imported\n  line 2: ext: 1 to 20 digits" in bad.stderr
    phones.write_text("102,\n")
    assert "3 entries" in enrol("import", phones).stdout
    assert "2 entries" in enrol("import", "--remove", phones).stdout
    assert "1 entries" in enrol("import", "--replace", phones).stdout
    assert (site / "keyserver" / "enrolment.csv").read_text() == "ext,serial\n102,\n"


def test_a_phone_is_told_when_to_come_again(site, run_service, configure, ringkey):
    from keyserver_client import Client

    configure(site, ('policy = "open"', 'policy = "window"'), ("per_source = 0", "per_source = 3"))
    service = run_service(site, "keyserver", "serve")
    client = Client(service)
    status, headers, body = client.files("?ext=100")
    assert (status, headers["Retry-After"]) == (403, "300")
    assert body == "this site takes no new phones at the moment\n"
    service.wait_for("enrolment_denied", ext="100", reason="window-closed")
    ringkey("--site", site, "enrol", "open", "--phones", 1)
    assert client.files("?ext=100")[0] == 200
    assert client.files("?ext=101")[0] == 403
    status, headers, _ = client.files("?ext=100")
    assert status == 429
    assert 1 <= int(headers["Retry-After"]) <= 20
    assert client.files("?ext=100", "HEAD")[0] == 200  # which issues nothing
