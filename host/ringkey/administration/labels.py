"""What a sheet of labels for a batch of phones needs: settings only, never a PIN or a key."""

import hashlib
from typing import TYPE_CHECKING, Any

from ringkey.administration import extensions
from ringkey.administration.extensions import PAGE, SEARCH
from ringkey.administration.roles import Author, Role
from ringkey.administration.table import INTEGER, TEXT, Action, Query, listing, thing

if TYPE_CHECKING:
    from ringkey.administration.site import Administration


async def labels(admin: "Administration", author: Author, *, search: str, limit: int, offset: int) -> Any:
    found = await extensions.extensions(admin, author, search=search, limit=limit, offset=offset)
    servers, root = await admin.off_loop(lambda: (_key_servers(admin), _root(admin)))
    return {
        "total": found["total"],
        "key_servers": servers,
        "root": root,
        "labels": [
            {"ext": one["ext"], "label": one["label"]} for one in found["extensions"] if one["enabled"]
        ],
    }


def _key_servers(admin: "Administration") -> list[str]:
    """Return where phones get their keys: (name, port) of this site's key server as texts, as in an image."""
    from ras.address import join_address

    from ringkey.site import runtime

    config = admin.config.keyserver
    if config is None:
        return []
    port = config.port or runtime.ports(admin.site.run, "keyserver").get("files", 0)
    return [f"https://{join_address(name, port)}" for name in config.names]


def _root(admin: "Administration") -> str:
    """Return the SHA-256 of what the phones' images have as root, hex: to compare by eye."""
    from ringkey.site import files

    return hashlib.sha256(files.read(admin.site.root_der, "the root for phones")).hexdigest()


ACTIONS: tuple[Action, ...] = ()
QUERIES = (
    Query(
        "labels",
        Role.OPERATOR,
        "What labels for phones say: extensions, key servers, root; no PIN and no key",
        ("extension", "labels"),
        labels,
        (SEARCH, *PAGE),
        thing(
            {
                "total": INTEGER,
                "key_servers": listing(TEXT),
                "root": TEXT,
                "labels": listing(thing({"ext": TEXT, "label": TEXT})),
            }
        ),
    ),
)
