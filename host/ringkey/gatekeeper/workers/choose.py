"""The gatekeeper as a site wants it: one process, or a supervisor and its workers."""

from pathlib import Path

from ringkey.gatekeeper.service import GatekeeperService
from ringkey.gatekeeper.workers.shards import how_many
from ringkey.gatekeeper.workers.supervisor import WorkersService
from ringkey.site.config import GatekeeperConfig, Site


def gatekeeper(
    config: GatekeeperConfig, site: Site, form: str, file: Path | None
) -> GatekeeperService | WorkersService:
    """Return the service; form, file: where it logs to, as ringkey.log takes it."""
    shards = how_many(config.workers)
    return (
        GatekeeperService(config, site) if shards == 1 else WorkersService(config, site, shards, form, file)
    )
