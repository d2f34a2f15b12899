"""`ringkey audit …`: the record of what was asked, by whom, and what came of it."""

from pathlib import Path

import click

from ringkey.cli import Options, keyserver_office
from ringkey.errors import UserError
from ringkey.keyserver import books, trail


@click.group()
def command() -> None:
    """The key server's audit trail: JSON lines, each chained to the one before."""


@command.command(
    epilog="""\b
Examples:
  ringkey audit verify
  ringkey audit verify --head 5f0c…         # and that a line noted before is still there
"""
)
@click.option("--head", metavar="HASH", help="A hash that `verify` has printed before.")
@click.pass_obj
def verify(options: Options, head: str | None) -> None:
    """Check that no line was changed, left out or put in; exit 1 where one was.

    A trail whose end was cut off is whole as far as it goes: note the hash that is printed
    here, elsewhere, and give it next time.
    """
    config = options.config().need_keyserver()
    report = trail.verify(config.audit)
    for note in report.notes:
        click.echo(f"note: {note}")
    if report.problem is not None:
        raise UserError(
            f"the audit trail is not whole: {report.problem} ({report.lines} good lines before it)",
            "ringkey audit renew --help",
        )
    if head is not None and not _has(config.audit, head):
        raise UserError(f"no line has the hash {head}: the trail's end was cut off, or it is another one")
    click.echo(f"whole: {report.lines} lines, {report.first} to {report.last}")
    click.echo(f"last line   {report.n}")
    click.echo(f"hash        {report.head}")


@command.command(
    "accept-clock",
    epilog="""\b
Example:
  ringkey audit accept-clock
""",
)
@click.pass_obj
def accept_clock(options: Options) -> None:
    """Believe the clock, although lines on record are later.

    For a clock that ran ahead, and was set right since.  That it was done is on record.
    """
    config = options.config().need_keyserver()
    done = keyserver_office.ask(options, config, "accept-clock")
    click.echo(f"the clock is believed: {done['time']}")


@command.command(
    epilog="""\b
Example:
  ringkey audit renew
"""
)
@click.pass_obj
def renew(options: Options) -> None:
    """Begin another trail where the one that is there is damaged; nothing is erased.

    The new one goes on from the last number and hash that the register has.  The key server
    must not be running.
    """
    config = options.config().need_keyserver()
    for path in books.renew(config.audit, config.register):
        click.echo(f"The old trail is in {path}")
    click.echo(f"A new trail is in {config.audit}")
    click.echo(f"\nNext:\n  {options.command('keyserver serve')}")


def _has(path: Path, head: str) -> bool:
    head = head.strip().lower()
    return any((line := trail.check(raw)) is not None and line["hash"] == head for _, raw in trail.read(path))
