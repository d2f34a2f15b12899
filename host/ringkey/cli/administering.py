"""How commands do and ask what the console does and asks, and how they show it.

Through the same table (ringkey.administration), the operating system's user being the author.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from ringkey.administration import roles
from ringkey.administration.record import Record
from ringkey.administration.site import DIRECTORY, Administration
from ringkey.administration.values import cut
from ringkey.cli import DEFAULT_SITE, Options, asking
from ringkey.errors import UserError
from ringkey.site.config import Site

_T = TypeVar("_T")
# Columns of a table that have no terminal to fit into.
WIDTH = 1000
# Extensions that tab completion offers: what a terminal shows without asking whether it shall.
MAX_OFFERED = 50

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def do(options: Options, name: str, /, **values: object) -> dict[str, Any]:
    """Carry out an action of the table; raises UserError."""
    return _run(options, lambda administration, author: administration.do(author, name, **values))


def ask(options: Options, name: str, /, **values: object) -> dict[str, Any]:
    """Return the answer to a query of the table; raises UserError."""
    return _run(options, lambda administration, author: administration.ask(author, name, **values))


@contextmanager
def on_record(options: Options, action: str, **values: object) -> Iterator[None]:
    """Put on record what a command does that the console cannot: before, and what came of it.

    values: no secret.  Raises Unrecorded, and then it is not to be done.
    """
    record = Record(options.site.root / DIRECTORY)
    author = roles.at_the_command_line()
    told = {"action": action, "values": values}
    number = record.put(author, "asked", **told)
    try:
        yield
    except BaseException as error:
        reason = cut(error.what) if isinstance(error, UserError) else type(error).__name__
        with suppress(UserError):
            record.put(author, "failed", **told, of=number, reason=reason)
        raise
    record.put(author, "done", **told, of=number)


def _run(options: Options, what: Callable[[Administration, roles.Author], Any]) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        administration = Administration(options.site, asking.passphrase)
        try:
            found: dict[str, Any] = await what(administration, roles.at_the_command_line())
            return found
        finally:
            await administration.stop()

    return asyncio.run(run())


def show_json(found: object) -> None:
    """Print a result for a program."""
    click.echo(json.dumps(found, indent=2))


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: columns as wide as they need to be; on a terminal cut at its width."""
    lines = [tuple(map(plain, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]
    most = os.get_terminal_size().columns if sys.stdout.isatty() else WIDTH
    for i, row in enumerate([tuple(headings), *lines]):
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()[:most]
        click.echo(styled(line, bold=True) if i == 0 else line)


def plain(text: object) -> str:
    """Return a text of anybody's as one that a terminal only shows."""
    return "".join(character if character.isprintable() else "?" for character in str(text))


def styled(text: str, **style: Any) -> str:
    """Return a text in colour, for a terminal that wants some (no-color.org)."""
    return text if os.environ.get("NO_COLOR") or not sys.stdout.isatty() else click.style(text, **style)


def when(seconds: float | None) -> str:
    """Return a time of day as people and programs read it, "-" for none."""
    return "-" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def extension(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Offer the extensions that begin so, for tab completion; nothing where they cannot be read."""
    root = ctx.find_root().params.get("site") or DEFAULT_SITE
    options = Options(Site(Path(root)), "text", None, chosen=False)
    try:
        found = ask(options, "extensions", search=incomplete, limit=MAX_OFFERED)
    except UserError:
        return []
    return [one["ext"] for one in found["extensions"] if one["ext"].startswith(incomplete)]
