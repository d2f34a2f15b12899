"""`ringkey keyserver …`."""

import click

from ringkey.cli import Options


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
    from ringkey.keyserver import counter

    config = options.config().need_keyserver()
    aside = counter.renew(config.counter, config.server_id)
    if aside is not None:
        click.echo(f"The old counter is in {aside}")
    click.echo(f"A new counter is in {config.counter}")
    click.echo(f"\nNext:\n  {options.command('keyserver serve')}")
