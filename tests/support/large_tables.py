"""Tables with many rows, in a transaction that is rolled back, and how many of them a call reads."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Executable, Row, text
from sqlmodel import Session

from stafett.database.connection import DeadlineConnection
from stafett.database.session import Database, get_driver_connection

ROWS = 30_000
ORG, USER = "large", UUID(int=1)
TABLES = (
    "activities",
    "api_keys",
    "attachments",
    "audit_events",
    "bulk_items",
    "bulk_registrations",
    "deliveries",
    "exports",
    "memberships",
    "notifications",
    "peer_mentors",
    "report_files",
    "report_reexports",
    "reports",
    "user_sessions",
    "users",
)
_FILL = Path(__file__).with_suffix(".sql")
_COUNTERS = text(
    "SELECT relname, seq_scan, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
    " WHERE relname = ANY(:tables)"
)


def row_id(table: str, number: int) -> UUID:
    """Return the id of a row. Higher numbers are older, and multiples of three the organisation's."""
    return UUID(md5(f"{table}{number}".encode(), usedforsecurity=False).hexdigest())


def fill_tables(connection: Connection) -> None:
    """Replace the rows of all tables, without triggers and foreign keys, and collect statistics."""
    connection.execute(text("SET LOCAL session_replication_role = replica"))
    for table in ("audit_events", "report_files"):
        connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only"))
    for table in TABLES:
        connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - a constant
    get_driver_connection(connection).execute(_FILL.read_bytes())
    for table in TABLES:
        connection.execute(text(f"ANALYZE {table}"))


class Reads(NamedTuple):
    """How often a table was scanned sequentially, and how many of its rows were read."""

    scans: int
    rows: int


def count_reads(connection: Connection) -> Mapping[str, Reads]:
    """Count the reads of this transaction, those of functions and triggers too."""
    counted = {name: Reads(scans, rows) for name, scans, rows in connection.execute(_COUNTERS, {"tables": [*TABLES]})}
    return {table: counted.get(table, Reads(0, 0)) for table in TABLES}


class OpenTransaction(Database):
    """A database whose transactions are all the given session's, as the role that it has."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @contextmanager
    def transaction(self, *_args: object, **_kwargs: object) -> Iterator[Session]:
        yield self._session

    def execute(self, statement: Executable, parameters: Mapping[str, object]) -> Sequence[Row[Any]]:
        return self._session.execute(statement, parameters).all()

    @property
    def driver_connection(self) -> DeadlineConnection:
        connection = get_driver_connection(self._session.connection())
        assert isinstance(connection, DeadlineConnection)
        return connection
