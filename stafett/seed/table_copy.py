"""Rows into tables by ``COPY``, and the short way for very many."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

import polars as pl
from psycopg import Connection, Rollback
from psycopg.errors import LockNotAvailable
from psycopg.sql import SQL, Identifier

# Below this, checking row by row is quick enough: a million rows take 40 to 50 s so, and 25 s the other way.
_MIN_ROWS_TO_DEFER = 100_000
_SELECT_CONSTRAINTS = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = 'activities'::regclass AND contype IN ('f', 'x') ORDER BY conname
"""
_LOCK_STATEMENTS: tuple[LiteralString, ...] = (
    "LOCK TABLE activities IN ACCESS EXCLUSIVE MODE NOWAIT",
    # What adding the foreign keys again will ask for; asked for now, nobody can come in between.
    "LOCK TABLE organisations, peer_mentors, users IN SHARE ROW EXCLUSIVE MODE NOWAIT",
)


def copy_rows(connection: Connection, table: str, rows: pl.DataFrame) -> None:
    """Append the rows, whose columns are named as the table's."""
    columns = SQL(", ").join(map(Identifier, rows.columns))
    statement = SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(Identifier(table), columns)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(rows.write_csv(include_header=False, datetime_format="%Y-%m-%dT%H:%M:%SZ"))


@contextmanager
def drop_constraints_while_loading(connection: Connection, rows: int) -> Iterator[None]:
    """Check very many activities at the end of the block, if there were none and nobody is looking at them.

    The constraints come back from the catalogue's own words, in this very transaction: others see the table with
    all of them, and a crash in between leaves it as it was.
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
        added = SQL("ALTER TABLE activities ADD CONSTRAINT {} {}").format(Identifier(name), SQL(definition))
        connection.execute(added)


def _lock_if_empty(connection: Connection) -> bool:
    """Whether the table is empty and now ours; otherwise nothing stays locked."""
    alone = _is_empty(connection)
    if not alone:
        return False
    try:
        with connection.transaction():
            for lock in _LOCK_STATEMENTS:
                connection.execute(lock)
            alone = _is_empty(connection)
            if not alone:
                raise Rollback
    except LockNotAvailable:
        return False
    return alone


def _is_empty(connection: Connection) -> bool:
    return connection.execute("SELECT FROM activities LIMIT 1").fetchone() is None
