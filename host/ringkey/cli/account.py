"""What `ringkey user` and `ringkey token` share: how they reach the administration, and show what it says."""

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from ringkey.cli import Options
from ringkey.errors import UserError

ROLES = click.Choice(["viewer", "operator", "administrator"])
# Characters of a line with a password on standard input; one has up to 200.
_MAX_LINE = 1000

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
password_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


def do(options: Options, name: str, /, **values: object) -> dict[str, Any]:
    """Carry out an action of the administration as whoever types; raises UserError."""
    return _through(options, "do", name, values)


def ask(options: Options, name: str, /, **values: object) -> dict[str, Any]:
    """Ask a query of the administration; raises UserError."""
    return _through(options, "ask", name, values)


def _through(options: Options, how: str, name: str, values: dict[str, object]) -> dict[str, Any]:
    from ringkey.administration.roles import at_the_command_line
    from ringkey.administration.site import Administration

    options.config()  # where there is no site, that is said first

    async def go() -> dict[str, Any]:
        administration = Administration(options.site)
        try:
            given = {key: value for key, value in values.items() if value is not None}
            call = administration.do if how == "do" else administration.ask
            return await call(at_the_command_line(), name, **given)
        finally:
            await administration.stop()

    return asyncio.run(go())


def show_json(found: object) -> None:
    """Print what was found, for scripts."""
    click.echo(json.dumps(found, indent=2))


def password(stdin: bool) -> str:
    """Return the password: read, or asked for twice; raises UserError."""
    if stdin:
        return sys.stdin.readline(_MAX_LINE).rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UserError(
            "there is no terminal to ask for the password at; use --password-stdin",
            "ringkey user --help",
            usage=True,
        )
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt="Password again")
    return answer


def time(seconds: float | None) -> str:
    """Return a time for people, UTC."""
    return "-" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}Z"


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns, the first row being their heads."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
