"""The jobs that have not ended, of every organisation, as the maintenance role sees them."""

from collections.abc import Sequence

from sqlmodel import col, select

from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import FINAL
from stafett.export_jobs import job_of

_A_SWEEP = 1000


def unfinished_exports(maintenance: Database) -> Sequence[ExportJob]:
    """Oldest first; a sweep that does not reach all of them is followed by another."""
    unended = select(Export).where(col(Export.status).not_in(FINAL)).order_by(col(Export.created_at)).limit(_A_SWEEP)
    with maintenance.transaction() as session:
        return [job_of(export) for export in session.exec(unended)]
