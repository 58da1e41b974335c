"""Pagination of lists, newest first, of the caller's organisation."""

from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import tuple_
from sqlmodel import SQLModel, select
from sqlmodel.sql.expression import SelectOfScalar

from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller

Row = TypeVar("Row", bound=SQLModel)


class ListFilter(FrozenModel):
    """Filters of a list, and the cursor after which its page starts."""

    org_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    cursor: tuple[datetime, UUID] | None = None
    page_size: int = 50


def paginate(table: type[Row], caller: Caller, filters: ListFilter) -> SelectOfScalar[Row]:
    """Select a page and one more row, which shows that there is a next page."""
    columns = table.__table__.c  # type: ignore[attr-defined]  # SQLModel hides its table
    sort_key = (columns.created_at, columns.id)
    query = select(table).order_by(*(column.desc() for column in sort_key)).limit(filters.page_size + 1)
    # The policies filter by organisation too, but only a condition in the query uses the index.
    for org_id in (filters.org_id, caller.org_id):
        query = query if org_id is None else query.where(columns.org_id == org_id)
    if filters.created_after is not None:
        query = query.where(columns.created_at > filters.created_after)
    if filters.created_before is not None:
        query = query.where(columns.created_at < filters.created_before)
    return query if filters.cursor is None else query.where(tuple_(*sort_key) < filters.cursor)
