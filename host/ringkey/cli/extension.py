"""`ringkey extension …`: extensions and their PINs.

A PIN is never an argument: arguments show in `ps` and stay in the shell's history.
"""

import json
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import click

from ringkey.cli import Options
from ringkey.errors import UserError
from ringkey.gatekeeper.directory import Directory
from ringkey.site import control
from ringkey.site.config import Site

# Digits of a PIN that is drawn: one in a million for each guess, and the gatekeeper throttles those.
DRAWN_DIGITS = 6
# Characters of a line with a PIN on standard input; a PIN has up to 16 digits.
_MAX_LINE = 64

_pin_stdin = click.option("--pin-stdin", is_flag=True, help="Read the PIN from standard input.")
_generate = click.option("--generate", is_flag=True, help="Draw a PIN and show it, this once.")


@click.group()
def command() -> None:
    """Extensions and their PINs: who may register.

    The gatekeeper sees a change at once, running or not.
    """


@command.command(
    epilog="""\b
Examples:
  ringkey extension add 1001 --label "Ann, room 5"
  ringkey extension add 1001 --generate
  printf 4711 | ringkey extension add 1001 --pin-stdin
"""
)
@click.argument("ext")
@click.option("--label", default="", help="Whose it is, or where: for people.")
@_pin_stdin
@_generate
@click.pass_obj
def add(options: Options, ext: str, label: str, pin_stdin: bool, generate: bool) -> None:
    """Add extension EXT; the PIN is asked for unless an option says otherwise."""
    with _open(options) as directory:
        pin = _pin(pin_stdin, generate)
        directory.add(ext, pin, label)
    click.echo(f"extension {ext} added")
    if generate:
        click.echo(f"PIN {pin}   (shown this once)")


@command.command(
    epilog="""\b
Examples:
  ringkey extension pin 1001
  ringkey extension pin 1001 --generate
"""
)
@click.argument("ext")
@_pin_stdin
@_generate
@click.pass_obj
def pin(options: Options, ext: str, pin_stdin: bool, generate: bool) -> None:
    """Replace the PIN of EXT; a phone that is registered has to log in with the new one."""
    with _open(options) as directory:
        if directory.get_entry(ext) is None:
            raise UserError(f"there is no extension {ext}", f"ringkey extension add {ext}")
        new = _pin(pin_stdin, generate)
        directory.set_pin(ext, new)
    click.echo(f"extension {ext} has a new PIN")
    if generate:
        click.echo(f"PIN {new}   (shown this once)")
    _end(options.site, ext)


@command.command(epilog="\b\nExample:\n  ringkey extension remove 1001\n")
@click.argument("ext")
@click.pass_obj
def remove(options: Options, ext: str) -> None:
    """Remove EXT; its registration, if there is one, ends."""
    with _open(options) as directory:
        directory.remove(ext)
    click.echo(f"extension {ext} removed")
    _end(options.site, ext)


@command.command(epilog="\b\nExample:\n  ringkey extension disable 1001\n")
@click.argument("ext")
@click.pass_obj
def disable(options: Options, ext: str) -> None:
    """Let EXT register no more, but keep it; its registration, if there is one, ends."""
    with _open(options) as directory:
        directory.disable(ext)
    click.echo(f"extension {ext} disabled")
    _end(options.site, ext)


@command.command(epilog="\b\nExample:\n  ringkey extension enable 1001\n")
@click.argument("ext")
@click.pass_obj
def enable(options: Options, ext: str) -> None:
    """Let EXT register again."""
    with _open(options) as directory:
        directory.enable(ext)
    click.echo(f"extension {ext} enabled")


@command.command(
    "list",
    epilog="""\b
Examples:
  ringkey extension list
  ringkey extension list --json
""",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_(options: Options, as_json: bool) -> None:
    """List the extensions, without their PINs, and which are registered now."""
    with _open(options) as directory:
        entries = directory.list()
    answer = control.ask(options.site.run, "gatekeeper", "registrations")
    held = {} if answer is None else {one["ext"]: one for one in answer["registrations"]}
    if as_json:
        rows = [
            {
                "ext": entry.ext,
                "label": entry.label,
                "enabled": entry.enabled,
                "created": _time(entry.created),
                "changed": _time(entry.changed),
                "registered": None if answer is None else held.get(entry.ext),
            }
            for entry in entries
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    if not entries:
        click.echo("no extensions yet\n\nNext:\n  ringkey extension add 1001")
        return
    width = max(len("EXT"), *(len(entry.ext) for entry in entries))
    click.echo(f"{'EXT':<{width}}  STATE     {'REGISTERED':<21}  CHANGED     LABEL")
    for entry in entries:
        state = "enabled" if entry.enabled else "disabled"
        where = "?" if answer is None else held.get(entry.ext, {}).get("source", "-")
        line = f"{entry.ext:<{width}}  {state:<8}  {where:<21}  {_time(entry.changed)[:10]}  {entry.label}"
        click.echo(line.rstrip())


@command.command(
    "import",
    epilog="""\b
The file has a line per extension: EXT,PIN or EXT,PIN,LABEL; a first line "ext,pin,label" is
passed over.  Keep it secret, and remove it afterwards: it holds PINs.

\b
Examples:
  ringkey extension import phones.csv
  gpg -d phones.csv.gpg | ringkey extension import -
""",
)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.pass_obj
def import_(options: Options, file: Path) -> None:
    """Add the extensions of a CSV FILE: all of them, or none where a line is wrong."""
    try:
        with _open(options) as directory:
            if str(file) == "-":
                count = directory.import_csv(sys.stdin)
            else:
                # utf-8-sig: spreadsheets put a byte order mark before the first column's name.
                with file.open(encoding="utf-8-sig", newline="") as lines:
                    count = directory.import_csv(lines)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}", f"ls -l {file}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8 text", f"file {file}") from None
    click.echo(f"{count} extension{'' if count == 1 else 's'} added")


def _open(options: Options) -> Directory:
    config = options.config().need_gatekeeper()
    return Directory.open(config.directory, config.pin_key)


def _pin(pin_stdin: bool, generate: bool) -> str:
    """Return the PIN: drawn, read, or asked for twice; raises UserError."""
    if generate and pin_stdin:
        raise UserError("--generate and --pin-stdin exclude each other", usage=True)
    if generate:
        return "".join(str(secrets.randbelow(10)) for _ in range(DRAWN_DIGITS))
    if pin_stdin:
        return _read_line(sys.stdin)
    if not sys.stdin.isatty():
        raise UserError(
            "there is no terminal to ask for the PIN at; use --pin-stdin or --generate",
            "ringkey extension add --help",
            usage=True,
        )
    answer: str = click.prompt("PIN", hide_input=True, confirmation_prompt="PIN again")
    return answer.strip()


def _read_line(stream: TextIO) -> str:
    return stream.readline(_MAX_LINE).strip()


def _end(site: Site, ext: str) -> None:
    """End the registration of EXT at a gatekeeper that runs here."""
    answer = control.ask(site.run, "gatekeeper", "end", ext=ext, reason="securityDenial")
    if answer is not None and answer["ended"]:
        click.echo(f"the registration of {ext} was ended")


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
