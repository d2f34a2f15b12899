"""All of it together: `Accounts`, and the one way in."""

import time
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Self

from argon2 import PasswordHasher

from ringkey.administration.accounts.attempts import Attempts
from ringkey.administration.accounts.errors import TooManyError, WrongLogInError
from ringkey.administration.accounts.invitations import Invitations
from ringkey.administration.accounts.passwords import Passwords
from ringkey.administration.accounts.sessions import Sessions, Times
from ringkey.administration.accounts.tables import Base
from ringkey.administration.accounts.tokens import Tokens
from ringkey.administration.accounts.totp import Totp
from ringkey.administration.accounts.users import Users

# Characters of what stands in the log-in form as name: a longer one is nobody's.
MAX_TYPED = 64


class Accounts:
    """The open accounts of a site; belong to the thread that opened them."""

    def __init__(
        self,
        path: Path,
        times: Times | None = None,
        hasher: PasswordHasher | None = None,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = base = Base(path, clock)
        self.passwords = Passwords(hasher)
        self.users = Users(base, self.passwords)
        self.sessions = Sessions(base, times or Times())
        self.invitations = Invitations(base)
        self.tokens = Tokens(base)
        self.totp = Totp(base, path.with_name("totp.key"))
        self.attempts = Attempts(ticks)

    @classmethod
    def open(cls, path: Path, times: Times | None = None) -> Self:
        """Open the database at `path`, made where there is none; raises AccountsUnavailableError and such."""
        return cls(path, times)

    def close(self) -> None:
        """Close the database."""
        self._base.close()

    async def log_in(self, typed: str, password: str, code: str, source: str, agent: str) -> tuple[str, str]:
        """Return (user, cookie) of a new session.

        Raises WrongLogInError (one text, and the same work, whatever is wrong), TooManyError.
        """
        name = typed.strip().lower()[:MAX_TYPED]
        wait = self.attempts.begin(name, source)
        if wait > 0:
            raise TooManyError("too many failed log-ins; wait a little", ceil(wait))
        try:
            good = await self.users.check_password(name, password)
        except TooManyError:
            self.attempts.undone(name, source)
            raise
        # The password first: a code is not spent on a guess, and without the password tells nothing.
        if not good or not self.totp.check(name, code):
            raise WrongLogInError("name, password or code are wrong")
        self.attempts.succeeded(name, source)
        return name, self.sessions.begin(name, source, agent)
