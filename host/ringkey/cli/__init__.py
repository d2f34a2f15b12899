"""The command `ringkey`: global options, and a file for each group of sub-commands.

A sub-command's module is imported when it is used, so that `ringkey --help` and `ringkey derive`
do not wait for an HTTP server and a database to load.  Each module has its click command under
the name `command`.
"""

import importlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import click

from ringkey import __version__
from ringkey.errors import UserError
from ringkey.site.config import Config, Site, load

DEFAULT_SITE = "site"
# Name, module, and what `ringkey --help` says, so that help imports none of them.
COMMANDS = {
    "init": ("ringkey.cli.init", "Make a site: certificates, seed, configuration."),
    "serve": ("ringkey.cli.serve", "Run key server and gatekeeper in one process."),
    "keyserver": ("ringkey.cli.keyserver", "The key server."),
    "seed": ("ringkey.cli.seed", "The seed that all keys come from: words, shares, generations."),
    "key": ("ringkey.cli.key", "The keys that were issued, and their revocation."),
    "audit": ("ringkey.cli.audit", "What is on record, and whether the record is whole."),
    "gatekeeper": ("ringkey.cli.gatekeeper", "The gatekeeper."),
    "enrol": ("ringkey.cli.enrol", "Who gets keys: the enrolment window and list."),
    "cert": ("ringkey.cli.cert", "Certificates: status, renewal, new ones, a new root."),
    "extension": ("ringkey.cli.extension", "Extensions and their PINs."),
    "phone": ("ringkey.cli.phone", "Phones: which are registered, which fail and why."),
    "file": ("ringkey.cli.file", "Files and templates that phones get besides keys."),
    "setting": ("ringkey.cli.setting", "Settings that can be changed while the servers run."),
    "status": ("ringkey.cli.status", "What runs, and until when its certificates are valid."),
    "explain": ("ringkey.cli.explain", "What happened in a capture of RAS, in plain words."),
    "completion": ("ringkey.cli.completion", "Complete commands with the tab key: bash, zsh, fish."),
    "derive": ("ringkey.cli.derive", "Print the keys that protocol.md derives from given inputs."),
}


@dataclass(frozen=True, slots=True)
class Options:
    """The global options, click's `ctx.obj`; chosen: --site was given on the command line."""

    site: Site
    log_format: str
    log_file: Path | None
    chosen: bool

    def command(self, rest: str) -> str:
        """Return the command line `ringkey REST` for this site."""
        site = f" --site {shlex.quote(str(self.site.root))}" if self.chosen else ""
        return f"ringkey{site} {rest}"

    def config(self) -> Config:
        """Return the site's configuration; raises UserError."""
        return load(self.site)


class Commands(click.Group):
    """A group whose sub-commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which a person meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name][0]}.command is not a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `ringkey init`; every command has its own --help with examples.",
)
@click.version_option(__version__, prog_name="ringkey")
@click.option(
    "--site",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_SITE,
    envvar="RINGKEY_SITE",
    show_default=True,
    show_envvar=True,
    help="The site's directory.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Lines for people, or JSON.",
)
@click.option(
    "--log-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the log here too (mode 0600, appended to).",
)
@click.pass_context
def cli(ctx: click.Context, site: Path, log_format: str, log_file: Path | None) -> None:
    """Keys and registration for phones that know a root certificate and users who know a PIN.

    The options here stand before the command: `ringkey --site /srv/ringkey status`.
    """
    source = ctx.get_parameter_source("site")
    ctx.obj = Options(Site(site), log_format, log_file, source is click.core.ParameterSource.COMMANDLINE)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 it could not be done, 2 the command line is wrong."""
    sys.exit(_run(list(sys.argv[1:] if args is None else args)))


def _run(args: list[str]) -> int:
    try:
        result = cli.main(args, prog_name="ringkey", standalone_mode=False)
    except UserError as e:
        _complain(e.what, _with_site(e.next_step, args))
        return 2 if e.usage else 1
    except click.UsageError as e:
        path = e.ctx.command_path if e.ctx is not None else "ringkey"
        _complain(e.format_message(), f"{path} --help")
        return 2
    except click.ClickException as e:
        _complain(e.format_message(), "ringkey --help")
        return 1
    except (click.Abort, KeyboardInterrupt):
        _complain("stopped", None)
        return 130
    except BrokenPipeError:
        # `ringkey status | head`: nobody is reading any more, and that is no error of ours.
        sys.stdout = None
        return 0
    return result if isinstance(result, int) else 0


def _complain(what: str, next_step: str | None) -> None:
    click.echo(f"ringkey: {what}", err=True)
    if next_step is not None:
        click.echo(f"try: {next_step}", err=True)


def _with_site(next_step: str | None, args: list[str]) -> str | None:
    """Return the next step for the site that this command was given."""
    if next_step is None or not next_step.startswith("ringkey ") or "--site" in next_step:
        return next_step
    words = next_step.split(" ", 2)
    for i, word in enumerate(args):
        site = args[i + 1] if word == "--site" and i + 1 < len(args) else word.removeprefix("--site=")
        if word.startswith("--site") and words[1] != "init":
            return f"ringkey --site {shlex.quote(site)} {next_step.removeprefix('ringkey ')}"
    return next_step
