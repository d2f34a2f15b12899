"""The statements that write a batch of the state (store.py), on a connection of sqlite3 as it is.

sqlite3 gives the interpreter away with every statement, five or six times, and gets it back from a busy
event loop only after milliseconds: what counts is how few statements there are.  So what every batch has, a
record of the journal and its answers, is one: a trigger does the rest of it, and outside of a transaction
its commit is a part of it.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from typing import Any

# Rows of one statement: SQLite takes 32,766 values (sqlite.org/limits.html), and 4 are the most of a row.
_ROWS = 500
# Of this connection alone, nothing of it is in the file.  Each step is for what is not NULL.
_BATCH = (
    """
    CREATE TEMP VIEW batch AS SELECT
        NULL AS n, NULL AS sealed, NULL AS oldest, NULL AS slot, NULL AS replies, NULL AS first
    """,
    """
    CREATE TEMP TRIGGER batch_written INSTEAD OF INSERT ON batch BEGIN
        INSERT OR REPLACE INTO journal (n, sealed) VALUES (NEW.n, NEW.sealed);
        DELETE FROM journal WHERE NEW.oldest IS NOT NULL AND n < NEW.oldest;
        INSERT OR REPLACE INTO answer (slot, n, sealed)
            SELECT NEW.slot, NEW.slot, NEW.replies WHERE NEW.replies IS NOT NULL;
        DELETE FROM answer WHERE NEW.replies IS NOT NULL AND slot < NEW.first;
    END
    """,
)
_WRITE = "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?)"
Execute = Callable[..., sqlite3.Cursor]
# A record (number, octets), below which number they go; answers (number, octets), below which they go.
Row = tuple[int, bytes, int | None, int, bytes | None, int]


def prepare(connection: sqlite3.Connection) -> None:
    """Make what `write` needs, once for each connection."""
    # Else SQLite may want a file for it, in a directory where it may not have one.
    connection.execute("PRAGMA temp_store=MEMORY")
    for statement in _BATCH:
        connection.execute(statement)


def write(connection: sqlite3.Connection, row: Row) -> None:
    """Write a record and answers: committed at once, unless a transaction has begun."""
    # Not execute: that asks for the last row's number as well, and gives the interpreter away for it.
    connection.executemany(_WRITE, (row,))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[Execute]:
    """Give what executes in a write transaction: committed at the end, rolled back on an error."""
    execute = connection.execute
    execute("BEGIN IMMEDIATE")
    try:
        yield execute
        execute("COMMIT")
    except BaseException:
        # Of some errors, such as a full disk, SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.rollback()
        raise


def delete(execute: Execute, table: str, column: str, names: Sequence[Any]) -> None:
    """Delete the rows of these names."""
    for begin in range(0, len(names), _ROWS):
        part = tuple(names[begin : begin + _ROWS])
        marks = ",".join("?" * len(part))
        execute(f"DELETE FROM {table} WHERE {column} IN ({marks})", part)  # noqa: S608 - names of ours


def put(execute: Execute, table: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Put rows in, in place of those that have the same key."""
    for begin in range(0, len(rows), _ROWS):
        part = rows[begin : begin + _ROWS]
        values: Iterable[Any] = chain.from_iterable(part)
        execute(_insert(table, columns, len(part)), tuple(values))


@lru_cache(256)
def _insert(table: str, columns: str, rows: int) -> str:
    marks = "(" + ",".join("?" * len(columns.split(","))) + ")"
    values = ",".join([marks] * rows)
    return f"INSERT OR REPLACE INTO {table} ({columns}) VALUES {values}"  # noqa: S608 - names of ours
