"""Names of files as they come in a request: what is not surely harmless is no name.

Everything that could lead elsewhere needs a character that no name here has ("/" twice, "\\\\",
"%", NUL, "~") or a part that begins with a dot; so there is nothing to decode, fold or
normalise, and no way to disagree with a file system about it.
"""

import re

# Characters of one part, and parts of a name.  Makers' firmware files stay well below; the whole
# fits the request line's limit with room for parameters.
MAX_PART = 64
MAX_PARTS = 8
MAX_NAME = 255
# No leading dot: ".", "..", hidden files, and the temporary ones of a write under way.
_PART = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._+@-]{{0,{MAX_PART - 1}}}")


class BadName(Exception):
    """What was asked for is no name of a file here."""


def parts_of(name: str) -> tuple[str, ...]:
    """Return the parts of a name such as "firmware/one.bin", 1 to MAX_PARTS; raises BadName."""
    if not 1 <= len(name) <= MAX_NAME:
        raise BadName
    parts = tuple(name.split("/"))
    if len(parts) > MAX_PARTS or not all(_PART.fullmatch(part) for part in parts):
        raise BadName
    return parts


def one_part(name: str) -> str:
    """Return `name` where it is a single part, else raise BadName."""
    if not _PART.fullmatch(name):
        raise BadName
    return name
