"""`ringkey audit …`: the record of what was asked, by whom, and what came of it."""

from pathlib import Path

import click

from ringkey.administration.audit import LOGS
from ringkey.administration.record import FILE
from ringkey.administration.site import DIRECTORY
from ringkey.cli import Options
from ringkey.cli.administering import as_json, ask, do, on_record, show_json, show_table, when
from ringkey.errors import UserError
from ringkey.keyserver import books, trail


@click.group()
def command() -> None:
    """What is on record: the key server's audit trail, and that of changes by people.

    Both are JSON lines, each chained to the one before.
    """


@command.command(
    epilog="""\b
Examples:
  ringkey audit verify
  ringkey audit verify --head 5f0c…         # and that a line noted before is still there
"""
)
@click.option("--head", metavar="HASH", help="A hash that `verify` has printed before.")
@as_json
@click.pass_obj
def verify(options: Options, head: str | None, as_json: bool) -> None:
    """Check that no line of either trail was changed, left out or put in; exit 1 where one was.

    A trail whose end was cut off is whole as far as it goes: note the hash that is printed
    here, elsewhere, and give it next time.
    """
    config = options.config()
    admin = options.site.root / DIRECTORY / FILE
    paths = [] if config.keyserver is None else [config.keyserver.audit]
    if admin.exists() or not paths:
        paths.append(admin)
    reports = {path: _whole(path) for path in paths}
    if head is not None and not any(_has(path, head) for path in paths):
        raise UserError(f"no line has the hash {head}: the trail's end was cut off, or it is another one")
    if as_json:
        show_json(
            [
                {"file": str(path), "lines": one.lines, "n": one.n, "hash": one.head, "notes": one.notes}
                for path, one in reports.items()
            ]
        )
        return
    for path, report in reports.items():
        for note in report.notes:
            click.echo(f"note: {note}")
        what = f"\n{path.relative_to(options.site.root)} is whole, too:" if path == admin else "whole:"
        click.echo(f"{what} {report.lines} lines, {report.first} to {report.last}")
        click.echo(f"last line   {report.n}")
        click.echo(f"hash        {report.head}")


@command.command(
    "list",
    epilog="""\b
Examples:
  ringkey audit list
  ringkey audit list --log admin --search extension.pin
  ringkey audit list --json --limit 1000
""",
)
@click.option("--search", default="", help="Only lines with this in them.")
@click.option(
    "--log", type=click.Choice(["all", *LOGS]), default="all", show_default=True, help="Whose record."
)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many."
)
@click.option("--before", help="What is older: as the last answer in JSON had it.")
@as_json
@click.pass_obj
def list_(options: Options, *, search: str, log: str, limit: int, before: str | None, as_json: bool) -> None:
    """Show what is on record, the newest first."""
    found = ask(options, "audit", search=search, log=log, limit=limit, before=before)
    if as_json:
        show_json(found)
        return
    rows = [
        (
            when(one["at"]),
            one["author"] or "-",
            one["way"] or one["log"],
            one["source"] or "-",
            one["action"],
            one["outcome"] or "-",
            one["text"],
        )
        for one in found["lines"]
    ]
    show_table(("TIME", "WHO", "WAY", "FROM", "WHAT", "CAME TO", ""), rows)


@command.command(
    "accept-clock",
    epilog="""\b
Example:
  ringkey audit accept-clock
""",
)
@as_json
@click.pass_obj
def accept_clock(options: Options, as_json: bool) -> None:
    """Believe the clock, although lines on record are later.

    For a clock that ran ahead, and was set right since.  That it was done is on record.
    """
    done = do(options, "clock.accept")
    show_json(done) if as_json else click.echo(f"the clock is believed: {done['time']}")


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
    with on_record(options, "audit.renew"):
        aside = books.renew(config.audit, config.register)
    for path in aside:
        click.echo(f"The old trail is in {path}")
    click.echo(f"A new trail is in {config.audit}")
    click.echo(f"\nNext:\n  {options.command('keyserver serve')}")


def _whole(path: Path) -> trail.Report:
    report = trail.verify(path)
    if report.problem is not None:
        raise UserError(
            f"the audit trail is not whole: {report.problem} ({report.lines} good lines before it)",
            "ringkey audit renew --help",
        )
    return report


def _has(path: Path, head: str) -> bool:
    head = head.strip().lower()
    return any((line := trail.check(raw)) is not None and line["hash"] == head for _, raw in trail.read(path))
