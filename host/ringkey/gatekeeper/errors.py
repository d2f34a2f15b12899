"""What can go wrong at the gatekeeper, for whoever has to do something about it."""

from ringkey.errors import UserError


class DirectoryError(UserError):
    """Base of the errors of the directory of extensions."""


class DirectoryUnavailableError(DirectoryError):
    """The database cannot be read or written now: disk full, permissions, a disk that fails."""


class DirectoryBusyError(DirectoryUnavailableError):
    """Another process held the database longer than the caller was ready to wait."""


class DirectoryFormatError(DirectoryError):
    """The file is damaged, written by a newer ringkey, or something else altogether."""


class PinKeyError(DirectoryError):
    """The key file is missing, readable for others, or not the one the PINs were sealed under."""


class SealedPinError(DirectoryError):
    """The sealed PIN of one extension was changed, or belongs to another one."""


class ExtensionRefusedError(DirectoryError):
    """What the administrator asked for is not possible: no such extension, already there, malformed."""


class ImportRefusedError(ExtensionRefusedError):
    """Nothing of a CSV was taken; `problems` names each line that is wrong."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("nothing was imported:\n  " + "\n  ".join(problems))
        self.problems = problems


class StateError(UserError):
    """Base of the errors of the gatekeeper's state on disk."""


class StateUnavailableError(StateError):
    """The file cannot be read or written now: disk full, permissions, a disk that fails."""


class StateBusyError(StateUnavailableError):
    """Another process held the file longer than the gatekeeper was ready to wait."""


class StateForeignError(StateError):
    """The file is damaged, written by a newer ringkey, or something else altogether."""
