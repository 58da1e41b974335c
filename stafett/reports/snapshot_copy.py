"""The stage ``querying_activities`` of a ``same_snapshot`` re-export, which copies an earlier export's snapshot."""

from collections.abc import Callable, Iterable, Iterator
from uuid import UUID

from stafett.database.session import Database
from stafett.database.tables import Export, ExportStageOutput
from stafett.domain.errors import ExportError, NotFoundError, StagedDataLostError
from stafett.domain.export import ExportParameters
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import QueriedRows, StagedPart
from stafett.domain.export_status import ExportErrorCode, ExportStatus
from stafett.domain.reexport import is_identical_output
from stafett.exports.stage_runner import StageContext
from stafett.exports.stages.query_activities import ActivityQueryStage, require_requester_is_member
from stafett.reports.snapshots import SNAPSHOT_GONE_MESSAGE, is_expired


class SnapshotCopy:
    """Copies the parts under the export's own prefix: each export's snapshot is deleted together with its file."""

    def __init__(self, database: Database, query_activities: ActivityQueryStage) -> None:
        self._database = database
        self._query_activities = query_activities

    def __call__(self, job: ExportJob, context: StageContext) -> QueriedRows:
        export = context.inputs.export
        if export.source_export_id is None:
            return self._query_activities(job, context)
        with self._database.transaction(job.org_id) as session:
            source = session.get_one(Export, export.source_export_id)
            staged = session.get(ExportStageOutput, (source.id, ExportStatus.QUERYING_ACTIVITIES))
        with self._database.snapshot(job.org_id) as connection:
            require_requester_is_member(connection, job.export_id)
        if is_expired(source) or staged is None:
            raise _build_snapshot_gone_error()
        copied = _copy_snapshot(QueriedRows.model_validate(staged.outputs), context)
        return copied.model_copy(update={"identical_export_id": _find_identical_export_id(export, source, copied)})


def _copy_snapshot(queried: QueriedRows, context: StageContext) -> QueriedRows:
    """Copy the parts; the mapping and the snapshot time stay those of the source."""
    total, attachments = queried.rows, queried.attachments
    try:
        parts = tuple(_copy_parts(queried.parts, context, lambda done: context.report_progress(done, total)))
        copied = context.copy_part(0, attachments, "attachments") if attachments else None
    except (NotFoundError, StagedDataLostError):
        raise _build_snapshot_gone_error() from None
    return queried.model_copy(update={"parts": parts, "attachments": copied})


def _copy_parts(
    parts: Iterable[StagedPart], context: StageContext, report_progress: Callable[[int], None]
) -> Iterator[StagedPart]:
    done = 0
    for number, part in enumerate(parts):
        yield context.copy_part(number, part)
        done += part.rows
        report_progress(done)


def _find_identical_export_id(export: Export, source: Export, copied_rows: QueriedRows) -> UUID | None:
    """Return the first of a chain of identical exports, which all their manifests name; None if this one differs."""
    parameters, source_parameters = (ExportParameters.model_validate(row.parameters) for row in (export, source))
    is_identical = is_identical_output(parameters, source_parameters)
    return (copied_rows.identical_export_id or source.id) if is_identical else None


def _build_snapshot_gone_error() -> ExportError:
    return ExportError(ExportErrorCode.SNAPSHOT_GONE, SNAPSHOT_GONE_MESSAGE)
