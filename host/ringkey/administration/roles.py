"""Who does something, and what somebody may do."""

import getpass
from dataclasses import dataclass
from enum import IntEnum

from ringkey.errors import UserError


class Role(IntEnum):
    """What somebody may do; each may all that the one before it may."""

    VIEWER = 1
    OPERATOR = 2
    ADMINISTRATOR = 3

    @property
    def title(self) -> str:
        """Its name for people, and in the interfaces: "viewer"."""
        return self.name.lower()


def role_of(name: str) -> Role:
    """Return the role of this name; raises UserError."""
    try:
        return Role[name.upper()]
    except KeyError:
        there = ", ".join(one.title for one in Role)
        raise UserError(f"there is no role {name!r}; there are {there}", usage=True) from None


@dataclass(frozen=True, slots=True)
class Author:
    """Who does it, and how.

    name: of a user or of a token; way: "console", "api" or "command line"; source: the address that it came
    from, "here" for the command line.
    """

    name: str
    role: Role
    way: str
    source: str


COMMAND_LINE = "command line"


class Forbidden(UserError):
    """The author's role may not do this."""


def at_the_command_line() -> Author:
    """Return the author for a command: the operating system's user, who can read the site's files anyway."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        name = "unknown"
    return Author(name, Role.ADMINISTRATOR, COMMAND_LINE, "here")
