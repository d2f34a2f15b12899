"""`ringkey console …`."""

import click

from ringkey.cli import Options


@click.group()
def command() -> None:
    """The console: both servers in a browser, and an API for scripts."""


@command.command(
    epilog="""\b
Examples:
  ringkey console serve
  ringkey --site /srv/ringkey --log-format json --log-file console.log console serve
"""
)
@click.pass_obj
def serve(options: Options) -> None:
    """Run the console until SIGTERM or Ctrl-C, beside the servers of this site.

    It is ready when the log says "ready"; its port is there and in run/console.json.  Who may log in:
    `ringkey user list`; a first administrator: `ringkey user invite admin --role administrator`.
    """
    from ringkey.cli import running
    from ringkey.console.service import ConsoleService

    config = options.config().need_console()
    running.run(options, {"console": lambda: ConsoleService(config, options.site)})
