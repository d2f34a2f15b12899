"""What is done about accounts and asked of them: entries of the administration's table."""

from typing import Any

from ras.address import join_address

from ringkey.administration.accounts import invitations, passwords, tokens, users
from ringkey.administration.accounts.errors import AccountError, TooManyError
from ringkey.administration.accounts.store import Accounts
from ringkey.administration.accounts.users import User
from ringkey.administration.roles import Author, Role, role_of
from ringkey.administration.site import Administration
from ringkey.administration.table import (
    FLAG,
    INTEGER,
    SECONDS,
    TEXT,
    Action,
    Parameter,
    Query,
    listing,
    maybe,
    thing,
)
from ringkey.site import runtime

_ROLES = tuple(role.title for role in Role)
_ROLE_SCHEMA: dict[str, object] = {"type": "string", "enum": list(_ROLES)}
# What a link is for: to be shown once, to whoever may act for that user.
_LINK: dict[str, object] = {
    "type": "string",
    "description": "lets its reader set the password, once, for a day",
}
_NAME = Parameter("name", "text", "the user's name", pattern=users.NAME, most=32)
_ROLE = Parameter("role", "choice", "what the user may do", choices=_ROLES)
_OPTIONAL_ROLE = Parameter("role", "choice", "what a new user may do", required=False, choices=_ROLES)
# Longer than any that will do, so that who gives a longer one is told the limit.
_SECRET = 2 * passwords.MOST

_USER = thing(
    {
        "name": TEXT,
        "role": _ROLE_SCHEMA,
        "password": {**FLAG, "description": "there is one: the user can log in"},
        "totp": {**FLAG, "description": "a second factor is wanted"},
        "created": SECONDS,
        "changed": SECONDS,
        "sessions": INTEGER,
        "seen": maybe({**SECONDS, "description": "by an open session"}),
        "invited": maybe({**SECONDS, "description": "until when an invitation works"}),
    }
)
_TOKEN = thing(
    {"id": TEXT, "name": TEXT, "role": _ROLE_SCHEMA, "author": TEXT, "created": SECONDS, "expires": SECONDS}
)
_INVITED = thing(
    {
        "name": TEXT,
        "role": _ROLE_SCHEMA,
        "path": {**_LINK, "description": "of the link, at the console"},
        "url": _LINK,
        "expires": SECONDS,
    }
)
_SESSION = thing(
    {
        "id": TEXT,
        "since": SECONDS,
        "seen": SECONDS,
        "source": TEXT,
        "agent": {**TEXT, "description": "the browser"},
    }
)


async def _users(administration: Administration, author: Author) -> dict[str, Any]:
    return {"users": [_told(user) for user in _accounts(administration).users.list()]}


async def _tokens(administration: Administration, author: Author) -> dict[str, Any]:
    return {"tokens": [_told_token(token) for token in _accounts(administration).tokens.list()]}


async def _account(administration: Administration, author: Author) -> dict[str, Any]:
    accounts = _accounts(administration)
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


async def _add(
    administration: Administration, author: Author, name: str, role: str, password: str
) -> dict[str, Any]:
    accounts = _accounts(administration)
    users.check_name(name)
    kept = await accounts.users.make_password(name, password)
    return _told(accounts.users.add(name, role_of(role), kept))


async def _invite(
    administration: Administration, author: Author, name: str, role: str | None
) -> dict[str, Any]:
    accounts = _accounts(administration)
    user = accounts.users.get(name)
    if user is None:
        if role is None:
            raise AccountError(
                f"there is no user {name}: a new one needs a role",
                f"ringkey user invite {name} --role viewer",
            )
        user = accounts.users.add(name, role_of(role), None)
    elif role is not None and role_of(role) != user.role:
        raise AccountError(f"{name} is {user.role.title} already", f"ringkey user role {name} {role}")
    token, expires = accounts.invitations.make(name)
    path = invitations.PATH + token
    return {
        "name": name,
        "role": user.role.title,
        "path": path,
        "url": address(administration) + path,
        "expires": expires,
    }


async def _role(administration: Administration, author: Author, name: str, role: str) -> dict[str, Any]:
    _accounts(administration).users.set_role(name, role_of(role))
    return {"name": name, "role": role}


async def _password(
    administration: Administration, author: Author, name: str, password: str
) -> dict[str, Any]:
    found = _accounts(administration).users
    if found.get(name) is None:
        raise AccountError(f"there is no user {name}", "ringkey user list")
    found.set_password(name, await found.make_password(name, password))
    return {"name": name}


async def _totp(
    administration: Administration, author: Author, name: str, step: str, code: str | None
) -> dict[str, Any]:
    if _accounts(administration).users.get(name) is None:
        raise AccountError(f"there is no user {name}", "ringkey user list")
    return _step(administration, name, step, code)


async def _logout(administration: Administration, author: Author, name: str) -> dict[str, Any]:
    accounts = _accounts(administration)
    if accounts.users.get(name) is None:
        raise AccountError(f"there is no user {name}", "ringkey user list")
    ended = accounts.sessions.of(name)
    for one in ended:
        accounts.sessions.end(one.hash)
    return {"ended": len(ended)}


async def _remove(administration: Administration, author: Author, name: str) -> dict[str, Any]:
    _accounts(administration).users.remove(name)
    return {"name": name}


async def _add_token(
    administration: Administration, author: Author, name: str, role: str, days: int
) -> dict[str, Any]:
    made, secret = _accounts(administration).tokens.add(name, role_of(role), author.name, days)
    return {**_told_token(made), "token": secret}


async def _remove_token(administration: Administration, author: Author, id: str) -> dict[str, Any]:
    return _told_token(_accounts(administration).tokens.remove(id))


async def _own_password(administration: Administration, author: Author, old: str, new: str) -> dict[str, Any]:
    accounts = _accounts(administration)
    user = _own(accounts, author)
    await _prove(accounts, author, old)
    accounts.users.set_password(user.name, await accounts.users.make_password(user.name, new))
    return {"name": user.name}


async def _own_totp(
    administration: Administration, author: Author, step: str, password: str | None, code: str | None
) -> dict[str, Any]:
    accounts = _accounts(administration)
    user = _own(accounts, author)
    if step == "confirm":
        _count(accounts, author)
    else:
        await _prove(accounts, author, password or "")
    done = _step(administration, user.name, step, code)
    accounts.attempts.succeeded(user.name, author.source)
    return done


async def _own_sessions(
    administration: Administration,
    author: Author,
    id: str | None,
    keep: str | None,
) -> dict[str, Any]:
    accounts = _accounts(administration)
    user = _own(accounts, author)
    ended = [
        one for one in accounts.sessions.of(user.name) if one.id != keep and (id is None or one.id == id)
    ]
    for one in ended:
        accounts.sessions.end(one.hash)
    return {"ended": len(ended)}


def address(administration: Administration) -> str:
    """Return the console's address, such as https://192.0.2.10:8447, as its certificate has it."""
    config = administration.config
    names = config.keyserver.names if config.keyserver is not None else ()
    port = runtime.ports(administration.site.run, "console").get("console") or config.need_console().port
    return f"https://{join_address(names[0] if names else 'localhost', port)}"


def _accounts(administration: Administration) -> Accounts:
    found: Accounts = administration.accounts
    return found


def _own(accounts: Accounts, author: Author) -> User:
    """Return the user who is the author; raises AccountError for a token and the command line."""
    user = None
    if author.way != "command line":
        user = accounts.users.get(author.name)
    if user is None:
        raise AccountError(f"{author.name} is no user of the console who has logged in", "ringkey user list")
    return user


def _step(administration: Administration, name: str, step: str, code: str | None) -> dict[str, Any]:
    """Do one step of setting up a second factor, or do without it."""
    accounts = _accounts(administration)
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


def _told(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "role": user.role.title,
        "password": user.password,
        "totp": user.totp,
        "created": user.created,
        "changed": user.changed,
        "sessions": user.sessions,
        "seen": user.seen,
        "invited": user.invited,
    }


def _told_token(token: tokens.Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "role": token.role.title,
        "author": token.author,
        "created": token.created,
        "expires": token.expires,
    }


def _named(properties: dict[str, dict[str, object]]) -> dict[str, object]:
    return thing({"name": TEXT, **properties})


_A, _V = Role.ADMINISTRATOR, Role.VIEWER
_ID = Parameter("id", "text", "what the list calls it", pattern="[0-9a-f]{1,32}", most=32)
_DAYS = Parameter(
    "days",
    "integer",
    "days until it ends",
    required=False,
    least=1,
    most=tokens.MAX_LIFE,
    default=tokens.LIFE,
)
_CODE = Parameter("code", "secret", "a code of the second factor", required=False, most=16)
_STEP = Parameter("step", "choice", "begin, then confirm; remove", choices=("begin", "confirm", "remove"))
_TOTP = thing({"totp": FLAG, "secret": maybe(TEXT), "uri": maybe(TEXT)})

QUERIES = (
    Query(
        "users",
        _A,
        "The users of the console",
        ("user", "list"),
        _users,
        (),
        thing({"users": listing(_USER)}),
    ),
    Query(
        "tokens",
        _A,
        "The tokens of the API",
        ("token", "list"),
        _tokens,
        (),
        thing({"tokens": listing(_TOKEN)}),
    ),
    Query(
        "account",
        _V,
        "One's own account and its sessions",
        ("user", "list"),
        _account,
        (),
        _named(
            {
                "role": _ROLE_SCHEMA,
                "totp": {**FLAG, "description": "a second factor is wanted"},
                "changed": SECONDS,
                "sessions": listing(_SESSION),
            }
        ),
    ),
)
ACTIONS = (
    Action(
        "user.add",
        _A,
        "Add a user with a password",
        ("user", "add"),
        _add,
        (_NAME, _ROLE, Parameter("password", "secret", "the user's password", most=_SECRET)),
        _USER,
    ),
    Action(
        "user.invite",
        _A,
        "Make a link by which a user, a new one or one without the password, sets it",
        ("user", "invite"),
        _invite,
        (_NAME, _OPTIONAL_ROLE),
        _INVITED,
    ),
    Action(
        "user.role",
        _A,
        "Change what a user may do",
        ("user", "role"),
        _role,
        (_NAME, _ROLE),
        _named({"role": _ROLE_SCHEMA}),
    ),
    Action(
        "user.password",
        _A,
        "Replace a user's password",
        ("user", "password"),
        _password,
        (_NAME, Parameter("password", "secret", "the new password", most=_SECRET)),
        _named({}),
    ),
    Action(
        "user.totp",
        _A,
        "Want a code of a second factor with a user's password, or no longer",
        ("user", "code"),
        _totp,
        (_NAME, _STEP, _CODE),
        _TOTP,
    ),
    Action(
        "user.logout",
        _A,
        "End a user's sessions",
        ("user", "logout"),
        _logout,
        (_NAME,),
        thing({"ended": INTEGER}),
    ),
    Action("user.remove", _A, "Remove a user", ("user", "remove"), _remove, (_NAME,), _named({})),
    Action(
        "token.add",
        _A,
        "Make a token for scripts; it is shown this once",
        ("token", "add"),
        _add_token,
        (Parameter("name", "text", "what it is for", least=1, most=tokens.MAX_NAME), _ROLE, _DAYS),
        thing(
            {
                **_TOKEN["properties"],  # type: ignore[dict-item]
                "token": {**TEXT, "description": "the token itself"},
            }
        ),
    ),
    Action("token.remove", _A, "Remove a token", ("token", "remove"), _remove_token, (_ID,), _TOKEN),
    Action(
        "account.password",
        _V,
        "Change one's own password, which ends one's sessions",
        ("user", "password"),
        _own_password,
        (
            Parameter("old", "secret", "the password until now", most=_SECRET),
            Parameter("new", "secret", "the new password", most=_SECRET),
        ),
        _named({}),
    ),
    Action(
        "account.totp",
        _V,
        "Want a code of a second factor with one's own password, or no longer",
        ("user", "code"),
        _own_totp,
        (
            _STEP,
            Parameter(
                "password", "secret", "the password, to begin and to remove", required=False, most=_SECRET
            ),
            _CODE,
        ),
        _TOTP,
    ),
    Action(
        "account.sessions",
        _V,
        "End sessions of one's own",
        ("user", "logout"),
        _own_sessions,
        (
            Parameter("id", "text", "only this one", required=False, pattern="[0-9a-f]{1,32}", most=32),
            Parameter("keep", "text", "all but this one", required=False, pattern="[0-9a-f]{1,32}", most=32),
        ),
        thing({"ended": INTEGER}),
    ),
)
