"""The site's certificates: until when they are valid, and new ones (site/certificates.py)."""

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringkey.administration.roles import Author, Role
from ringkey.administration.table import INTEGER, SECONDS, TEXT, Action, Parameter, Query, listing, thing
from ringkey.errors import UserError
from ringkey.site import runtime
from ringkey.site.config import Config, Site

if TYPE_CHECKING:
    from ringkey.administration.site import Administration
    from ringkey.site.ca import Pair

SERVERS = ("keyserver", "gatekeeper")
STATES = ("ok", "soon", "urgent", "ended", "unknown-root")
# Days: a root's own life; and the default, five years.
MAX_DAYS, DAYS = 7300, 5 * 365 + 1


async def certificates(admin: "Administration", _author: Author) -> Any:
    from ringkey.site import roots

    found, stage = await admin.off_loop(lambda: (rows(admin.site, admin.config), roots.stage(admin.site)))
    return {"certificates": found, "roots": stage}


async def renew(admin: "Administration", _author: Author, *, which: str, days: int, ca: str | None) -> Any:
    from ringkey.site import roots

    def work() -> tuple[list[dict[str, Any]], list[int]]:
        root = roots.signing(admin.site, None if ca is None else Path(ca))
        made = make(admin.site, admin.config, root, which, days)
        return made, reload(admin.site)

    made, told = await admin.off_loop(work)
    return {"renewed": made, "reloaded": told}


def rows(site: Site, config: Config) -> list[dict[str, Any]]:
    """Return every certificate of the site; raises UserError."""
    from ringkey.site import certificates

    now = datetime.now(UTC)
    trusted = certificates.bundle(site.root_certificate)
    seen = [certificates.look(certificate, trusted) for _, certificate, _ in pairs(config)]
    seen += [certificates.Seen(site.root_certificate, root, (), True) for root in trusted]
    return [
        {
            "file": str(one.path.relative_to(site.root) if one.path.is_relative_to(site.root) else one.path),
            "state": one.state(now),
            "end": one.certificate.not_valid_after_utc.isoformat(),
            "ends": one.certificate.not_valid_after_utc.timestamp(),
            "days": one.left(now).days,
            "names": list(one.names) or [one.certificate.subject.rfc4514_string()],
            "serial": f"{one.certificate.serial_number:x}",
        }
        for one in seen
    ]


def pairs(config: Config) -> list[tuple[str, Path, Path]]:
    """Return (service, certificate, private key) of the services that this site has."""
    sections = (("keyserver", config.keyserver), ("gatekeeper", config.gatekeeper))
    return [(name, found.certificate, found.private_key) for name, found in sections if found is not None]


def make(site: Site, config: Config, root: "Pair", which: str, days: int) -> list[dict[str, Any]]:
    """Make new pairs under a root, in the place of the old ones; raises UserError, OSError."""
    from ringkey.site import ca, certificates

    life, now = timedelta(days=days), datetime.now(UTC)
    if root.certificate not in certificates.bundle(site.root_certificate):
        raise UserError("that root is none that this site trusts (ca/root.crt)", "ringkey cert status")
    made = []
    for name, certificate, private_key in pairs(config):
        if which not in ("all", name):
            continue
        if name == "keyserver":
            pair = ca.server(root, config.need_keyserver().names, life, now)
        else:
            pair = ca.gatekeeper(root, certificates.role_of(certificate), life, now)
        certificates.finish(certificate, private_key)
        certificates.replace(certificate, private_key, pair)
        made.append({"server": name, "ends": pair.certificate.not_valid_after_utc.timestamp()})
    return made


def reload(site: Site) -> list[int]:
    """Let the services that run here take up what is new; return their process ids.

    Who answers on its socket is alive.
    """
    told: list[int] = []
    for name in SERVERS:
        pid = (runtime.ask(site.run, name) or {}).get("pid") if site.run.is_dir() else None
        if isinstance(pid, int) and pid not in told:
            os.kill(pid, signal.SIGHUP)
            told.append(pid)
    return told


QUERIES = (
    Query(
        "certificates",
        Role.VIEWER,
        "The certificates, and until when they are valid",
        ("cert", "status"),
        certificates,
        (),
        thing(
            {
                "certificates": listing(
                    thing(
                        {
                            "file": TEXT,
                            "state": {"enum": list(STATES)},
                            "end": TEXT,
                            "ends": SECONDS,
                            "days": INTEGER,
                            "names": listing(TEXT),
                            "serial": TEXT,
                        }
                    )
                ),
                "roots": TEXT,
            }
        ),
    ),
)

ACTIONS = (
    Action(
        "certificate.renew",
        Role.ADMINISTRATOR,
        "Make new certificates for the servers, which take them up at once",
        ("cert", "renew"),
        renew,
        (
            Parameter("which", "choice", "whose", required=False, choices=("all", *SERVERS), default="all"),
            Parameter(
                "days", "integer", "valid for so many", required=False, default=DAYS, least=1, most=MAX_DAYS
            ),
            Parameter(
                "ca", "text", "directory with root.crt and root.key, if not the site's ca/", required=False
            ),
        ),
        thing(
            {
                "renewed": listing(thing({"server": TEXT, "ends": SECONDS})),
                "reloaded": listing(INTEGER),
            }
        ),
    ),
)
