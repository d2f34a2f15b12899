"""`ringkey file …`: what phones get besides keys."""

import sys
from pathlib import Path

import click

from ringkey.administration.files import MAX_FILE
from ringkey.cli import Options
from ringkey.cli.administering import as_json, ask, do, show_json, show_table, when
from ringkey.errors import UserError


@click.group()
def command() -> None:
    """Files and templates that phones get besides keys (docs/files.md).

    Names are those that phones ask for: files/firmware/one.bin, settings/phone.cfg.
    """


@command.command(
    "list", epilog="\b\nExamples:\n  ringkey file list\n  ringkey file list files/firmware --json\n"
)
@click.argument("path", default="")
@as_json
@click.pass_obj
def list_(options: Options, path: str, as_json: bool) -> None:
    """List the directory PATH, such as files/firmware."""
    found = ask(options, "files", path=path)
    if as_json:
        show_json(found)
        return
    rows = [
        (one["kind"], "-" if one["size"] is None else str(one["size"]), when(one["changed"]), one["name"])
        for one in found["entries"]
    ]
    show_table(("KIND", "OCTETS", "CHANGED", "NAME"), rows)


@command.command(
    epilog="""\b
Examples:
  ringkey file put files/firmware/one.bin build/one.bin
  ringkey file put --replace settings/phone.cfg phone.cfg
"""
)
@click.argument("path")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--replace", is_flag=True, help="In the place of one that is there.")
@as_json
@click.pass_obj
def put(options: Options, path: str, file: Path, *, replace: bool, as_json: bool) -> None:
    """Put FILE where phones get it as PATH; the file service has it at once."""
    done = do(options, "file.put", path=path, content=_read(file), replace=replace)
    if as_json:
        show_json(done)
    else:
        click.echo(
            f"{done['path']}: {done['size']} octets{'' if done['new'] else ', in the place of the old one'}"
        )


@command.command(epilog="\b\nExample:\n  ringkey file remove files/firmware/one.bin\n")
@click.argument("path")
@as_json
@click.pass_obj
def remove(options: Options, path: str, as_json: bool) -> None:
    """Remove the file, template or empty directory PATH."""
    done = do(options, "file.remove", path=path)
    show_json(done) if as_json else click.echo(f"{done['path']} removed")


def _read(file: Path) -> bytes:
    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(MAX_FILE + 1)
        with file.open("rb") as opened:
            return opened.read(MAX_FILE + 1)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}", f"ls -l {file}") from None
