"""Users, passwords, invitations and tokens: what is kept, and who gets in."""

import asyncio
import re
import shutil
import sqlite3
import stat

import pytest
from accounts_set_up import GOOD, QUICK, Clock, empty_database
from argon2 import PasswordHasher
from ringkey.administration.accounts import passwords, tokens
from ringkey.administration.accounts.errors import AccountError, TooManyError, WrongLogInError
from ringkey.administration.accounts.migrations import HEAD
from ringkey.administration.accounts.passwords import Passwords
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
    opened = Accounts(tmp_path / "accounts.db", hasher=QUICK, clock=clock, ticks=clock)
    yield opened
    opened.close()


def add(accounts, name, role=Role.VIEWER, password=GOOD):
    return accounts.users.add(name, role, accounts.passwords.hash(password))


def log_in(accounts, name, password=GOOD, code="", source="192.0.2.1"):
    return asyncio.run(accounts.log_in(name, password, code, source, "a browser"))


def test_a_user_logs_in_and_is_who_the_cookie_says(accounts):
    add(accounts, "ann", Role.OPERATOR)
    user, cookie = log_in(accounts, " Ann ")
    assert user == "ann"
    session = accounts.sessions.find(cookie)
    assert (session.user, session.role, session.source, session.agent) == (
        "ann",
        Role.OPERATOR,
        "192.0.2.1",
        "a browser",
    )
    assert len(cookie) == 43
    assert accounts.sessions.find(cookie[:-1] + ("A" if cookie[-1] != "A" else "B")) is None
    assert accounts.sessions.find("") is None


def test_what_opens_a_door_is_not_in_the_file(accounts, tmp_path):
    add(accounts, "ann")
    _, cookie = log_in(accounts, "ann")
    invitation, _ = accounts.invitations.make("ann")
    _, token = accounts.tokens.add("script", Role.VIEWER, "ann")
    secret, _ = accounts.totp.begin("ann", "ringkey")
    data = b"".join(path.read_bytes() for path in tmp_path.glob("accounts.db*"))
    for one in (cookie, invitation, token, token.removeprefix(tokens.PREFIX), secret, GOOD):
        assert one.encode() not in data
    assert b"$argon2id$" in data
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize(
    ("name", "password"),
    [("ann", "wrong"), ("ann", ""), ("ann", GOOD + "x"), ("ann", "x" * 10_000), ("bob", GOOD), ("", "")],
)
def test_wrong_name_and_wrong_password_are_the_same_words_and_the_same_work(accounts, name, password):
    add(accounts, "ann")
    before = accounts.passwords.computed
    with pytest.raises(WrongLogInError, match=r"^name, password or code are wrong$"):
        log_in(accounts, name, password)
    assert accounts.passwords.computed - before == 1


def test_one_that_was_invited_and_has_no_password_costs_the_same_work(accounts):
    accounts.users.add("ann", Role.VIEWER, None)
    with pytest.raises(WrongLogInError):
        log_in(accounts, "ann", "")
    assert accounts.passwords.computed == 1


def test_the_work_is_that_of_the_parameters_in_use(tmp_path, clock):
    """The hash that stands for nobody is made with the same parameters as everybody's."""
    accounts = Accounts(tmp_path / "accounts.db", hasher=QUICK, clock=clock, ticks=clock)
    seen = []
    verify = QUICK.verify

    class Spy(PasswordHasher):
        def verify(self, kept, password):
            seen.append(kept.rsplit("$", 2)[0])
            return verify(kept, password)

    accounts.passwords.hasher = Spy(time_cost=1, memory_cost=8, parallelism=1)
    add(accounts, "ann")
    for name in ("ann", "nobody"):
        with pytest.raises(WrongLogInError):
            log_in(accounts, name, "wrong")
    assert len(seen) == 2
    assert seen[0] == seen[1]
    accounts.close()


def test_a_password_of_older_parameters_is_hashed_anew_at_log_in(accounts):
    old = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)
    accounts.users.add("ann", Role.VIEWER, old.hash(GOOD))
    log_in(accounts, "ann")
    kept = accounts.users.kept("ann")
    assert "t=1" in kept
    assert accounts.passwords.verify_now(kept, GOOD)


@pytest.mark.parametrize(
    "bad", ["", "short", "a" * 20, "ababababab", "ann12345678", "tab\tulator and so on", "x" * 201]
)
def test_a_password_that_will_not_do(bad):
    with pytest.raises(AccountError, match="a password"):
        passwords.check(bad, "ann")


def test_a_password_that_will_do():
    for good in (GOOD, "0123456789", "häufig und lang", "x1y2z" * 40):
        passwords.check(good, "ann")


def test_only_few_hashes_at_a_time_and_few_that_wait(accounts):
    """A flood of log-ins is turned away, and is not counted as failed."""
    made = Passwords(QUICK)
    kept = made.hash(GOOD)

    async def flood():
        return await asyncio.gather(
            *(made.verify(kept, GOOD) for _ in range(passwords.WAITING + 10)), return_exceptions=True
        )

    found = asyncio.run(flood())
    assert found.count(True) == passwords.WAITING
    assert sum(isinstance(one, TooManyError) for one in found) == 10


@pytest.mark.parametrize("bad", ["", "Ann", "a b", "-a", "a" * 33, "ä", "a/b", "<script>", "a\n"])
def test_a_name_that_will_not_do(accounts, bad):
    with pytest.raises(AccountError, match="name"):
        add(accounts, bad)


def test_there_is_always_an_administrator(accounts):
    add(accounts, "ann", Role.ADMINISTRATOR)
    add(accounts, "bob", Role.VIEWER)
    for change in (
        lambda: accounts.users.remove("ann"),
        lambda: accounts.users.set_role("ann", Role.OPERATOR),
    ):
        with pytest.raises(AccountError, match="the only administrator"):
            change()
    assert accounts.users.get("ann").role is Role.ADMINISTRATOR
    accounts.users.set_role("bob", Role.ADMINISTRATOR)
    accounts.users.remove("ann")
    assert [user.name for user in accounts.users.list()] == ["bob"]


def test_unknown_users_are_told(accounts):
    add(accounts, "ann", Role.ADMINISTRATOR)
    for change in (
        lambda: accounts.users.remove("bob"),
        lambda: accounts.users.set_role("bob", Role.VIEWER),
        lambda: accounts.users.set_password("bob", "x"),
    ):
        with pytest.raises(AccountError, match="there is no user bob"):
            change()
    with pytest.raises(AccountError, match="there is a user ann already"):
        add(accounts, "ann")


def test_an_invitation_works_once_and_for_a_day(accounts, clock):
    accounts.users.add("ann", Role.OPERATOR, None)
    token, expires = accounts.invitations.make("ann")
    assert expires == clock.now + 86_400
    assert accounts.invitations.find(token).user == "ann"
    clock.now = expires - 1
    kept = accounts.passwords.hash(GOOD)
    assert accounts.invitations.accept(token, kept).role is Role.OPERATOR
    assert accounts.invitations.find(token) is None
    assert accounts.invitations.accept(token, kept) is None
    assert log_in(accounts, "ann")[0] == "ann"


def test_an_invitation_ends(accounts, clock):
    accounts.users.add("ann", Role.OPERATOR, None)
    token, expires = accounts.invitations.make("ann")
    clock.now = expires
    assert accounts.invitations.find(token) is None
    assert accounts.invitations.accept(token, "x") is None
    assert accounts.users.kept("ann") is None


def test_another_invitation_or_password_ends_the_one_before(accounts):
    add(accounts, "ann")
    first, _ = accounts.invitations.make("ann")
    second, _ = accounts.invitations.make("ann")
    assert accounts.invitations.find(first) is None
    accounts.users.set_password("ann", accounts.passwords.hash("another horse"))
    assert accounts.invitations.find(second) is None


def test_who_accepts_an_invitation_needs_no_lost_second_factor_and_ends_old_sessions(accounts):
    add(accounts, "ann")
    _, cookie = log_in(accounts, "ann")
    token, _ = accounts.invitations.make("ann")
    accounts.invitations.accept(token, accounts.passwords.hash("another horse"))
    assert accounts.sessions.find(cookie) is None
    assert log_in(accounts, "ann", "another horse")[0] == "ann"


def test_a_token_has_a_role_and_an_end(accounts, clock):
    made, secret = accounts.tokens.add("script", Role.OPERATOR, "ann", days=2)
    assert re.fullmatch(r"rk_[A-Za-z0-9_-]{43}", secret)
    found = accounts.tokens.find(secret)
    assert (found.name, found.role, found.author) == ("script", Role.OPERATOR, "ann")
    assert accounts.tokens.find(secret[:-1]) is None
    clock.now += 2 * 86_400
    assert accounts.tokens.find(secret) is None
    assert [one.id for one in accounts.tokens.list()] == [made.id]
    assert accounts.tokens.remove(made.id).name == "script"
    with pytest.raises(AccountError, match="there is no token"):
        accounts.tokens.remove(made.id)


@pytest.mark.parametrize("bad", ["", "x" * 65, "a\nb"])
def test_a_tokens_name_that_will_not_do(accounts, bad):
    with pytest.raises(AccountError, match="a token's name"):
        accounts.tokens.add(bad, Role.VIEWER, "ann")


def test_there_is_an_end_of_users_and_tokens(accounts, monkeypatch):
    monkeypatch.setattr("ringkey.administration.accounts.users.MAX_USERS", 1)
    monkeypatch.setattr("ringkey.administration.accounts.tokens.MAX_TOKENS", 1)
    add(accounts, "ann")
    accounts.tokens.add("one", Role.VIEWER, "ann")
    with pytest.raises(AccountError, match="1 users already"):
        add(accounts, "bob")
    with pytest.raises(AccountError, match="1 tokens already"):
        accounts.tokens.add("two", Role.VIEWER, "ann")


def test_head_is_the_newest_migration(accounts, tmp_path):
    connection = sqlite3.connect(tmp_path / "accounts.db")
    assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
    connection.close()


def test_another_process_sees_a_change_at_once(accounts, tmp_path, clock):
    add(accounts, "ann", Role.ADMINISTRATOR)
    _, cookie = log_in(accounts, "ann")
    other = Accounts(tmp_path / "accounts.db", hasher=QUICK, clock=clock)
    other.users.set_password("ann", other.passwords.hash("another horse"))
    other.close()
    assert accounts.sessions.find(cookie) is None
