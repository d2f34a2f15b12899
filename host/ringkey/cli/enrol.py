"""`ringkey enrol …`."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO, TypeVar

import click

from ringkey.cli import Options
from ringkey.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringkey.keyserver.enrolment import Enrolment

_T = TypeVar("_T")


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
@click.pass_obj
def open_(options: Options, minutes: int, phones: int | None) -> None:
    """Open the window: phones that come get keys.

    A new window takes the place of an open one.  A phone that asks again does not count twice.
    """
    enrolment = _enrolment(options)
    window = _done(lambda: enrolment.open_window(minutes, phones))
    end = datetime.fromtimestamp(window.until, UTC)
    who = "any number of phones" if phones is None else f"{phones} phones"
    click.echo(f"The window is open until {end:%Y-%m-%d %H:%M} UTC, for {who}.")
    _warn(enrolment, "window")


@command.command(epilog="\b\nExamples:\n  ringkey enrol close\n")
@click.pass_obj
def close(options: Options) -> None:
    """Close the window now."""
    enrolment = _enrolment(options)
    _done(enrolment.close_window)
    click.echo("The window is closed.")
    _warn(enrolment, "window")


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
@click.pass_obj
def import_(options: Options, file: TextIO, replace: bool, remove: bool) -> None:
    """Put extensions and serial numbers on the list, from a CSV: EXT,SERIAL on each line.

    With both, that phone gets keys for that extension only; one of them may be empty.  A list with
    one wrong line changes nothing.
    """
    from ringkey.keyserver import enrolment_list as lists

    if replace and remove:
        raise UserError(
            "--replace and --remove at once are not to be done", "ringkey enrol import --help", usage=True
        )
    enrolment = _enrolment(options)
    try:
        listed, problems = lists.parse(file)
    except UnicodeDecodeError:
        raise UserError(f"{file.name} is not UTF-8", f"file {file.name}") from None
    if problems:
        more = len(problems) - lists.MAX_PROBLEMS
        shown = problems[: lists.MAX_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])
        raise UserError(f"{file.name}: nothing was imported\n  " + "\n  ".join(shown))
    before = lists.Listed() if replace else enrolment.listed()
    after = before - listed if remove else before | listed
    _done(lambda: enrolment.write_list(after))
    click.echo(f"{len(after)} entries are listed ({len(listed)} in {file.name}).")
    _warn(enrolment, "listed")


@command.command(epilog="\b\nExamples:\n  ringkey enrol status\n  ringkey enrol status --json\n")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def status(options: Options, as_json: bool) -> None:
    """Show the policy, the window and how many are listed."""
    found = _enrolment(options).status()
    if as_json:
        click.echo(json.dumps(found, indent=2))
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


def _enrolment(options: Options) -> "Enrolment":
    from ringkey.keyserver.enrolment import Enrolment

    return Enrolment(options.config().need_keyserver().enrolment)


def _done(what: "Callable[[], _T]") -> "_T":
    try:
        return what()
    except OSError as e:
        raise UserError(f"cannot write the enrolment's state: {e.strerror}", "df -h .") from None


def _warn(enrolment: "Enrolment", policy: str) -> None:
    if enrolment.policy != policy:
        click.echo(
            f'Note: the policy is "{enrolment.policy}", so this decides nothing until ringkey.toml has '
            f'[keyserver.enrolment] policy = "{policy}" and the key server was started again.'
        )
