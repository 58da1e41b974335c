"""What became of a job, as its email reports it: counts, file name and reasons, never a row."""

from collections.abc import Callable, Mapping
from datetime import date, datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from stafett.database.tables import (
    BulkBatch,
    BulkItem,
    Export,
    ExportPartialFailures,
    Notification,
    Reexport,
    Report,
)
from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_status import ItemErrorCode, ItemStatus
from stafett.domain.export import ExportCounts, Locale
from stafett.domain.export_outputs import Deviations
from stafett.domain.export_status import ExportStatus
from stafett.domain.file_versions import name_version
from stafett.domain.frozen import FrozenModel
from stafett.domain.notification import JobType
from stafett.domain.reporting_period import OSLO


class JobResult(FrozenModel):
    """The result of a job. After a later retry, only the language and the days are known."""

    locale: Locale = "nb"
    """The language of the report, for users who have chosen none."""
    days: tuple[date, date] | None = None
    counts: ExportCounts | None = None
    deviations: int | None = None
    file_name: str | None = None
    version: int | None = None
    unchanged: bool = False
    """Whether a re-export has added no version, because nothing had changed."""
    error_code: str | None = None
    items: BulkCounts | None = None
    failed_items: Mapping[ItemErrorCode, int] = {}


def load_job_result(session: Session, notification: Notification) -> JobResult:
    return _LOADERS[notification.subject_kind](session, notification)


def _load_export_result(session: Session, notification: Notification) -> JobResult:
    export = session.get_one(Export, notification.subject_id)
    result = JobResult(locale=export.parameters["locale"], days=export.job.date_range)
    if export.attempt != notification.attempt:
        return result
    return result.model_copy(update=_describe_export(session, export))


def _describe_export(session: Session, export: Export) -> dict[str, object]:
    if export.error is not None:
        return {"error_code": export.error["code"]}
    if export.status is not ExportStatus.COMPLETED or export.file is None:
        return {}
    is_of_export = col(ExportPartialFailures.export_id) == export.id
    deviations = session.exec(select(ExportPartialFailures.deviations).where(is_of_export)).first()
    return {
        "counts": ExportCounts.model_validate(export.counts),
        "deviations": Deviations.model_validate(deviations).rows if deviations else 0,
        "file_name": export.file["name"],
    }


def _load_reexport_result(session: Session, notification: Notification) -> JobResult:
    row = session.get_one(Reexport, notification.subject_id)
    report = session.get_one(Report, row.report_id)
    result = JobResult(locale=report.parameters["locale"], days=_to_days(*row.job.period))
    if row.file is None:
        return result.model_copy(update={"error_code": row.error["code"] if row.error else None})
    described = _describe_export(session, session.get_one(Export, row.result_export_id))
    file_name = name_version(row.file["name"], row.file_version or 1)
    version = {"file_name": file_name, "version": row.file_version, "unchanged": row.unchanged}
    return result.model_copy(update=described | version)


def _load_batch_result(session: Session, notification: Notification) -> JobResult:
    batch = session.get_one(BulkBatch, notification.subject_id)
    days = _to_days(batch.period_start, batch.period_end) if batch.period_start and batch.period_end else None
    if batch.attempt != notification.attempt:
        return JobResult(days=days)
    failed = col(BulkItem.batch_id) == batch.id, col(BulkItem.status) == ItemStatus.FAILED
    query = select(BulkItem.error_code, func.count()).where(*failed).group_by(col(BulkItem.error_code))
    reasons = {code: count for code, count in session.exec(query) if code is not None}
    error_code = batch.error["code"] if batch.error else None
    return JobResult(days=days, items=batch.counts, failed_items=reasons, error_code=error_code)


def _to_days(first: datetime, last: datetime) -> tuple[date, date]:
    return first.astimezone(OSLO).date(), last.astimezone(OSLO).date()


_LOADERS: Mapping[JobType, Callable[[Session, Notification], JobResult]] = {
    JobType.EXPORT: _load_export_result,
    JobType.REEXPORT: _load_reexport_result,
    JobType.BULK_REGISTRATION: _load_batch_result,
}
