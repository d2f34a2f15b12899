"""The seal that seeds lie under at rest: AES-256-GCM under a key file, a credential or a passphrase.

What is sealed says itself which of them opens it, so that no configuration can disagree:

    "key"         32 octets, from the systemd credential `ringkey-seed-key` where the process has
                  one, else from the file that `[keyserver] seed_key` names
    "passphrase"  asked for at each start; stretched by scrypt (RFC 7914)
"""

import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ringkey.errors import UserError
from ringkey.site import files

KEY = 32  # octets: AES-256
CREDENTIAL = "ringkey-seed-key"  # its name in $CREDENTIALS_DIRECTORY (systemd.exec(5))
BY_KEY = "key"
BY_PASSPHRASE = "passphrase"  # noqa: S105 - the word itself
# Octets (NIST SP 800-38D section 8.2.2).  A seed is sealed a few times in its life.
NONCE = 12
_SALT = 16
# scrypt: 128 MiB and a second on a Raspberry Pi, once per start.  What guesses has to spend it
# on every guess; the file's own mode keeps most from trying.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 17, 8, 1
# A sealed file from elsewhere must not make this one spend its whole memory: 1 GiB.
_MAX_SCRYPT = 1 << 30
# Characters.  Below, scrypt is no help; above, it is a pasted file.
MIN_PASSPHRASE = 12
MAX_PASSPHRASE = 1024

AskPassphrase = Callable[[], str]
"""Returns the passphrase; raises UserError where nobody can be asked."""


class SealError(UserError):
    """What was sealed does not open with this key, or was changed."""


@dataclass(frozen=True, slots=True)
class Seal:
    """A key to seal with.  by: BY_KEY or BY_PASSPHRASE; salt: scrypt's, empty for BY_KEY."""

    by: str
    key: bytes = field(repr=False)
    salt: bytes = b""

    def header(self) -> dict[str, object]:
        """Return what has to lie beside the sealed octets, to open them again; no secret."""
        if self.by == BY_KEY:
            return {"by": BY_KEY}
        return {"by": self.by, "salt": self.salt.hex(), "n": SCRYPT_N, "r": SCRYPT_R, "p": SCRYPT_P}

    def close(self, plain: bytes, context: bytes) -> bytes:
        """Return nonce (12 octets) || ciphertext || tag (16); `context` is sealed along, in clear."""
        nonce = secrets.token_bytes(NONCE)
        return nonce + AESGCM(self.key).encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return what `close` was given; raises SealError."""
        try:
            return AESGCM(self.key).decrypt(sealed[:NONCE], sealed[NONCE:], context)
        except (InvalidTag, ValueError):
            what = "passphrase" if self.by == BY_PASSPHRASE else "key"
            raise SealError(f"it does not open: another {what}, or it was changed") from None


def from_key_file(path: Path) -> Seal:
    """Return the seal of the credential that this process has, or else of the file `path`.

    Raises UserError where neither is there, or it is open to others, or of a wrong length.
    """
    credential = _credential()
    if credential is not None:
        # systemd lets its user at it by an access list, which shows as a mode for the group.
        key, where = files.read(credential, "the credential"), credential
    else:
        key, where = files.read_secret(path, "the seed's key"), path
    if len(key) != KEY:
        raise UserError(
            f"{where} is not the key that seeds are sealed under: that has {KEY} octets. "
            "Bring it back from a back-up, or enter the seed anew from its words",
            "ringkey seed enter --replace",
        )
    return Seal(BY_KEY, key)


def new_key_file(path: Path) -> Seal:
    """Draw a key and write it to `path` (0600), or take the one that is there; raises OSError."""
    if _credential() is None and not path.exists():
        files.write(path, secrets.token_bytes(KEY))
    return from_key_file(path)


def from_passphrase(passphrase: str, salt: bytes | None = None) -> Seal:
    """Return the seal of a passphrase; salt: the one it was sealed with, None for a new one."""
    if not MIN_PASSPHRASE <= len(passphrase) <= MAX_PASSPHRASE:
        raise UserError(
            f"a passphrase has {MIN_PASSPHRASE} to {MAX_PASSPHRASE} characters", "ringkey seed seal --help"
        )
    salt = secrets.token_bytes(_SALT) if salt is None else salt
    key = _scrypt(passphrase, salt, SCRYPT_N, SCRYPT_R, SCRYPT_P)
    return Seal(BY_PASSPHRASE, key, salt)


def find(header: object, key_file: Path, ask: AskPassphrase) -> Seal:
    """Return the seal that `header` (see Seal.header) names; raises UserError."""
    if isinstance(header, dict) and header.get("by") == BY_KEY:
        return from_key_file(key_file)
    if isinstance(header, dict) and header.get("by") == BY_PASSPHRASE:
        try:
            salt = bytes.fromhex(header["salt"])
            n, r, p = header["n"], header["r"], header["p"]
            good = all(isinstance(x, int) and x > 0 for x in (n, r, p)) and 128 * n * r * p <= _MAX_SCRYPT
        except (KeyError, TypeError, ValueError):
            good = False
        if good:
            return Seal(BY_PASSPHRASE, _scrypt(ask(), salt, n, r, p), salt)
    raise SealError("it says of no seal known here what opens it")


def _scrypt(passphrase: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    room = 128 * r * (n + p + 2) + (1 << 20)
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=n, r=r, p=p, maxmem=room, dklen=KEY)


def _credential() -> Path | None:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return None
    path = Path(directory) / CREDENTIAL
    return path if path.exists() else None
