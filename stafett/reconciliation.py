"""Open jobs and undelivered notifications of all organisations, which the sweep compares with their Temporal runs."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar

import structlog
from pydantic import ValidationError
from sqlalchemy import tuple_
from sqlmodel import SQLModel, col, select
from sqlmodel.sql.expression import SelectOfScalar

from stafett.bulk.registration import BatchProcessor
from stafett.database.session import Database
from stafett.database.tables import BulkBatch, Export, Reexport
from stafett.domain.errors import StaleAttemptError
from stafett.domain.export_job import ExportJob, RecordFailureInput
from stafett.domain.export_status import EXPORT_FINAL_STATUSES, ExportErrorCode
from stafett.domain.job import Job
from stafett.domain.notification import JobOutcome, NotificationJob
from stafett.domain.reexport_status import REEXPORT_FINAL_STATUSES
from stafett.exports.completion import ExportCompletion
from stafett.exports.state import is_child_of_open_reexport
from stafett.notifications.deliveries import DeliveryStore, find_undelivered
from stafett.reports.completion import ReexportCompletion

Row = TypeVar("Row", bound=SQLModel)
_PAGE_SIZE = 500
_log = structlog.get_logger("stafett.reconciliation")


class OpenJob(NamedTuple):
    """An unfinished job, and what reconciliation can do with it in PostgreSQL.

    ``close`` gets the reason why the job's run will not finish it; it returns the outcome, or None if the job had
    already ended. ``finish_cancel`` ends a job that is ``cancelling`` without a run.
    """

    job: Job
    close: Callable[[str], JobOutcome | None]
    finish_cancel: Callable[[], object] | None
    is_cancelling: bool
    updated_at: datetime
    request_id: str | None
    is_retryable: bool = True
    """Whether a user can retry it; otherwise it is not given up while its run can neither start nor continue."""


def _iterate(database: Database, table: type[Row], query: SelectOfScalar[Row]) -> Iterator[Row]:
    """Iterate over the rows, oldest first; each page has its own transaction."""
    columns: Any = table.__table__.c  # type: ignore[attr-defined]  # SQLModel hides its table
    cursor = tuple_(columns.created_at, columns.id)
    query = query.order_by(columns.created_at, columns.id).limit(_PAGE_SIZE)
    page_query = query
    while True:
        with database.transaction() as session:
            rows = session.exec(page_query).all()
        yield from rows
        if len(rows) < _PAGE_SIZE:
            return
        last: Any = rows[-1]
        page_query = query.where(cursor > (last.created_at, last.id))


def _list_open(
    maintenance: Database,
    table: type[Row],
    query: SelectOfScalar[Row],
    close: Callable[[Any, str], JobOutcome | None],
    finish_cancel: Callable[[Any], object],
) -> Iterator[OpenJob]:
    """Build the open jobs; log and skip a row that is no valid job, so that it stops no other job."""
    row: Any
    for row in _iterate(maintenance, table, query):
        try:
            job = row.job
        except ValidationError as error:
            _log.error("job_row_invalid", job_id=str(row.id), error=type(error).__name__)
            continue
        yield OpenJob(
            job,
            partial(close, job),
            partial(finish_cancel, job),
            is_cancelling=row.status == "cancelling",
            updated_at=row.updated_at,
            request_id=row.request_id,
        )


def list_open_exports(maintenance: Database, completion: ExportCompletion) -> Iterator[OpenJob]:
    """List the open exports; one whose run was terminated fails, and can be retried. Retention deletes its objects."""

    def close(job: ExportJob, reason: str) -> JobOutcome | None:
        message = f"{reason}; retry the export."
        failure = RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message=message, retryable=True)
        try:
            completion.fail(failure)
        except StaleAttemptError:
            return None
        return JobOutcome.FAILED

    is_independent = ~is_child_of_open_reexport()  # a re-export controls its child export itself
    query = select(Export).where(col(Export.status).not_in(EXPORT_FINAL_STATUSES), is_independent)
    return _list_open(maintenance, Export, query, close, completion.finish_cancel)


def list_open_reexports(maintenance: Database, completion: ReexportCompletion) -> Iterator[OpenJob]:
    """List the open re-exports; one whose run was terminated fails, unless its result is stored."""
    query = select(Reexport).where(col(Reexport.status).not_in(REEXPORT_FINAL_STATUSES))
    return _list_open(maintenance, Reexport, query, completion.close, completion.finish_cancel)


def list_open_batches(maintenance: Database, processor: BatchProcessor) -> Iterator[OpenJob]:
    """List the open batches; one whose run was terminated ends, and its failed items can be retried."""
    query = select(BulkBatch).where(col(BulkBatch.completed_at).is_(None))
    return _list_open(maintenance, BulkBatch, query, processor.close, processor.finish_cancel)


def list_undelivered(maintenance: Database) -> Iterator[OpenJob]:
    """List the jobs that send notifications; the deliveries of one whose run was terminated are given up."""
    deliveries = DeliveryStore(maintenance)

    def close(job: NotificationJob, _reason: str) -> None:
        for delivery in deliveries.find_pending(job):
            deliveries.give_up(delivery, "ended_from_outside")

    for job in find_undelivered(maintenance):
        yield OpenJob(
            job,
            partial(close, job),
            None,
            is_cancelling=False,
            updated_at=datetime.now(UTC),
            request_id=None,
            is_retryable=False,
        )
