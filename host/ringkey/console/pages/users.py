"""Users with their roles, and tokens for scripts; an invitation or a token is shown once."""

import asyncio
from typing import Any

from aiohttp import web

from ringkey.console.pages.common import Secrets, ask, deed, text, unknown
from ringkey.console.views import render


async def show(request: web.Request) -> web.Response:
    """Show users and tokens."""
    users, tokens = await asyncio.gather(ask(request, "users"), ask(request, "tokens"))
    return render(request, "users.html", users=users["users"], tokens=tokens["tokens"])


async def act(request: web.Request) -> web.Response:
    """Do what the form says."""
    button, name, role = (text(request, key).strip() for key in ("do", "name", "role"))

    def linked(result: dict[str, Any]) -> tuple[str, Secrets]:
        url = f"{request.scheme}://{request.host}{result['path']}"
        return f"Hand this link to {name}. It works once, for a day.", [
            {"label": f"Link for {name}", "value": url}
        ]

    def made(result: dict[str, Any]) -> tuple[str, Secrets]:
        return f"The token {name} is made.", [{"label": f"Token {name}", "value": result["token"]}]

    if button == "role":
        return await deed(request, "/users", f"{name} is {role} now.", "user.role", name=name, role=role)
    if button == "token-add":
        days = text(request, "days")
        return await deed(request, "/users", made, "token.add", name=name, role=role, days=days)
    if button == "token-remove":
        return await deed(request, "/users", "The token is removed.", "token.remove", id=text(request, "id"))
    if button == "remove":
        return await deed(request, "/users", f"{name} is removed.", "user.remove", name=name)
    if button == "invite":
        return await deed(request, "/users", linked, "user.invite", name=name, role=role or None)
    return unknown(request)
