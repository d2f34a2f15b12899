"""`python -m ringkey.cli.commands_table`: docs/commands.md, made from the table of actions and queries."""

from collections.abc import Iterable, Iterator

import click

from ringkey.administration import catalogue
from ringkey.administration.table import Entry
from ringkey.cli import cli

_HEAD = """\
# Commands, and what the console does

Made by `python -m ringkey.cli.commands_table` from the table in `host/ringkey/administration/`; a test
fails where it is not, and where an entry has no command.  What the console and the API can do, the command
line can.

Every command here has `--help` with examples, and `--json` for what it prints.  Tables are cut at the
terminal's width, and colours are for a terminal only (`NO_COLOR` turns them off); of what other people chose,
`?` is shown for what a terminal would obey.

| exit status | |
|---|---|
| 0 | done |
| 1 | not possible: standard error says who is at fault, what happened, and the next thing to type |
| 2 | the command line is wrong |
| 130 | stopped by Ctrl-C |

`cert status`, `audit verify` and `extension import --preview` end with 1 where they find something wrong.
`ringkey completion bash` (or zsh, fish) prints what a shell needs to complete commands and extensions.
"""


def text() -> str:
    """Return docs/commands.md."""
    actions, queries = catalogue.actions().values(), catalogue.queries().values()
    parts = [
        _HEAD,
        "\n## Actions\n\nEach is on record with its author (`ringkey audit list --log admin`).\n\n",
        *_table(actions),
        "\n## Queries\n\n",
        *_table(queries),
    ]
    return "".join(parts)


def missing() -> list[str]:
    """Return the entries that name no command that there is."""
    entries: list[Entry] = [*catalogue.actions().values(), *catalogue.queries().values()]
    return [f"{one.name}: ringkey {' '.join(one.command)}" for one in entries if _find(one.command) is None]


def _table(entries: Iterable[Entry]) -> Iterator[str]:
    yield "| name | what | command | least role | values |\n|---|---|---|---|---|\n"
    for one in entries:
        command = " ".join(one.command)
        names = [
            parameter.name if parameter.required else f"[{parameter.name}]" for parameter in one.parameters
        ]
        values = ", ".join(names) or "-"
        yield f"| `{one.name}` | {one.title} | `ringkey {command}` | {one.role.title} | {values} |\n"


def _find(path: tuple[str, ...]) -> click.Command | None:
    found: click.Command | None = cli
    for name in path:
        if not isinstance(found, click.Group):
            return None
        found = found.get_command(click.Context(found), name)
    return found


if __name__ == "__main__":
    click.echo(text(), nl=False)
