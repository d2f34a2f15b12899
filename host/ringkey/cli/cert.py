"""`ringkey cert …`."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ringkey.administration import certificates
from ringkey.cli import Options, administering
from ringkey.errors import UserError
from ringkey.site import files
from ringkey.site.config import Site
from ringkey.site.keyserver_tables import GATEKEEPER_NAME

if TYPE_CHECKING:
    from ringkey.site.ca import Pair

_T = TypeVar("_T")
_WHAT = {"keyserver": "key server", "gatekeeper": "gatekeeper"}
_CA = click.option(
    "--ca",
    "authority",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where root.crt and root.key are, if not in the site's ca/.",
)
_OUT = click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="A new directory."
)
_DAYS = click.option(
    "--days", type=click.IntRange(1, 7300), default=5 * 365 + 1, show_default=True, help="Valid from now on."
)


@click.group()
def command() -> None:
    """Certificates: until when they are valid, new ones, a new root."""


@command.command(epilog="\b\nExamples:\n  ringkey cert status\n  ringkey cert status --json\n")
@administering.as_json
@click.pass_obj
def status(options: Options, as_json: bool) -> None:
    """Show every certificate of the site; exit status 1 where one has ended or ends within two weeks."""
    found = administering.ask(options, "certificates")
    rows, stage = found["certificates"], found["roots"]
    if as_json:
        administering.show_json(found)
    else:
        for row in rows:
            click.echo(
                f"{row['file']:<28} {row['state']:<12} until {row['end'][:10]}  ({row['days']} days)  "
                f"{', '.join(row['names'])}"
            )
        click.echo(f"{'roots':<28} {stage}")
        _next_steps(options, rows)
    if any(row["state"] in ("ended", "urgent", "unknown-root") for row in rows):
        raise SystemExit(1)


@command.command(
    epilog="""\b
Examples:
  ringkey cert renew
  ringkey cert renew keyserver --days 365
  ringkey cert renew --ca /media/usb/ca
"""
)
@click.argument("which", type=click.Choice(["all", "keyserver", "gatekeeper"]), default="all")
@_DAYS
@_CA
@administering.as_json
@click.pass_obj
def renew(options: Options, *, which: str, days: int, authority: Path | None, as_json: bool) -> None:
    """Make new certificates and keys for the site's services; those that run take them up at once.

    The key server's names are those of ringkey.toml; connections that are open stay open.
    """
    ca = None if authority is None else str(authority)
    done = administering.do(options, "certificate.renew", which=which, days=days, ca=ca)
    if as_json:
        administering.show_json(done)
        return
    _renewed(done["renewed"])
    _reloaded(done["reloaded"])


@command.group()
def issue() -> None:
    """Certificates for key servers and gatekeepers on other machines."""


@issue.command(
    "gatekeeper",
    epilog="""\b
Examples:
  ringkey cert issue gatekeeper branch --out branch
""",
)
@click.argument("name")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="A new directory."
)
@_DAYS
@_CA
@click.pass_obj
def issue_gatekeeper(options: Options, name: str, out: Path, days: int, authority: Path | None) -> None:
    """Make a certificate for the gatekeeper NAME: gatekeeper.crt, gatekeeper.key and root.crt in --out.

    NAME is what [keyserver.scopes] calls it.
    """
    from ringkey.site import ca, roots

    if not GATEKEEPER_NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is no gatekeeper's name: letters, digits and . _ -, up to 64",
            "ringkey cert issue gatekeeper --help",
            usage=True,
        )
    root = roots.signing(options.site, authority)
    pair = ca.gatekeeper(root, name, timedelta(days=days), datetime.now(UTC))
    with administering.on_record(options, "certificate.issue", kind="gatekeeper", name=name, days=days):
        _put(options, out, "gatekeeper", pair)


@issue.command(
    "keyserver",
    epilog="""\b
Examples:
  ringkey cert issue keyserver --name keys2.example.org --ip 192.0.2.11 --out second
""",
)
@click.option("--name", "names", multiple=True, metavar="HOST", help="A DNS name; may be repeated.")
@click.option("--ip", "addresses", multiple=True, metavar="IP", help="An IP address; may be repeated.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="A new directory."
)
@_DAYS
@_CA
@click.pass_obj
def issue_keyserver(
    options: Options,
    *,
    names: tuple[str, ...],
    addresses: tuple[str, ...],
    out: Path,
    days: int,
    authority: Path | None,
) -> None:
    """Make a certificate for another key server: server.crt, server.key and root.crt in --out."""
    from ringkey.site import ca, roots

    root = roots.signing(options.site, authority)
    pair = ca.server(root, (*addresses, *names), timedelta(days=days), datetime.now(UTC))
    names = (*addresses, *names)
    with administering.on_record(
        options, "certificate.issue", kind="keyserver", names=list(names), days=days
    ):
        _put(options, out, "server", pair)


@command.group()
def root() -> None:
    """A new root, in three steps with time between them: new, switch, drop."""


@root.command("new", epilog="\b\nExamples:\n  ringkey cert root new\n")
@click.pass_obj
def root_new(options: Options) -> None:
    """Make a second root that is trusted beside the first, which still signs."""
    from ringkey.site import roots

    with administering.on_record(options, "certificate.root.new"):
        _writing(lambda: roots.new(options.site))
    click.echo(f"ca/root.crt and {options.site.root_der.name} have two roots now; the first one still signs.")
    _reload(options.site)
    click.echo(f"""
Next:
  give phones an image with phone/root.der, other gatekeepers and key servers ca/root.crt;
  when every one of them has it:
  {options.command("cert root switch")}""")


@root.command("switch", epilog="\b\nExamples:\n  ringkey cert root switch\n")
@_DAYS
@click.pass_obj
def root_switch(options: Options, days: int) -> None:
    """Let the second root sign, and renew the site's certificates under it."""
    from ringkey.site import roots

    config = options.config()
    with administering.on_record(options, "certificate.root.switch", days=days):
        second = _writing(lambda: roots.switch(options.site))
        _renewed(_writing(lambda: certificates.make(options.site, config, second, "all", days)))
        _writing(lambda: roots.switched(options.site))
    _reload(options.site)
    click.echo(f"""
Next:
  {options.command("cert issue --help")}   (for gatekeepers and key servers elsewhere)
  when all of them have new certificates:
  {options.command("cert root drop")}""")


@root.command("drop", epilog="\b\nExamples:\n  ringkey cert root drop\n")
@click.pass_obj
def root_drop(options: Options) -> None:
    """Trust the first root no more."""
    from ringkey.site import roots

    leaves = [certificate for _, certificate, _ in certificates.pairs(options.config())]
    with administering.on_record(options, "certificate.root.drop"):
        dropped = _writing(lambda: roots.drop(options.site, leaves))
    click.echo("One root is trusted." if dropped else "There was one root only.")
    _reload(options.site)


def _next_steps(options: Options, rows: list[dict[str, Any]]) -> None:
    bad = [row for row in rows if row["state"] != "ok"]
    if bad:
        step = "cert root new" if all(row["file"].endswith("root.crt") for row in bad) else "cert renew"
        click.echo(f"\nNext:\n  {options.command(step)}")


def _renewed(made: list[dict[str, Any]]) -> None:
    for one in made:
        end = datetime.fromtimestamp(one["ends"], UTC)
        click.echo(f"The {_WHAT[one['server']]}'s certificate is valid until {end:%Y-%m-%d}.")


def _put(options: Options, out: Path, stem: str, pair: "Pair") -> None:
    from ringkey.site.certificates import unused_name

    unused_name(out)
    trusted = files.read(options.site.root_certificate, "the site's root certificate")

    def write() -> None:
        out.mkdir(mode=files.PRIVATE_DIRECTORY, parents=True)
        files.write(out / f"{stem}.key", pair.key_pem())
        files.write(out / f"{stem}.crt", pair.certificate_pem(), files.PUBLIC)
        files.write(out / "root.crt", trusted, files.PUBLIC)

    _writing(write)
    click.echo(f"{out}: {stem}.crt, {stem}.key (keep it secret on its way), root.crt")


def _writing(what: Callable[[], _T]) -> _T:
    try:
        return what()
    except OSError as e:
        raise UserError(f"cannot write {e.filename or 'it'}: {e.strerror}", "ringkey cert status") from None


def _reload(site: Site) -> None:
    """Let the services that run here take up what is new."""
    _reloaded(certificates.reload(site))


def _reloaded(told: list[int]) -> None:
    for pid in told:
        click.echo(f"Told process {pid} to take them up (SIGHUP).")
