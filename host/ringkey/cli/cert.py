"""`ringkey cert …`."""

import json
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ringkey.cli import Options
from ringkey.errors import UserError
from ringkey.site import files, runtime
from ringkey.site.config import Config, Site
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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def status(options: Options, as_json: bool) -> None:
    """Show every certificate of the site; exit status 1 where one has ended or ends within two weeks."""
    from ringkey.site import roots

    rows = _rows(options.site, options.config())
    stage = roots.stage(options.site)
    if as_json:
        click.echo(json.dumps({"certificates": rows, "roots": stage}, indent=2))
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
@click.pass_obj
def renew(options: Options, which: str, days: int, authority: Path | None) -> None:
    """Make new certificates and keys for the site's services; those that run take them up at once.

    The key server's names are those of ringkey.toml; connections that are open stay open.
    """
    from ringkey.site import roots

    config = options.config()
    root = roots.signing(options.site, authority)
    _renew(options, config, root, which, days)
    _reload(options.site)


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
    _put(options, out, "server", pair)


@command.group()
def root() -> None:
    """A new root, in three steps with time between them: new, switch, drop."""


@root.command("new", epilog="\b\nExamples:\n  ringkey cert root new\n")
@click.pass_obj
def root_new(options: Options) -> None:
    """Make a second root that is trusted beside the first, which still signs."""
    from ringkey.site import roots

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
    second = _writing(lambda: roots.switch(options.site))
    _renew(options, config, second, "all", days)
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

    leaves = [certificate for _, certificate, _ in _pairs(options.config())]
    dropped = _writing(lambda: roots.drop(options.site, leaves))
    click.echo("One root is trusted." if dropped else "There was one root only.")
    _reload(options.site)


def _pairs(config: Config) -> list[tuple[str, Path, Path]]:
    """Return (service, certificate, private key) of the services that this site has."""
    sections = (("keyserver", config.keyserver), ("gatekeeper", config.gatekeeper))
    return [(name, found.certificate, found.private_key) for name, found in sections if found is not None]


def _rows(site: Site, config: Config) -> list[dict[str, Any]]:
    from ringkey.site import certificates

    now = datetime.now(UTC)
    trusted = certificates.bundle(site.root_certificate)
    seen = [
        certificates.look(path, trusted) for path in (certificate for _, certificate, _ in _pairs(config))
    ]
    seen += [certificates.Seen(site.root_certificate, root, (), True) for root in trusted]
    return [
        {
            "file": str(one.path.relative_to(site.root) if one.path.is_relative_to(site.root) else one.path),
            "state": one.state(now),
            "end": one.certificate.not_valid_after_utc.isoformat(),
            "days": one.left(now).days,
            "names": list(one.names) or [one.certificate.subject.rfc4514_string()],
            "serial": f"{one.certificate.serial_number:x}",
        }
        for one in seen
    ]


def _next_steps(options: Options, rows: list[dict[str, Any]]) -> None:
    bad = [row for row in rows if row["state"] != "ok"]
    if bad:
        step = "cert root new" if all(row["file"].endswith("root.crt") for row in bad) else "cert renew"
        click.echo(f"\nNext:\n  {options.command(step)}")


def _renew(options: Options, config: Config, root: "Pair", which: str, days: int) -> None:
    from ringkey.site import ca, certificates

    life, now = timedelta(days=days), datetime.now(UTC)
    trusted = certificates.bundle(options.site.root_certificate)
    if root.certificate not in trusted:
        raise UserError(
            "that root is none that this site trusts (ca/root.crt)", options.command("cert status")
        )
    for name, certificate, private_key in _pairs(config):
        if which not in ("all", name):
            continue
        if name == "keyserver":
            pair = ca.server(root, config.need_keyserver().names, life, now)
        else:
            pair = ca.gatekeeper(root, certificates.role_of(certificate), life, now)

        def write(pair: "Pair" = pair, at: Path = certificate, key: Path = private_key) -> None:
            certificates.finish(at, key)
            certificates.replace(at, key, pair)

        _writing(write)
        end = pair.certificate.not_valid_after_utc
        click.echo(f"The {_WHAT[name]}'s certificate is valid until {end:%Y-%m-%d}.")


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
    """Let the services that run here take up what is new; who answers on its socket is alive."""
    told = set()
    for name in _WHAT:
        pid = (runtime.ask(site.run, name) or {}).get("pid") if site.run.is_dir() else None
        if isinstance(pid, int) and pid not in told:
            os.kill(pid, signal.SIGHUP)
            told.add(pid)
            click.echo(f"Told process {pid} to take them up (SIGHUP).")
