"""The jobs that have not ended, of every organisation, as the sweeper looks after them."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import tuple_
from sqlmodel import SQLModel
from sqlmodel.sql.expression import SelectOfScalar

from stafett.database.session import Database
from stafett.domain.job import Job

Row = TypeVar("Row", bound=SQLModel)
_A_PAGE = 500


class Unfinished(NamedTuple):
    """A job that has not ended, whether it is to stop, and how it is closed when its run has ended from outside."""

    job: Job
    is_cancelling: bool
    close: Callable[[str], bool]


class UnfinishedJobs(Protocol):
    """One kind of job, as the sweeper looks after it."""

    def __call__(self) -> Iterator[Unfinished]:
        """All that have not ended, oldest first."""


def oldest_first(maintenance: Database, table: type[Row], unended: SelectOfScalar[Row]) -> Iterator[Row]:
    """A page at a time, each in a transaction of its own."""
    columns: Any = table.__table__.c  # type: ignore[attr-defined]  # SQLModel hides its table
    place = tuple_(columns.created_at, columns.id)
    query = unended.order_by(columns.created_at, columns.id).limit(_A_PAGE)
    page = query
    while True:
        with maintenance.transaction() as session:
            found = session.exec(page).all()
        yield from found
        if len(found) < _A_PAGE:
            return
        last: Any = found[-1]
        page = query.where(place > (last.created_at, last.id))
