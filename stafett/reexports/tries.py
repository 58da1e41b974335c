"""How often what a re-export is doing was begun without an answer: nothing is tried for ever."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlmodel import col

from stafett.database.session import Database
from stafett.database.tables import ReportReexport
from stafett.domain.errors import ExportError, StaleAttemptError
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.reexport_job import ReexportJob
from stafett.domain.reexport_status import REEXPORT_FAILURE_OF, ReexportStatus
from stafett.exports.stage_runner import AWAY
from stafett.exports.stage_store import MOST_UNANSWERED
from stafett.reexports.row import held_reexport, of_reexport

_GIVEN_UP = "It could not be done, however often it was begun; the history is as it was, and it can be asked for again."


class ReexportTries:
    """A step may take its worker down, or meet an error nobody foresaw, so often; what is merely away is waited for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def counted(self, job: ReexportJob) -> Iterator[None]:
        """The try is counted before it is made, and is none if it was answered."""
        status, tries = self._one_more(job)
        if tries > MOST_UNANSWERED:
            raise ExportError(REEXPORT_FAILURE_OF.get(status, ExportErrorCode.INTERNAL), _GIVEN_UP, retryable=True)
        try:
            yield
        except (*AWAY, ExportError, StaleAttemptError):
            with suppress(*AWAY):
                self._one_less(job)
            raise
        self._one_less(job)

    def _one_more(self, job: ReexportJob) -> tuple[ReexportStatus, int]:
        with self._database.transaction(job.org_id) as session:
            row = held_reexport(session, job)
            session.execute(of_reexport(job).values(tries=col(ReportReexport.tries) + 1))
            return row.status, row.tries + 1

    def _one_less(self, job: ReexportJob) -> None:
        fewer = of_reexport(job).where(col(ReportReexport.tries) > 0).values(tries=col(ReportReexport.tries) - 1)
        with self._database.transaction(job.org_id) as session:
            session.execute(fewer)
