"""The stage ``querying_activities`` of an export that repeats another one: that one's snapshot, taken over as it is."""

from collections.abc import Callable, Iterable, Iterator
from uuid import UUID

from stafett.database.session import Database
from stafett.database.tables import Export, ExportStageOutput
from stafett.domain.errors import ExportError, NotFoundError, StagedDataLostError
from stafett.domain.export import ExportParameters
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import QueriedRows, StagedPart
from stafett.domain.export_status import ExportErrorCode, ExportStatus
from stafett.domain.reexport import produce_identical_file
from stafett.exports.stage_runner import StageContext
from stafett.exports.stages.query_activities import ActivityQueryStage, require_requester_is_member
from stafett.reports.snapshots import SNAPSHOT_GONE_MESSAGE, is_expired


class SnapshotCopy:
    """Copies the parts into the export's own place: each export owns its snapshot, and loses it with its own file."""

    def __init__(self, database: Database, query_activities: ActivityQueryStage) -> None:
        self._database = database
        self._query_activities = query_activities

    def __call__(self, job: ExportJob, context: StageContext) -> QueriedRows:
        with self._database.transaction(job.org_id) as session:
            export = session.get_one(Export, job.export_id)
            repeated = session.get(Export, export.repeats) if export.repeats else None
            staged = session.get(ExportStageOutput, (export.repeats, ExportStatus.QUERYING_ACTIVITIES))
        if repeated is None:
            return self._query_activities(job, context)
        with self._database.snapshot(job.org_id) as connection:
            require_requester_is_member(connection, job.export_id)
        if is_expired(repeated) or staged is None:
            raise _build_snapshot_gone_error()
        taken = _copy_snapshot(QueriedRows.model_validate(staged.outputs), context)
        return taken.model_copy(update={"identical_export_id": _find_identical_export_id(export, repeated, taken)})


def _copy_snapshot(queried: QueriedRows, context: StageContext) -> QueriedRows:
    """The same parts, the same rules, the same instant."""
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
    """What was repeated so itself stands for what it repeated: the manifests of all of them name the first."""
    one, other = (ExportParameters.model_validate(each.parameters) for each in (export, source))
    return (copied_rows.identical_export_id or source.id) if produce_identical_file(one, other) else None


def _build_snapshot_gone_error() -> ExportError:
    return ExportError(ExportErrorCode.SNAPSHOT_GONE, SNAPSHOT_GONE_MESSAGE)
