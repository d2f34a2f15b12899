"""How what a key server has is changed: through the one that runs, else in its files."""

import asyncio
from typing import TYPE_CHECKING, Any

from ringkey.administration.roles import COMMAND_LINE, Author
from ringkey.errors import UserError

if TYPE_CHECKING:
    from ringkey.administration.site import Administration


async def ask(admin: "Administration", do: str, **arguments: object) -> dict[str, Any]:
    """Return the answer of keyserver/office.py to a command; raises UserError."""
    admin.config.need_keyserver()
    answer = await admin.control("keyserver", do, **arguments)
    if answer is not None:
        return answer
    return await asyncio.to_thread(_in_files, admin, do, arguments)


async def generations(admin: "Administration", author: Author) -> list[dict[str, Any]]:
    """Return the generations of keys, oldest first; raises UserError.

    Where no key server runs the sealed seed is opened for them, at the command line only: a process that
    browsers talk to shall not hold it for the asking.
    """
    config = admin.config.need_keyserver()
    answer = await admin.control("keyserver", "generations")
    if answer is None:
        if author.way != COMMAND_LINE:
            raise UserError(
                "the key server does not run here, and so nobody can say", "ringkey keyserver serve"
            )
        from ringkey.keyserver import keyring, office

        ring = await admin.off_loop(lambda: keyring.read(config.seed, config.seed_key, admin.passphrase))
        answer = office.generations(ring, config.suite)
    found: list[dict[str, Any]] = answer["generations"]
    return found


def _in_files(admin: "Administration", do: str, arguments: dict[str, object]) -> dict[str, Any]:
    from ringkey.keyserver import keyring
    from ringkey.keyserver.ledger import Ledger
    from ringkey.keyserver.office import Office

    config = admin.config.need_keyserver()
    ledger = Ledger(config.audit, config.register)
    ledger.start()
    try:
        office = Office(config, ledger, lambda: keyring.read(config.seed, config.seed_key, admin.passphrase))
        found: dict[str, Any] = asyncio.run(office.commands()[do](dict(arguments)))
        return found
    finally:
        ledger.stop()
