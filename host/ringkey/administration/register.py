"""What the key server of this site has on record about keys (keyserver/register.py), as results have it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlalchemy as sa

    from ringkey.administration.site import Administration
    from ringkey.keyserver.register import Key

# Keys of one extension that its page tells of: the last few times that its phone fetched some.
LATEST = 8
# Extensions asked for in one query: SQLite takes a few hundred values at a time.
_AT_ONCE = 500

Row = dict[str, Any]


def told(key: "Key") -> Row:
    """Return a key as results have it; the key itself is nowhere on record."""
    return {
        "g": key.g.hex(),
        "issued": key.at,
        "ext": key.ext,
        "serial": key.serial,
        "source": key.source,
        "generation": key.generation,
        "revoked": key.revoked,
    }


async def of_extension(admin: "Administration", ext: str) -> list[Row]:
    """Return the keys that an extension was issued last, newest first."""

    def read(connection: "sa.Connection") -> list[Row]:
        from ringkey.keyserver import register

        return [told(key) for key in register.keys(connection, register.issued.c.ext == ext, LATEST)]

    return await admin.readers.register(admin.config, read, [])


async def latest(admin: "Administration", exts: Sequence[str]) -> dict[str, Row]:
    """Return the last key of each of these extensions."""

    def read(connection: "sa.Connection") -> dict[str, Row]:
        import sqlalchemy as sa

        from ringkey.keyserver import register

        found: dict[str, Row] = {}
        for begin in range(0, len(exts), _AT_ONCE):
            some = register.issued.c.ext.in_(exts[begin : begin + _AT_ONCE])
            newest = sa.select(sa.func.max(register.issued.c.n)).where(some).group_by(register.issued.c.ext)
            for key in register.keys(connection, register.issued.c.n.in_(newest)):
                if key.ext is not None:
                    found[key.ext] = told(key)
        return found

    return await admin.readers.register(admin.config, read, {})


async def numbers(admin: "Administration") -> dict[str, int]:
    """Return the generation of each check value (hex) that the running key server knows."""
    answer = None if admin.config.keyserver is None else await admin.control("keyserver", "generations")
    return {} if answer is None else {one["cvm"]: one["number"] for one in answer["generations"]}
