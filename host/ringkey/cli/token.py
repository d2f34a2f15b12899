"""`ringkey token …`: tokens for scripts that use the API."""

import click

from ringkey.cli import Options, account, administering

_HEADINGS = ("ID", "NAME", "ROLE", "MADE BY", "MADE", "UNTIL")


@click.group()
def command() -> None:
    """Tokens of the API: each has a role and an end, and is shown once.

    \b
    curl --cacert ca/root.crt -H "Authorization: Bearer $TOKEN" https://localhost:8447/api/v1/overview
    """


@command.command(
    epilog="""\b
Examples:
  ringkey token add monitoring --role viewer
  ringkey token add import --role operator --days 30
"""
)
@click.argument("name")
@click.option("--role", type=account.ROLES, required=True, help="What its bearer may do.")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="Until it ends.")
@administering.as_json
@click.pass_obj
def add(options: Options, name: str, role: str, days: int, as_json: bool) -> None:
    """Make a token and print it, this once; NAME says what it is for, and stands in the record."""
    found = administering.do(options, "token.add", name=name, role=role, days=days)
    if as_json:
        administering.show_json(found)
        return
    click.echo(f"token {found['id']} for {name}, {role}, until {administering.when(found['expires'])}:\n")
    click.echo(f"  {found['token']}   (shown this once)")


@command.command("list", epilog="\b\nExamples:\n  ringkey token list\n  ringkey token list --json\n")
@administering.as_json
@click.pass_obj
def list_(options: Options, as_json: bool) -> None:
    """List the tokens, without what they are."""
    found = administering.ask(options, "tokens")
    if as_json:
        administering.show_json(found)
        return
    rows = []
    for one in found["tokens"]:
        made, until = administering.when(one["created"]), administering.when(one["expires"])
        rows.append((one["id"], one["name"], one["role"], one["author"], made, until))
    administering.show_table(_HEADINGS, rows)


@command.command(epilog="\b\nExample:\n  ringkey token remove 5f0c1a2b\n")
@click.argument("name", metavar="ID")
@administering.as_json
@click.pass_obj
def remove(options: Options, name: str, as_json: bool) -> None:
    """Remove the token that the list calls ID; it opens nothing from now on."""
    found = administering.do(options, "token.remove", id=name)
    if as_json:
        administering.show_json(found)
    else:
        click.echo(f"token {found['id']} ({found['name']}) removed")
