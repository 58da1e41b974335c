"""An organisation's activities as clients see them: what the batches wrote among them, without anybody's notes."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, tuple_
from sqlmodel import col, select

from stafett.database.pagination import PageWanted
from stafett.database.session import Database
from stafett.database.tables import Activity
from stafett.domain.membership import Caller


class ActivitiesWanted(PageWanted):
    """Which activities a list shows; both ends of the period are in it."""

    batch_id: UUID | None = None
    mentor_id: UUID | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None


class RegisteredActivities:
    """The gateway's side of the ``activities`` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller, wanted: ActivitiesWanted) -> Sequence[Activity]:
        """The latest first, as they took place; one more than a page."""
        place = (col(Activity.starts_at), col(Activity.id))
        query = select(Activity).where(*_conditions(caller, wanted)).order_by(*(column.desc() for column in place))
        if wanted.after is not None:
            query = query.where(tuple_(*place) < wanted.after)
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            return session.exec(query.limit(wanted.page_size + 1)).all()


def _conditions(caller: Caller, wanted: ActivitiesWanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [col(Activity.org_id) == caller.org_id, col(Activity.deleted_at).is_(None)]
    ids = (
        (Activity.org_id, wanted.org_id),
        (Activity.batch_id, wanted.batch_id),
        (Activity.mentor_id, wanted.mentor_id),
    )
    conditions += [col(column) == value for column, value in ids if value is not None]
    if wanted.period_start is not None:
        conditions.append(col(Activity.starts_at) >= wanted.period_start)
    if wanted.period_end is not None:
        conditions.append(col(Activity.starts_at) <= wanted.period_end)
    if wanted.created_after is not None:
        conditions.append(col(Activity.created_at) > wanted.created_after)
    if wanted.created_before is not None:
        conditions.append(col(Activity.created_at) < wanted.created_before)
    return conditions
