"""`ringkey init`."""

from dataclasses import replace
from pathlib import Path

import click
from ras.keys import SUITES

from ringkey.cli import DEFAULT_SITE, Options
from ringkey.errors import UserError

_TREE = (
    ("ringkey.toml", "configuration of the services"),
    ("ca/root.crt", "the site's root certificate; phones, browsers and gatekeepers check with it"),
    ("ca/root.key", "its private key; only init and renewals need it: may be kept elsewhere"),
    ("keyserver/server.crt, .key", "what the key server shows to phones and gatekeepers"),
    ("keyserver/seed", "the seed of all keys, sealed; a back-up of your own: ringkey seed new"),
    ("keyserver/seed.key", "the key that it is sealed under; elsewhere: ringkey seed seal --help"),
    ("keyserver/counter", "which g have been issued; never copy it to another key server"),
    ("gatekeeper/gatekeeper.crt, .key", "what the gatekeeper shows to the key server"),
    ("gatekeeper/pin.key", "the key that PINs are sealed under; back it up with directory.db"),
    ("admin/accounts.db", "who may log in to the console; admin/audit.jsonl: what was changed by whom"),
    ("phone/root.der", "the root certificate, as a phone's image wants it"),
)


@click.command(
    epilog="""\b
Examples:
  ringkey init
  ringkey init /srv/ringkey --name keys.example.org --ip 192.0.2.10
  ringkey init demo --ip 127.0.0.1 --name localhost --suite sha1
"""
)
@click.argument("directory", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--name", "names", multiple=True, metavar="HOST", help="A DNS name of the servers; may be repeated."
)
@click.option(
    "--ip", "addresses", multiple=True, metavar="IP", help="An IP address of the servers; may be repeated."
)
@click.option(
    "--suite", type=click.Choice(list(SUITES)), default="sha256", show_default=True, help="Of new keys."
)
@click.option(
    "--force", is_flag=True, help="Accept a DIRECTORY with other things in it; nothing is ever erased."
)
@click.pass_obj
def command(
    options: Options,
    *,
    directory: Path | None,
    names: tuple[str, ...],
    addresses: tuple[str, ...],
    suite: str,
    force: bool,
) -> None:
    """Make a site in DIRECTORY (default: the --site, `site`).

    It is made whole or not at all: a root certificate authority, certificates for key server and
    gatekeeper, a seed, a configuration.  Without --name and --ip the certificate is for this
    machine's name and address and for localhost.  Key files name the first --ip, or else the
    first --name, as the gatekeeper.
    """
    from ringkey.cli import administering
    from ringkey.keyserver import setup
    from ringkey.site import ca, init

    for address in addresses:
        if not _is_ip(address):
            raise UserError(f"--ip {address}: not an IP address", "ringkey init --help", usage=True)
    for name in names:
        ca.check_name(name)
    where = directory or options.site.root
    made = init.create(where, (*addresses, *names), SUITES[suite], setup.create, force=force)
    invited = administering.do(
        replace(options, site=made.site), "user.invite", name="admin", role="administrator"
    )
    click.echo(f"A new site in {where}:\n")
    for path, what in _TREE:
        click.echo(f"  {path:<32} {what}")
    click.echo(f"""
  suite           {made.suite.name}
  check value     {made.cvm.hex()}   (CVm: phones show it, and every server with this seed)
  server id       {made.server_id.hex(":")}
  certificate     {", ".join(made.names)}
  gatekeeper      {made.advertised}:1719   (in key files; see {made.site.config_file.name})

Next:
  ringkey{_site(where)} seed new          (words for your safe, and for a second key server)
  ringkey{_site(where)} extension add 100
  ringkey{_site(where)} serve
  ringkey{_site(where)} console serve     (the same in a browser)

The console's first administrator, admin, sets a password here, within a day:
  {invited["url"]}
Another link, later: ringkey{_site(where)} user invite admin""")


def _is_ip(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _site(where: Path) -> str:
    return "" if str(where) == DEFAULT_SITE else f" --site {where}"
