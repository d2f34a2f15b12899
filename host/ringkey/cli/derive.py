"""`ringkey derive`: section 2 of protocol.md, value by value."""

import json

import click
from ras import keys

from ringkey.errors import UserError

# Octets.  Longer than any seed, key or random value there is; what is longer is a pasted file.
MAX_HEX = 4096


@click.command(
    epilog="""\b
Examples (they print secrets: use made-up inputs, or a terminal that nobody watches):
  ringkey derive --suite sha256 --seed 000102030405060708090a0b0c0d0e0f --json
  ringkey derive --seed HEX --g HEX --pin 1234 --re HEX --rg HEX --json
  ringkey derive --suite sha1 --km HEX --g HEX --pin 1234
  ringkey derive --kg HEX --pin 1234 --file settings.json
"""
)
@click.option(
    "--suite", "suite_name", type=click.Choice(list(keys.SUITES)), default="sha256", show_default=True
)
@click.option("--seed", metavar="HEX", help="S, 16 octets or more: gives Km and CVm.")
@click.option("--km", metavar="HEX", help="Km instead of the seed.")
@click.option("--kg", metavar="HEX", help="Kg instead of seed or Km, and g.")
@click.option("--g", metavar="HEX", help="16 octets: gives Kg and Kr.")
@click.option("--pin", metavar="DIGITS", help="Gives Ka.")
@click.option("--re", metavar="HEX", help="16 octets: with --rg and --pin, gives Ks.")
@click.option("--rg", metavar="HEX", help="16 octets.")
@click.option("--file", "file_name", metavar="NAME", help="Gives Kf, the key of this file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: name to hex.")
def command(
    *,
    suite_name: str,
    seed: str | None,
    km: str | None,
    kg: str | None,
    g: str | None,
    pin: str | None,
    re: str | None,
    rg: str | None,
    file_name: str | None,
    as_json: bool,
) -> None:
    """Print Km, CVm, Kg, Ka, Kr and Ks in hex, as far as the inputs reach.

    For whoever checks another implementation against this one.  IT PRINTS SECRETS, and what
    stands on a command line is seen by every user of the machine and kept by the shell.
    """
    suite = keys.SUITES[suite_name]
    found: dict[str, bytes] = {}
    try:
        master = _master(suite, found, seed, km, kg)
        device = _device(suite, found, master, kg, g)
        _rest(suite, found, device, (pin, _hex("--re", re), _hex("--rg", rg), file_name))
    except ValueError as e:
        raise UserError(str(e), "ringkey derive --help", usage=True) from None
    if as_json:
        click.echo(json.dumps({name: value.hex() for name, value in found.items()}))
    else:
        for name, value in found.items():
            click.echo(f"{name:<4} {value.hex()}")


def _master(
    suite: keys.Suite, found: dict[str, bytes], seed: str | None, km: str | None, kg: str | None
) -> bytes | None:
    if sum(value is not None for value in (seed, km, kg)) != 1:
        raise ValueError("give one of --seed, --km and --kg")
    master = _hex("--km", km, suite.master)
    secret = _hex("--seed", seed)
    if secret is not None:
        master = keys.master_key(suite, secret)
    if master is not None:
        found["Km"] = master
        found["CVm"] = keys.check_value(suite, master)
    return master


def _device(
    suite: keys.Suite, found: dict[str, bytes], master: bytes | None, kg: str | None, g: str | None
) -> bytes | None:
    device = _hex("--kg", kg, suite.key)
    generator = _hex("--g", g)
    if device is not None and generator is not None:
        raise ValueError("--kg stands for --seed and --g: leave --g out")
    if master is not None and generator is not None:
        device = keys.device_key(suite, master, generator)
    if device is not None:
        found["Kg"] = device
    return device


def _rest(
    suite: keys.Suite,
    found: dict[str, bytes],
    device: bytes | None,
    inputs: tuple[str | None, bytes | None, bytes | None, str | None],
) -> None:
    pin, re, rg, file_name = inputs
    if device is None:
        if any(value is not None for value in inputs):
            raise ValueError("--pin, --re, --rg and --file need Kg: give --g, or --kg")
        return
    if (re is None) != (rg is None) or (re is not None and pin is None):
        raise ValueError("Ks needs all of --pin, --re and --rg")
    if pin is not None:
        found["Ka"] = keys.authentication_key(suite, device, pin)
    found["Kr"] = keys.reject_key(suite, device)
    if pin is not None and re is not None and rg is not None:
        found["Ks"] = keys.session_key(suite, device, pin, re, rg)
    if file_name is not None:
        found["Kf"] = keys.file_key(suite, device, file_name)


def _hex(option: str, text: str | None, octets: int | None = None) -> bytes | None:
    if text is None:
        return None
    try:
        value = bytes.fromhex(text)
    except ValueError:
        # Not the text itself: it is a secret, and errors end in logs.
        raise ValueError(f"{option}: not hex") from None
    if len(value) > MAX_HEX:
        raise ValueError(f"{option}: over {MAX_HEX} octets")
    if octets is not None and len(value) != octets:
        raise ValueError(f"{option}: {len(value)} octets, this suite's has {octets}")
    return value
