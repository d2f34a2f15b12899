"""`ringkey gatekeeper …`."""

import click

from ringkey.cli import Options, plain, top


@click.group()
def command() -> None:
    """The gatekeeper: registers phones, and holds their signalling channels."""


@command.command(
    epilog="""\b
Examples:
  ringkey gatekeeper serve
  ringkey --site /srv/ringkey --log-format json --log-file gatekeeper.log gatekeeper serve
"""
)
@click.pass_obj
def serve(options: Options) -> None:
    """Run the gatekeeper until SIGTERM or Ctrl-C.

    It is ready when the log says "ready"; its ports are there and in run/gatekeeper.json.
    """
    from ringkey.cli import running
    from ringkey.gatekeeper.workers.choose import gatekeeper

    config = options.config().need_gatekeeper()
    running.run(
        options,
        {"gatekeeper": lambda: gatekeeper(config, options.site, options.log_format, options.log_file)},
    )


command.add_command(top.command)
command.add_command(plain.command)
