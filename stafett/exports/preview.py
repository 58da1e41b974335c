"""Previews: the whole period is read and mapped; the counts and the first rows are stored until they are fetched."""

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from itertools import chain
from typing import LiteralString

import polars as pl
import polars.selectors as cs
import psycopg
from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from stafett.activity_frames import count_text_bytes, cut_into_slices
from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry
from stafett.column_mapper import MappingDocument, MappingProgram, compile_mapping, validate_document
from stafett.column_mapper.outcome import MappingOutcome
from stafett.column_mapper.versions import MappingVersions
from stafett.database.session import Database
from stafett.database.tables import PreviewResult
from stafett.domain.errors import ExportError, ServiceUnavailableError
from stafett.domain.export import ExportRequest, PartialFailureReport
from stafett.domain.export_outputs import EffectiveMapping
from stafett.domain.export_preview import MAX_PREVIEW_ROWS, Preview, PreviewJob
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.membership import Caller, format_actor
from stafett.exports.stages.map_columns import DEFAULT_MAX_MEMORY_BYTES, collect_warnings, ignored_checks
from stafett.exports.stages.query_activities import ROWS_PER_PART, stream_activity_frames
from stafett.file_generator.durations import format_clock_durations

PREVIEW_LIFETIME = timedelta(minutes=10)
_MAX_PREVIEW_BYTES = 1024 * 1024
_DRAFT_VERSION = 0
"""Published versions count from 1."""

_IS_MEMBER_QUERY: LiteralString = """
SELECT EXISTS (SELECT FROM memberships WHERE org_id = %s AND user_id = %s AND role IN ('coordinator', 'admin'))
"""


class PreviewBuilder:
    """Builds previews on a worker; ``raise_if_cancelled`` raises when the activity is cancelled."""

    def __init__(
        self,
        database: Database,
        mappings: MappingVersions,
        *,
        raise_if_cancelled: Callable[[], None],
        max_memory_bytes: int = DEFAULT_MAX_MEMORY_BYTES,
    ) -> None:
        self._database = database
        self._mappings = mappings
        self._raise_if_cancelled = raise_if_cancelled
        self._max_memory_bytes = max_memory_bytes

    def __call__(self, job: PreviewJob) -> None:
        """Store the preview for ``take_preview``, with its audit event."""
        request = job.request
        preview = self._build(job)
        with self._database.transaction(request.org_id) as session:
            result = preview.model_dump(mode="json")
            row = insert(PreviewResult).values(id=job.preview_id, org_id=request.org_id, result=result)
            stored = row.on_conflict_do_update(
                index_elements=["id"], set_={"result": row.excluded.result}, where=col(PreviewResult.result).is_(None)
            )
            if session.scalar(stored.returning(col(PreviewResult.id))) is None:
                return  # an earlier execution stored it, but its response was lost
            audit_trail.append_audit_event(session, create_audit_entry(job, preview))

    def _build(self, job: PreviewJob) -> Preview:
        request = job.request
        period, org_id = request.reporting_period, request.org_id
        with self._database.snapshot(org_id) as connection:
            is_member = connection.execute(_IS_MEMBER_QUERY, [org_id, request.requesting_user_id]).fetchone()
            if is_member != (True,):
                raise ExportError(ExportErrorCode.PERMISSION_DENIED, "You may not export for this organisation.")
            mapping, program = self._load_draft(job) if job.has_draft else self._load_effective(connection, request)
            outcome = MappingOutcome(
                program,
                ignored_checks=ignored_checks(request.export_format),
                max_memory_bytes=self._max_memory_bytes,
            )
            first_rows = _FirstRows()
            query_period = (org_id, period.first_instant, period.last_instant)
            with closing(stream_activity_frames(connection, query_period, ROWS_PER_PART)) as frames:
                for part in chain.from_iterable(map(outcome.map_and_add_slices, frames)):
                    first_rows.add(part.report_rows)
                    self._raise_if_cancelled()
        headers = tuple(cell.header for cell in program.columns)
        return _to_preview(request, mapping, outcome, headers, first_rows.rows)

    def _load_effective(
        self, connection: psycopg.Connection, request: ExportRequest
    ) -> tuple[EffectiveMapping, MappingProgram]:
        org_id, period = request.org_id, request.reporting_period
        mapping = self._mappings.choose_version(connection, org_id, period.first_day, period.last_day)
        return mapping, self._mappings.load_program(org_id, mapping, request.locale)

    def _load_draft(self, job: PreviewJob) -> tuple[EffectiveMapping, MappingProgram]:
        """Load the draft that the API has stored, and has validated before."""
        with self._database.transaction(job.request.org_id) as session:
            draft = session.scalar(select(PreviewResult.draft).where(col(PreviewResult.id) == job.preview_id))
        if draft is None:
            raise ServiceUnavailableError("The preview")
        document = validate_document(draft)
        mapping = EffectiveMapping(version=_DRAFT_VERSION, sha256=document.sha256)
        return mapping, compile_mapping(document, job.request.locale)


class _FirstRows:
    """The first rows of a report, fewer if their texts are long, because a preview is one JSON response."""

    def __init__(self) -> None:
        self.rows = pl.DataFrame()
        self._is_full = False

    def add(self, rows: pl.DataFrame) -> None:
        if self._is_full or rows.is_empty():
            return
        offered = (
            rows.head(MAX_PREVIEW_ROWS) if self.rows.is_empty() else pl.concat([self.rows, rows.head(MAX_PREVIEW_ROWS)])
        )
        first = next(cut_into_slices(count_text_bytes(offered), _MAX_PREVIEW_BYTES, MAX_PREVIEW_ROWS))
        self.rows = offered[first]
        self._is_full = self.rows.height < offered.height


def create_audit_entry(job: PreviewJob, preview: Preview) -> AuditEntry:
    return AuditEntry(
        org_id=job.request.org_id,
        actor=format_actor(job.request.requesting_user_id, job.api_key_id),
        event="export_previewed",
        subject_kind="export_preview",
        subject_id=job.preview_id,
        detail={"rows": preview.counts.queried, "mapping_version": preview.mapping.version},
    )


def store_draft(database: Database, caller: Caller, job: PreviewJob, document: MappingDocument) -> None:
    """Store a valid document for the preview to apply."""
    with database.transaction(job.request.org_id, user_id=caller.user_id) as session:
        row = {"id": job.preview_id, "org_id": job.request.org_id, "draft": document.as_json()}
        session.execute(insert(PreviewResult).values(row))


def take_preview(database: Database, caller: Caller, job: PreviewJob) -> Preview:
    """Fetch and delete the preview."""
    with database.transaction(job.request.org_id, user_id=caller.user_id) as session:
        delete_result = delete(PreviewResult).where(col(PreviewResult.id) == job.preview_id)
        result = session.scalar(delete_result.returning(col(PreviewResult.result)))
    if result is None:
        raise ServiceUnavailableError("The preview")
    return Preview.model_validate(result)


def delete_expired_previews(maintenance: Database) -> None:
    """Delete previews that were not fetched in time."""
    with maintenance.transaction() as session:
        session.execute(delete(PreviewResult).where(col(PreviewResult.created_at) < func.now() - PREVIEW_LIFETIME))


def _to_preview(
    request: ExportRequest,
    mapping: EffectiveMapping,
    outcome: MappingOutcome,
    headers: tuple[str, ...],
    rows: pl.DataFrame,
) -> Preview:
    failures = outcome.partial_failures
    return Preview(
        mapping=mapping.mapping_version,
        counts=outcome.counts,
        not_countable=outcome.not_countable,
        warnings=tuple(collect_warnings(mapping, request, outcome)),
        partial_failures=PartialFailureReport.truncate(failures),
        partial_failure_count=len(failures),
        totals=outcome.totals,
        columns=headers,
        rows=tuple(_to_json_values(rows).to_dicts()),
    )


def _to_json_values(rows: pl.DataFrame) -> pl.DataFrame:
    return format_clock_durations(rows).with_columns(
        cs.date().dt.to_string("%Y-%m-%d"), cs.time().dt.to_string("%H:%M"), cs.decimal().cast(pl.Float64)
    )
