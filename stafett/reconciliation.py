"""Open jobs of all organisations, which the reconciliation sweep compares with their Temporal runs."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

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
from stafett.domain.notification import JobOutcome
from stafett.domain.reexport_status import REEXPORT_FINAL_STATUSES
from stafett.exports.completion import ExportCompletion
from stafett.exports.state import is_child_of_open_reexport
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
    is_cancelling: bool
    updated_at: datetime
    request_id: str | None
    close: Callable[[str], JobOutcome | None]
    finish_cancel: Callable[[], object]


class OpenJobs(Protocol):
    """Lists the open jobs of one kind."""

    def __call__(self) -> Iterator[OpenJob]:
        """Iterate over all jobs that have not ended, oldest first."""


def iterate_open(database: Database, table: type[Row], query: SelectOfScalar[Row]) -> Iterator[Row]:
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


def _skip_invalid(rows: Iterator[Row], build: Callable[[Row], OpenJob]) -> Iterator[OpenJob]:
    """Build the jobs; log and skip a row that is no valid job, so that it stops no other job."""
    for row in rows:
        try:
            yield build(row)
        except ValidationError as error:
            _log.error("job_row_invalid", job_id=str(getattr(row, "id", "")), error=type(error).__name__)


def _open_job_from_row(
    row: Export | Reexport | BulkBatch,
    close: Callable[[Any, str], JobOutcome | None],
    finish_cancel: Callable[[Any], object],
) -> OpenJob:
    """Build the open job of a row; the functions get the row's kind of job."""
    job = row.job
    return OpenJob(
        job,
        is_cancelling=row.status == "cancelling",
        updated_at=row.updated_at,
        request_id=row.request_id,
        close=partial(close, job),
        finish_cancel=partial(finish_cancel, job),
    )


class OpenExports:
    """Lists the open exports; one whose run was terminated fails, and can be retried."""

    def __init__(self, maintenance: Database, completion: ExportCompletion) -> None:
        self._maintenance = maintenance
        self._completion = completion

    def __call__(self) -> Iterator[OpenJob]:
        is_independent = ~is_child_of_open_reexport()  # a re-export controls its child export itself
        query = select(Export).where(col(Export.status).not_in(EXPORT_FINAL_STATUSES), is_independent)
        return _skip_invalid(iterate_open(self._maintenance, Export, query), self._build_open_job)

    def _build_open_job(self, row: Export) -> OpenJob:
        return _open_job_from_row(row, self._close, self._completion.finish_cancel)  # retention deletes its objects

    def _close(self, job: ExportJob, reason: str) -> JobOutcome | None:
        message = f"{reason}; retry the export."
        failure = RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message=message, retryable=True)
        try:
            self._completion.fail(failure)
        except StaleAttemptError:
            return None
        return JobOutcome.FAILED


class OpenReexports:
    """Lists the open re-exports; one whose run was terminated fails, unless its result is stored."""

    def __init__(self, maintenance: Database, completion: ReexportCompletion) -> None:
        self._maintenance = maintenance
        self._completion = completion

    def __call__(self) -> Iterator[OpenJob]:
        query = select(Reexport).where(col(Reexport.status).not_in(REEXPORT_FINAL_STATUSES))
        return _skip_invalid(iterate_open(self._maintenance, Reexport, query), self._build_open_job)

    def _build_open_job(self, row: Reexport) -> OpenJob:
        return _open_job_from_row(row, self._completion.close, self._completion.finish_cancel)


class OpenBatches:
    """Lists the open batches; one whose run was terminated ends, and its failed items can be retried."""

    def __init__(self, maintenance: Database, processor: BatchProcessor) -> None:
        self._maintenance = maintenance
        self._processor = processor

    def __call__(self) -> Iterator[OpenJob]:
        query = select(BulkBatch).where(col(BulkBatch.completed_at).is_(None))
        return _skip_invalid(iterate_open(self._maintenance, BulkBatch, query), self._build_open_job)

    def _build_open_job(self, row: BulkBatch) -> OpenJob:
        return _open_job_from_row(row, self._processor.close, self._processor.finish_cancel)
