"""Passwords: argon2id by argon2-cffi, and the same work for names that nobody has.

The work is done in threads, few at a time: each takes 64 MiB and some 50 ms, which is what makes
guessing expensive, and what somebody who sends a thousand log-ins at once must not get.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ringkey.administration.accounts.errors import AccountError, TooManyError

# Characters.  NIST SP 800-63B wants at least 8, and no rules of composition; an administrator's is worth
# two more.  The most: argon2 would take any, but a request's body has an end.
LEAST = 10
MOST = 200
# Different characters: "aaaaaaaaaa" is no password.
DIFFERENT = 5
# Hashes computed at a time (64 MiB each), and requests that wait for one; the next is told to come again.
AT_ONCE = 2
WAITING = 16
# Seconds after which somebody who was turned away by WAITING may try again.
_SOON = 2

_T = TypeVar("_T")


def check(password: str, name: str) -> None:
    """Raise AccountError where `password` will not do for user `name`."""
    if not LEAST <= len(password) <= MOST:
        raise AccountError(f"a password has {LEAST} to {MOST} characters")
    if len(set(password)) < DIFFERENT or not password.isprintable():
        raise AccountError(
            f"a password has at least {DIFFERENT} different characters, and none that cannot be seen"
        )
    if name and name.casefold() in password.casefold() and len(password) < LEAST + len(name):
        raise AccountError("a password is not made of its user's name")


class Passwords:
    """Hashes and verifies, a few at a time.  hasher: another one than argon2-cffi's defaults (RFC 9106)."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self.hasher = hasher or PasswordHasher()
        self.computed = 0  # hashes so far: what a test of equal work counts
        self._nobody = ""
        self._busy = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    def hash(self, password: str) -> str:
        """Return the PHC string to keep; blocks for as long as argon2 takes."""
        self.computed += 1
        return self.hasher.hash(password)

    def verify_now(self, kept: str | None, password: str) -> bool:
        """Tell whether `password` is the one of `kept`; None is a user that there is not, or without one.

        The work is the same in each case.  Blocks for as long as argon2 takes.
        """
        if not self._nobody:
            self._nobody = self.hasher.hash(secrets.token_hex(16))
        self.computed += 1
        try:
            # Longer than any that was taken is not worth more work, nor less.
            good = self.hasher.verify(kept or self._nobody, password[:MOST])
        except (VerificationError, InvalidHashError):
            return False
        return good and kept is not None and len(password) <= MOST

    async def verify(self, kept: str | None, password: str) -> bool:
        """Do the same in a thread; raises TooManyError where too many wait."""
        return await self._in_turn(self.verify_now, kept, password)

    async def make(self, password: str) -> str:
        """Return `hash(password)`, computed in a thread; raises TooManyError where too many wait."""
        return await self._in_turn(self.hash, password)

    def outdated(self, kept: str) -> bool:
        """Tell whether `kept` was made with other parameters than those in use now."""
        return self.hasher.check_needs_rehash(kept)

    async def _in_turn(self, work: Callable[..., _T], *arguments: object) -> _T:
        if self._waiting >= WAITING:
            raise TooManyError("too many are logging in at this moment; try again", _SOON)
        self._waiting += 1
        try:
            async with self._busy:
                return await asyncio.to_thread(work, *arguments)
        finally:
            self._waiting -= 1
