"""An organisation's activities of a period, as they stood at one instant, staged in report order."""

from collections.abc import Generator, Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from io import BytesIO
from itertools import count
from typing import Any, LiteralString
from uuid import UUID

import polars as pl
from psycopg import Connection

from stafett.activity_frames import attachments_from_copy, from_copy, to_arrow
from stafett.column_mapper.versions import MappingsInUse
from stafett.database.session import Database
from stafett.domain.errors import ExportError
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import QueriedRows, StagedPart
from stafett.domain.export_status import ExportErrorCode
from stafett.exports.stage_runner import Workbench

Period = tuple[str, datetime, datetime]
"""Whose rows, from when, to when: both ends included."""

ROWS_A_PART = 50_000
# The day comes first and ten characters wide: where to cut is seen without parsing a record. Instants travel as
# microseconds, which no locale and no time-zone table can read differently.
_IN_REPORT_ORDER: LiteralString = """
COPY (
    SELECT to_char(a.starts_at AT TIME ZONE 'Europe/Oslo', 'YYYY-MM-DD'),
           a.id, a.activity_type,
           (extract(epoch FROM a.starts_at) * 1000000)::bigint, (extract(epoch FROM a.ends_at) * 1000000)::bigint,
           a.participants, a.new_participants, a.place, a.in_person, a.in_norway, a.note,
           a.mentor_id, m.display_name, a.registered_by IS NOT NULL, a.registered_by,
           (SELECT count(*) FROM attachments f WHERE f.org_id = a.org_id AND f.activity_id = a.id)
    FROM activities a JOIN peer_mentors m ON m.org_id = a.org_id AND m.id = a.mentor_id
    WHERE a.org_id = %s AND a.deleted_at IS NULL AND a.starts_at BETWEEN %s AND %s
    ORDER BY a.starts_at, a.id
) TO STDOUT (FORMAT csv)
"""
_ATTACHMENTS: LiteralString = """
COPY (
    SELECT a.row, a.id, to_char(a.starts_at AT TIME ZONE 'Europe/Oslo', 'YYYY-MM-DD'),
           f.id, f.file_name, f.mime_type, f.size_bytes, f.sha256, f.object_key
    FROM (SELECT id, starts_at, row_number() OVER (ORDER BY starts_at, id) - 1 AS row FROM activities
          WHERE org_id = %s AND deleted_at IS NULL AND starts_at BETWEEN %s AND %s) a
    JOIN attachments f ON f.org_id = %s AND f.activity_id = a.id
    ORDER BY a.row, f.id
) TO STDOUT (FORMAT csv)
"""
_COUNT = """
SELECT count(*), now() FROM activities
WHERE org_id = %s AND deleted_at IS NULL AND starts_at BETWEEN %s AND %s
"""
_NAME = "SELECT name FROM organisations WHERE id = %s"
_MEMBER = """
SELECT EXISTS (SELECT FROM memberships m JOIN exports e ON e.org_id = m.org_id AND e.requested_by = m.user_id
               WHERE e.id = %s AND m.role IN ('coordinator', 'admin'))
"""


class ActivityQuery:
    """Reads the source once, in one snapshot; nothing after it asks the source again."""

    def __init__(self, database: Database, mappings: MappingsInUse) -> None:
        self._database = database
        self._mappings = mappings

    def __call__(self, job: ExportJob, bench: Workbench) -> QueriedRows:
        """Membership first, then the rules, then the count and the rows of one instant."""
        with self._database.snapshot(job.org_id) as connection, bench.interrupting(connection.cancel_safe):
            require_member(connection, job.export_id)
            mapping = self._mappings.chosen(job.org_id, *job.date_range)
            period: Period = (job.org_id, job.period_start, job.period_end)
            total, snapshot_at = _one(connection, _COUNT, period)
            if total == 0 and job.fail_on_empty:
                raise ExportError(ExportErrorCode.NO_DATA_FOR_PERIOD, "There are no activities in this period.")
            parts: list[StagedPart] = []
            with closing(frames_in_report_order(connection, period, ROWS_A_PART)) as frames:
                for part in map(partial(_staged, bench), count(), frames):
                    parts.append(part)
                    bench.progress(sum(part.rows for part in parts), total)
            attached = _staged_attachments(connection, period, bench) if job.include_attachments else None
            queried = QueriedRows(
                parts=tuple(parts),
                attachments=attached,
                snapshot_at=snapshot_at,
                mapping=mapping,
                organisation_name=_one(connection, _NAME, [job.org_id])[0],
            )
            if queried.rows != total:
                raise RuntimeError("the rows of one snapshot were counted twice, with two results")
            return queried


def require_member(connection: Connection, export_id: UUID) -> None:
    """Whoever asked for the export is to be one of the organisation's now, not when they asked."""
    if not _one(connection, _MEMBER, [export_id])[0]:
        raise ExportError(
            ExportErrorCode.PERMISSION_DENIED,
            "Whoever asked for this export may not export for the organisation.",
        )


def frames_in_report_order(
    connection: Connection, period: Period, rows_a_part: int
) -> Generator[pl.DataFrame, None, None]:
    """The rows as frames of about so many, each a whole number of Oslo days.

    Close it: a ``COPY`` that was left in the middle keeps the connection, and whoever rolls back waits for ever.
    """
    with connection.cursor() as cursor, cursor.copy(_IN_REPORT_ORDER, period) as records:
        waiting, rows, last_day = BytesIO(), 0, b""
        for record in records:
            day = bytes(record[:10])
            if rows >= rows_a_part and day != last_day:
                yield from_copy(_taken(waiting), rows)
                rows = 0
            waiting.write(record)
            rows, last_day = rows + 1, day
        if rows:
            yield from_copy(_taken(waiting), rows)


def _taken(waiting: BytesIO) -> bytes:
    content = waiting.getvalue()
    waiting.seek(0)
    waiting.truncate()
    return content


def _staged(bench: Workbench, number: int, frame: pl.DataFrame) -> StagedPart:
    """Of two parts never more than one is in memory: a loop over the frames would hold the last one."""
    return bench.put_part(number, to_arrow(frame), frame.height)


def _staged_attachments(connection: Connection, period: Period, bench: Workbench) -> StagedPart:
    """What the rows of this snapshot have with them, in their order; nothing is a part too."""
    with connection.cursor() as cursor, cursor.copy(_ATTACHMENTS, (*period, period[0])) as copied:
        records = [bytes(record) for record in copied]
    frame = attachments_from_copy(b"".join(records), len(records))
    return bench.put_part(0, to_arrow(frame), frame.height, "attachments")


def _one(connection: Connection, query: LiteralString, parameters: Sequence[object]) -> tuple[Any, ...]:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always answers
    return row
