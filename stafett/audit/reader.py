"""Reading of chains from the database, event by event with constant memory."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import LiteralString

from stafett.audit.chain import ChainEvent
from stafett.database.session import Database

# A loose index scan: one index lookup per organisation instead of a scan of all events.
_SELECT_ORGANISATIONS: LiteralString = """
WITH RECURSIVE with_events AS (
    (SELECT org_id FROM audit_events ORDER BY org_id LIMIT 1)
    UNION ALL
    SELECT (SELECT e.org_id FROM audit_events e WHERE e.org_id > w.org_id ORDER BY e.org_id LIMIT 1)
    FROM with_events w WHERE w.org_id IS NOT NULL
)
SELECT org_id FROM with_events WHERE org_id IS NOT NULL UNION SELECT id FROM organisations ORDER BY 1
"""
_SELECT_LAST_SEQ: LiteralString = "SELECT coalesce(max(seq), 0) FROM audit_events WHERE org_id = %s"
_COPY_EVENTS: LiteralString = """
COPY (SELECT org_id, seq, id, at, actor, event, subject_kind, subject_id, status, detail, hash, previous_hash
      FROM audit_events WHERE org_id = %s AND seq >= %s ORDER BY seq) TO STDOUT
"""

_MIN_SEQ = -(2**63)


class _StopCopy(Exception):  # noqa: N818 - not an error, but only an exception makes psycopg cancel a COPY
    """The consumer stopped before the last event."""


class ChainReader:
    """Reader of chains, for a database role that can read the events of every organisation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_organisations(self) -> list[str]:
        """List the organisations that exist, and those that have an event."""
        with self._database.snapshot("") as connection:
            return [org_id for (org_id,) in connection.execute(_SELECT_ORGANISATIONS)]

    def get_last_seq(self, org_id: str) -> int:
        """Return the sequence number of the newest event, or 0 if there is none."""
        with self._database.snapshot(org_id) as connection:
            row = connection.execute(_SELECT_LAST_SEQ, [org_id]).fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def read_events(self, org_id: str, *, start_seq: int = 1) -> Iterator[Iterator[ChainEvent]]:
        """Yield the events of one snapshot as text. From the first event on, this includes sequence numbers below 1."""
        min_seq = start_seq if start_seq > 1 else _MIN_SEQ
        with self._database.snapshot(org_id) as connection:
            connection.execute("SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO', true)")
            with (
                suppress(_StopCopy),
                connection.cursor() as cursor,
                cursor.copy(_COPY_EVENTS, [org_id, min_seq]) as copy,
            ):
                rows = copy.rows()
                yield (ChainEvent(row[0], int(row[1]), *row[2:]) for row in rows)
                if next(rows, None) is not None:
                    raise _StopCopy
