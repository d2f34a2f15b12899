"""`ringkey key …`: the keys that were issued, and their revocation."""

import json
from datetime import UTC, datetime
from typing import Any

import click

from ringkey.cli import Options, keyserver_office
from ringkey.database import translated
from ringkey.errors import UserError
from ringkey.keyserver import books, register
from ringkey.keyserver.register import Key
from ringkey.site.config import KeyServerConfig

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
@click.option("--ext", help="Of this extension only.")
@click.option("--serial", help="Of this serial number only.")
@click.option("--generation", help="Of this generation only.")
@click.option("--revoked", is_flag=True, help="Revoked ones only.")
@click.option("--limit", type=click.IntRange(1), default=_LINES, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_(
    options: Options,
    *,
    ext: str | None,
    serial: str | None,
    generation: str | None,
    revoked: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List issued keys, the newest first."""
    named = {"ext": ext, "serial": serial, "generation": generation}
    where = [register.chosen_by(by, value) for by, value in named.items() if value is not None]
    if revoked:
        where.append(register.issued.c.revoked.is_not(None))
    found = _read(options.config().need_keyserver(), where, limit)
    if as_json:
        click.echo(json.dumps([_told(key) for key in found], indent=2))
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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(options: Options, g: str, as_json: bool) -> None:
    """Show what is on record about the key named G, 32 hex digits."""
    found = _read(options.config().need_keyserver(), [register.chosen_by("g", g)], 1)
    if not found:
        raise UserError(f"no key {g} is on record here", "ringkey key list")
    if as_json:
        click.echo(json.dumps(_told(found[0]), indent=2))
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
@click.pass_obj
def revoke(
    options: Options,
    *,
    g: str | None,
    ext: str | None,
    serial: str | None,
    generation: str | None,
    reason: str,
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
    config = options.config().need_keyserver()
    done = keyserver_office.ask(options, config, "revoke", by=by, value=value, reason=reason)
    if by == "generation":
        click.echo(f"generation {value} is out of force")
    else:
        click.echo(f"{done['keys'] or 1} key{'s' if done['keys'] > 1 else ''} of {by} {value} revoked")
    if by == "ext":
        click.echo(f"\nIf its PIN may be known:\n  {options.command(f'extension pin {value}')}")
    if config.peers and by != "g":
        click.echo(
            "\nOn each other key server of this site, for the keys that it has issued, the same again."
        )


def _read(config: KeyServerConfig, where: list[Any], most: int) -> list[Key]:
    import sqlalchemy as sa

    engine = register.open_to_read(config.register, books.PATIENCE)
    try:
        with translated(register.KIND, config.register), engine.connect() as connection:
            return register.keys(connection, sa.and_(sa.true(), *where), most)
    finally:
        engine.dispose()


def _told(key: Key) -> dict[str, Any]:
    return {
        "g": key.g.hex(),
        "issued": _time(key.at),
        "ext": key.ext,
        "serial": key.serial,
        "source": key.source,
        "generation": key.generation,
        "revoked": key.revoked,
    }


def _line(key: Key) -> str:
    revoked = "" if key.revoked is None else f"   REVOKED {key.revoked}".rstrip()
    serial = "" if key.serial is None else f"   serial {key.serial}"
    return (
        f"{key.g.hex()}   {_time(key.at)}   generation {key.generation}   ext {key.ext or '-'}"
        f"   from {key.source or '-'}{serial}{revoked}"
    )


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
