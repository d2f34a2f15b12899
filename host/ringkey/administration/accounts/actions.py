"""What is done about accounts and asked of them: entries of the administration's table."""

from typing import Any

from ras.address import join_address

from ringkey.administration.accounts import invitations, own, tokens, users
from ringkey.administration.accounts.errors import AccountError
from ringkey.administration.accounts.own import (
    CODE,
    MAX_PASSWORD,
    ROLE,
    ROLES,
    STEP,
    TOTP,
    accounts_of,
    named,
    step_of,
)
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

# What a link is for: to be shown once, to whoever may act for that user.
_LINK: dict[str, object] = {
    "type": "string",
    "description": "lets its reader set the password, once, for a day",
}
_NAME = Parameter("name", "text", "the user's name", pattern=users.NAME, most=32)
_ROLE = Parameter("role", "choice", "what the user may do", choices=ROLES)
_OPTIONAL_ROLE = Parameter("role", "choice", "what a new user may do", required=False, choices=ROLES)

_USER = thing(
    {
        "name": TEXT,
        "role": ROLE,
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
    {"id": TEXT, "name": TEXT, "role": ROLE, "author": TEXT, "created": SECONDS, "expires": SECONDS}
)
_INVITED = thing(
    {
        "name": TEXT,
        "role": ROLE,
        "path": {**_LINK, "description": "of the link, at the console"},
        "url": _LINK,
        "expires": SECONDS,
    }
)


async def _users(administration: Administration, author: Author) -> dict[str, Any]:
    return {"users": [_told(user) for user in accounts_of(administration).users.list()]}


async def _tokens(administration: Administration, author: Author) -> dict[str, Any]:
    return {"tokens": [_told_token(token) for token in accounts_of(administration).tokens.list()]}


async def _add(
    administration: Administration, author: Author, name: str, role: str, password: str
) -> dict[str, Any]:
    accounts = accounts_of(administration)
    users.check_name(name)
    kept = await accounts.users.make_password(name, password)
    return _told(accounts.users.add(name, role_of(role), kept))


async def _invite(
    administration: Administration, author: Author, name: str, role: str | None
) -> dict[str, Any]:
    accounts = accounts_of(administration)
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
    accounts_of(administration).users.set_role(name, role_of(role))
    return {"name": name, "role": role}


async def _password(
    administration: Administration, author: Author, name: str, password: str
) -> dict[str, Any]:
    found = accounts_of(administration).users
    if found.get(name) is None:
        raise AccountError(f"there is no user {name}", "ringkey user list")
    found.set_password(name, await found.make_password(name, password))
    return {"name": name}


async def _totp(
    administration: Administration, author: Author, name: str, step: str, code: str | None
) -> dict[str, Any]:
    if accounts_of(administration).users.get(name) is None:
        raise AccountError(f"there is no user {name}", "ringkey user list")
    return step_of(administration, name, step, code)


async def _logout(administration: Administration, author: Author, name: str) -> dict[str, Any]:
    accounts = accounts_of(administration)
    if accounts.users.get(name) is None:
        raise AccountError(f"there is no user {name}", "ringkey user list")
    ended = accounts.sessions.of(name)
    for one in ended:
        accounts.sessions.end(one.hash)
    return {"ended": len(ended)}


async def _remove(administration: Administration, author: Author, name: str) -> dict[str, Any]:
    accounts_of(administration).users.remove(name)
    return {"name": name}


async def _add_token(
    administration: Administration, author: Author, name: str, role: str, days: int
) -> dict[str, Any]:
    made, secret = accounts_of(administration).tokens.add(name, role_of(role), author.name, days)
    return {**_told_token(made), "token": secret}


async def _remove_token(administration: Administration, author: Author, id: str) -> dict[str, Any]:
    return _told_token(accounts_of(administration).tokens.remove(id))


def address(administration: Administration) -> str:
    """Return the console's address, such as https://192.0.2.10:8447, as its certificate has it."""
    config = administration.config
    names = config.keyserver.names if config.keyserver is not None else ()
    port = runtime.ports(administration.site.run, "console").get("console") or config.need_console().port
    return f"https://{join_address(names[0] if names else 'localhost', port)}"


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


_A = Role.ADMINISTRATOR
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
    *own.QUERIES,
)
ACTIONS = (
    Action(
        "user.add",
        _A,
        "Add a user with a password",
        ("user", "add"),
        _add,
        (_NAME, _ROLE, Parameter("password", "secret", "the user's password", most=MAX_PASSWORD)),
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
        named({"role": ROLE}),
    ),
    Action(
        "user.password",
        _A,
        "Replace a user's password",
        ("user", "password"),
        _password,
        (_NAME, Parameter("password", "secret", "the new password", most=MAX_PASSWORD)),
        named({}),
    ),
    Action(
        "user.totp",
        _A,
        "Want a code of a second factor with a user's password, or no longer",
        ("user", "code"),
        _totp,
        (_NAME, STEP, CODE),
        TOTP,
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
    Action("user.remove", _A, "Remove a user", ("user", "remove"), _remove, (_NAME,), named({})),
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
    *own.ACTIONS,
)
