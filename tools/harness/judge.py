"""Holds each message at the relay against protocol.md, with the site's own seed: who broke the rules?

Whatever comes is judged before the fault kit touches it, so that a complaint names the side that
sent it and never the network in between.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ras import keys, profile
from ras.errors import RemoteProtocolError
from ras.message import GCF, GRJ, GRQ, RCF, RRJ, RRQ, UCF, URQ, Message, decode_message, verify
from ringkey.errors import UserError
from ringkey.keyserver import keyring
from ringkey.keyserver.keyring import Keyring

from harness.faults import UP, Address, Datagram

_OURS = (GRQ, GCF, GRJ, RRQ, RCF, RRJ, URQ, UCF)

PHONE, GATEKEEPER, KEY_SERVER = "phone", "gatekeeper", "key server"


@dataclass(slots=True)
class _Exchange:
    """What is known of one phone's exchange: enough to check the next message of it."""

    ext: str
    suite: keys.Suite
    ka: bytes
    kr: bytes
    re: bytes
    rg: bytes
    numbers: dict[int, bytes]  # requestSeqNum of what was asked -> Re


class Judge:
    """Knows the seeds (of all generations in force) and PINs, and nothing else of either side.

    pin_of(ext) -> PIN, or None for an extension that there is not.
    """

    def __init__(self, seeds: Callable[[], list[bytes]], pin_of: Callable[[str], str | None]) -> None:
        self._seeds = seeds
        self._pin_of = pin_of
        self._exchanges: dict[Address, _Exchange] = {}

    def complaint(self, datagram: Datagram) -> str | None:
        """Return what is wrong with a datagram as its sender sent it, or None."""
        try:
            message = decode_message(datagram.data)
            if message.kind not in _OURS:
                return None
            return self._judge(datagram, message, profile.elements(message), profile.suite_of(message))
        except RemoteProtocolError as error:
            return f"malformed: {error}"

    def _judge(
        self, datagram: Datagram, message: Message, found: dict[int, bytes], suite: keys.Suite | None
    ) -> str | None:
        if datagram.way == UP and (message.kind == GRQ or (message.kind == RRQ and profile.G in found)):
            return self._log_in(datagram.client, message, found, suite)
        exchange = self._exchanges.get(datagram.client)
        if exchange is None:
            return None  # it began before we were there
        if message.kind == GRJ:
            return self._reject(exchange, message, found, suite)
        if suite is not exchange.suite:
            return "not signed, or with another suite than was asked with"
        if not verify(message, suite, exchange.ka):
            return f"integrity check value is not that of Ka of extension {exchange.ext}"
        return self._nonces(exchange, message, found)

    def _log_in(
        self, client: Address, message: Message, found: dict[int, bytes], suite: keys.Suite | None
    ) -> str | None:
        ext = _extension(message)
        if suite is None or ext is None:
            return "not signed" if suite is None else "names no extension"
        for seed in self._seeds():
            km = keys.master_key(suite, seed)
            if keys.check_value(suite, km) == found[profile.CVM_ID]:
                return self._exchange(client, message, found, suite, (ext, km))
        return f"CVm {found[profile.CVM_ID].hex()} is of no seed of this site"

    def _exchange(
        self,
        client: Address,
        message: Message,
        found: dict[int, bytes],
        suite: keys.Suite,
        whose: tuple[str, bytes],
    ) -> str | None:
        """Begin an exchange, or go on with it; whose: extension and Km."""
        ext, km = whose
        pin = self._pin_of(ext)
        kg = keys.device_key(suite, km, found[profile.G])
        ka = keys.authentication_key(suite, kg, pin) if pin is not None else b""
        old = self._exchanges.get(client)
        rg = old.rg if old is not None and old.re == found[profile.RE] else b""
        # An answer to an earlier request may still be on its way.
        numbers = {} if old is None else old.numbers
        numbers[message.value["requestSeqNum"]] = found[profile.RE]
        self._exchanges[client] = _Exchange(
            ext, suite, ka, keys.reject_key(suite, kg), found[profile.RE], rg, numbers
        )
        if pin is not None and not verify(message, suite, ka):
            return f"integrity check value is not that of Ka of extension {ext}: wrong PIN, or wrong key"
        if message.kind == RRQ and rg and found[profile.RG] != rg:
            return "Rg is not the one that GCF brought"
        return None

    @staticmethod
    def _reject(
        exchange: _Exchange, message: Message, found: dict[int, bytes], suite: keys.Suite | None
    ) -> str | None:
        if found[profile.RE] != exchange.re:
            return "Re is not the one of the GRQ"
        if suite is not None and not verify(message, suite, exchange.kr):
            return f"integrity check value is not that of Kr of extension {exchange.ext}"
        return None

    @staticmethod
    def _nonces(exchange: _Exchange, message: Message, found: dict[int, bytes]) -> str | None:
        number = message.value["requestSeqNum"]
        if message.kind in (RRQ, URQ):
            exchange.numbers[number] = found[profile.RE]
        elif message.kind in (GCF, RCF, RRJ, UCF) and exchange.numbers.get(number) != found[profile.RE]:
            return "Re is not the one that was asked with"
        if message.kind == GCF:
            exchange.rg = found[profile.RG]
        elif exchange.rg and found[profile.RG] != exchange.rg:
            return "Rg is not the one of this registration"
        return None


def seeds_of(site: Path) -> list[bytes]:
    """Return the seeds that a site has, none where they lie elsewhere or are not to be read."""
    try:
        return [one.seed for one in keyring_of(site).generations]
    except (OSError, UserError):
        return []


def keyring_of(site: Path) -> Keyring:
    """Return the seeds of a site that has them sealed under its key file; raises UserError, OSError."""
    return keyring.read(site / "keyserver" / "seed", site / "keyserver" / "seed.key", str)


def check_value(seed: bytes) -> str:
    """Return the check value of a seed in suite sha256, which the harness's sites have, in hex."""
    return keys.check_value(keys.SHA256, keys.master_key(keys.SHA256, seed)).hex()


def check_values(seeds: list[bytes]) -> set[str]:
    """Return the check values of seeds, in hex, in both suites."""
    found = set()
    for seed in seeds:
        for name in ("sha1", "sha256"):
            found.add(hashlib.new(name, hashlib.new(name, seed).digest()).digest()[-3:].hex())
    return found


def _extension(message: Message) -> str | None:
    name = "endpointAlias" if message.kind == GRQ else "terminalAlias"
    return next((value for kind, value in message.value.get(name, ()) if kind == "dialledDigits"), None)
