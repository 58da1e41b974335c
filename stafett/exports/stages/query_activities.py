"""The stage ``querying_activities``: stages a snapshot of an organisation's activities in report order."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from io import BytesIO
from typing import Any, LiteralString
from uuid import UUID

import polars as pl
import psycopg
from psycopg import Connection

from stafett.activity_frames import activities_from_copy, arrow_from_frame, attachments_from_copy
from stafett.column_mapper.versions import MappingVersions
from stafett.database.connection import DeadlineConnection
from stafett.database.session import Database
from stafett.domain.errors import ExportError
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import QueriedRows, StagedPart
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.thread_progress import map_concurrently
from stafett.exports.stage_runner import StageContext

OrganisationPeriod = tuple[str, datetime, datetime]
"""Organisation, first instant and last instant, both included."""

ROWS_PER_PART = 50_000
_BYTES_PER_PART = 64 * 1024 * 1024
_SORTING_TIME_PER_ROW = timedelta(microseconds=120)
"""Four times what was measured on a loaded machine: 12 s for 400,000 rows."""

_CANCEL_TIMEOUT_SECONDS = 5.0
_ROWS_PER_LOOKUP = 10_000
"""With more rows, counting all attachments of the organisation at once is cheaper than a lookup for each row."""

# The day is the first field and ten characters wide, so that records are split by day without parsing them. Instants
# are microseconds, which no locale and no time-zone table can interpret differently.
_SELECT_ACTIVITIES: LiteralString = """
    SELECT (a.starts_at AT TIME ZONE 'Europe/Oslo')::date,
           a.id, a.activity_type,
           (extract(epoch FROM a.starts_at) * 1000000)::bigint, (extract(epoch FROM a.ends_at) * 1000000)::bigint,
           a.participants, a.new_participants, a.place, a.in_person, a.in_norway, a.note,
           a.mentor_id, m.display_name, m.branch, a.registered_by IS NOT NULL, a.registered_by,
           a.event_id,
"""
_FROM_ACTIVITIES: LiteralString = """
    FROM activities a JOIN peer_mentors m ON m.org_id = a.org_id AND m.id = a.mentor_id
"""
_IN_PERIOD: LiteralString = """
    WHERE a.org_id = %(org_id)s AND a.deleted_at IS NULL AND a.starts_at BETWEEN %(first)s AND %(last)s
"""
_SIZE_QUERY: LiteralString = f"SELECT count(*), coalesce(sum(octet_length(a.note)), 0) FROM activities a {_IN_PERIOD}"  # noqa: S608 - a constant
_ROWS_WITH_LOOKUPS: LiteralString = f"""
    {_SELECT_ACTIVITIES} (SELECT count(*) FROM attachments f WHERE f.org_id = a.org_id AND f.activity_id = a.id)
    {_FROM_ACTIVITIES} {_IN_PERIOD}
"""  # noqa: S608 - constants of this module
_ROWS_WITH_JOIN: LiteralString = f"""
    {_SELECT_ACTIVITIES} coalesce(f.attachments, 0) {_FROM_ACTIVITIES}
    LEFT JOIN (SELECT activity_id, count(*) AS attachments FROM attachments WHERE org_id = %(org_id)s
               GROUP BY activity_id) f ON f.activity_id = a.id
    {_IN_PERIOD}
"""  # noqa: S608 - constants of this module
_IN_REPORT_ORDER: LiteralString = "ORDER BY a.starts_at, a.id"
# A date is written faster than by to_char. With outdated statistics, the planner might compare each activity with each
# attachment.
_PREPARE_COPY: LiteralString = "SELECT set_config('datestyle', 'ISO', true), set_config('enable_nestloop', %s, true)"

_COPY_ATTACHMENTS_QUERY: LiteralString = """
COPY (
    SELECT a.row, a.id, to_char(a.starts_at AT TIME ZONE 'Europe/Oslo', 'YYYY-MM-DD'),
           f.id, f.file_name, f.mime_type, f.size_bytes, f.sha256, f.object_key
    FROM (SELECT id, starts_at, row_number() OVER (ORDER BY starts_at, id) - 1 AS row FROM activities
          WHERE org_id = %s AND deleted_at IS NULL AND starts_at BETWEEN %s AND %s) a
    JOIN attachments f ON f.org_id = %s AND f.activity_id = a.id
    ORDER BY a.row, f.id
) TO STDOUT (FORMAT csv)
"""
_SNAPSHOT_QUERY = """
SELECT (SELECT count(*) FROM activities
        WHERE org_id = o.id AND deleted_at IS NULL AND starts_at BETWEEN %s AND %s), now(), o.name
FROM organisations o WHERE o.id = %s
"""
_IS_REQUESTER_MEMBER_QUERY = """
SELECT EXISTS (SELECT FROM memberships m JOIN exports e ON e.org_id = m.org_id AND e.requested_by = m.user_id
               WHERE e.id = %s AND m.role IN ('coordinator', 'admin'))
"""


class ActivityQueryStage:
    """Reads the activities once, in one snapshot; later stages only read the staged rows."""

    def __init__(self, database: Database, mappings: MappingVersions) -> None:
        self._database = database
        self._mappings = mappings

    def __call__(self, job: ExportJob, context: StageContext) -> QueriedRows:
        """Check the membership, choose the mapping, then read the count and the rows in one snapshot."""
        with (
            self._database.snapshot(job.org_id) as connection,
            context.interrupt_on_cancel(partial(_cancel_statement, connection)),
        ):
            require_requester_is_member(connection, job.export_id)
            mapping = self._mappings.choose_version(connection, job.org_id, *job.date_range)
            period: OrganisationPeriod = (job.org_id, job.period_start, job.period_end)
            total, snapshot_at, name = _fetch_one(connection, _SNAPSHOT_QUERY, [*job.period, job.org_id])
            if total == 0 and job.fail_on_empty:
                raise ExportError(ExportErrorCode.NO_DATA_FOR_PERIOD, "There are no activities in this period.")
            parts: list[StagedPart] = []
            with (
                closing(_stream_records(connection, period, ROWS_PER_PART, total)) as records,
                closing(map_concurrently(partial(_put_part, context), enumerate(records))) as stored_parts,
            ):
                for part in stored_parts:
                    parts.append(part)
                    context.report_progress(sum(part.rows for part in parts), total)
            attachments = _put_attachments(connection, period, context, total) if job.include_attachments else None
            queried = QueriedRows(
                parts=tuple(parts),
                attachments=attachments,
                snapshot_at=snapshot_at,
                mapping=mapping,
                organisation_name=name,
            )
            if queried.rows != total:
                raise RuntimeError("two counts of the rows of one snapshot differ")
            return queried


def require_requester_is_member(connection: Connection, export_id: UUID) -> None:
    """Require that the requesting user is a member now, and not only when the export was requested."""
    if not _fetch_one(connection, _IS_REQUESTER_MEMBER_QUERY, [export_id])[0]:
        raise ExportError(
            ExportErrorCode.PERMISSION_DENIED,
            "The requesting user may not export for this organisation.",
        )


def stream_activity_frames(
    connection: DeadlineConnection, period: OrganisationPeriod, rows_per_part: int
) -> Generator[pl.DataFrame, None, None]:
    """Yield frames of about ``rows_per_part`` rows, or fewer with long texts, each of whole days in Europe/Oslo.

    The caller must close the generator: an unfinished ``COPY`` keeps the connection busy, and a rollback never returns.
    """
    total, note_bytes = _fetch_one(connection, _SIZE_QUERY, _name_parameters(period))
    if 0 < total <= rows_per_part and note_bytes <= _BYTES_PER_PART:
        yield read_activity_frame(connection, period, total)
        return
    for records, rows in _stream_records(connection, period, rows_per_part, total):
        yield activities_from_copy(records, rows)


def read_activity_frame(connection: DeadlineConnection, period: OrganisationPeriod, row_count: int) -> pl.DataFrame:
    """Read the rows of a snapshot, at least one, at once.

    Sorting 50,000 rows takes Polars 10 ms, and PostgreSQL, which writes them to its disk, 80 ms.
    """
    query = _to_copy(_choose_rows_query(connection, row_count))
    with _open_copy(connection, query, _name_parameters(period), 0) as copied:
        records = list(copied)
    if len(records) != row_count:
        raise RuntimeError("two counts of the rows of one snapshot differ")
    return activities_from_copy(b"".join(records), row_count).sort("starts_at", "id")


def _stream_records(
    connection: DeadlineConnection, period: OrganisationPeriod, rows_per_part: int, row_count: int
) -> Generator[tuple[bytes, int], None, None]:
    """Yield the CSV records of each part, and their number."""
    query = _to_copy(_choose_rows_query(connection, row_count), _IN_REPORT_ORDER)
    with _open_copy(connection, query, _name_parameters(period), row_count) as records:
        buffer, rows, last_day = BytesIO(), 0, b""
        for record in records:
            day = record[:10]
            is_full = rows >= rows_per_part or buffer.tell() >= _BYTES_PER_PART
            if is_full and day != last_day:
                yield _drain_buffer(buffer), rows
                rows = 0
            buffer.write(record)
            rows, last_day = rows + 1, day
        if rows:
            yield _drain_buffer(buffer), rows


def _choose_rows_query(connection: DeadlineConnection, row_count: int) -> LiteralString:
    has_lookups = row_count <= _ROWS_PER_LOOKUP
    connection.execute(_PREPARE_COPY, ["on" if has_lookups else "off"])
    return _ROWS_WITH_LOOKUPS if has_lookups else _ROWS_WITH_JOIN


def _to_copy(rows_query: LiteralString, order: LiteralString = "") -> LiteralString:
    return f"COPY ({rows_query} {order}) TO STDOUT (FORMAT csv)"


def _name_parameters(period: OrganisationPeriod) -> Mapping[str, object]:
    return dict(zip(("org_id", "first", "last"), period, strict=True))


def _drain_buffer(buffer: BytesIO) -> bytes:
    content = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return content


def _put_part(context: StageContext, numbered_records: tuple[int, tuple[bytes, int]]) -> StagedPart:
    number, (records, rows) = numbered_records
    return context.put_part(number, arrow_from_frame(activities_from_copy(records, rows)), rows)


def _put_attachments(
    connection: DeadlineConnection, period: OrganisationPeriod, context: StageContext, row_count: int
) -> StagedPart:
    """Store the attachments of the snapshot's rows as one part, in row order; the part may be empty."""
    with _open_copy(connection, _COPY_ATTACHMENTS_QUERY, (*period, period[0]), row_count) as records:
        attachments = list(records)
    frame = attachments_from_copy(b"".join(attachments), len(attachments))
    return context.put_part(0, arrow_from_frame(frame), frame.height, "attachments")


@contextmanager
def _open_copy(
    connection: DeadlineConnection,
    query: LiteralString,
    parameters: Sequence[object] | Mapping[str, object],
    row_count: int,
) -> Iterator[Iterator[bytes]]:
    """Open a ``COPY``, whose first record comes when PostgreSQL has sorted all of them."""
    with ExitStack() as stack:
        with connection.allow_extra_time(row_count * _SORTING_TIME_PER_ROW):
            copy = stack.enter_context(stack.enter_context(connection.cursor()).copy(query, parameters))
        yield connection.read_records(copy)


def _cancel_statement(connection: Connection) -> None:
    with suppress(psycopg.Error):  # a server that does not even take the request
        connection.cancel_safe(timeout=_CANCEL_TIMEOUT_SECONDS)


def _fetch_one(
    connection: Connection, query: LiteralString, parameters: Sequence[object] | Mapping[str, object]
) -> tuple[Any, ...]:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None  # noqa: S101 - the organisation exists
    return row
