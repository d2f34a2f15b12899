"""`ringkey key …`: the keys that were issued, and their revocation."""

from typing import Any

import click

from ringkey.cli import Options, administering
from ringkey.cli.administering import as_json, ask, do, show_json, when
from ringkey.errors import UserError

# Lines of a list, unless asked otherwise: a screen or two.
_LINES = 50


@click.group()
def command() -> None:
    """The keys that this key server has issued: who has them, and which are revoked.

    The keys themselves are nowhere on record; g names them.
    """


@command.command(
    "list",
    epilog="""\b
Examples:
  ringkey key list
  ringkey key list --ext 1001
  ringkey key list --revoked --json
""",
)
@click.option("--search", default="", help="With this as extension, serial, address or g.")
@click.option("--ext", help="Of this extension only.", shell_complete=administering.extension)
@click.option("--serial", help="Of this serial number only.")
@click.option("--generation", help="Of this generation only.")
@click.option("--revoked", is_flag=True, help="Revoked ones only.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=_LINES, show_default=True, help="At most so many."
)
@as_json
@click.pass_obj
def list_(
    options: Options,
    *,
    search: str,
    ext: str | None,
    serial: str | None,
    generation: str | None,
    revoked: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List issued keys, the newest first."""
    named = {"ext": ext, "serial": serial, "generation": generation}
    found = ask(options, "keys", search=search, revoked=revoked, limit=limit, **named)["keys"]
    if as_json:
        show_json([_told(key) for key in found])
        return
    for key in found:
        click.echo(_line(key))
    if len(found) == limit:
        click.echo(f"(the newest {limit}; more with --limit)")


@command.command(
    epilog="""\b
Example:
  ringkey key show 02005e10000100000000000000000007
"""
)
@click.argument("g")
@as_json
@click.pass_obj
def show(options: Options, g: str, as_json: bool) -> None:
    """Show what is on record about the key named G, 32 hex digits."""
    found = ask(options, "keys", g=g, limit=1)["keys"]
    if not found:
        raise UserError(f"no key {g} is on record here", "ringkey key list")
    if as_json:
        show_json(_told(found[0]))
        return
    for name, value in _told(found[0]).items():
        click.echo(f"{name:<12} {value if value is not None else '-'}")


@command.command(
    epilog="""\b
Examples:
  ringkey key revoke --ext 1001 --reason "phone lost on the train"
  ringkey key revoke --g 02005e10000100000000000000000007 --reason "lent out"
  ringkey key revoke --serial 00:1a:2b:3c:4d:5e --reason "sold"
  ringkey key revoke --generation 1 --reason "the seed was seen"
"""
)
@click.option("--g", help="This key; it may be another key server's.")
@click.option("--ext", help="All keys of this extension.")
@click.option("--serial", help="All keys that a phone with this serial number has fetched.")
@click.option("--generation", help="All keys of this generation, which must not be the current one.")
@click.option("--reason", default="", help="Why: for whoever reads the record.")
@as_json
@click.pass_obj
def revoke(
    options: Options,
    *,
    g: str | None,
    ext: str | None,
    serial: str | None,
    generation: str | None,
    reason: str,
    as_json: bool,
) -> None:
    """Revoke keys that were issued up to now; only new keys bring a phone back.

    Gatekeepers hear of it within a second: registrations with these keys end.  Whoever knows the
    extension's PIN can fetch new keys with it: where it may be known, change it as well.
    """
    named = {"g": g, "ext": ext, "serial": serial, "generation": generation}
    chosen = [(by, value) for by, value in named.items() if value is not None]
    if len(chosen) != 1:
        raise UserError(
            "give one of --g, --ext, --serial and --generation", "ringkey key revoke --help", usage=True
        )
    by, value = chosen[0]
    done = do(options, "key.revoke", by=by, value=value, reason=reason)
    if as_json:
        show_json(done)
        return
    if by == "generation":
        click.echo(f"generation {value} is out of force")
    else:
        click.echo(f"{done['keys'] or 1} key{'s' if done['keys'] > 1 else ''} of {by} {value} revoked")
    if by == "ext":
        click.echo(f"\nIf its PIN may be known:\n  {options.command(f'extension pin {value}')}")
    if done["peers"]:
        click.echo(
            "\nOn each other key server of this site, for the keys that it has issued, the same again."
        )


def _told(key: dict[str, Any]) -> dict[str, Any]:
    return {**key, "issued": when(key["issued"])}


def _line(key: dict[str, Any]) -> str:
    revoked = "" if key["revoked"] is None else f"   REVOKED {key['revoked']}".rstrip()
    serial = "" if key["serial"] is None else f"   serial {key['serial']}"
    return (
        f"{key['g']}   {when(key['issued'])}   generation {key['generation']}   ext {key['ext'] or '-'}"
        f"   from {key['source'] or '-'}{serial}{revoked}"
    )
