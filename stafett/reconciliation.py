"""The jobs that have not ended, of every organisation, as the sweeper looks after them."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import tuple_
from sqlmodel import SQLModel, col, select
from sqlmodel.sql.expression import SelectOfScalar

from stafett.bulk.registration import ProxyRegistration
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
    """A job that has not ended, whether it is to stop, and how it is closed when its run has ended from outside."""

    job: Job
    is_cancelling: bool
    close: Callable[[str], bool]


class OpenJobs(Protocol):
    """One kind of job, as the sweeper looks after it."""

    def __call__(self) -> Iterator[OpenJob]:
        """All that have not ended, oldest first."""


def iterate_open(database: Database, table: type[Row], query: SelectOfScalar[Row]) -> Iterator[Row]:
    """A page at a time, each in a transaction of its own."""
    columns: Any = table.__table__.c  # type: ignore[attr-defined]  # SQLModel hides its table
    place = tuple_(columns.created_at, columns.id)
    query = query.order_by(columns.created_at, columns.id).limit(_PAGE_SIZE)
    page = query
    while True:
        with database.transaction() as session:
            found = session.exec(page).all()
        yield from found
        if len(found) < _PAGE_SIZE:
            return
        last: Any = found[-1]
        page = query.where(place > (last.created_at, last.id))


class OpenExports:
    """One whose run was ended from outside has failed, and can be tried again."""

    def __init__(self, maintenance: Database, completion: ExportCompletion) -> None:
        self._maintenance = maintenance
        self._completion = completion

    def __call__(self) -> Iterator[OpenJob]:
        ours = ~is_child_of_open_reexport()  # which looks after its export itself
        unended = select(Export).where(col(Export.status).not_in(EXPORT_FINAL_STATUSES), ours)
        for export in iterate_open(self._maintenance, Export, unended):
            job = export.job
            yield OpenJob(job, export.status is ExportStatus.CANCELLING, partial(self._close, job))

    def _close(self, job: ExportJob, run_status: str) -> bool:
        message = f"The export was ended from outside ({run_status}) before it was done; it can be tried again."
        failing = RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message=message, retryable=True)
        try:
            self._completion.fail(failing)
        except StaleAttemptError:
            return False
        return True


class OpenReexports:
    """One whose run was ended from outside has failed, unless its result is stored."""

    def __init__(self, maintenance: Database, completion: ReexportCompletion) -> None:
        self._maintenance = maintenance
        self._completion = completion

    def __call__(self) -> Iterator[OpenJob]:
        unended = select(Reexport).where(col(Reexport.status).not_in(REEXPORT_FINAL_STATUSES))
        for row in iterate_open(self._maintenance, Reexport, unended):
            job = row.job
            is_cancelling = row.status is ReexportStatus.CANCELLING
            yield OpenJob(job, is_cancelling, partial(self._completion.close, job))


class OpenBatches:
    """One whose run was ended from outside has failed, and can be tried again."""

    def __init__(self, maintenance: Database, registration: ProxyRegistration) -> None:
        self._maintenance = maintenance
        self._registration = registration

    def __call__(self) -> Iterator[OpenJob]:
        unended = select(BulkBatch).where(col(BulkBatch.completed_at).is_(None))
        for batch in iterate_open(self._maintenance, BulkBatch, unended):
            job = batch.job
            yield OpenJob(job, batch.status is BulkStatus.CANCELLING, partial(self._registration.close, job))
