"""`ringkey seed …`: the seed on paper, on the next server, and its successors.

A seed is never an argument: arguments show in `ps` and stay in the shell's history.  It is shown
when it is drawn, as words, and when it is split, as shares; at no other time.
"""

import re
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import click

from ringkey.cli import Options, administering, asking
from ringkey.cli.administering import as_json
from ringkey.errors import UserError
from ringkey.keyserver import counter, keyring, register, sealing, words
from ringkey.keyserver.keyring import Keyring
from ringkey.site import files, process
from ringkey.site.config import KeyServerConfig

_SHARES = re.compile(r"(\d{1,2})-of-(\d{1,2})")
_replace = click.option(
    "--replace", is_flag=True, help="Put a sealed seed aside that does not open (its key is lost)."
)


@click.group()
def command() -> None:
    """The seed that all keys come from.

    Every key server of a site has the same one, which its check value (CVm) shows.
    """
    process.hide()


@command.command(
    epilog="""\b
Example:
  ringkey seed new
"""
)
@click.pass_obj
def new(options: Options) -> None:
    """Draw a seed and show it, this once, as 24 words with its check value.

    Write the words down: they are the back-up, and what `seed enter` wants on the next key
    server.  It takes the place of the seed that `init` drew, as long as no key has been issued.
    """
    config = options.config().need_keyserver()
    seed = secrets.token_bytes(keyring.SEED)
    with administering.on_record(options, "seed.new"):
        cvm = _found(config, seed)
    _show_words(words.to_words(seed))
    click.echo(f"check value   {cvm}")
    click.echo(f"\nOn the next key server:\n  {options.command('seed enter')}")


@command.command(
    epilog="""\b
Examples:
  ringkey seed enter                # asks for the words, and does not show them
  ringkey seed enter < words.txt
  ringkey seed enter --hex          # a seed that was not drawn here: 16 octets or more
"""
)
@click.option("--hex", "as_hex", is_flag=True, help="Hexadecimal digits instead of words.")
@_replace
@click.pass_obj
def enter(options: Options, as_hex: bool, replace: bool) -> None:
    """Take a seed from its words and show its check value.

    It must be the one that the other key servers show.  A seed that is there is replaced
    only while no key has been issued; after that `seed rotate --enter` begins a new generation.
    """
    config = options.config().need_keyserver()
    seed = _ask_seed(as_hex=as_hex)
    with administering.on_record(options, "seed.enter", replace=replace):
        cvm = _found(config, seed, replace=replace)
    click.echo(f"check value   {cvm}")


@command.command(
    epilog="""\b
Examples:
  ringkey seed split 2-of-3
  ringkey seed split 3-of-5 --generation 1
"""
)
@click.argument("shares")
@click.option("--generation", type=int, help="Of an older seed that is still in force.")
@click.pass_obj
def split(options: Options, shares: str, generation: int | None) -> None:
    """Show the seed as SHARES, such as 2-of-3: lines of words for different safes (SLIP-39).

    Any two of the three give the seed back, with `seed join`; one alone says nothing about it.
    """
    match = _SHARES.fullmatch(shares)
    if match is None:
        raise UserError(f"{shares!r} is not of the form 2-of-3", "ringkey seed split --help", usage=True)
    config = options.config().need_keyserver()
    ring = _read(config)
    chosen = [g for g in ring.generations if g.number == (generation or ring.current.number)]
    if not chosen:
        raise UserError(f"there is no generation {generation}", "ringkey seed check")
    with administering.on_record(options, "seed.split", shares=shares, generation=chosen[0].number):
        pass  # the shares are the seed: that they were shown is on record before they are
    for i, share in enumerate(words.split(chosen[0].seed, int(match[1]), int(match[2])), 1):
        click.echo(f"share {i} of {match[2]}, {match[1]} are needed:\n")
        _show_words(share)
    click.echo(f"check value   {chosen[0].check_value(config.suite).hex()}")


@command.command(
    epilog="""\b
Examples:
  ringkey seed join                 # asks for the shares one by one
  cat share1 share3 | ringkey seed join
"""
)
@_replace
@click.pass_obj
def join(options: Options, replace: bool) -> None:
    """Take a seed from enough shares of `seed split` and show its check value, as `seed enter` does."""
    config = options.config().need_keyserver()
    first = asking.line("Share 1")
    shares = [first]
    while len(shares) < words.needed(first):
        shares.append(asking.line(f"Share {len(shares) + 1}"))
    seed = words.join(shares)
    with administering.on_record(options, "seed.join", replace=replace):
        cvm = _found(config, seed, replace=replace)
    click.echo(f"check value   {cvm}")


@command.command(
    epilog="""\b
Example:
  ringkey seed check
"""
)
@as_json
@click.pass_obj
def check(options: Options, as_json: bool) -> None:
    """Open the sealed seed, and show the check value of each generation.

    Every key server with the same seed shows the same, and so do its phones.
    """
    found = administering.ask(options, "generations")
    if as_json:
        administering.show_json(found)
        return
    for one in found["generations"]:
        if one["until"] is None:
            state = "new keys come from it"
        else:
            ended = one["state"] == "ended"
            state = f"{'ended' if ended else 'answers until'} {_time(one['until'])}"
        click.echo(
            f"generation {one['number']}   check value {one['cvm']}   since {_time(one['since'])}, {state}"
        )


@command.command(
    epilog="""\b
Examples:
  ringkey seed rotate --overlap 14d
  ringkey seed rotate --overlap 14d --enter     # on the next key server: the words of the first
  ringkey seed rotate --overlap 0               # the old keys end now
"""
)
@click.option(
    "--overlap", default="14d", show_default=True, metavar="TIME", help="Such as 14d, 36h, 90m, 10s."
)
@click.option("--enter", "entering", is_flag=True, help="Take the new seed from its words.")
@as_json
@click.pass_obj
def rotate(options: Options, *, overlap: str, entering: bool, as_json: bool) -> None:
    """Begin a new generation of keys, whether or not the key server runs.

    New keys come from a new seed, which is shown this once.  The old one answers for its phones until
    the overlap ends; meanwhile they are told to fetch new keys, and do so at a quiet moment.
    """
    options.config().need_keyserver()
    seed = _ask_seed(as_hex=False).hex() if entering else None
    done = administering.do(options, "seed.rotate", overlap=_seconds(overlap), seed=seed)
    if as_json:
        administering.show_json(done)
        return
    if done["words"] is not None:
        _show_words(done["words"])
    click.echo(f"check value   {done['cvm']}")
    click.echo(f"generation    {done['generation']}; the one before answers until {_time(done['until'])}")
    if done["words"] is not None and done["peers"]:
        click.echo(
            "\nOn each other key server, now:\n  ringkey seed rotate --overlap " + overlap + " --enter"
        )


@command.command(
    epilog="""\b
Examples:
  ringkey seed progress
  watch -n 5 ringkey seed progress
"""
)
@as_json
@click.pass_obj
def progress(options: Options, as_json: bool) -> None:
    """Show how far a rotation is: how many registered phones are on which generation."""
    found = administering.ask(options, "rotation")
    if as_json:
        administering.show_json(found)
        return
    for name, count in sorted(found["phones"].items(), reverse=True):
        share = count / found["registered"] if found["registered"] else 0.0
        click.echo(f"generation {name:<8} {count:>7} phones  {share:4.0%}  {'#' * round(40 * share)}")
    if found["running"]:
        click.echo(f"The generation before answers until {_time(found['until'])}")
    elif not found["phones"]:
        click.echo("No key server of this site runs here, or none is configured.")
    else:
        click.echo("One generation is in force.")


@command.command(
    epilog="""\b
Examples:
  ringkey seed seal key             # under keyserver/seed.key, or the systemd credential
  ringkey seed seal passphrase      # asked for now, and at each start of the key server
"""
)
@click.argument("by", type=click.Choice([sealing.BY_KEY, sealing.BY_PASSPHRASE]))
@click.pass_obj
def seal(options: Options, by: str) -> None:
    """Seal the seed anew: under a KEY that lies in a file, or under a PASSPHRASE.

    The key file is `seed_key` in ringkey.toml; it may be on another disk.  Under systemd the
    credential `ringkey-seed-key` takes its place: see docs/keyserver.md.
    """
    config = options.config().need_keyserver()
    with administering.on_record(options, "seed.seal", by=by), counter.held(config.counter):
        clear = keyring.read_clear(config.seed) if config.seed.exists() else None
        ring = None if clear is not None else _read(config)
        made = _new_seal(config, by)
        if ring is None and clear is not None:
            ring = keyring.first(clear, made)
        if ring is not None:
            _write(config.seed, Keyring(ring.generations, made))
        if by == sealing.BY_PASSPHRASE:
            # Whoever has an old copy of the sealed seed must not find its key here.
            with suppress(FileNotFoundError):
                config.seed_key.unlink()
    click.echo(f"{config.seed} is sealed by a {by}")
    click.echo(f"\nNext:\n  {options.command('keyserver serve')}")


def _found(config: KeyServerConfig, seed: bytes, *, replace: bool = False) -> str:
    """Make `seed` the seed of this key server; returns its check value in hex."""
    with counter.held(config.counter):
        number, issued = counter.latest(config.counter)
        # A counter that was begun anew knows of none.
        issued = issued or register.any_issued(config.register)
        seal = None
        if config.seed.exists():
            try:
                ring = _read(config)
            except UserError as e:
                if not replace:
                    raise UserError(e.what, "ringkey seed enter --replace") from None
                config.seed.rename(config.seed.with_name(f"seed.{secrets.token_hex(4)}.old"))
            else:
                if issued and ring.current.seed != seed:
                    raise UserError(
                        "keys have been issued from the seed that is here; another one would end the "
                        "registration of every phone. To replace it over time, begin a new generation",
                        "ringkey seed rotate --help",
                    )
                seal, number = ring.seal, ring.current.number
        made = keyring.first(seed, seal or _key(config))
        generation = made.generations[0]
        made = Keyring((keyring.Generation(number, generation.begun, None, seed),), made.seal)
        _write(config.seed, made)
    return made.current.check_value(config.suite).hex()


def _read(config: KeyServerConfig) -> Keyring:
    return keyring.read(config.seed, config.seed_key, asking.passphrase)


def _key(config: KeyServerConfig) -> sealing.Seal:
    try:
        return sealing.new_key_file(config.seed_key)
    except OSError as e:
        raise UserError(
            f"cannot write {config.seed_key}: {e.strerror}", f"ls -ld {config.seed_key.parent}"
        ) from None


def _new_seal(config: KeyServerConfig, by: str) -> sealing.Seal:
    if by == sealing.BY_KEY:
        return _key(config)
    return sealing.from_passphrase(asking.line("New passphrase of the seed", confirm=True))


def _write(path: Path, ring: Keyring) -> None:
    try:
        keyring.write(path, ring)
    except OSError as e:
        raise UserError(
            f"cannot write {path}: {e.strerror}; nothing was changed", f"df -h {path.parent}"
        ) from None


def _ask_seed(*, as_hex: bool) -> bytes:
    if not as_hex:
        return _from_words(asking.text("Words of the seed"))
    try:
        seed = bytes.fromhex(asking.line("Seed, in hex"))
    except ValueError:
        raise UserError("the seed is not hex", "ringkey seed enter --help") from None
    if not words.SIZES[0] <= len(seed) <= files.MAX_FILE // 4:
        raise UserError(f"a seed has {words.SIZES[0]} octets or more", "ringkey seed enter --help")
    return seed


def _seconds(text: str) -> int:
    match = re.fullmatch(r"(\d{1,6})([smhd]?)", text.strip())
    if match is None:
        raise UserError(f"--overlap {text!r}: not of the form 14d", "ringkey seed rotate --help", usage=True)
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}[match[2]]


def _from_words(text: str) -> bytes:
    """Take words as a person types them, or all that `seed new` has printed."""
    return words.from_words(text.partition("check value")[0])


def _show_words(text: str) -> None:
    found = text.split()
    for i in range(0, len(found), 6):
        click.echo("  " + " ".join(f"{word:<10}" for word in found[i : i + 6]).rstrip())
    click.echo()


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
