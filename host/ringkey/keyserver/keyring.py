"""The seeds of a key server, a generation each, sealed in one file (sealing.py).

    {"version": 1, "seal": {"by": …}, "generations": [{"number", "begun", "until"}, …],
     "sealed": HEX}

The last generation is the one that new keys come from; those before it still answer until their
`until`.  What is in clear is sealed along as context: nobody can lengthen an overlap or move a
seed from one file into another.  The seeds are in clear in this process only.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ras.keys import MIN_SEED, Suite, check_value, master_key

from ringkey.errors import UserError
from ringkey.keyserver import sealing
from ringkey.keyserver.sealing import AskPassphrase, Seal, SealError
from ringkey.site import files

VERSION = 1
# Octets of a drawn seed: as strong as suite sha256's Km, and 24 words; protocol.md wants 16 or more.
SEED = 32
# Generations in force at one time: what a gatekeeper keeps of a status (answers.MAX_CHECK_VALUES).
MAX_GENERATIONS = 8


@dataclass(frozen=True, slots=True)
class Generation:
    """One seed.  number: from 1; begun, until: seconds since 1970, until None for the current one."""

    number: int
    begun: int
    until: int | None
    seed: bytes = field(repr=False)

    def check_value(self, suite: Suite) -> bytes:
        """Return CVm, 3 octets."""
        return check_value(suite, master_key(suite, self.seed))

    def in_force(self, now: float) -> bool:
        """Tell whether keys of it are still answered for."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class Keyring:
    """All generations, oldest first, at least one; and the seal they are kept under."""

    generations: tuple[Generation, ...]
    seal: Seal

    @property
    def current(self) -> Generation:
        """The generation that new keys come from."""
        return self.generations[-1]

    def in_force(self, now: float) -> tuple[Generation, ...]:
        """Return the generations that answer at `now`, the current one first."""
        return tuple(g for g in reversed(self.generations) if g.in_force(now))

    def rotated(self, seed: bytes, overlap: int, now: int) -> "Keyring":
        """Return the keyring with a new current generation; raises UserError.

        overlap: seconds that the one before still answers.  Generations that have ended are left
        out: their seeds are of no use any more.
        """
        if any(g.seed == seed for g in self.generations):
            raise UserError("that seed is in use here already: a new generation needs a new seed")
        kept = [
            replace(g, until=now + overlap) if g.until is None else g
            for g in self.generations
            if g.in_force(now)
        ]
        kept = [g for g in kept if g.in_force(now)]
        if len(kept) >= MAX_GENERATIONS:
            raise UserError(
                f"{MAX_GENERATIONS} generations are in force; end one first, or wait", "ringkey seed check"
            )
        new = Generation(self.current.number + 1, now, None, seed)
        return replace(self, generations=(*kept, new))

    def ended(self, number: int, now: int) -> "Keyring":
        """Return the keyring with generation `number` out of force from now on; raises UserError."""
        if number == self.current.number:
            raise UserError(
                f"generation {number} is the one that new keys come from; begin another one first",
                "ringkey seed rotate --overlap 0",
            )
        kept = tuple(g for g in self.generations if g.number != number and g.in_force(now))
        if not any(g.number == number and g.in_force(now) for g in self.generations):
            raise UserError(f"no generation {number} is in force here", "ringkey seed check")
        return replace(self, generations=kept)


def first(seed: bytes, seal: Seal, now: float | None = None) -> Keyring:
    """Return a keyring with one generation."""
    return Keyring((Generation(1, int(time.time() if now is None else now), None, seed),), seal)


def write(path: Path, keyring: Keyring) -> None:
    """Write the keyring, whole or not at all; raises OSError."""
    body: dict[str, object] = {
        "version": VERSION,
        "seal": keyring.seal.header(),
        "generations": [
            {"number": g.number, "begun": g.begun, "until": g.until} for g in keyring.generations
        ],
    }
    plain = json.dumps([g.seed.hex() for g in keyring.generations]).encode()
    sealed = keyring.seal.close(plain, _context(body))
    files.write(path, (json.dumps({**body, "sealed": sealed.hex()}) + "\n").encode())


def read(path: Path, key_file: Path, ask: AskPassphrase) -> Keyring:
    """Return the keyring in `path`.

    key_file: where the key is that seeds are sealed under, if they are; ask: gives the passphrase,
    if they are sealed by one.  Raises UserError, which shows no secret.
    """
    body = _body(path, files.read_secret(path, "the sealed seed"))
    sealed = str(body.pop("sealed"))
    try:
        seal = sealing.find(body.get("seal"), key_file, ask)
        plain = seal.open(bytes.fromhex(sealed), _context(body))
    except SealError as e:
        raise UserError(f"the sealed seed {path}: {e.what}", "ringkey seed enter --replace") from None
    return Keyring(_generations(path, body["generations"], json.loads(plain)), seal)


def reopen(path: Path, seal: Seal) -> Keyring:
    """Return the keyring in `path` once more, with the seal that it was read with; raises UserError."""
    body = _body(path, files.read_secret(path, "the sealed seed"))
    sealed = str(body.pop("sealed"))
    plain = seal.open(bytes.fromhex(sealed), _context(body))
    return Keyring(_generations(path, body["generations"], json.loads(plain)), seal)


def seal_of(path: Path) -> str:
    """Return how the keyring is sealed, BY_KEY or BY_PASSPHRASE; raises UserError."""
    seal = _body(path, files.read_secret(path, "the sealed seed")).get("seal")
    return str(seal.get("by")) if isinstance(seal, dict) else ""


def read_clear(path: Path) -> bytes | None:
    """Return the seed of a file of ringkey 0.1, one line of hex, or None where it is no such file."""
    try:
        seed = bytes.fromhex(files.read_secret(path, "the seed").decode())
    except ValueError:
        return None
    return seed if len(seed) >= MIN_SEED else None


def _body(path: Path, data: bytes) -> dict[str, object]:
    try:
        body = json.loads(data)
        good = body["version"] == VERSION and isinstance(body["generations"], list)
        bytes.fromhex(body["sealed"])
    except (ValueError, KeyError, TypeError, RecursionError):
        good = False
    if good:
        found: dict[str, object] = body
        return found
    if read_clear(path) is not None:
        raise UserError(
            f"the seed in {path} lies there in clear, as older versions kept it", "ringkey seed seal"
        )
    raise UserError(
        f"{path} is no sealed seed, or damaged; bring it back from a back-up, or enter the seed anew "
        "from its words",
        "ringkey seed enter --replace",
    )


def _generations(path: Path, said: object, seeds: Sequence[str]) -> tuple[Generation, ...]:
    # It opened, so nobody but ringkey has written it.
    if not isinstance(said, list) or len(said) != len(seeds) or not said:
        raise UserError(f"{path}: written by another version of ringkey", "ringkey --version")
    return tuple(
        Generation(one["number"], one["begun"], one["until"], bytes.fromhex(seed))
        for one, seed in zip(said, seeds, strict=True)
    )


def _context(body: dict[str, object]) -> bytes:
    return b"ringkey-seed:" + json.dumps(body, sort_keys=True).encode()
