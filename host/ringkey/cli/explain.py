"""`ringkey explain`: a capture in plain words."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ringkey import waiting
from ringkey.cli import Options, asking
from ringkey.errors import UserError

if TYPE_CHECKING:
    from ringkey.explain.datagrams import Datagram
    from ringkey.explain.keyring import Keyring
    from ringkey.explain.story import Line

# H.225.0 appendix IV: discovery, and RAS.
PORTS = (1718, 1719)
# Keys asked of the key server for one capture; each is a line of its record.
MAX_LOOK_UPS = 1000


@click.command(
    epilog="""\b
Examples:
  tcpdump -i any -w ras.pcap 'udp port 1718 or udp port 1719'
  ringkey explain ras.pcap
  ringkey explain -v --site-keys ras.pcap       # ICVs too: keys of this site, as its gatekeeper gets them
  ringkey explain --keys keys.txt ras.pcap      # lines "EXT PIN KG", mode 0600
  ringkey explain --ask 1001 ras.pcap           # asks for Kg and PIN of 1001, without showing them
"""
)
@click.argument("capture", type=click.Path(path_type=Path))
@click.option("-v", "--verbose", is_flag=True, help="Show the parts of each message.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: one object a message, then one of the whole."
)
@click.option(
    "--port", "ports", type=click.IntRange(1, 65535), multiple=True, help="Of RAS, beside 1718 and 1719."
)
@click.option(
    "--keys", "keys_file", type=click.Path(path_type=Path), help="A file of lines EXT PIN KG (hex)."
)
@click.option("--ask", "asked", metavar="EXT", help="Ask for Kg and PIN of this extension.")
@click.option(
    "--site-keys", is_flag=True, help="PINs of the directory, Kg of the key server (on its record)."
)
@click.pass_obj
def command(
    options: Options,
    *,
    capture: Path,
    verbose: bool,
    as_json: bool,
    ports: tuple[int, ...],
    keys_file: Path | None,
    asked: str | None,
    site_keys: bool,
) -> None:
    """Say what each RAS message of a capture (pcap, pcapng) means, and what went wrong first.

    Exit status 0, also where something went wrong in the capture.
    """
    from ringkey.explain.datagrams import MAX_MESSAGES, Capture
    from ringkey.explain.story import Story

    ring = _ring(keys_file, asked)
    read = Capture(capture)
    datagrams: list[Datagram] = []
    for datagram in read.datagrams(frozenset((*PORTS, *ports))):
        if len(datagrams) >= MAX_MESSAGES:
            read.trouble = f"only the first {MAX_MESSAGES} messages were looked at"
            break
        datagrams.append(datagram)
    if site_keys:
        asyncio.run(_from_site(options, ring, datagrams))
    story = Story(ring)
    begin = datagrams[0].time if datagrams else 0.0
    for line in story.tell(datagrams):
        _print(line, begin, verbose=verbose, as_json=as_json)
    _conclude(story, read, len(datagrams), as_json=as_json)


def _print(line: "Line", begin: float, *, verbose: bool, as_json: bool) -> None:
    from ringkey.explain import words

    datagram = line.datagram
    kind = line.message.kind if line.message else "?"
    seconds = datagram.time - begin
    parts = list(words.details(line.message)) if line.message else []
    if as_json:
        seen: dict[str, Any] = {
            "packet": datagram.number,
            "seconds": round(seconds, 6),
            "source": words.place(datagram.source),
            "target": words.place(datagram.target),
            "message": kind,
            "text": line.text,
            "icv": line.icv,
            "wrong": line.wrong,
            "notes": line.notes,
        }
        click.echo(json.dumps({**seen, "parts": dict(parts)} if verbose else seen))
        return
    mark = "!" if line.wrong else " "
    click.echo(f"{datagram.number:>5} {seconds:>9.3f}s {mark} {kind:<3} {line.text}")
    indent = " " * 19
    if line.wrong:
        click.echo(f"{indent}! {line.wrong}")
    if verbose:
        click.echo(f"{indent}{words.place(datagram.source)} -> {words.place(datagram.target)}")
        for name, what in [*parts, ("ICV", line.icv), *(("note", note) for note in line.notes)]:
            if what:
                click.echo(f"{indent}{name}: {what}")


def _conclude(story: Any, read: Any, messages: int, *, as_json: bool) -> None:
    first = story.first
    unanswered = story.unanswered()
    if as_json:
        whole = {
            "packets": read.packets,
            "messages": messages,
            "first_wrong": None if first is None else {"packet": first.datagram.number, "what": first.wrong},
            "unanswered": unanswered,
            "unchecked": story.unchecked,
            "fragments": read.fragments,
            "trouble": read.trouble,
        }
        click.echo(json.dumps(whole))
        return
    click.echo(f"\n{messages} RAS messages in {read.packets} packets")
    if read.fragments:
        click.echo(f"{read.fragments} fragments of IP were passed over")
    if read.trouble:
        click.echo(read.trouble)
    if story.unchecked:
        click.echo(f"{story.unchecked} ICVs were not checked (try: ringkey explain --help)")
    for text in unanswered:
        click.echo(text)
    if first is not None:
        click.echo(f"First thing that went wrong, in packet {first.datagram.number}: {first.wrong}")
    elif messages and not unanswered:
        click.echo("Nothing went wrong, as far as can be seen here")


# -- keys


def _ring(file: Path | None, asked: str | None) -> "Keyring":
    from ras.keys import ext_digits

    from ringkey.explain import keyring
    from ringkey.site import files

    ring = keyring.Keyring()
    try:
        if file is not None:
            text = files.read_secret(file, "keys").decode("ascii", "replace")
            ring = keyring.parse(text.splitlines())
        if asked is not None:
            ext_digits(asked)
            kg = asking.line(f"Kg of {asked}, in hex", command="explain")
            ring.keys.setdefault(asked, []).append(
                keyring.key(asking.line(f"PIN of {asked}", command="explain"), kg)
            )
    except ValueError as e:
        where = f"{file}: " if file is not None else ""
        raise UserError(f"{where}{e}", "ringkey explain --help") from None
    return ring


async def _from_site(options: Options, ring: "Keyring", datagrams: "list[Datagram]") -> None:
    """Ask the site's key servers and directory for all that the capture names, as its gatekeeper would."""
    from ringkey.explain.keyring import Key
    from ringkey.gatekeeper.answers import Found, Refused
    from ringkey.gatekeeper.client_tls import client_tls
    from ringkey.gatekeeper.directory import Directory
    from ringkey.gatekeeper.keys import ANSWER_TIMEOUT, KeyClient
    from ringkey.site.config import resolve_url

    config = options.config().need_gatekeeper()
    tls = client_tls(config.key_server_ca, config.certificate, config.private_key)
    client = KeyClient(config.key_servers, tls, resolve=lambda url: resolve_url(url, options.site))
    directory = Directory.open(config.directory, config.pin_key)
    try:
        await client.start()
        if not await waiting.happens(client.ready, 2 * ANSWER_TIMEOUT):
            raise UserError("no key server answers", "ringkey keyserver serve")
        status = client.last_status
        if status is not None:
            ring.check_values, ring.servers = status.check_values, status.servers
        wanted = _wanted(datagrams)
        if len(wanted) > MAX_LOOK_UPS:
            click.echo(f"only the first {MAX_LOOK_UPS} of {len(wanted)} keys are asked for", err=True)
        asked = wanted[:MAX_LOOK_UPS]
        outcomes = await asyncio.gather(*(client.device_key(g, ext, cvm) for ext, g, cvm in asked))
        for (ext, g, _), outcome in zip(asked, outcomes, strict=True):
            known = directory.get(ext)
            pin = known.pin if known is not None and known.enabled else None
            if isinstance(outcome, Found):
                ring.keys.setdefault((ext, g), []).append(Key(outcome.kg, pin))
            elif isinstance(outcome, Refused):
                ring.wrong[ext, g] = f"the key server refuses the key of phone {ext}: {outcome.code}"
            if pin is None:
                there = "is disabled" if known is not None else "is not in the directory"
                ring.wrong[ext, g] = f"extension {ext} {there}: GRJ 1"
    finally:
        await client.stop()
        directory.close()


def _wanted(datagrams: "list[Datagram]") -> list[tuple[str, bytes, bytes]]:
    from ras import profile
    from ras.errors import RemoteProtocolError
    from ras.keys import ext_digits
    from ras.message import GRQ, RRQ, decode_message

    from ringkey.explain import words

    found: dict[tuple[str, bytes, bytes], None] = {}
    for datagram in datagrams:
        try:
            message = decode_message(datagram.data, (GRQ, RRQ))
            if message.kind not in (GRQ, RRQ):
                continue
            ext, elements = words.extension(message), words.elements(message)
            if ext is not None and profile.G in elements:
                ext_digits(ext)
                found[ext, elements[profile.G], elements[profile.CVM_ID]] = None
        except (RemoteProtocolError, ValueError):
            continue
    return list(found)
