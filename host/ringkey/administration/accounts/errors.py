"""What can be wrong with accounts, and with whoever wants in."""

from ringkey.errors import UserError


class AccountsUnavailableError(UserError):
    """The accounts' database cannot be read or written; nothing was changed."""


class AccountsBusyError(AccountsUnavailableError):
    """Another process has held it for too long."""


class AccountsFormatError(UserError):
    """The file is damaged, of a newer ringkey, or something else."""


class AccountError(UserError):
    """A name, password, role or code that will not do; nothing was changed."""


class WrongLogInError(UserError):
    """Name, password or code are wrong; which of them is not told."""


class TooManyError(UserError):
    """Too many failed log-ins, or too many at a time; wait: seconds until the next may be tried."""

    def __init__(self, what: str, wait: int) -> None:
        super().__init__(what)
        self.wait = wait
