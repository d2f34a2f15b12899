"""`ringkey phone …`: which phones are registered, what became of them, and what can be done about it."""

import click

from ringkey.administration.phones import ORDERS, STATES
from ringkey.cli import Options, administering
from ringkey.cli.administering import as_json, ask, do, plain, show_json, show_table, styled, when

_ext = click.argument("ext", shell_complete=administering.extension)
_MOODS = {"good": "green", "bad": "red"}


@click.group()
def command() -> None:
    """Phones: which are registered and which fail, why, and what became of each lately."""


@command.command(
    "list",
    epilog="""\b
Examples:
  ringkey phone list
  ringkey phone list --state failing
  ringkey phone list --search 10 --order -since --json
""",
)
@click.option("--search", default="", help="Only those with this in extension, label or address.")
@click.option(
    "--state", type=click.Choice(["all", *STATES]), default="all", show_default=True, help="Only those."
)
@click.option(
    "--order", type=click.Choice(ORDERS), default="ext", show_default=True, help="Sorted by; - backwards."
)
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="At most so many."
)
@click.option("--offset", type=click.IntRange(0), default=0, help="From this one on.")
@as_json
@click.pass_obj
def list_(
    options: Options, *, search: str, state: str, order: str, limit: int, offset: int, as_json: bool
) -> None:
    """List the phones: one for each extension."""
    found = ask(options, "phones", search=search, state=state, order=order, limit=limit, offset=offset)
    if as_json:
        show_json(found)
        return
    rows = [
        (
            one["ext"],
            one["state"],
            one["address"] or "-",
            when(one["since"]),
            one["cvm"] or "-",
            "open" if one["channel"] else "-",
            one["serial"] or "-",
            one["label"]
            if one["failure"] is None
            else f"{one['failure']['words']} ({one['failure']['step']})",
        )
        for one in found["phones"]
    ]
    show_table(("EXT", "STATE", "ADDRESS", "SINCE", "KEYS", "CHANNEL", "SERIAL", "LABEL OR FAILURE"), rows)
    counts = ", ".join(f"{number} {name}" for name, number in found["counts"].items())
    click.echo(f"\n{len(rows)} of {found['total']} shown; in all {counts}")


@command.command(epilog="\b\nExamples:\n  ringkey phone show 1001\n  ringkey phone show 1001 --json\n")
@_ext
@as_json
@click.pass_obj
def show(options: Options, ext: str, as_json: bool) -> None:
    """Show the phone of EXT: how it is registered, or fails, and what became of it lately."""
    one = ask(options, "phone", ext=ext)
    if as_json:
        show_json(one)
        return
    for name, value in (
        ("extension", one["ext"]),
        ("label", one["label"]),
        ("state", one["state"]),
        ("address", one["address"]),
        ("since", when(one["since"]) if one["since"] else None),
        ("expires", when(one["expires"]) if one["expires"] else None),
        ("check value", one["cvm"]),
        ("generation", one["generation"]),
        ("channel", one["channel"]),
        ("serial", one["serial"]),
        ("software", one["software"]),
    ):
        click.echo(f"{name:<12} {'-' if value in (None, '') else plain(value)}")
    if one["failure"] is not None:
        failure = one["failure"]
        text = f"{failure['words']} ({failure['step']}, {failure['count']} times, last {when(failure['at'])})"
        click.echo(f"{'failure':<12} {styled(text, fg='red')}")
    if not one["gatekeeper"]:
        click.echo(f"\nNo gatekeeper runs here:\n  {options.command('status')}")
    if one["timeline"]:
        click.echo()
    for line in one["timeline"]:
        click.echo(f"{when(line['at'])}  {styled(plain(line['words']), fg=_MOODS.get(line['mood']))}")


@command.command(epilog="\b\nExample:\n  ringkey phone logout 1001\n")
@_ext
@as_json
@click.pass_obj
def logout(options: Options, ext: str, as_json: bool) -> None:
    """End the registration of EXT; its user logs in again."""
    done = do(options, "phone.logout", ext=ext)
    show_json(done) if as_json else click.echo(f"the registration of {ext} was ended")


@command.command(epilog="\b\nExample:\n  ringkey phone refresh 1001\n")
@_ext
@as_json
@click.pass_obj
def refresh(options: Options, ext: str, as_json: bool) -> None:
    """Have the phone of EXT fetch new keys: it is away for some seconds, and registers with others."""
    done = do(options, "phone.refresh", ext=ext)
    if as_json:
        show_json(done)
    else:
        click.echo(f"the phone of {ext} fetches new keys; see: {options.command(f'phone show {ext}')}")
