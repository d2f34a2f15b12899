"""What of a key server is counted and checked: the lines between its parts and metrics and admin."""

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from ringkey.admin import Check
from ringkey.figures import Figures, as_mapping
from ringkey.keyserver.advanced import AdvancedService
from ringkey.keyserver.agent import Agent
from ringkey.keyserver.files import FileService
from ringkey.keyserver.ledger import Ledger
from ringkey.keyserver.serving import TLS_REFUSED, Listener
from ringkey.site import certificates
from ringkey.site.config import KeyServerConfig

# Octets free where the counter is: room for it and for what else a key server writes.
MIN_FREE = 1 << 20


def figures(
    config: KeyServerConfig,
    agent: Agent,
    files: FileService,
    advanced: AdvancedService,
    listeners: Mapping[str, Listener],
) -> Figures:
    """Return the figures of a key server; listeners: by service, looked at whenever they are asked for."""
    found = Figures()
    found.gauge(
        "ringkey_keys_issued", "Keys issued since the counter was made, at most.", lambda: agent.issued
    )
    found.counter(
        "ringkey_enrolment_denied",
        "Requests for keys that were turned away.",
        as_mapping(files.denied),
        "reason",
    )
    found.counter(
        "ringkey_look_ups", "Keys that gatekeepers asked for.", as_mapping(advanced.looked_up), "outcome"
    )
    found.counter("ringkey_tls_refused", "Handshakes that failed.", as_mapping(TLS_REFUSED), "reason")
    found.gauge(
        "ringkey_connections",
        "Open connections, those in their handshake among them.",
        lambda: {name: listener.connections for name, listener in listeners.items()},
        "service",
    )
    found.gauge("ringkey_transfers", "Files under way.", lambda: files.shelf.deliveries.under_way)
    found.gauge(
        "ringkey_certificate_end_seconds",
        "When the key server's certificate ends, in seconds from 1970.",
        lambda: _end(config),
    )
    return found


def checks(config: KeyServerConfig, files: FileService, ledger: Ledger) -> dict[str, Check]:
    """Return what must be right for a phone that comes now to get keys.

    Each looks for itself: a check that remembered the last failure would stay red when nobody is
    sent here any more to find that it is over.
    """
    return {
        "disk": lambda: _disk(config),
        "clock": lambda: ledger.clock_trouble,
        "certificate": lambda: _certificate(config),
        "enrolment": files.enrolment.check,
    }


def _end(config: KeyServerConfig) -> float:
    return certificates.bundle(config.certificate)[0].not_valid_after_utc.timestamp()


def _disk(config: KeyServerConfig) -> str | None:
    # Of the counter and of the record, without either of which no key is issued.
    for where in dict.fromkeys(path.parent for path in (config.counter, config.audit, config.register)):
        if not os.access(where, os.W_OK):
            return f"{where} cannot be written"
        free = shutil.disk_usage(where).free
        if free < MIN_FREE:
            return f"{free} octets are free on the disk of {where}"
    return None


def _certificate(config: KeyServerConfig) -> str | None:
    seen = certificates.look(config.certificate, certificates.bundle(config.client_ca))
    ended = seen.left(datetime.now(UTC)) <= timedelta()
    return f"{config.certificate} has ended (try: ringkey cert renew)" if ended else None
