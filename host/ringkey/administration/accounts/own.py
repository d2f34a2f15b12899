"""What users do about their own accounts, and what that shares with what is done about others'."""

from typing import Any

from ringkey.administration.accounts import passwords
from ringkey.administration.accounts.errors import AccountError, TooManyError
from ringkey.administration.accounts.store import Accounts
from ringkey.administration.accounts.users import User
from ringkey.administration.roles import Author, Role
from ringkey.administration.site import Administration
from ringkey.administration.table import (
    FLAG,
    INTEGER,
    SECONDS,
    TEXT,
    Action,
    Parameter,
    Query,
    Schema,
    listing,
    maybe,
    thing,
)

ROLES = tuple(role.title for role in Role)
ROLE: Schema = {"type": "string", "enum": list(ROLES)}
# Longer than any that will do, so that who gives a longer one is told the limit.
MAX_PASSWORD = 2 * passwords.MOST
STEP = Parameter("step", "choice", "begin, then confirm; remove", choices=("begin", "confirm", "remove"))
CODE = Parameter("code", "secret", "a code of the second factor", required=False, most=16)
TOTP = thing({"totp": FLAG, "secret": maybe(TEXT), "uri": maybe(TEXT)})
_ID = "[0-9a-f]{1,32}"
_SESSION = thing(
    {
        "id": TEXT,
        "since": SECONDS,
        "seen": SECONDS,
        "source": TEXT,
        "agent": {**TEXT, "description": "the browser"},
    }
)


def accounts_of(administration: Administration) -> Accounts:
    """Return the site's accounts."""
    found: Accounts = administration.accounts
    return found


def named(properties: dict[str, Schema]) -> Schema:
    """Return the schema of something about a user."""
    return thing({"name": TEXT, **properties})


def step_of(administration: Administration, name: str, step: str, code: str | None) -> dict[str, Any]:
    """Do one step of setting up a second factor, or do without it; raises AccountError."""
    accounts = accounts_of(administration)
    secret = uri = None
    if step == "begin":
        secret, uri = accounts.totp.begin(name, "ringkey " + administration.site.root.resolve().name)
    elif step == "confirm":
        accounts.totp.confirm(name, code or "")
    else:
        accounts.totp.remove(name)
    now = accounts.users.get(name)
    return {"totp": now is not None and now.totp, "secret": secret, "uri": uri}


def _count(accounts: Accounts, author: Author) -> None:
    """Count an attempt to prove who one is; raises TooManyError.  A stolen session must not guess either."""
    wait = accounts.attempts.begin(author.name, author.source)
    if wait > 0:
        raise TooManyError("too many failed attempts; wait a little", int(wait) + 1)


async def _prove(accounts: Accounts, author: Author, password: str) -> None:
    _count(accounts, author)
    if not await accounts.users.check_password(author.name, password):
        raise AccountError("the password is wrong")
    accounts.attempts.succeeded(author.name, author.source)


def _own(accounts: Accounts, author: Author) -> User:
    """Return the user who is the author; raises AccountError for a token and the command line."""
    user = None
    if author.way != "command line":
        user = accounts.users.get(author.name)
    if user is None:
        raise AccountError(f"{author.name} is no user of the console who has logged in", "ringkey user list")
    return user


async def _account(administration: Administration, author: Author) -> dict[str, Any]:
    accounts = accounts_of(administration)
    user = _own(accounts, author)
    sessions = [
        {"id": one.id, "since": one.created, "seen": one.seen, "source": one.source, "agent": one.agent}
        for one in accounts.sessions.of(user.name)
    ]
    return {
        "name": user.name,
        "role": user.role.title,
        "totp": user.totp,
        "changed": user.changed,
        "sessions": sessions,
    }


async def _own_password(administration: Administration, author: Author, old: str, new: str) -> dict[str, Any]:
    accounts = accounts_of(administration)
    user = _own(accounts, author)
    await _prove(accounts, author, old)
    accounts.users.set_password(user.name, await accounts.users.make_password(user.name, new))
    return {"name": user.name}


async def _own_totp(
    administration: Administration, author: Author, step: str, password: str | None, code: str | None
) -> dict[str, Any]:
    accounts = accounts_of(administration)
    user = _own(accounts, author)
    if step == "confirm":
        _count(accounts, author)
    else:
        await _prove(accounts, author, password or "")
    done = step_of(administration, user.name, step, code)
    accounts.attempts.succeeded(user.name, author.source)
    return done


async def _own_sessions(
    administration: Administration,
    author: Author,
    id: str | None,
    keep: str | None,
) -> dict[str, Any]:
    accounts = accounts_of(administration)
    user = _own(accounts, author)
    ended = [
        one for one in accounts.sessions.of(user.name) if one.id != keep and (id is None or one.id == id)
    ]
    for one in ended:
        accounts.sessions.end(one.hash)
    return {"ended": len(ended)}


QUERIES = (
    Query(
        "account",
        Role.VIEWER,
        "One's own account and its sessions",
        ("user", "list"),
        _account,
        (),
        named(
            {
                "role": ROLE,
                "totp": {**FLAG, "description": "a second factor is wanted"},
                "changed": SECONDS,
                "sessions": listing(_SESSION),
            }
        ),
    ),
)
ACTIONS = (
    Action(
        "account.password",
        Role.VIEWER,
        "Change one's own password, which ends one's sessions",
        ("user", "password"),
        _own_password,
        (
            Parameter("old", "secret", "the password until now", most=MAX_PASSWORD),
            Parameter("new", "secret", "the new password", most=MAX_PASSWORD),
        ),
        named({}),
    ),
    Action(
        "account.totp",
        Role.VIEWER,
        "Want a code of a second factor with one's own password, or no longer",
        ("user", "code"),
        _own_totp,
        (
            STEP,
            Parameter(
                "password",
                "secret",
                "the password, to begin and to remove",
                required=False,
                most=MAX_PASSWORD,
            ),
            CODE,
        ),
        TOTP,
    ),
    Action(
        "account.sessions",
        Role.VIEWER,
        "End sessions of one's own",
        ("user", "logout"),
        _own_sessions,
        (
            Parameter("id", "text", "only this one", required=False, pattern=_ID, most=32),
            Parameter("keep", "text", "all but this one", required=False, pattern=_ID, most=32),
        ),
        thing({"ended": INTEGER}),
    ),
)
