"""How commands change what a key server has: through the one that runs, else in its files."""

import asyncio
from typing import Any

from ringkey.cli import Options, asking
from ringkey.keyserver import keyring
from ringkey.keyserver.ledger import Ledger
from ringkey.keyserver.office import Office
from ringkey.site import control
from ringkey.site.config import KeyServerConfig


def ask(options: Options, config: KeyServerConfig, do: str, **arguments: object) -> dict[str, Any]:
    """Return the answer of office.py to a command; raises UserError."""
    if options.site.run.is_dir():
        answer = control.ask(options.site.run, "keyserver", do, **arguments)
        if answer is not None:
            return answer
    ledger = Ledger(config.audit, config.register)
    ledger.start()
    try:
        office = Office(config, ledger, lambda: keyring.read(config.seed, config.seed_key, asking.passphrase))
        found: dict[str, Any] = asyncio.run(office.commands()[do](dict(arguments)))
        return found
    finally:
        ledger.stop()
