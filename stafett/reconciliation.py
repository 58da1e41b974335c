"""Open jobs of all organisations, which the reconciliation sweep compares with their Temporal runs."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import tuple_
from sqlmodel import SQLModel, col, select
from sqlmodel.sql.expression import SelectOfScalar

from stafett.bulk.registration import BatchProcessor
from stafett.database.session import Database
from stafett.database.tables import BulkBatch, Export, Reexport
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.errors import StaleAttemptError
from stafett.domain.export_job import ExportJob, RecordFailureInput
from stafett.domain.export_status import EXPORT_FINAL_STATUSES, ExportErrorCode, ExportStatus
from stafett.domain.job import Job
from stafett.domain.reexport_status import REEXPORT_FINAL_STATUSES, ReexportStatus
from stafett.exports.completion import ExportCompletion
from stafett.exports.state import is_child_of_open_reexport
from stafett.reports.completion import ReexportCompletion

Row = TypeVar("Row", bound=SQLModel)
_PAGE_SIZE = 500


class OpenJob(NamedTuple):
    """An unfinished job, whether it is cancelling, and a function that closes it after its run was terminated.

    ``close`` gets the status of the run, and returns false if the job had already ended.
    """

    job: Job
    is_cancelling: bool
    close: Callable[[str], bool]


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


class OpenExports:
    """Lists the open exports; one whose run was terminated fails, and can be retried."""

    def __init__(self, maintenance: Database, completion: ExportCompletion) -> None:
        self._maintenance = maintenance
        self._completion = completion

    def __call__(self) -> Iterator[OpenJob]:
        is_independent = ~is_child_of_open_reexport()  # a re-export controls its child export itself
        query = select(Export).where(col(Export.status).not_in(EXPORT_FINAL_STATUSES), is_independent)
        for export in iterate_open(self._maintenance, Export, query):
            job = export.job
            yield OpenJob(job, export.status is ExportStatus.CANCELLING, partial(self._close, job))

    def _close(self, job: ExportJob, run_status: str) -> bool:
        message = f"The workflow run was closed externally ({run_status}) before it finished; retry the export."
        failure = RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message=message, retryable=True)
        try:
            self._completion.fail(failure)
        except StaleAttemptError:
            return False
        return True


class OpenReexports:
    """Lists the open re-exports; one whose run was terminated fails, unless its result is stored."""

    def __init__(self, maintenance: Database, completion: ReexportCompletion) -> None:
        self._maintenance = maintenance
        self._completion = completion

    def __call__(self) -> Iterator[OpenJob]:
        query = select(Reexport).where(col(Reexport.status).not_in(REEXPORT_FINAL_STATUSES))
        for row in iterate_open(self._maintenance, Reexport, query):
            job = row.job
            is_cancelling = row.status is ReexportStatus.CANCELLING
            yield OpenJob(job, is_cancelling, partial(self._completion.close, job))


class OpenBatches:
    """Lists the open batches; one whose run was terminated ends, and its failed items can be retried."""

    def __init__(self, maintenance: Database, processor: BatchProcessor) -> None:
        self._maintenance = maintenance
        self._processor = processor

    def __call__(self) -> Iterator[OpenJob]:
        query = select(BulkBatch).where(col(BulkBatch.completed_at).is_(None))
        for batch in iterate_open(self._maintenance, BulkBatch, query):
            job = batch.job
            yield OpenJob(job, batch.status is BulkStatus.CANCELLING, partial(self._processor.close, job))
