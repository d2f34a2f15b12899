"""The statements that write a batch of the state (store.py), on a connection of sqlite3 as it is.

sqlite3 gives the interpreter away with every statement, two or three times, and gets it back from a busy
event loop only after milliseconds: what counts is how few statements there are.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from typing import Any

# Rows of one statement: SQLite takes 32,766 values (sqlite.org/limits.html), and 4 are the most of a row.
_ROWS = 500
Execute = Callable[..., sqlite3.Cursor]


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
