"""How long a session lasts, what failed log-ins cost, and the second factor."""

import asyncio
import shutil

import pyotp
import pytest
from accounts_set_up import GOOD, QUICK, Clock, empty_database
from ringkey.administration.accounts import attempts
from ringkey.administration.accounts.attempts import Attempts
from ringkey.administration.accounts.errors import AccountError, TooManyError, WrongLogInError
from ringkey.administration.accounts.sessions import MAX_SESSIONS, Times, csrf_of
from ringkey.administration.accounts.store import Accounts
from ringkey.administration.roles import Role


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return empty_database(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def accounts(empty, tmp_path, clock):
    shutil.copy(empty, tmp_path / "accounts.db")
    opened = Accounts(tmp_path / "accounts.db", Times(1800, 43_200), QUICK, clock, clock)
    opened.users.add("ann", Role.ADMINISTRATOR, opened.passwords.hash(GOOD))
    yield opened
    opened.close()


def log_in(accounts, name="ann", password=GOOD, code="", source="192.0.2.1"):
    return asyncio.run(accounts.log_in(name, password, code, source, "a browser"))[1]


# Sessions


def test_half_an_hour_without_a_request_ends_a_session(accounts, clock):
    cookie = log_in(accounts)
    clock.now += 1799
    assert accounts.sessions.find(cookie) is not None
    clock.now += 1799
    assert accounts.sessions.find(cookie) is not None
    clock.now += 1800
    assert accounts.sessions.find(cookie) is None


def test_a_page_that_only_looks_does_not_keep_a_session(accounts, clock):
    cookie = log_in(accounts)
    clock.now += 1000
    assert accounts.sessions.find(cookie, touch=False) is not None
    clock.now += 800
    assert accounts.sessions.find(cookie) is None


def test_twelve_hours_end_a_session_however_busy(accounts, clock):
    cookie = log_in(accounts)
    for _ in range(43_200 // 900 - 1):
        clock.now += 900
        assert accounts.sessions.find(cookie) is not None
    clock.now += 900
    assert accounts.sessions.find(cookie) is None


def test_a_clock_that_is_set_back_ends_a_session(accounts, clock):
    cookie = log_in(accounts)
    clock.now -= 3600
    assert accounts.sessions.find(cookie) is None


def test_each_log_in_is_another_session_and_another_csrf_token(accounts):
    first, second = log_in(accounts), log_in(accounts)
    assert first != second
    assert csrf_of(first) != csrf_of(second)
    assert csrf_of(first) == csrf_of(first)
    assert first not in csrf_of(first)
    assert len(accounts.sessions.of("ann")) == 2


@pytest.mark.parametrize("change", ["password", "role", "remove"])
def test_what_ends_all_sessions_of_a_user(accounts, change):
    accounts.users.add("bob", Role.ADMINISTRATOR, accounts.passwords.hash(GOOD))
    ann, bob = log_in(accounts), log_in(accounts, "bob")
    if change == "password":
        accounts.users.set_password("ann", accounts.passwords.hash("another horse"))
    elif change == "role":
        accounts.users.set_role("ann", Role.VIEWER)
    else:
        accounts.users.remove("ann")
    assert accounts.sessions.find(ann) is None
    assert accounts.sessions.find(bob) is not None


def test_log_out_ends_one_session(accounts):
    first, second = log_in(accounts), log_in(accounts)
    accounts.sessions.end(accounts.sessions.find(first).hash)
    assert accounts.sessions.find(first) is None
    assert accounts.sessions.find(second) is not None


def test_sessions_of_a_user_have_an_end(accounts, clock):
    cookies = []
    for _ in range(MAX_SESSIONS + 2):
        cookies.append(log_in(accounts))
        clock.now += 1
    assert [accounts.sessions.find(cookie) is None for cookie in cookies] == [True] * 2 + [
        False
    ] * MAX_SESSIONS


# Failed log-ins


def test_five_are_free_then_waits_double_up_to_a_quarter_of_an_hour(clock):
    counted = Attempts(clock)
    for _ in range(attempts.FREE):
        assert counted.begin("ann", "192.0.2.1") == 0.0
    waits = []
    for _ in range(14):
        wait = counted.begin("ann", "192.0.2.1")
        waits.append(wait)
        clock.now += wait
        assert counted.begin("ann", "192.0.2.1") == 0.0
    assert waits == [min(attempts.LONGEST, 2.0**i) for i in range(14)]


@pytest.mark.parametrize(("name", "source"), [("ann", "192.0.2.2"), ("bob", "192.0.2.1")])
def test_name_and_source_are_counted_each(clock, name, source):
    counted = Attempts(clock)
    for _ in range(attempts.FREE):
        counted.begin("ann", "192.0.2.1")
    assert counted.begin(name, source) > 0
    assert counted.begin("bob", "192.0.2.2") == 0.0


def test_a_network_of_ipv6_is_one_source(clock):
    counted = Attempts(clock)
    for i in range(attempts.FREE):
        assert counted.begin(f"name {i}", f"2001:db8::{i}") == 0.0
    assert counted.begin("another", "2001:db8::ffff:1") > 0
    assert counted.begin("another", "2001:db8:0:1::1") == 0.0
    assert counted.begin("one more", "no address") == 0.0


def test_a_success_and_an_hour_forget(clock):
    counted = Attempts(clock)
    for _ in range(attempts.FREE):
        counted.begin("ann", "192.0.2.1")
    counted.succeeded("ann", "192.0.2.1")
    for _ in range(attempts.FREE):
        assert counted.begin("ann", "192.0.2.1") == 0.0
    assert counted.begin("ann", "192.0.2.1") > 0
    clock.now += attempts.FORGET + 1
    assert counted.begin("ann", "192.0.2.1") == 0.0


def test_counts_have_an_end(clock, monkeypatch):
    monkeypatch.setattr(attempts, "MAX_COUNTED", 10)
    counted = Attempts(clock)
    for i in range(100):
        counted.begin(f"name {i}", "192.0.2.1")
        clock.now += 1000
    assert len(counted._counts) <= 10


def test_a_log_in_that_must_wait_is_not_even_looked_at(accounts, clock):
    for _ in range(attempts.FREE):
        with pytest.raises(WrongLogInError):
            log_in(accounts, password="wrong")
    before = accounts.passwords.computed
    with pytest.raises(TooManyError) as caught:
        log_in(accounts)
    assert accounts.passwords.computed == before
    assert caught.value.wait == 1
    clock.now += 1
    assert log_in(accounts)


def test_a_hundred_at_once_are_a_hundred(accounts):
    async def flood():
        tries = (accounts.log_in("ann", f"guess {i}", "", "192.0.2.1", "") for i in range(100))
        return await asyncio.gather(*tries, return_exceptions=True)

    found = asyncio.run(flood())
    assert sum(isinstance(one, WrongLogInError) for one in found) == attempts.FREE
    assert sum(isinstance(one, TooManyError) for one in found) == 100 - attempts.FREE
    assert accounts.passwords.computed == attempts.FREE + 1  # and the one hash of ann's password


def test_a_waiting_name_is_told_the_same_whether_there_is_such_a_user(accounts):
    texts = []
    for name in ("ann", "nobody"):
        for i in range(attempts.FREE):
            with pytest.raises(WrongLogInError):
                log_in(accounts, name, "wrong", source=f"192.0.2.{i + (10 if name == 'ann' else 20)}")
        with pytest.raises(TooManyError) as caught:
            log_in(accounts, name, "wrong", source="192.0.2.99")
        texts.append((caught.value.what, caught.value.wait))
    assert texts[0] == texts[1]


# The second factor


def code_of(secret, clock, steps=0):
    return pyotp.TOTP(secret).at(int(clock.now) + 30 * steps)


@pytest.fixture
def secret(accounts, clock):
    secret, uri = accounts.totp.begin("ann", "ringkey demo")
    assert uri.startswith("otpauth://totp/ringkey%20demo:ann?secret=" + secret)
    assert not accounts.users.get("ann").totp  # only when it was proven
    accounts.totp.confirm("ann", code_of(secret, clock))
    assert accounts.users.get("ann").totp
    clock.now += 60
    return secret


def test_with_a_second_factor_the_code_is_wanted(accounts, clock, secret):
    for bad in ("", "000000", code_of(secret, clock, 5), "x" * 100, "١٢٣٤٥٦"):
        with pytest.raises(WrongLogInError):
            log_in(accounts, code=bad, source=f"192.0.2.{len(bad)}")
        accounts.attempts.succeeded("ann", "")
    code = code_of(secret, clock)
    assert log_in(accounts, code=f"{code[:3]} {code[3:]}")


def test_a_code_is_good_once(accounts, clock, secret):
    code = code_of(secret, clock)
    assert log_in(accounts, code=code)
    with pytest.raises(WrongLogInError):
        log_in(accounts, code=code)
    with pytest.raises(WrongLogInError):
        log_in(accounts, code=code_of(secret, clock, -1))
    clock.now += 30
    assert log_in(accounts, code=code_of(secret, clock))


def test_a_clock_may_be_half_a_minute_off(accounts, clock, secret):
    assert log_in(accounts, code=code_of(secret, clock, -1))
    assert log_in(accounts, code=code_of(secret, clock, 1))
    clock.now += 3600
    with pytest.raises(WrongLogInError):
        log_in(accounts, code=code_of(secret, clock, 2))


def test_a_wrong_password_spends_no_code(accounts, clock, secret):
    code = code_of(secret, clock)
    with pytest.raises(WrongLogInError):
        log_in(accounts, password="wrong", code=code)
    assert log_in(accounts, code=code)


def test_a_factor_that_was_not_proven_is_not_in_force(accounts, clock):
    accounts.totp.begin("ann", "ringkey")
    with pytest.raises(AccountError, match="not the one"):
        accounts.totp.confirm("ann", "000000")
    assert log_in(accounts)
    accounts.users.add("bob", Role.VIEWER, None)
    with pytest.raises(AccountError, match="begin again"):
        accounts.totp.confirm("bob", "000000")


def test_a_factor_is_bound_to_its_user_and_to_its_key(accounts, clock, secret, tmp_path):
    accounts.users.add("bob", Role.VIEWER, accounts.passwords.hash(GOOD))
    with accounts._base.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE user SET totp = (SELECT totp FROM user WHERE name = 'ann') WHERE name = 'bob'"
        )
    with pytest.raises(AccountError, match="sealed under another key"):
        log_in(accounts, "bob", code=code_of(secret, clock))
    (tmp_path / "totp.key").write_bytes(bytes(32))
    with pytest.raises(AccountError, match="sealed under another key"):
        log_in(accounts, code=code_of(secret, clock))
    accounts.totp.remove("ann")
    assert log_in(accounts)
