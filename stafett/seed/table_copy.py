"""Insertion by ``COPY``, with deferred constraint checks for large numbers of rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

import polars as pl
from psycopg import Connection, Rollback
from psycopg.errors import LockNotAvailable
from psycopg.sql import SQL, Identifier

# Below this, checking row by row is fast enough: a million rows take 40 to 50 s that way, and 25 s deferred.
_MIN_ROWS_TO_DEFER = 100_000
_SELECT_CONSTRAINTS = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = 'activities'::regclass AND contype IN ('f', 'x') ORDER BY conname
"""
_LOCK_STATEMENTS: tuple[LiteralString, ...] = (
    "LOCK TABLE activities IN ACCESS EXCLUSIVE MODE NOWAIT",
    # Adding the foreign keys again needs this lock; taken now, no other session can get in between.
    "LOCK TABLE organisations, peer_mentors, users IN SHARE ROW EXCLUSIVE MODE NOWAIT",
)


def copy_rows(connection: Connection, table: str, rows: pl.DataFrame) -> None:
    """Append the rows; their columns have the names of the table's."""
    columns = SQL(", ").join(map(Identifier, rows.columns))
    statement = SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(Identifier(table), columns)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(rows.write_csv(include_header=False, datetime_format="%Y-%m-%dT%H:%M:%SZ"))


@contextmanager
def drop_constraints_while_loading(connection: Connection, rows: int) -> Iterator[None]:
    """Check many activities at the end of the block, if the table is empty and no other session uses it.

    The constraints are added again from their definitions in the catalogue, in the same transaction: other sessions
    see the table with all of them, and a crash in between leaves it unchanged.
    """
    if rows < _MIN_ROWS_TO_DEFER or not _lock_if_empty(connection):
        yield
        return
    constraints = connection.execute(_SELECT_CONSTRAINTS).fetchall()
    for name, _ in constraints:
        connection.execute(SQL("ALTER TABLE activities DROP CONSTRAINT {}").format(Identifier(name)))
    yield
    connection.execute("SET LOCAL maintenance_work_mem = '256MB'")
    for name, definition in constraints:
        statement = SQL("ALTER TABLE activities ADD CONSTRAINT {} {}").format(Identifier(name), SQL(definition))
        connection.execute(statement)


def _lock_if_empty(connection: Connection) -> bool:
    """Lock the table if it is empty and unused; otherwise leave nothing locked."""
    is_empty = _is_empty(connection)
    if not is_empty:
        return False
    try:
        with connection.transaction():
            for lock in _LOCK_STATEMENTS:
                connection.execute(lock)
            is_empty = _is_empty(connection)
            if not is_empty:
                raise Rollback
    except LockNotAvailable:
        return False
    return is_empty


def _is_empty(connection: Connection) -> bool:
    return connection.execute("SELECT FROM activities LIMIT 1").fetchone() is None
