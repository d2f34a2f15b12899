"""What tests of the directory of extensions do to its files, and what goes into it."""

import sqlite3
from pathlib import Path

from hypothesis import strategies as st

EXT = st.text("0123456789", min_size=1, max_size=20)
PIN = st.text("0123456789", min_size=1, max_size=16)


def put_key(path: Path, octets: bytes = bytes(32)) -> None:
    """Write a key file as `ringkey init` does; the default is no key that anything drew."""
    path.write_bytes(octets)
    path.chmod(0o600)


def raw(path: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Run a statement beside ringkey, as an intruder or a tool would."""
    connection = sqlite3.connect(path)
    try:
        with connection:
            return connection.execute(statement, values).fetchall()
    finally:
        connection.close()
