"""The jobs that have not ended, of every organisation, as the maintenance role sees them."""

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import tuple_
from sqlmodel import col, select

from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import FINAL, ExportStatus
from stafett.export_jobs import job_of

_A_PAGE = 500


class Unfinished(NamedTuple):
    """A job that has not ended, and whether it is to stop."""

    job: ExportJob
    is_cancelling: bool


def unfinished_exports(maintenance: Database) -> Iterator[Unfinished]:
    """All of them, oldest first, a page at a time."""
    oldest_first = (col(Export.created_at), col(Export.id))
    unended = select(Export).where(col(Export.status).not_in(FINAL)).order_by(*oldest_first).limit(_A_PAGE)
    page = unended
    while True:
        with maintenance.transaction() as session:
            found = session.exec(page).all()
        for export in found:
            yield Unfinished(job_of(export), export.status is ExportStatus.CANCELLING)
        if len(found) < _A_PAGE:
            return
        page = unended.where(tuple_(*oldest_first) > (found[-1].created_at, found[-1].id))
