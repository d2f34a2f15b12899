"""`ringkey enrol …`."""

from datetime import UTC, datetime
from typing import Any, TextIO

import click

from ringkey.administration.enrolment import MAX_CSV
from ringkey.cli import Options
from ringkey.cli.administering import as_json, ask, do, show_json
from ringkey.errors import UserError


@click.group()
def command() -> None:
    """Who gets keys: [keyserver.enrolment] policy is "open", "window" or "listed".

    What is changed here holds at once, for a key server that is running too.
    """


@command.command(
    "open",
    epilog="""\b
Examples:
  ringkey enrol open --minutes 30
  ringkey enrol open --minutes 480 --phones 20
""",
)
@click.option(
    "--minutes", type=click.IntRange(1, 90 * 24 * 60), default=30, show_default=True, help="For how long."
)
@click.option("--phones", type=click.IntRange(1, 10_000), help="For how many phones; else for any number.")
@as_json
@click.pass_obj
def open_(options: Options, *, minutes: int, phones: int | None, as_json: bool) -> None:
    """Open the window: phones that come get keys.

    A new window takes the place of an open one.  A phone that asks again does not count twice.
    """
    done = do(options, "enrolment.open", minutes=minutes, phones=phones)
    if as_json:
        show_json(done)
        return
    end = datetime.fromtimestamp(done["until"], UTC)
    who = "any number of phones" if phones is None else f"{phones} phones"
    click.echo(f"The window is open until {end:%Y-%m-%d %H:%M} UTC, for {who}.")
    _warn(done, "window")


@command.command(epilog="\b\nExamples:\n  ringkey enrol close\n")
@as_json
@click.pass_obj
def close(options: Options, as_json: bool) -> None:
    """Close the window now."""
    done = do(options, "enrolment.close")
    if as_json:
        show_json(done)
        return
    click.echo("The window is closed.")
    _warn(done, "window")


@command.command(
    "import",
    epilog="""\b
Examples:
  ringkey enrol import phones.csv
  ringkey enrol import --replace phones.csv
  printf '1001,\\n,00:11:22:33:44:55\\n' | ringkey enrol import -
""",
)
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--replace", is_flag=True, help="Forget what was listed before.")
@click.option("--remove", is_flag=True, help="Take these entries off the list.")
@as_json
@click.pass_obj
def import_(options: Options, file: TextIO, *, replace: bool, remove: bool, as_json: bool) -> None:
    """Put extensions and serial numbers on the list, from a CSV: EXT,SERIAL on each line.

    With both, that phone gets keys for that extension only; one of them may be empty.  A list with
    one wrong line changes nothing.
    """
    if replace and remove:
        raise UserError(
            "--replace and --remove at once are not to be done", "ringkey enrol import --help", usage=True
        )
    try:
        text = file.read(MAX_CSV + 1)
    except UnicodeDecodeError:
        raise UserError(f"{file.name} is not UTF-8", f"file {file.name}") from None
    how = "replace" if replace else "remove" if remove else "add"
    try:
        done = do(options, "enrolment.import", csv=text, how=how)
    except UserError as error:
        if error.what.startswith("nothing was imported"):
            raise UserError(f"{file.name}: {error.what}") from None
        raise
    if as_json:
        show_json(done)
        return
    click.echo(f"{done['listed']} entries are listed ({done['given']} in {file.name}).")
    _warn(done, "listed")


@command.command(epilog="\b\nExamples:\n  ringkey enrol status\n  ringkey enrol status --json\n")
@as_json
@click.pass_obj
def status(options: Options, as_json: bool) -> None:
    """Show the policy, the window and how many are listed."""
    found = ask(options, "enrolment")
    if as_json:
        show_json(found)
        return
    window = found["window"]
    left = "any number of phones" if window["phones_left"] is None else f"{window['phones_left']} phones"
    minutes = -(-window["seconds_left"] // 60)
    click.echo(f"policy   {found['policy']}")
    click.echo(
        f"window   open for {minutes} minutes and {left} more; {window['let_in']} let in"
        if window["open"]
        else "window   closed"
    )
    click.echo(f"listed   {found['listed']} entries")
    click.echo(
        f"limits   {found['per_source'] or 'no limit of'} a minute for one address, "
        f"{found['per_extension'] or 'no limit of'} an hour for one extension"
    )


def _warn(done: dict[str, Any], policy: str) -> None:
    if done["policy"] != policy:
        click.echo(
            f'Note: the policy is "{done["policy"]}", so this decides nothing until ringkey.toml has '
            f'[keyserver.enrolment] policy = "{policy}" and the key server was started again.'
        )
