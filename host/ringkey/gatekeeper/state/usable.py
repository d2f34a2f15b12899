"""Which registrations of the run before may go on: the command line works without a gatekeeper, too."""

from collections.abc import Mapping
from hmac import compare_digest

from ras.held import Held
from ras.keys import authentication_key

from ringkey.gatekeeper.answers import Found
from ringkey.gatekeeper.directory import Directory
from ringkey.gatekeeper.state.rows import Key


def usable(held: list[Held], directory: Directory, keys: Mapping[Key, Found]) -> list[Held]:
    """Return those whose extension is there, enabled, and has the PIN that it had.

    Raises DirectoryError where the directory cannot be read.
    """
    extensions = directory.get_enabled(one.ext for one in held)
    found = []
    for one in held:
        extension = extensions.get(one.ext)
        key = keys.get((one.g, one.ext, one.cvm))
        if extension is None:
            continue
        # Without its Kg (it was pushed out of the cache) a PIN cannot be told from another.
        if key is None or compare_digest(authentication_key(one.suite, key.kg, extension.pin), one.ka):
            found.append(one)
    return found
