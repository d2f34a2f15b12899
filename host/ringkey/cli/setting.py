"""`ringkey setting …`: what of ringkey.toml can be changed while the servers run."""

import json

import click

from ringkey.administration.settings import SETTINGS
from ringkey.cli import Options
from ringkey.cli.administering import as_json, ask, do, show_json, show_table


@click.group()
def command() -> None:
    """Settings that can be changed while the servers run; the rest is in ringkey.toml."""


@command.command("list", epilog="\b\nExamples:\n  ringkey setting list\n  ringkey setting list --json\n")
@as_json
@click.pass_obj
def list_(options: Options, as_json: bool) -> None:
    """List the settings with their values."""
    found = ask(options, "settings")
    if as_json:
        show_json(found)
        return
    rows = [
        (
            one["name"],
            json.dumps(one["value"]),
            "next start" if one["restart"] else "at once",
            one["title"] + (f" ({one['help']})" if one["help"] else ""),
        )
        for one in found["settings"]
    ]
    show_table(("NAME", "VALUE", "HOLDS", "WHAT"), rows)


@command.command(
    "set",
    epilog="""\b
Examples:
  ringkey setting set gatekeeper.time_to_live 600
  ringkey setting set keyserver.enrolment.policy window
""",
)
@click.argument("name", type=click.Choice([one.name for one in SETTINGS]), metavar="NAME")
@click.argument("value")
@as_json
@click.pass_obj
def set_(options: Options, name: str, value: str, as_json: bool) -> None:
    """Set NAME to VALUE in ringkey.toml.

    A server that runs takes it up at once; where it has to be started again, that is said.
    """
    done = do(options, "setting.set", name=name, value=value)
    if as_json:
        show_json(done)
        return
    click.echo(f"{name} = {json.dumps(done['value'])} (was {json.dumps(done['before'])})")
    if done["applied"]:
        click.echo("It holds now.")
    elif done["restart"]:
        click.echo(f"\nIt holds when the server is started again:\n  {options.command('serve')}")
