"""What tests of accounts begin with: quick hashes, a clock that stands, an empty database."""

from argon2 import PasswordHasher
from ringkey.administration.accounts.store import Accounts

# The least that argon2 takes: what is tested is who gets in, not how long a guess takes.
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
GOOD = "correct horse battery"


class Clock:
    """A clock that stands until it is told."""

    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


def empty_database(directory):
    """Return the path of a database without accounts: its migrations take longer than most tests."""
    path = directory / "accounts.db"
    Accounts(path).close()
    return path
