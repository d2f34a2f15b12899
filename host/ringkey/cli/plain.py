"""`ringkey gatekeeper plain`: H.323 endpoints that are registered without a PIN."""

import click

from ringkey.cli import Options
from ringkey.cli.administering import as_json, show_json, show_table
from ringkey.errors import UserError
from ringkey.site import control

NAME = "gatekeeper"


@click.command(
    name="plain",
    epilog="""\b
Examples:
  ringkey gatekeeper plain
  ringkey gatekeeper plain --json | jq -r '.plain[].ext'
""",
)
@as_json
@click.pass_obj
def command(options: Options, as_json: bool) -> None:
    """List the plain H.323 endpoints that are registered: without a PIN, a key or a signalling channel.

    Which may register, [gatekeeper.plain] in ringkey.toml says; without that table none.
    """
    allowed = options.config().need_gatekeeper().plain is not None
    found = control.ask(options.site.run, NAME, "plain")
    if found is None:
        raise UserError(
            f"no gatekeeper of {options.site.root} runs here, or it does not answer",
            "ringkey gatekeeper serve",
        )
    found["plain"].sort(key=lambda one: (len(one["ext"]), one["ext"]))
    if as_json:
        show_json(found)
        return
    rows = [
        (one["ext"], one["source"], one["software"] or "-", f"{one['expires_in']} s")
        for one in found["plain"]
    ]
    show_table(("EXT", "ADDRESS", "SOFTWARE", "EXPIRES IN"), rows)
    if not allowed:
        click.echo(f"\nNone may register: {options.site.config_file} has no [gatekeeper.plain]")
