"""Previews: the whole period is read and mapped, the counts and the first rows are kept until they are fetched."""

from collections.abc import Callable
from contextlib import closing
from typing import LiteralString

import polars as pl
import polars.selectors as cs
from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry
from stafett.column_mapper.outcome import Outcome
from stafett.column_mapper.versions import MappingsInUse
from stafett.database.session import Database
from stafett.database.tables import PreviewResult
from stafett.domain.errors import ExportError, ServiceUnavailableError
from stafett.domain.export import ExportRequest, PartialFailureReport
from stafett.domain.export_outputs import EffectiveMapping
from stafett.domain.export_preview import MAX_PREVIEW_ROWS, Preview, PreviewJob
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.membership import Caller
from stafett.exports.stages.map_columns import no_faults_in, warnings
from stafett.exports.stages.query_activities import ROWS_A_PART, frames_in_report_order
from stafett.file_generator.durations import with_clock_durations

_MEMBER: LiteralString = """
SELECT EXISTS (SELECT FROM memberships WHERE org_id = %s AND user_id = %s AND role IN ('coordinator', 'admin'))
"""


class ExportPreviewing:
    """The worker's side; ``go_on`` raises when the work is to stop."""

    def __init__(self, database: Database, mappings: MappingsInUse, *, go_on: Callable[[], None]) -> None:
        self._database = database
        self._mappings = mappings
        self._go_on = go_on

    def __call__(self, asked: PreviewJob) -> None:
        """Put the preview where ``fetched`` finds it, with its audit event."""
        request = asked.request
        preview = self._preview(request)
        with self._database.transaction(request.org_id) as session:
            result = preview.model_dump(mode="json")
            row = insert(PreviewResult).values(id=asked.preview_id, org_id=request.org_id, result=result)
            if session.scalar(row.on_conflict_do_nothing().returning(col(PreviewResult.id))) is None:
                return  # an earlier execution of this very preview was not heard
            entry = AuditEntry(
                org_id=request.org_id,
                actor=audit_trail.actor_from_user_id(request.requesting_user_id),
                event="export_previewed",
                subject_kind="export_preview",
                subject_id=asked.preview_id,
                detail={"rows": preview.counts.queried, "mapping_version": preview.mapping.version},
            )
            audit_trail.append_audit_event(session, entry)

    def _preview(self, request: ExportRequest) -> Preview:
        period, org_id = request.reporting_period, request.org_id
        with self._database.snapshot(org_id) as connection:
            member = connection.execute(_MEMBER, [org_id, request.requesting_user_id]).fetchone()
            if member != (True,):
                raise ExportError(ExportErrorCode.PERMISSION_DENIED, "You may not export for this organisation.")
            mapping = self._mappings.chosen(org_id, period.first_day, period.last_day)
            program = self._mappings.program(org_id, mapping.version, request.locale)
            outcome, first_rows = Outcome(program, ignored=no_faults_in(request.export_format)), list[pl.DataFrame]()
            asked = (org_id, period.first_instant, period.last_instant)
            with closing(frames_in_report_order(connection, asked, ROWS_A_PART)) as frames:
                for rows in frames:
                    part = outcome.add(rows)
                    first_rows.append(part.written.head(MAX_PREVIEW_ROWS - sum(frame.height for frame in first_rows)))
                    self._go_on()
        headers = tuple(cell.header for cell in program.cells)
        return _told(request, mapping, outcome, headers, pl.concat(first_rows) if first_rows else pl.DataFrame())


def fetched(database: Database, caller: Caller, asked: PreviewJob) -> Preview:
    """The preview, which is then nowhere any more."""
    with database.transaction(asked.request.org_id, user_id=caller.user_id) as session:
        taken = delete(PreviewResult).where(col(PreviewResult.id) == asked.preview_id)
        result = session.scalar(taken.returning(col(PreviewResult.result)))
    if result is None:
        raise ServiceUnavailableError("The preview")
    return Preview.model_validate(result)


def forget_old_previews(maintenance: Database) -> None:
    """Those that nobody came for."""
    with maintenance.transaction() as session:
        age = func.now() - func.make_interval(0, 0, 0, 0, 0, 10)
        session.execute(delete(PreviewResult).where(col(PreviewResult.created_at) < age))


def _told(
    request: ExportRequest, mapping: EffectiveMapping, outcome: Outcome, headers: tuple[str, ...], rows: pl.DataFrame
) -> Preview:
    failures = outcome.partial_failures
    return Preview(
        mapping=mapping.mapping_version,
        counts=outcome.counts,
        not_countable=outcome.not_countable,
        warnings=tuple(warnings(mapping, request, outcome.apart)),
        partial_failures=PartialFailureReport.truncate(failures),
        partial_failure_count=len(failures),
        totals=outcome.totals,
        columns=headers,
        rows=tuple(_as_json(rows).to_dicts()),
    )


def _as_json(rows: pl.DataFrame) -> pl.DataFrame:
    return with_clock_durations(rows).with_columns(
        cs.date().dt.to_string("%Y-%m-%d"), cs.time().dt.to_string("%H:%M"), cs.decimal().cast(pl.Float64)
    )
