"""`ringkey serve`: the seed's co-resident form."""

import click

from ringkey.cli import Options


@click.command(
    epilog="""\b
Examples:
  ringkey serve
  ringkey --log-format json --log-file ringkey.log serve
"""
)
@click.pass_obj
def command(options: Options) -> None:
    """Run key server and gatekeeper in one process until SIGTERM or Ctrl-C.

    A seed that is sealed under a passphrase: it is asked for, or read from standard input.
    """
    from ringkey.cli import asking, running
    from ringkey.gatekeeper.workers import choose
    from ringkey.keyserver.service import KeyServerService

    config = options.config()
    keyserver, gatekeeper = config.need_keyserver(), config.need_gatekeeper()
    running.run(
        options,
        {
            # First: the gatekeeper asks it for its check value when it starts.
            "keyserver": lambda: KeyServerService(keyserver, options.site, asking.passphrase),
            "gatekeeper": lambda: choose.gatekeeper(
                gatekeeper, options.site, options.log_format, options.log_file
            ),
        },
    )
