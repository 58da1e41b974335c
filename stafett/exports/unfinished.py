"""The exports that have not ended, as the maintenance role sees them."""

from collections.abc import Iterator
from functools import partial

from sqlmodel import col, select

from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.errors import StaleAttemptError
from stafett.domain.export_job import ExportFailing, ExportJob
from stafett.domain.export_status import FINAL, ExportErrorCode, ExportStatus
from stafett.exports.completion import ExportEndings
from stafett.exports.service import job_of
from stafett.reexports.row import is_of_an_unfinished_reexport
from stafett.unfinished import Unfinished, oldest_first


class UnfinishedExports:
    """One whose run was ended from outside has failed, and can be tried again."""

    def __init__(self, maintenance: Database, endings: ExportEndings) -> None:
        self._maintenance = maintenance
        self._endings = endings

    def __call__(self) -> Iterator[Unfinished]:
        ours = ~is_of_an_unfinished_reexport()  # which looks after its export itself
        unended = select(Export).where(col(Export.status).not_in(FINAL), ours)
        for export in oldest_first(self._maintenance, Export, unended):
            job = job_of(export)
            yield Unfinished(job, export.status is ExportStatus.CANCELLING, partial(self._close, job))

    def _close(self, job: ExportJob, how: str) -> bool:
        message = f"The export was ended from outside ({how}) before it was done; it can be tried again."
        failing = ExportFailing(job=job, code=ExportErrorCode.INTERNAL, message=message, retryable=True)
        try:
            self._endings.fail(failing)
        except StaleAttemptError:
            return False
        return True
