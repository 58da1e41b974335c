"""Organisations, peer mentors and registered activities, as the API lists them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, tuple_
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from stafett.database.pagination import ListFilter
from stafett.database.session import Database
from stafett.database.tables import Activity, Organisation, PeerMentor
from stafett.domain.errors import NotFoundError
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller


class OrganisationService:
    """The gateway's side of the ``organisations`` table: a member sees their own, an operator every one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller) -> Sequence[Organisation]:
        with self._database.transaction(
            caller.org_id, user_id=caller.user_id, is_operator=caller.is_operator
        ) as session:
            return session.exec(select(Organisation).order_by(col(Organisation.id))).all()


_NAME_ORDER = (col(PeerMentor.display_name), col(PeerMentor.id))


class MentorFilter(FrozenModel):
    """Which of them a list shows, and after whom it goes on."""

    org_id: str | None = None
    active: bool | None = None
    q: str | None = None
    cursor: UUID | None = None
    page_size: int = 50


class PeerMentorService:
    """The gateway's side of the ``peer_mentors`` table: it reads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller, filters: MentorFilter) -> Sequence[PeerMentor]:
        """By name, one more than a page; where a page ends is said by an id, for a name is nobody's business."""
        query = _build_query(caller, filters).order_by(*_NAME_ORDER).limit(filters.page_size + 1)
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            if filters.cursor is not None:
                last = session.get(PeerMentor, filters.cursor)
                if last is None:
                    raise NotFoundError("The peer mentor after whom the list was to go on is not there any more.")
                query = query.where(tuple_(*_NAME_ORDER) > (last.display_name, last.id))
            return session.exec(query).all()


def _build_query(caller: Caller, filters: MentorFilter) -> SelectOfScalar[PeerMentor]:
    query = select(PeerMentor)
    for org_id in (filters.org_id, caller.org_id):
        query = query if org_id is None else query.where(col(PeerMentor.org_id) == org_id)
    if filters.active is not None:
        query = query.where(col(PeerMentor.active) == filters.active)
    if filters.q:
        query = query.where(col(PeerMentor.display_name).icontains(filters.q, autoescape=True))
    return query


class ActivityFilter(ListFilter):
    """Which activities a list shows; both ends of the period are in it."""

    batch_id: UUID | None = None
    mentor_id: UUID | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None


class ActivityService:
    """The gateway's side of the ``activities`` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller, filters: ActivityFilter) -> Sequence[Activity]:
        """The latest first, as they took place; one more than a page."""
        place = (col(Activity.starts_at), col(Activity.id))
        query = (
            select(Activity).where(*_build_conditions(caller, filters)).order_by(*(column.desc() for column in place))
        )
        if filters.cursor is not None:
            query = query.where(tuple_(*place) < filters.cursor)
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            return session.exec(query.limit(filters.page_size + 1)).all()


def _build_conditions(caller: Caller, filters: ActivityFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [col(Activity.org_id) == caller.org_id, col(Activity.deleted_at).is_(None)]
    ids = (
        (Activity.org_id, filters.org_id),
        (Activity.batch_id, filters.batch_id),
        (Activity.mentor_id, filters.mentor_id),
    )
    conditions += [col(column) == value for column, value in ids if value is not None]
    if filters.period_start is not None:
        conditions.append(col(Activity.starts_at) >= filters.period_start)
    if filters.period_end is not None:
        conditions.append(col(Activity.starts_at) <= filters.period_end)
    if filters.created_after is not None:
        conditions.append(col(Activity.created_at) > filters.created_after)
    if filters.created_before is not None:
        conditions.append(col(Activity.created_at) < filters.created_before)
    return conditions
