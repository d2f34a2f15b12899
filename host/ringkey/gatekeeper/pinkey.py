"""The key file that PINs are sealed under: 32 random octets, readable for its owner only."""

import secrets
from contextlib import suppress
from pathlib import Path

from ringkey.errors import UserError
from ringkey.gatekeeper.errors import PinKeyError
from ringkey.gatekeeper.sealing import KEY
from ringkey.site import files


def load_pin_key(key_path: Path, database: Path) -> bytes:
    """Return the key at `key_path`; draw it where neither it nor the `database` is there yet.

    Raises PinKeyError: no key for a database that is there, a wrong length, readable for others,
    or a directory that cannot be written.
    """
    # The database is looked for first: whoever makes both makes the key first, so seeing the
    # database and then no key means that the key is lost, not that it is just being made.
    in_use = database.exists()
    if not key_path.exists():
        if in_use:
            raise PinKeyError(
                f"{key_path} is missing: the PINs in {database} are sealed under it. Bring it back from a "
                "back-up; where there is none, put the database aside and add the extensions anew",
                f"mv {database} {database}.unreadable",
            )
        _make(key_path)
    try:
        key = files.read_secret(key_path, "the PIN key")
    except UserError as error:
        raise PinKeyError(error.what, error.next_step) from None
    if len(key) != KEY:
        raise PinKeyError(f"{key_path} is damaged: a PIN key has {KEY} octets. Bring it back from a back-up")
    return key


def _make(path: Path) -> None:
    """Write a new key whole, unless another process was first."""
    scratch = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        files.write(scratch, secrets.token_bytes(KEY))
        try:
            with suppress(FileExistsError):
                path.hardlink_to(scratch)  # unlike a rename, it never replaces a key that is there
        finally:
            scratch.unlink()
        files.sync_directory(path.parent)
    except OSError as error:
        raise PinKeyError(
            f"cannot write the PIN key {path}: {error.strerror}", f"ls -ld {path.parent}"
        ) from None
