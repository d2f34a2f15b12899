"""The ways in and out: log-in, invitation, log-out; and what a user does with the own account."""

from aiohttp import web

from ringkey.administration.accounts.errors import AccountError, TooManyError, WrongLogInError
from ringkey.administration.accounts.sessions import MAX_AGENT
from ringkey.administration.accounts.store import MAX_TYPED
from ringkey.administration.roles import Author, Role
from ringkey.console.guard import local
from ringkey.console.routes import PUBLIC, Route
from ringkey.console.views import flash, redirect, render
from ringkey.console.visits import (
    COOKIE,
    DOOR,
    MAX_SECRET,
    administration,
    author,
    drop_cookie,
    nobody,
    set_cookie,
    text,
    visit,
)
from ringkey.errors import UserError


async def _show_login(request: web.Request) -> web.StreamResponse:
    next_ = local(request.query.get("next", "/"))
    if visit(request).known:
        return redirect(next_)
    return render(request, "login.html", error=None, next_=next_, name="")


async def _log_in(request: web.Request) -> web.StreamResponse:
    site = administration(request)
    name, next_ = text(request, "name"), local(text(request, "next", "/"))
    source, agent = request.remote or "-", request.headers.get("User-Agent", "")[:MAX_AGENT]
    try:
        user, cookie = await site.accounts.log_in(
            name, text(request, "password"), text(request, "code"), source, agent
        )
    except (WrongLogInError, TooManyError) as error:
        late = isinstance(error, TooManyError)
        # A name that nobody has is often a password in the wrong field.
        known = site.accounts.users.get(name.strip().lower()[:MAX_TYPED])
        named = "(nobody)" if known is None else known.name
        reason = "throttle" if late else "wrong"
        await site.note(nobody(request, "console"), "log-in", "refused", reason=reason, name=named)
        what = f"{error.what}: {error.wait} s" if isinstance(error, TooManyError) else error.what
        found = render(
            request, "login.html", 429 if late else 401, error=what, next_=next_, name=name[:MAX_SECRET]
        )
        if isinstance(error, TooManyError):
            found.headers["Retry-After"] = str(error.wait)
        return found
    session = site.accounts.sessions.find(cookie)
    if session is None:  # the user was removed in this moment
        return redirect("/login")
    await site.note(Author(user, session.role, "console", source), "log-in", "done")
    return _let_in(request, cookie, next_)


def _let_in(request: web.Request, cookie: str, path: str) -> web.StreamResponse:
    found = redirect(path)
    before = visit(request).session
    if before is not None:
        administration(request).accounts.sessions.end(before.hash)
    set_cookie(found, COOKIE, cookie)
    drop_cookie(found, DOOR)
    return found


async def _log_out(request: web.Request) -> web.StreamResponse:
    session = visit(request).session
    if session is not None:
        administration(request).accounts.sessions.end(session.hash)
        await administration(request).note(author(request), "log-out", "done")
    found = redirect("/login")
    drop_cookie(found, COOKIE)
    return found


async def _show_invitation(request: web.Request) -> web.StreamResponse:
    return await _invitation(request, None)


async def _invitation(request: web.Request, error: str | None) -> web.StreamResponse:
    token = request.match_info["token"][:MAX_SECRET]
    found = administration(request).accounts.invitations.find(token)
    if found is None:
        await administration(request).note(
            nobody(request, "console"), "invitation", "refused", reason="unknown or over"
        )
        return render(
            request,
            "error.html",
            404,
            title="Not Found",
            what="this link works no more: it was used, is older than a day, or another one was made since",
            next_step="ringkey user invite NAME",
        )
    status = 200 if error is None else 400
    return render(request, "invite.html", status, name=found.user, role=found.role.title, error=error)


async def _accept(request: web.Request) -> web.StreamResponse:
    site = administration(request)
    token = request.match_info["token"][:MAX_SECRET]
    invited = site.accounts.invitations.find(token)
    if invited is None:
        return await _invitation(request, None)
    password = text(request, "password")
    if password != text(request, "again"):
        return await _invitation(request, "the two passwords are not the same")
    try:
        kept = await site.accounts.users.make_password(invited.user, password)
    except (AccountError, TooManyError) as error:
        return await _invitation(request, error.what)
    accepted = site.accounts.invitations.accept(token, kept)
    if accepted is None:
        return await _invitation(request, None)
    source = request.remote or "-"
    await site.note(Author(accepted.user, accepted.role, "console", source), "invitation", "done")
    agent = request.headers.get("User-Agent", "")[:MAX_AGENT]
    return _let_in(request, site.accounts.sessions.begin(accepted.user, source, agent), "/")


async def _show_account(request: web.Request) -> web.StreamResponse:
    return await _account(request, None, None)


async def _account(
    request: web.Request, setup: object, error: str | None, status: int = 200
) -> web.StreamResponse:
    account = await administration(request).ask(author(request), "account")
    session = visit(request).session
    for one in account["sessions"]:
        one["this"] = session is not None and one["id"] == session.id
    return render(request, "account.html", status, account=account, setup=setup, error=error)


async def _change_account(request: web.Request) -> web.StreamResponse:
    site, who = administration(request), author(request)
    what = text(request, "do")
    try:
        if what == "password":
            return await _change_password(request)
        if what == "totp-begin":
            made = await site.do(who, "account.totp", step="begin", password=text(request, "password"))
            return await _account(request, made, None)
        if what == "totp-confirm":
            await site.do(who, "account.totp", step="confirm", code=text(request, "code"))
            flash(request, "done", "From now on a code is wanted with your password.")
        elif what == "totp-remove":
            await site.do(who, "account.totp", step="remove", password=text(request, "password"))
            flash(request, "done", "No code is wanted any more.")
        elif what in ("session-end", "sessions-end"):
            session = visit(request).session
            keep = session.id if session is not None and what == "sessions-end" else None
            named = text(request, "id") if what == "session-end" else None
            done = await site.do(who, "account.sessions", id=named, keep=keep)
            flash(request, "done", f"{done['ended']} session{'' if done['ended'] == 1 else 's'} ended.")
        else:
            raise AccountError("the form asks for nothing that can be done")
    except UserError as error:
        return await _account(request, None, error.what, 400)
    return redirect("/account")


async def _change_password(request: web.Request) -> web.StreamResponse:
    site, who = administration(request), author(request)
    if text(request, "new") != text(request, "again"):
        raise AccountError("the two new passwords are not the same")
    await site.do(who, "account.password", old=text(request, "old"), new=text(request, "new"))
    # All sessions have ended, this one too: the browser goes on with another one.
    agent = request.headers.get("User-Agent", "")[:MAX_AGENT]
    return _let_in(request, site.accounts.sessions.begin(who.name, request.remote or "-", agent), "/account")


ROUTES = (
    Route("GET", "/login", PUBLIC, _show_login),
    Route("POST", "/login", PUBLIC, _log_in),
    Route("POST", "/logout", Role.VIEWER, _log_out),
    Route("GET", "/invite/{token}", PUBLIC, _show_invitation),
    Route("POST", "/invite/{token}", PUBLIC, _accept),
    Route("GET", "/account", Role.VIEWER, _show_account),
    Route("POST", "/account", Role.VIEWER, _change_account),
)
