"""The directory: which extensions there are, and their PINs (sealed, see sealing.py).

The command line and the gatekeeper open the same file; a change made by one is seen by
the other's next `get`.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

import sqlalchemy as sa
from ras.keys import ext_digits

from ringkey.database import Kind, open_engine, translated, writing
from ringkey.gatekeeper.bulk import MAX_PROBLEMS, Plan, There, check_label, plan
from ringkey.gatekeeper.errors import (
    DirectoryBusyError,
    DirectoryFormatError,
    DirectoryUnavailableError,
    ExtensionRefusedError,
    ImportRefusedError,
    PinKeyError,
    SealedPinError,
)
from ringkey.gatekeeper.migrations import HEAD
from ringkey.gatekeeper.pinkey import load_pin_key
from ringkey.gatekeeper.sealing import BrokenSealError, Sealer

# Seconds to wait for another writer: an import of 100,000 rows takes about 3.
PATIENCE = 10.0
_CACHE = 64  # KiB of pages in a gatekeeper's memory, in place of 2 MB
_AT_ONCE = 500  # extensions asked for in one query
KIND = Kind(
    "directory of extensions",
    "ringkey.gatekeeper",
    HEAD,
    DirectoryUnavailableError,
    DirectoryBusyError,
    DirectoryFormatError,
)

_metadata = sa.MetaData()
_extension = sa.Table(
    "extension",
    _metadata,
    sa.Column("ext", sa.String, primary_key=True),
    sa.Column("sealed_pin", sa.LargeBinary, nullable=False),
    sa.Column("label", sa.String, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("created", sa.Integer, nullable=False),
    sa.Column("changed", sa.Integer, nullable=False),
)
_key_check = sa.Table(
    "key_check",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
_ENTRY = (
    _extension.c.ext,
    _extension.c.label,
    _extension.c.enabled,
    _extension.c.created,
    _extension.c.changed,
)
_GET = sa.select(*_ENTRY, _extension.c.sealed_pin).where(_extension.c.ext == sa.bindparam("wanted"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One extension without its PIN; `created` and `changed` are seconds since 1970, UTC."""

    ext: str
    label: str
    enabled: bool
    created: int
    changed: int


@dataclass(frozen=True, slots=True)
class Extension(Entry):
    """One extension with its PIN, which its repr does not show."""

    pin: str = field(repr=False)


class Directory:
    """The open directory.  It belongs to the thread that opened it.

    Every method raises DirectoryUnavailableError (or DirectoryBusyError) where the
    database cannot be read or written; then nothing was changed.
    """

    def __init__(self, engine: sa.Engine, path: Path, sealer: Sealer, patience: float = PATIENCE) -> None:
        self._engine = engine
        self._patience = patience
        self._path = path
        self._sealer = sealer
        self._watch: sqlite3.Connection | None = None

    @classmethod
    def open(cls, path: Path, key_path: Path, patience: float = PATIENCE) -> Self:
        """Open the database at `path` and the PIN key at `key_path`; make both where neither is there.

        patience: seconds to wait for another process that writes.  Raises PinKeyError where the
        key is missing, readable for others or another one, DirectoryFormatError for a file that is
        damaged, foreign, or of a newer ringkey.
        """
        sealer = Sealer(load_pin_key(key_path, path))
        engine = open_engine(KIND, path, patience)
        directory = cls(engine, path, sealer, patience)
        try:
            directory._check_key(key_path)
        except BaseException:
            directory.close()
            raise
        return directory

    def keep_few_pages(self) -> None:
        """Keep little of the file in memory: a gatekeeper has each PIN there by itself (pins.py)."""
        with translated(KIND, self._path), self._engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA cache_size=-{_CACHE}")

    def close(self) -> None:
        """Close the database; the directory is of no use after that."""
        self._engine.dispose()
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def version(self) -> int:
        """Return a number that is another one after each change, by whatever process."""
        # A connection of its own: to one that writes, its own commits are no change.
        with translated(KIND, self._path):
            if self._watch is None:
                self._watch = sqlite3.connect(self._path, timeout=self._patience, isolation_level=None)
            return int(self._watch.execute("PRAGMA data_version").fetchone()[0])

    def get(self, ext: str) -> Extension | None:
        """Return the extension, enabled or not, or None.

        Raises SealedPinError where its sealed PIN does not open: it was changed, or moved here
        from another extension.
        """
        with self._reading() as connection:
            row = connection.execute(_GET, {"wanted": ext}).one_or_none()
        if row is None:
            return None
        try:
            pin = self._sealer.open_pin(ext, row.sealed_pin)
        except BrokenSealError:
            raise SealedPinError(
                f"the sealed PIN of extension {ext} in {self._path} was changed or damaged; set it anew",
                f"ringkey extension pin {ext}",
            ) from None
        return Extension(row.ext, row.label, row.enabled, row.created, row.changed, pin)

    def get_enabled(self, exts: Iterable[str]) -> dict[str, Extension]:
        """Return those of the extensions that are there and enabled; a PIN that does not open is left out."""
        wanted, found = list(exts), {}
        for begin in range(0, len(wanted), _AT_ONCE):
            some = _extension.c.ext.in_(wanted[begin : begin + _AT_ONCE])
            query = sa.select(*_ENTRY, _extension.c.sealed_pin).where(some, _extension.c.enabled)
            with self._reading() as connection:
                rows = connection.execute(query).all()
            for row in rows:
                with suppress(BrokenSealError):
                    pin = self._sealer.open_pin(row.ext, row.sealed_pin)
                    found[row.ext] = Extension(row.ext, row.label, row.enabled, row.created, row.changed, pin)
        return found

    def get_entry(self, ext: str) -> Entry | None:
        """Return the extension without its PIN, or None."""
        with self._reading() as connection:
            row = connection.execute(sa.select(*_ENTRY).where(_extension.c.ext == ext)).one_or_none()
        return None if row is None else Entry(*row)

    def list(self) -> tuple[Entry, ...]:
        """Return all extensions, shortest and lowest first, without their PINs."""
        order = (sa.func.length(_extension.c.ext), _extension.c.ext)
        with self._reading() as connection:
            rows = connection.execute(sa.select(*_ENTRY).order_by(*order)).all()
        return tuple(Entry(*row) for row in rows)

    def count(self) -> int:
        """Return how many extensions there are."""
        with self._reading() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(_extension)).scalar_one()

    def add(self, ext: str, pin: str, label: str = "") -> None:
        """Add an extension, enabled.

        Raises ExtensionRefusedError where EXT, PIN or label are malformed or EXT is there already.
        """
        with refusing():
            ext_digits(ext)
            row = self._row(ext, pin, label)
        with self._writing() as connection:
            if _there(connection, ext):
                raise ExtensionRefusedError(
                    f"extension {ext} is there already", f"ringkey extension pin {ext}"
                )
            connection.execute(sa.insert(_extension), row)

    def remove(self, ext: str) -> None:
        """Remove an extension; raises ExtensionRefusedError where it is not there."""
        with self._writing() as connection:
            result = connection.execute(sa.delete(_extension).where(_extension.c.ext == ext))
            _must_have(result, ext)

    def set_pin(self, ext: str, pin: str) -> None:
        """Replace the PIN; raises ExtensionRefusedError for an unknown EXT or a malformed PIN."""
        with refusing():
            self._change(ext, sealed_pin=self._sealer.seal_pin(ext, pin))

    def enable(self, ext: str) -> None:
        """Let the extension register (again); raises ExtensionRefusedError where it is not there."""
        self._change(ext, enabled=True)

    def disable(self, ext: str) -> None:
        """Keep the extension, but let it register no more; raises ExtensionRefusedError as above."""
        self._change(ext, enabled=False)

    def set_label(self, ext: str, label: str) -> None:
        """Replace the label; raises ExtensionRefusedError for an unknown EXT or a malformed label."""
        with refusing():
            self._change(ext, label=check_label(label))

    def import_csv(self, lines: Iterable[str]) -> int:
        """Add every extension of a CSV, or none; return how many were added.

        bulk.py has the columns.  Raises ImportRefusedError, which names each wrong line by its number
        (and shows no PIN).
        """
        return self.import_plan(lambda there: plan(lines, there)).count("add")

    def import_plan(self, make: Callable[[dict[str, There]], Plan], *, preview: bool = False) -> Plan:
        """Carry out what `make` plans for the extensions that are there (bulk.py), or nothing of it.

        preview: only say what would be done.  Raises ImportRefusedError where a line is wrong and it is
        no preview.
        """
        with self._writing() as connection:
            there = {
                row.ext: There(row.label, partial(self._pin, row.ext, row.sealed_pin))
                for row in connection.execute(
                    sa.select(_extension.c.ext, _extension.c.label, _extension.c.sealed_pin)
                )
            }
            made = make(there)
            if preview:
                return made
            if made.problems:
                hidden = len(made.problems) - MAX_PROBLEMS
                more = (f"and {hidden} more",) if hidden > 0 else ()
                raise ImportRefusedError((*made.problems[:MAX_PROBLEMS], *more))
            new = [one for one in made.changes if one.what == "add"]
            added = [self._row(one.row.ext, one.pin, one.row.label) for one in new]
            if added:
                connection.execute(sa.insert(_extension), added)
            for one in made.changes:
                if one.what in ("pin", "label"):
                    values: dict[str, object] = {"label": one.row.label, "changed": int(time.time())}
                    if one.what == "pin":
                        values["sealed_pin"] = self._sealer.seal_pin(one.row.ext, one.pin)
                    where = _extension.c.ext == one.row.ext
                    connection.execute(sa.update(_extension).where(where).values(**values))
        return made

    def search(self, text: str, limit: int, offset: int) -> tuple[tuple[Entry, ...], int]:
        """Return those whose EXT begins with `text` or whose label has it, and how many these are in all.

        Capitals make no difference; order as `list`, `limit` of them from `offset` on.
        """
        order = (sa.func.length(_extension.c.ext), _extension.c.ext)
        with self._reading() as connection:
            where: sa.ColumnElement[bool] = sa.true()
            if text:
                _let_fold(connection)
                where = sa.or_(
                    _extension.c.ext.startswith(text, autoescape=True),
                    sa.func.instr(sa.func.folded(_extension.c.label), text.casefold()) > 0,
                )
            count = sa.select(sa.func.count()).select_from(_extension).where(where)
            total = connection.execute(count).scalar_one()
            query = sa.select(*_ENTRY).where(where).order_by(*order).limit(limit).offset(offset)
            rows = connection.execute(query).all()
        return tuple(Entry(*row) for row in rows), total

    def _pin(self, ext: str, sealed: bytes) -> str | None:
        """Return the PIN, None where it does not open."""
        with suppress(BrokenSealError):
            return self._sealer.open_pin(ext, sealed)
        return None

    def _row(self, ext: str, pin: str, label: str) -> dict[str, object]:
        now = int(time.time())
        return {
            "ext": ext,
            "sealed_pin": self._sealer.seal_pin(ext, pin),
            "label": check_label(label),
            "enabled": True,
            "created": now,
            "changed": now,
        }

    def _change(self, ext: str, **values: object) -> None:
        with self._writing() as connection:
            statement = sa.update(_extension).where(_extension.c.ext == ext)
            _must_have(connection.execute(statement.values(changed=int(time.time()), **values)), ext)

    def _check_key(self, key_path: Path) -> None:
        with self._reading() as connection:
            sealed = connection.execute(sa.select(_key_check.c.sealed)).scalar_one_or_none()
        if sealed is None:
            with self._writing() as connection:
                # Another process that opens the new file at the same time has the same key.
                row = {"id": 1, "sealed": self._sealer.seal_check()}
                connection.execute(sa.insert(_key_check).prefix_with("OR IGNORE"), row)
        elif not self._sealer.opens_check(sealed):
            raise PinKeyError(
                f"{key_path} is not the key that the PINs in {self._path} were sealed under; "
                "bring back that one from the same back-up as the database"
            )

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with translated(KIND, self._path), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with translated(KIND, self._path), writing(self._engine) as connection:
            yield connection


@contextmanager
def refusing() -> Iterator[None]:
    """Turn the core's ValueError for a malformed EXT, PIN or label into ExtensionRefusedError."""
    try:
        yield
    except ValueError as error:
        raise ExtensionRefusedError(str(error)) from None


def _let_fold(connection: sa.Connection) -> None:
    """Let SQL compare without regard to capitals of any language: SQLite's own LIKE knows ASCII only."""
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        driver.create_function("folded", 1, str.casefold, deterministic=True)


def _there(connection: sa.Connection, ext: str) -> bool:
    query = sa.select(sa.literal(1)).select_from(_extension).where(_extension.c.ext == ext)
    return connection.execute(query).first() is not None


def _must_have(result: sa.CursorResult[tuple[()]], ext: str) -> None:
    if result.rowcount == 0:
        raise ExtensionRefusedError(
            f"there is no extension {ext}. To see those there are: ringkey extension list"
        )
