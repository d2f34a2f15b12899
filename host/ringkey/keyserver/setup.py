"""What a key server needs before its first start: a sealed seed, and a counter."""

import secrets
from pathlib import Path

from ras.keys import Suite

from ringkey.keyserver import counter, keyring, sealing


def create(directory: Path, server_id: bytes, suite: Suite) -> bytes:
    """Write `seed`, `seed.key` and `counter` into a new site's `directory`; returns CVm.

    Raises OSError.
    """
    seal = sealing.new_key_file(directory / "seed.key")
    made = keyring.first(secrets.token_bytes(keyring.SEED), seal)
    keyring.write(directory / "seed", made)
    counter.create(directory / "counter", server_id)
    return made.current.check_value(suite)
