"""The re-exports that have not ended, as the maintenance role sees them."""

from collections.abc import Iterator
from functools import partial

from sqlmodel import col, select

from stafett.database.session import Database
from stafett.database.tables import ReportReexport
from stafett.domain.reexport_status import REEXPORT_FINAL, ReexportStatus
from stafett.reexports.endings import ReexportEndings
from stafett.reexports.row import job_of_reexport
from stafett.unfinished import Unfinished, oldest_first


class UnfinishedReexports:
    """One whose run was ended from outside has failed, unless its result is stored."""

    def __init__(self, maintenance: Database, endings: ReexportEndings) -> None:
        self._maintenance = maintenance
        self._endings = endings

    def __call__(self) -> Iterator[Unfinished]:
        unended = select(ReportReexport).where(col(ReportReexport.status).not_in(REEXPORT_FINAL))
        for row in oldest_first(self._maintenance, ReportReexport, unended):
            job = job_of_reexport(row)
            is_cancelling = row.status is ReexportStatus.CANCELLING
            yield Unfinished(job, is_cancelling, partial(self._endings.close, job))
