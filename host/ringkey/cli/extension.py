"""`ringkey extension …`: extensions and their PINs.

A PIN is never an argument: arguments show in `ps` and stay in the shell's history.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import click

from ringkey.cli import Options, administering
from ringkey.cli.administering import as_json, ask, do, plain, show_json, show_table
from ringkey.errors import UserError

# Characters of a line with a PIN on standard input; a PIN has up to 16 digits.
_MAX_LINE = 64
# Characters of a CSV on standard input or in a file: administration/extensions.py has the same limit.
_MAX_CSV = 8 << 20
# Extensions that `list` reads: all of any site.
_ALL = 100_000

_ext = click.argument("ext", shell_complete=administering.extension)
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
@as_json
@click.pass_obj
def add(options: Options, *, ext: str, label: str, pin_stdin: bool, generate: bool, as_json: bool) -> None:
    """Add extension EXT; the PIN is asked for unless an option says otherwise."""
    options.config().need_gatekeeper()
    pin = _pin(pin_stdin, generate)
    done = do(options, "extension.add", ext=ext, label=label, pin=pin, draw=generate)
    _say(f"extension {ext} added", done, as_json=as_json)


@command.command(
    epilog="""\b
Examples:
  ringkey extension pin 1001
  ringkey extension pin 1001 --generate
"""
)
@_ext
@_pin_stdin
@_generate
@as_json
@click.pass_obj
def pin(options: Options, ext: str, *, pin_stdin: bool, generate: bool, as_json: bool) -> None:
    """Replace the PIN of EXT; a phone that is registered has to log in with the new one."""
    ask(options, "extension", ext=ext)
    new = _pin(pin_stdin, generate)
    done = do(options, "extension.pin", ext=ext, pin=new, draw=generate)
    _say(f"extension {ext} has a new PIN", done, as_json=as_json)


@command.command(epilog='\b\nExample:\n  ringkey extension label 1001 "Ann, room 6"\n')
@_ext
@click.argument("label")
@as_json
@click.pass_obj
def label(options: Options, ext: str, label: str, as_json: bool) -> None:
    """Say whose EXT is, or where: LABEL is for people."""
    _say(
        f"extension {ext} has a new label",
        do(options, "extension.label", ext=ext, label=label),
        as_json=as_json,
    )


@command.command(epilog="\b\nExample:\n  ringkey extension remove 1001\n")
@_ext
@as_json
@click.pass_obj
def remove(options: Options, ext: str, as_json: bool) -> None:
    """Remove EXT; its registration, if there is one, ends."""
    _say(f"extension {ext} removed", do(options, "extension.remove", ext=ext), as_json=as_json)


@command.command(epilog="\b\nExample:\n  ringkey extension disable 1001\n")
@_ext
@as_json
@click.pass_obj
def disable(options: Options, ext: str, as_json: bool) -> None:
    """Let EXT register no more, but keep it; its registration, if there is one, ends."""
    _say(f"extension {ext} disabled", do(options, "extension.disable", ext=ext), as_json=as_json)


@command.command(epilog="\b\nExample:\n  ringkey extension enable 1001\n")
@_ext
@as_json
@click.pass_obj
def enable(options: Options, ext: str, as_json: bool) -> None:
    """Let EXT register again."""
    _say(f"extension {ext} enabled", do(options, "extension.enable", ext=ext), as_json=as_json)


@command.command(epilog="\b\nExample:\n  ringkey extension show 1001\n")
@_ext
@as_json
@click.pass_obj
def show(options: Options, ext: str, as_json: bool) -> None:
    """Show EXT, without its PIN; its phone shows `ringkey phone show`."""
    found = ask(options, "extension", ext=ext)
    if as_json:
        show_json(found)
        return
    click.echo(f"extension  {found['ext']}")
    click.echo(f"label      {plain(found['label']) or '-'}")
    click.echo(f"state      {'enabled' if found['enabled'] else 'disabled'}")
    click.echo(f"added      {_time(found['added'])}")
    click.echo(f"changed    {_time(found['changed'])}")


@command.command(
    "list",
    epilog="""\b
Examples:
  ringkey extension list
  ringkey extension list --search ann
  ringkey extension list --json
""",
)
@click.option("--search", default="", help="Only those with this in extension or label.")
@as_json
@click.pass_obj
def list_(options: Options, search: str, as_json: bool) -> None:
    """List the extensions, without their PINs, and which are registered now."""
    entries = ask(options, "extensions", search=search, limit=_ALL)["extensions"]
    answer = ask(options, "registrations")
    held = {one["ext"]: one for one in answer["registrations"]}
    if as_json:
        show_json(
            [
                {
                    "ext": entry["ext"],
                    "label": entry["label"],
                    "enabled": entry["enabled"],
                    "created": _time(entry["added"]),
                    "changed": _time(entry["changed"]),
                    "registered": held.get(entry["ext"]),
                }
                for entry in entries
            ]
        )
        return
    if not entries:
        none = "no extensions yet\n\nNext:\n  ringkey extension add 1001"
        click.echo(none if not search else f"no extension has {search!r} in it")
        return
    width = max(len("EXT"), *(len(entry["ext"]) for entry in entries))
    click.echo(f"{'EXT':<{width}}  STATE     {'REGISTERED':<21}  CHANGED     LABEL")
    for entry in entries:
        state = "enabled" if entry["enabled"] else "disabled"
        where = "?" if not answer["running"] else held.get(entry["ext"], {}).get("source", "-")
        day = _time(entry["changed"])[:10]
        line = f"{entry['ext']:<{width}}  {state:<8}  {where:<21}  {day}  {plain(entry['label'])}"
        click.echo(line.rstrip())


@command.command(
    "import",
    epilog="""\b
The file has a line per extension: EXT,PIN or EXT,PIN,LABEL; a first line "ext,pin,label" is
passed over.  Keep it secret, and remove it afterwards: it holds PINs.

\b
Examples:
  ringkey extension import phones.csv
  ringkey extension import --preview --update phones.csv
  ringkey extension import --generate new.csv        # PINs that are left empty are drawn
  gpg -d phones.csv.gpg | ringkey extension import -
""",
)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--preview", is_flag=True, help="Only say what would change, and every line that is wrong.")
@click.option("--update", is_flag=True, help="Change those that are there; what is empty stays as it is.")
@click.option("--generate", is_flag=True, help="Draw the PINs that are left empty, and show them, this once.")
@as_json
@click.pass_obj
def import_(
    options: Options, file: Path, *, preview: bool, update: bool, generate: bool, as_json: bool
) -> None:
    """Add the extensions of a CSV FILE: all of them, or none where a line is wrong."""
    text = _read_csv(file)
    done = do(options, "extension.import", csv=text, preview=preview, update=update, draw=generate)
    if as_json:
        show_json(done)
    elif preview:
        _show_plan(done)
    else:
        count = done["added"]
        click.echo(f"{count} extension{'' if count == 1 else 's'} added")
        if update:
            click.echo(f"{done['changed']} changed, {done['same']} were the same")
        for one in done["pins"]:
            click.echo(f"{one['ext']}  PIN {one['pin']}   (shown this once)")
    if preview and done["bad_rows"]:
        raise SystemExit(1)


@command.command(
    epilog="""\b
Examples:
  ringkey extension export > extensions.csv
  ringkey extension export --out extensions.csv
"""
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it to a file.")
@as_json
@click.pass_obj
def export(options: Options, out: Path | None, as_json: bool) -> None:
    """Print all extensions as a CSV that `import --update` takes; the PINs' column is empty."""
    found = ask(options, "extension.export")
    if as_json:
        show_json(found)
    elif out is None:
        click.echo(found["csv"], nl=False)
    else:
        try:
            out.write_text(found["csv"], encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {out}: {error.strerror}", f"ls -ld {out.parent}") from None
        click.echo(f"{found['count']} extensions in {out}")


@command.command(
    epilog="""\b
Examples:
  ringkey extension labels
  ringkey extension labels --search 10 --json
"""
)
@click.option("--search", default="", help="Only those with this in extension or label.")
@as_json
@click.pass_obj
def labels(options: Options, search: str, as_json: bool) -> None:
    """Print what labels for phones say: settings only, never a PIN or a key."""
    found = ask(options, "labels", search=search, limit=_ALL)
    if as_json:
        show_json(found)
        return
    click.echo(f"key server  {' '.join(found['key_servers']) or '-'}")
    click.echo(f"root        SHA-256 {found['root']}")
    show_table(("EXT", "LABEL"), [(one["ext"], one["label"]) for one in found["labels"]])


def _say(text: str, done: dict[str, Any], *, as_json: bool) -> None:
    """Say what was done, with a PIN that was drawn, and whether a registration was ended."""
    if as_json:
        show_json(done)
        return
    click.echo(text)
    if done.get("pin"):
        click.echo(f"PIN {done['pin']}   (shown this once)")
    if done.get("ended"):
        click.echo(f"the registration of {done['ext']} was ended")


def _show_plan(done: dict[str, Any]) -> None:
    show_table(
        ("LINE", "EXT", "CHANGE", "LABEL"),
        [(str(one["line"]), one["ext"], one["what"], one["label"]) for one in done["changes"]],
    )
    for one in done["bad"]:
        click.echo(f"line {one['line']}: {plain(one['what'])}")
    click.echo(
        f"\n{done['added']} to add, {done['changed']} to change, {done['same']} the same, "
        f"{done['bad_rows']} wrong; nothing was done"
    )


def _read_csv(file: Path) -> str:
    try:
        if str(file) == "-":
            return sys.stdin.read(_MAX_CSV + 1)
        # utf-8-sig: spreadsheets put a byte order mark before the first column's name.
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return lines.read(_MAX_CSV + 1)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}", f"ls -l {file}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8 text", f"file {file}") from None


def _pin(pin_stdin: bool, generate: bool) -> str | None:
    """Return the PIN, read or asked for twice, None where one is to be drawn; raises UserError."""
    if generate and pin_stdin:
        raise UserError("--generate and --pin-stdin exclude each other", usage=True)
    if generate:
        return None
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


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
