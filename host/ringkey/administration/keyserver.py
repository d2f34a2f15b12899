"""How what a key server has is changed: through the one that runs, else in its files."""

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringkey.administration.site import Administration


async def ask(admin: "Administration", do: str, **arguments: object) -> dict[str, Any]:
    """Return the answer of keyserver/office.py to a command; raises UserError."""
    admin.config.need_keyserver()
    answer = await admin.control("keyserver", do, **arguments)
    if answer is not None:
        return answer
    return await asyncio.to_thread(_in_files, admin, do, arguments)


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
