"""`[console]` in `ringkey.toml`: the console's port, how long its sessions last, who may knock at all."""

from dataclasses import dataclass
from pathlib import Path

from ringkey.site.table import Table

PORT = 8447
# Seconds.  Idle: OWASP names 15 to 30 minutes for what is worth something; in all: a day's work.
IDLE = 30 * 60
TOTAL = 12 * 3600
_MINUTE, _WEEK = 60, 7 * 86_400


@dataclass(frozen=True, slots=True)
class ConsoleConfig:
    """`[console]`.

    listen: IP address; port: HTTPS, TCP; session_idle, session_total: seconds that a session lasts without a
    request, and in all; certificate, private_key: what the console shows, by default the key server's;
    client_ca: browsers must show a certificate that this root has signed (None: they need none).
    """

    listen: str
    port: int
    session_idle: int
    session_total: int
    certificate: Path
    private_key: Path
    client_ca: Path | None


def read_console(table: Table) -> ConsoleConfig:
    """Return `[console]`; raises UserError that names the key."""
    config = ConsoleConfig(
        listen=table.ip("listen", "0.0.0.0"),  # noqa: S104 - an administrator's browser is on another machine
        port=table.port("port", PORT),
        session_idle=table.integer("session_idle", IDLE, _MINUTE, _WEEK),
        session_total=table.integer("session_total", TOTAL, _MINUTE, _WEEK),
        certificate=table.path("certificate", "keyserver/server.crt"),
        private_key=table.path("private_key", "keyserver/server.key"),
        client_ca=table.path("client_ca", "") if "client_ca" in table else None,
    )
    if config.session_total < config.session_idle:
        raise table.error("session_total", "smaller than session_idle")
    table.done()
    return config
