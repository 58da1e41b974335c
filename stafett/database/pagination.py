"""Lists as every resource has them: newest first, a page at a time, of the caller's organisation."""

from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import tuple_
from sqlmodel import SQLModel, select
from sqlmodel.sql.expression import SelectOfScalar

from stafett.domain.frozen import Frozen
from stafett.domain.membership import Caller

Row = TypeVar("Row", bound=SQLModel)


class PageWanted(Frozen):
    """Which rows a list shows, and after which one it goes on."""

    org_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    after: tuple[datetime, UUID] | None = None
    page_size: int = 50


def newest_first(table: type[Row], caller: Caller, wanted: PageWanted) -> SelectOfScalar[Row]:
    """One more than a page: whoever sees it knows that there is a next one."""
    columns = table.__table__.c  # type: ignore[attr-defined]  # SQLModel hides its table
    place = (columns.created_at, columns.id)
    query = select(table).order_by(*(column.desc() for column in place)).limit(wanted.page_size + 1)
    for org_id in (wanted.org_id, caller.org_id):  # the policy filters too, but an index is found by us
        query = query if org_id is None else query.where(columns.org_id == org_id)
    if wanted.created_after is not None:
        query = query.where(columns.created_at > wanted.created_after)
    if wanted.created_before is not None:
        query = query.where(columns.created_at < wanted.created_before)
    return query if wanted.after is None else query.where(tuple_(*place) < wanted.after)
