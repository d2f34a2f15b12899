"""The register: which keys were issued, to whom, and which are revoked (never Kg).

It is made from the audit trail and can be made from it again: what a line of the trail says is
taken in by `apply`, once it is written and again when the register was lost.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ringkey.database import Kind, open_engine, translated
from ringkey.errors import UserError
from ringkey.keyserver.migrations import HEAD
from ringkey.keyserver.trail import FIRST, Line, Place, seconds


class RegisterError(UserError):
    """The register cannot be read or written now."""


class RegisterBusy(RegisterError):
    """Another process held it longer than the caller was ready to wait."""


class ForeignRegister(RegisterError):
    """The file is damaged, of a newer ringkey, or something else."""


KIND = Kind(
    "register of issued keys", "ringkey.keyserver", HEAD, RegisterError, RegisterBusy, ForeignRegister
)
# What gatekeepers are told of (changes.py).
CHANGES = ("revoked", "generations")
_metadata = sa.MetaData()
issued = sa.Table(
    "issued",
    _metadata,
    sa.Column("g", sa.LargeBinary, primary_key=True),
    sa.Column("n", sa.Integer),
    sa.Column("at", sa.Integer),
    sa.Column("ext", sa.String),
    sa.Column("serial", sa.String),
    sa.Column("source", sa.String),
    sa.Column("generation", sa.Integer),
    sa.Column("revoked", sa.Integer),
)
revoked_g = sa.Table(
    "revoked_g", _metadata, sa.Column("g", sa.LargeBinary, primary_key=True), sa.Column("n", sa.Integer)
)
change = sa.Table(
    "change",
    _metadata,
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("at", sa.Integer),
    sa.Column("what", sa.String),
    sa.Column("by", sa.String),
    sa.Column("value", sa.String),
    sa.Column("reason", sa.String),
)
mark = sa.Table(
    "mark",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("n", sa.Integer),
    sa.Column("hash", sa.String),
    sa.Column("time", sa.Float),
    sa.Column("piece", sa.Integer),
    sa.Column("offset", sa.Integer),
    sa.Column("stream", sa.String),
    sa.Column("generations", sa.String),
)
# A g is issued once; the same line taken in twice changes nothing.
_ISSUE = sa.insert(issued).prefix_with("OR IGNORE")


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the trail is taken in.

    n, hash, place: of the last line; time: seconds since 1970 that the clock has not been seen
    behind of; stream: names this register's history; generations: numbers last said, as JSON.
    """

    n: int
    hash: str
    time: float
    place: Place
    stream: str
    generations: str


@dataclass(frozen=True, slots=True)
class Key:
    """An issued key.  at: seconds since 1970; revoked: why, or None."""

    g: bytes
    at: int
    ext: str | None
    serial: str | None
    source: str | None
    generation: int
    revoked: str | None


def open_to_read(path: Path, patience: float) -> sa.Engine:
    """Open it for a look, a key server running or not; raises RegisterError."""
    return open_engine(KIND, path, patience)


def any_issued(path: Path) -> bool:
    """Tell whether the register, where there is one, has any key; raises RegisterError."""
    if not path.exists():
        return False
    engine = open_to_read(path, 1.0)
    try:
        with translated(KIND, path), engine.connect() as connection:
            return connection.execute(sa.select(issued.c.g).limit(1)).first() is not None
    finally:
        engine.dispose()


def open_register(path: Path, patience: float) -> sa.Engine:
    """Open it; raises RegisterError, ForeignRegister also where SQLite finds it damaged."""
    engine = open_engine(KIND, path, patience)
    try:
        with translated(KIND, path), engine.connect() as connection:
            # A copy made while it was written may be half of two states.  100,000 keys take 0.2 s.
            found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
        if found != "ok":
            raise ForeignRegister(f"{path} is damaged: {found}")
    except BaseException:
        engine.dispose()
        raise
    return engine


def read_mark(connection: sa.Connection) -> Mark:
    """Return the mark; one that says "nothing yet" is made where there is none."""
    row = connection.execute(sa.select(mark)).one_or_none()
    if row is None:
        return Mark(0, FIRST, 0.0, Place(1, 0), secrets.token_hex(8), "[]")
    return Mark(row.n, row.hash, row.time, Place(row.piece, row.offset), row.stream, row.generations)


def write_mark(connection: sa.Connection, new: Mark) -> None:
    """Keep the mark."""
    connection.execute(
        sa.insert(mark).prefix_with("OR REPLACE"),
        {
            "id": 1,
            "n": new.n,
            "hash": new.hash,
            "time": new.time,
            "piece": new.place.piece,
            "offset": new.place.offset,
            "stream": new.stream,
            "generations": new.generations,
        },
    )


def forget(connection: sa.Connection) -> None:
    """Empty the register, to be made anew from the trail."""
    for table in (issued, revoked_g, change, mark):
        connection.execute(sa.delete(table))


def apply(connection: sa.Connection, lines: Sequence[Line], before: Mark, place: Place) -> Mark:
    """Take in lines of the trail, which end at `place`; returns the new mark, kept too."""
    rows: list[dict[str, Any]] = []
    time, generations = before.time, before.generations
    for line in lines:
        time = seconds(line) if line["what"] == "clock-accepted" else max(time, seconds(line))
        if line["what"] == "issued":
            rows.append(_row(line))
        elif line["what"] in CHANGES:
            if rows:
                connection.execute(_ISSUE, rows)
                rows = []
            _change(connection, line)
            if line["what"] == "generations":
                generations = json.dumps(line["numbers"])
    if rows:
        connection.execute(_ISSUE, rows)
    last = lines[-1]
    new = Mark(last["n"], last["hash"], time, place, before.stream, generations)
    write_mark(connection, new)
    return new


def chosen_by(by: str, value: str) -> "sa.ColumnElement[bool]":
    """Return the condition for keys that a revocation names; raises UserError for a malformed value."""
    try:
        if by == "g":
            return issued.c.g == bytes.fromhex(value)
        if by == "generation":
            return issued.c.generation == int(value)
    except ValueError:
        raise UserError(f"{by} {value!r}: malformed", "ringkey key revoke --help", usage=True) from None
    return {"ext": issued.c.ext, "serial": issued.c.serial}[by] == value


def count(connection: sa.Connection, by: str, value: str) -> int:
    """Return how many keys a revocation would end: issued here, and not revoked yet."""
    where = sa.and_(chosen_by(by, value), issued.c.revoked.is_(None))
    return connection.execute(sa.select(sa.func.count()).select_from(issued).where(where)).scalar_one()


def all_revoked(connection: sa.Connection) -> set[bytes]:
    """Return every g that is revoked one by one (a whole generation is out of force instead)."""
    whole = sa.select(change.c.n).where(change.c.by == "generation")
    one_by_one = sa.and_(issued.c.revoked.is_not(None), issued.c.revoked.not_in(whole))
    found = set(connection.execute(sa.select(issued.c.g).where(one_by_one)).scalars())
    return found | set(connection.execute(sa.select(revoked_g.c.g)).scalars())


def revoked_by(connection: sa.Connection, n: int) -> list[bytes]:
    """Return the g that line `n` of the trail has revoked."""
    found = list(connection.execute(sa.select(issued.c.g).where(issued.c.revoked == n)).scalars())
    return found + list(connection.execute(sa.select(revoked_g.c.g).where(revoked_g.c.n == n)).scalars())


def changes_since(connection: sa.Connection, n: int, most: int) -> "list[tuple[int, str, list[bytes]]]":
    """Return up to `most` changes after line `n`: (line, what, the g revoked), oldest first."""
    query = sa.select(change).where(change.c.n > n).order_by(change.c.n).limit(most)
    return [
        # Of a generation no g are named: its check value is in force no more.
        (row.n, row.what, [] if row.by == "generation" else revoked_by(connection, row.n))
        for row in connection.execute(query).all()
    ]


def keys(
    connection: sa.Connection, where: "sa.ColumnElement[bool] | None" = None, most: int = -1, skip: int = 0
) -> list[Key]:
    """Return issued keys, newest first, `most` of them (-1: all) after the first `skip`."""
    why = sa.select(change.c.reason).where(change.c.n == issued.c.revoked).scalar_subquery()
    query = sa.select(issued, why.label("why")).order_by(issued.c.n.desc()).limit(most).offset(skip)
    if where is not None:
        query = query.where(where)
    return [
        Key(
            row.g,
            row.at,
            row.ext,
            row.serial,
            row.source,
            row.generation,
            None if row.revoked is None else row.why or "",
        )
        for row in connection.execute(query)
    ]


def _row(line: Line) -> dict[str, Any]:
    return {
        "g": bytes.fromhex(line["g"]),
        "n": line["n"],
        "at": int(seconds(line)),
        "ext": line["ext"],
        "serial": line["serial"],
        "source": line["source"],
        "generation": line["generation"],
    }


def _change(connection: sa.Connection, line: Line) -> None:
    by, value = line.get("by", ""), line.get("value", "")
    row = {"n": line["n"], "at": int(seconds(line)), "what": line["what"], "by": by, "value": value}
    connection.execute(sa.insert(change).prefix_with("OR IGNORE"), {**row, "reason": line.get("reason", "")})
    if line["what"] != "revoked":
        return
    # Keys of before only: what is fetched after a revocation is good.
    where = sa.and_(chosen_by(by, value), issued.c.revoked.is_(None), issued.c.n < line["n"])
    done = connection.execute(sa.update(issued).where(where).values(revoked=line["n"]))
    if by == "g" and not done.rowcount:
        foreign = sa.insert(revoked_g).prefix_with("OR IGNORE")
        connection.execute(foreign, {"g": bytes.fromhex(value), "n": line["n"]})
