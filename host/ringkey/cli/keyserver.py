"""`ringkey keyserver …`."""

from pathlib import Path

import click

from ringkey.cli import Options
from ringkey.errors import UserError


@click.group()
def command() -> None:
    """The key server: hands keys to phones, and the same keys to gatekeepers."""


@command.command(
    epilog="""\b
Examples:
  ringkey keyserver serve
  ringkey --site /srv/ringkey --log-format json --log-file keyserver.log keyserver serve
"""
)
@click.pass_obj
def serve(options: Options) -> None:
    """Run the key server until SIGTERM or Ctrl-C.

    It is ready when the log says "ready"; its ports are there and in run/keyserver.json.  A seed
    that is sealed under a passphrase: it is asked for, or read from standard input.
    """
    from ringkey.cli import asking, running
    from ringkey.keyserver.service import KeyServerService

    config = options.config().need_keyserver()
    running.run(options, {"keyserver": lambda: KeyServerService(config, options.site, asking.passphrase)})


@command.command(
    epilog="""\b
Examples:
  ringkey keyserver another /srv/second --ip 192.0.2.11 --name keys2.example.org
  ringkey keyserver another second --ip 127.0.0.1 --port 9443 --advanced-port 9444 --admin-port 9445
"""
)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", "names", multiple=True, metavar="HOST", help="A DNS name of it; may be repeated.")
@click.option("--ip", "addresses", multiple=True, metavar="IP", help="An IP address; may be repeated.")
@click.option("--port", type=click.IntRange(0, 65535), default=8443, show_default=True, help="For phones.")
@click.option(
    "--advanced-port",
    type=click.IntRange(0, 65535),
    default=8444,
    show_default=True,
    help="For gatekeepers.",
)
@click.option(
    "--admin-port",
    type=click.IntRange(0, 65535),
    default=8445,
    show_default=True,
    help="For health and metrics, on its own machine.",
)
@click.pass_obj
def another(
    options: Options,
    *,
    directory: Path,
    names: tuple[str, ...],
    addresses: tuple[str, ...],
    port: int,
    advanced_port: int,
    admin_port: int,
) -> None:
    """Make a further key server for this site in DIRECTORY, to be copied to its machine.

    It gets a certificate of this site's root, and no seed: that is entered there, from its words.
    This site's ringkey.toml names it from then on, among the peers and the gatekeeper's key servers.
    """
    from ras.address import join_address

    from ringkey.cli import administering
    from ringkey.keyserver import counter
    from ringkey.site import edit, init

    named = (*addresses, *names)
    if not named:
        raise UserError(
            "its certificate needs a --name or an --ip", "ringkey keyserver another --help", usage=True
        )
    site = options.config()
    config = site.need_keyserver()
    with administering.on_record(options, "keyserver.another", names=list(named)):
        ports = (port, advanced_port, admin_port)
        server_id = init.create_another(directory, options.site, config, named, ports)
        counter.create(directory / "keyserver" / "counter", server_id)
        peers = tuple(one.hex(":") for one in (*config.peers, server_id))
        edit.set_texts(site.file, "keyserver", "peers", peers)
    click.echo(f"A key server in {directory}, server id {server_id.hex(':')}")
    if site.gatekeeper is not None:
        url = f"https://{join_address(named[0], advanced_port)}"
        edit.set_texts(site.file, "gatekeeper", "key_servers", (*site.gatekeeper.key_servers, url))
        click.echo(f"{site.file.name} here names it as a peer, and {url} for the gatekeeper")
    click.echo(
        f"\nNext, on its machine:\n  ringkey --site {directory} seed enter\n"
        f"  ringkey --site {directory} keyserver serve\n\nand start again here, if it runs:\n"
        f"  {options.command('serve')}"
    )


@command.command(
    "new-counter",
    epilog="""\b
Examples:
  ringkey keyserver new-counter
""",
)
@click.pass_obj
def new_counter(options: Options) -> None:
    """Start the counter of g anew, after its file was lost or damaged.

    The new one starts at a random point, so that it meets none of the values issued before.
    Phones with keys from before fetch new ones by themselves at their next registration.  A file
    that is there is put aside.  The key server must not be running.
    """
    from ringkey.cli import administering
    from ringkey.keyserver import counter

    config = options.config().need_keyserver()
    with administering.on_record(options, "keyserver.new-counter"):
        aside = counter.renew(config.counter, config.server_id)
    if aside is not None:
        click.echo(f"The old counter is in {aside}")
    click.echo(f"A new counter is in {config.counter}")
    click.echo(f"\nNext:\n  {options.command('keyserver serve')}")
